#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect the container engine, the builds, the cluster, and the image on the control node."""

DOCUMENTATION = r"""
module: cluster_info
short_description: Inspect container engine, builds, cluster, and image on the control node
version_added: 0.1.0
description:
  - Returns the state of the requested parts as facts for conditions. All parts are inspected at the same time.
  - Fails if a part cannot be inspected, or must not be changed because another program created it.
attributes:
  check_mode: {description: The module is read-only., support: full}
options:
  engine:
    description: Whether to inspect the container engine and buildx.
    type: bool
    default: false
  shared:
    description:
      - Whether several roles use the result. A part that cannot be inspected is then left out without a failure, and
        the role that needs the part inspects it again.
    type: bool
    default: false
  builds:
    description: Builds from package mirrors.
    type: dict
    suboptions:
      images:
        description: Images by name, each with its C(reference) and the hash of its C(inputs).
        type: dict
        required: true
      label:
        description: Label of an image with the hash of its inputs.
        type: str
        required: true
      programs:
        description: Paths of programs, each with the target file of its link.
        type: dict
        default: {}
      cache_links:
        description: Links in minikube's cache, each with its target file.
        type: dict
        default: {}
      cache_files:
        description: Files for minikube, each with its SHA-256.
        type: dict
        default: {}
  cluster:
    description: Cluster to inspect.
    type: dict
    suboptions:
      provider:
        description: Provider of the cluster.
        type: str
        choices: [existing, kind, minikube]
        required: true
      name:
        description: Name of the cluster. For V(minikube), name of the profile.
        type: str
        required: true
      state:
        description: Whether the cluster is to be provided or removed. The error for an unmanaged cluster depends on it.
        type: str
        choices: [absent, present]
        default: present
      kubeconfig:
        description: Path of the kubeconfig of the cluster.
        type: path
        required: true
      context:
        description: Context in the kubeconfig of an existing cluster.
        type: str
        default: ""
      content:
        description: Hash of what the role installs in the cluster.
        type: str
        default: ""
      programs:
        description:
          - Names on C(PATH) or paths of the C(kind) or C(minikube) binary. The first that is installed is used. The
            last is the destination of a download. For V(kind), only the first counts as installed.
        type: list
        elements: path
        default: []
      workers:
        description: Number of worker nodes, for V(kind).
        type: int
        default: 0
      minimum_version:
        description:
          - Kubernetes version that the site needs, for example V(1.30). Empty accepts any version.
          - The module fails if a V(kind) or V(minikube) cluster has a lower version, or would be created with one. The
            version of V(kind) is the tag of an image C(kindest/node) or C(cloud-django/node).
        type: str
        default: ""
      node_image:
        description: Image of the nodes, for V(kind). Empty accepts any image.
        type: str
        default: ""
      driver:
        description: Driver of minikube, for V(minikube).
        type: str
        default: docker
      home:
        description: The C(MINIKUBE_HOME) directory of the profile, for V(minikube).
        type: str
        default: ""
      settings:
        description: Role variables that a profile is created from, by name.
        type: dict
        default: {}
  image:
    description: Image of the site.
    type: dict
    suboptions:
      reference:
        description: Repository and tag. Images without the label C(cloud-django.context) are ignored.
        type: str
        required: true
      source:
        description:
          - V(build) if a role builds the image.
          - V(given) if the image exists already. Only C(reference), C(companions), and the nodes or the registry matter
            then, and an image in a registry needs no container engine.
        type: str
        choices: [build, given]
        default: build
      pinned:
        description: For V(given), whether the digest in the registry is needed. If not, the registry is not inspected.
        type: bool
        default: true
      username:
        description: For V(given), user of the registry. Without one, the login that C(docker login) stored is used.
        type: str
        default: ""
      password:
        description: Password of the user of the registry.
        type: str
        default: ""
      ca_file:
        description: For V(given), file of certificate authorities for the registry, in addition to the system's.
        type: str
        default: ""
      user:
        description: UID that pods set. Unset if they run as the user of the image.
        type: int
      command:
        description: Whether pods set a command or arguments of their own.
        type: bool
        default: true
      content:
        description: Hash of the inputs of the image. Unset, no copy counts as built or delivered.
        type: str
        default: ""
      provider:
        description:
          - How the cluster gets the image. For V(kind) and V(minikube), the nodes are inspected. For V(registry), the
            registry is inspected with the credentials of C(docker login).
        type: str
        choices: [kind, minikube, registry]
        required: true
      state:
        description: Whether the image is to be delivered or removed. The registry is inspected only for V(present).
        type: str
        choices: [absent, present]
        default: present
      cluster:
        description: Name of the kind cluster or minikube profile whose nodes are inspected.
        type: str
        default: ""
      programs:
        description: Names on C(PATH) or paths of the C(minikube) binary. The first that is installed is used.
        type: list
        elements: str
        default: [minikube]
      home:
        description: The C(MINIKUBE_HOME) directory of the profile whose nodes are inspected.
        type: path
        default: "~"
      bases:
        description: Base images of the build. Images that no registry has must be in the container engine.
        type: list
        elements: str
        default: []
      companions:
        description: Additional images that each node must have, because no registry has them.
        type: list
        elements: str
        default: []
      keep:
        description: Maximum number of tags in each place.
        type: int
        default: 3
"""

