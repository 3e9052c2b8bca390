#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect the container engine, the builds, the cluster and the image on this machine."""

DOCUMENTATION = r"""
module: cluster_info
short_description: Inspect container engine, builds, cluster and image on this machine
version_added: 0.1.0
description:
  - Returns the state of the parts that are asked for, as facts that a condition can use. All of them are inspected at
    the same time.
  - Fails if a part cannot be inspected, or must not be touched because another program created it.
  - Read-only.
attributes:
  check_mode: {description: The module is read-only., support: full}
options:
  engine:
    description: Whether to inspect the container engine and buildx.
    type: bool
    default: false
  shared:
    description:
      - Whether several roles use the result. A part that cannot be inspected is then left out instead of failing, and
        the role that needs the part inspects it again.
    type: bool
    default: false
  builds:
    description: What was built from package mirrors.
    type: dict
    suboptions:
      images:
        description: Images by name, each with its C(reference) and the hash of its C(inputs).
        type: dict
        required: true
      label:
        description: The label of an image that holds the hash of its inputs.
        type: str
        required: true
      programs:
        description: Paths of programs, each with the file that it must lead to.
        type: dict
        default: {}
      cache_links:
        description: Links in minikube's cache, each with the file that it must lead to.
        type: dict
        default: {}
      cache_files:
        description: Files for minikube, each with its SHA-256.
        type: dict
        default: {}
  cluster:
    description: The cluster.
    type: dict
    suboptions:
      provider:
        description: What provides the cluster.
        type: str
        choices: [existing, kind, minikube]
        required: true
      name:
        description: Name of the cluster, for V(minikube) the profile.
        type: str
        required: true
      state:
        description: Whether the cluster is to be provided or removed. The error for a foreign one depends on it.
        type: str
        choices: [absent, present]
        default: present
      kubeconfig:
        description: Path of the kubeconfig of the cluster.
        type: path
        required: true
      context:
        description: The context that the kubeconfig of an existing cluster must have.
        type: str
        default: ""
      content:
        description: Hash of what the role installs in the cluster.
        type: str
        default: ""
      programs:
        description:
          - Names on PATH or paths of kind or minikube. The first that is installed is used, and the last is where a
            download goes. Of kind, only the first counts as installed.
        type: list
        elements: path
        default: []
      workers:
        description: Number of nodes besides the first, for V(kind).
        type: int
        default: 0
      minimum_version:
        description:
          - The version of Kubernetes that the site needs, for instance V(1.30). Empty takes any.
          - Fails if a V(kind) or V(minikube) cluster to be provided is known to have a lower one, or would be created
            with it. The version of V(kind) is the tag of an image C(kindest/node) or C(cloud-django/node).
        type: str
        default: ""
      node_image:
        description: Image of the nodes, for V(kind). Empty takes any.
        type: str
        default: ""
      driver:
        description: Driver of V(minikube).
        type: str
        default: docker
      home:
        description: The folder that minikube knows as C(MINIKUBE_HOME).
        type: str
        default: ""
      settings:
        description: Variables of the role that a profile is created from, by name.
        type: dict
        default: {}
  image:
    description: The image of the site.
    type: dict
    suboptions:
      reference:
        description: Repository and tag. Images without the label C(cloud-django.context) are ignored.
        type: str
        required: true
      content:
        description: Hash of what the image is built from. Unset, no copy counts as built or delivered.
        type: str
        default: ""
      provider:
        description:
          - How the cluster gets the image. The nodes of V(kind) and V(minikube) are inspected, and for V(registry) the
            registry, with the credentials of C(docker login).
        type: str
        choices: [kind, minikube, registry]
        required: true
      state:
        description: Whether the image is to be delivered or removed. The registry is inspected for V(present) only.
        type: str
        choices: [absent, present]
        default: present
      cluster:
        description: Name of the kind cluster or minikube profile whose nodes are inspected.
        type: str
        default: ""
      programs:
        description: Names on PATH or paths of minikube. The first that is installed is used.
        type: list
        elements: str
        default: [minikube]
      home:
        description: The C(MINIKUBE_HOME) of the profile.
        type: path
        default: "~"
      bases:
        description: Images that the build starts from. Those that no registry has must be in the engine.
        type: list
        elements: str
        default: []
      companions:
        description: Further images of the engine that each node must have, because no registry has them.
        type: list
        elements: str
        default: []
      keep:
        description: Number of tags that each place can have.
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
  description: C(answers), the C(reason) if not, whether C(buildx) is installed, and C(settled) if nothing is missing.
  type: dict
  returned: when O(engine=true)
builds:
  description: >-
    Names of C(missing) images, those with other inputs included; whether the C(programs) are current and minikube's
    files are C(cached); and C(settled).
  type: dict
  returned: when O(builds) is set
cluster:
  description:
    - The C(state), which is V(missing), V(incomplete) after an interrupted creation, V(stopped), V(restarted) outside
      of the role, V(ready), or V(complete) with the wanted content.
    - Whether the program is C(installed) and its C(program) path, the C(drift) from the variables as clauses, whether
      the C(kubeconfig) is current, and C(settled) if nothing is to be done.
    - For kind, IDs of the C(nodes) and the sorted times when they C(started). For minikube, the C(folder) of the
      profile, whether it is C(managed), and the C(capacity) of the engine if a profile is to be created.
  type: dict
  returned: when O(cluster) is set
image:
  description:
    - Tags in the C(engine), the newest first, each with C(reference), C(id) and C(context).
    - Running C(nodes), each with C(name), C(references) and the C(ids) of its copy, and the copy in the C(registry)
      with C(digest), C(ids) and C(context).
    - The C(id) in the engine, whether the image is C(built) and C(delivered), C(nodes_without) it, all C(loads) into
      nodes, each with C(node) and C(image), the largest number of C(tags) in one place, and C(settled).
    - The C(builder) that sees the images of the engine, and C(missing_bases). Both are inspected only if the image
      has to be built.
  type: dict
  returned: when O(image) is set
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine.inspection import inspect


def main() -> None:
    """Run the module."""
    module = AnsibleModule(options_of(DOCUMENTATION), supports_check_mode=True)
    conclude(module, lambda: inspect(module.params, module.check_mode))


if __name__ == "__main__":
    main()
