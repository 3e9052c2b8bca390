# Build definitions of all images. The role runs bake in the directory of the build contexts, and sets the variables in the environment.
variable "CADDY_INPUTS" {}
variable "CADDY_PROGRAMS" {}
variable "CADDY_VERSION" {}
variable "COREDNS_VERSION" {}
variable "ETCD_VERSION" {}
variable "KUBERNETES_VERSION" {}
variable "METRICS_SERVER_VERSION" {}
variable "MINIKUBE_INPUTS" {}
variable "NODE_INPUTS" {}
variable "POSTGRESQL_INPUTS" {}
variable "PREFIX" {}
variable "PYTHON_INPUTS" {}
variable "VALKEY_INPUTS" {}

# With the path of the official image, without its file capability, and with a binary that copies it.
target "caddy" {
  context           = CADDY_PROGRAMS
  dockerfile-inline = <<-EOT
    FROM scratch
    COPY caddy cp /usr/bin/
    USER 65534:65534
    CMD ["caddy", "run"]
  EOT
  tags   = ["${PREFIX}/caddy:${CADDY_VERSION}"]
  labels = { "cloud-django.inputs" = CADDY_INPUTS }
}

target "python" {
  context = "python"
  args    = { DEBIAN = "${PREFIX}/debian:trixie" }
  tags    = ["${PREFIX}/python:3.13"]
  labels  = { "cloud-django.inputs" = PYTHON_INPUTS }
}

target "postgresql" {
  context = "postgresql"
  args    = { DEBIAN = "${PREFIX}/debian:trixie" }
  tags    = ["${PREFIX}/postgresql:17"]
  labels  = { "cloud-django.inputs" = POSTGRESQL_INPUTS }
}

target "valkey" {
  context = "valkey"
  args    = { DEBIAN = "${PREFIX}/debian:trixie" }
  tags    = ["${PREFIX}/valkey:8.1"]
  labels  = { "cloud-django.inputs" = VALKEY_INPUTS }
}

# The images of a cluster's system pods. They are saved into the node image.
group "system" {
  targets = ["system-image"]
}

target "system-image" {
  matrix = {
    image = [
      { name = "coredns", version = COREDNS_VERSION },
      { name = "etcd", version = ETCD_VERSION },
      { name = "kube-apiserver", version = KUBERNETES_VERSION },
      { name = "kube-controller-manager", version = KUBERNETES_VERSION },
      { name = "kube-network-policies", version = "v0.8.0" },
      { name = "kube-proxy", version = KUBERNETES_VERSION },
      { name = "kube-scheduler", version = KUBERNETES_VERSION },
      { name = "metrics-server", version = METRICS_SERVER_VERSION },
      { name = "node-agent", version = "1" },
      { name = "pause", version = "3.10.2" },
    ]
  }
  name    = image.name
  context = "system"
  target  = image.name
  args    = { DEBIAN = "${PREFIX}/debian:bookworm" }
  tags    = ["${PREFIX}/${image.name}:${image.version}"]
  labels  = { "cloud-django.node" = NODE_INPUTS }
}

target "node" {
  context = "node"
  args = {
    DEBIAN             = "${PREFIX}/debian:bookworm"
    KUBERNETES_VERSION = KUBERNETES_VERSION
  }
  tags   = ["${PREFIX}/node:${KUBERNETES_VERSION}"]
  labels = { "cloud-django.inputs" = NODE_INPUTS }
}

target "minikube" {
  context = "minikube"
  args = {
    KUBERNETES_VERSION = KUBERNETES_VERSION
    NODE               = "${PREFIX}/node:${KUBERNETES_VERSION}"
    PREFIX             = PREFIX
  }
  tags   = ["${PREFIX}/minikube:${KUBERNETES_VERSION}"]
  labels = { "cloud-django.inputs" = MINIKUBE_INPUTS }
}