EXAMPLES = r"""
- name: Inspect the cluster
  cloud_django.kubernetes.cluster_info:
    engine: true
    cluster:
      provider: kind
      name: cloud-django
      kubeconfig: ~/.local/state/cloud-django/cloud-django/kubeconfig
  register: machine_state
"""

RETURN = r"""
shared:
  description: The value of O(shared).
  type: bool
  returned: always
engine:
  description:
    - Whether the container engine C(answers), with the C(reason) if not, and whether C(buildx) is installed.
    - C(settled) if both are available.
  type: dict
  returned: when O(engine=true)
builds:
  description:
    - Names of C(missing) images, which include images with other inputs.
    - Whether the C(programs) are current, whether minikube's files are C(cached), and C(settled) if no build is due.
  type: dict
  returned: when O(builds) is set
cluster:
  description:
    - The C(state) is V(missing), V(incomplete) after an interrupted creation, V(stopped), V(restarted) outside of the
      role, V(ready), or V(complete) with the wanted content.
    - Whether the binary is C(installed), its path C(program), and the C(drift) from the variables as clauses.
    - Whether the C(kubeconfig) is current, and C(settled) if no change is due.
    - For kind, IDs of the C(nodes) and their sorted start times C(started). For minikube, the directory C(folder) of
      the profile, whether the profile is C(managed), and the C(capacity) of the container engine for a new profile.
  type: dict
  returned: when O(cluster) is set
image:
  description:
    - Tags in the container C(engine), the newest first, each with C(reference), C(id), C(context), and C(config).
    - Running C(nodes), each with C(name), C(references), and the C(ids) of its copy. The copy in the C(registry) has
      C(digest), C(ids), C(context), and C(config).
    - The C(id) in the container engine, whether the image is C(built) and C(delivered), and the C(nodes_without) it.
      The C(loads) into nodes have C(node) and C(image). The C(tags) are the largest number of tags in one place.
    - The C(builder) that has the images of the container engine, and C(missing_bases). Both are inspected only if the
      image has to be built.
    - The C(problem) because of which pods cannot run the image. Empty if there is none, or if the image is not built.
    - C(settled) if no change is due and there is no problem.
  type: dict
  returned: when O(image) is set
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine.inspection import inspect


def main() -> None:
    """Run the module."""
    module = AnsibleModule(options_of(DOCUMENTATION, password=True), supports_check_mode=True)
    conclude(module, lambda: inspect(module.params, module.check_mode))


if __name__ == "__main__":
    main()
