#!/usr/bin/python
"""Remove old tags of an image from the container engine and from the nodes of a kind or minikube cluster."""

DOCUMENTATION = r"""
module: image_prune
short_description: Remove old tags of an image from the container engine and the nodes of a cluster
version_added: 0.1.0
description:
  - Removes tags of one repository from the container engine and from the nodes of a kind or minikube cluster, the
    oldest first. In the container engine, only images with the label C(cloud-django.context) are removed.
  - A copy in a registry is never removed.
options:
  reference:
    description: Image whose repository is cleaned up. The image itself stays, unless O(keep) is V(0).
    type: str
    required: true
  keep:
    description: Number of tags that stay in each place. V(0) removes all tags that are not in O(used).
    type: int
    required: true
  used:
    description: Images that always stay, for example those of all pods. Images of other repositories are ignored.
    type: list
    elements: str
    default: []
  kind_cluster:
    description: Name of a kind cluster on the control node. Its running nodes are cleaned up. Unset, no kind node is.
    type: str
  minikube_profile:
    description: Name of a minikube profile. Its running nodes are cleaned up. Unset, no minikube node is.
    type: str
  minikube_programs:
    description: Names on C(PATH) or paths of the C(minikube) binary. The first that is installed is used.
    type: list
    elements: str
    default: [minikube]
  minikube_home:
    description: The C(MINIKUBE_HOME) directory of the profile. Required with O(minikube_profile).
    type: path
"""

EXAMPLES = r"""
- name: Remove all tags except for the last three
  cloud_django.kubernetes.image_prune:
    reference: localhost/cloud-django/polls:5f3a
    keep: 3
    kind_cluster: cloud-django
"""

RETURN = r"""
removed:
  description: Removed tags, in check mode those to remove, each with C(place) and C(reference).
  type: list
  elements: dict
  returned: always
stayed:
  description: Tags that could not be removed, each with the reason, for example a container that uses the image.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import copies


def prune(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove old tags, and return the result of the module. Raises MachineError."""
    removed, stayed = [], []
    for place, reference, command in copies.removals(copies.execute, options):
        code, _, error = (0, "", "") if check_mode else copies.execute(command)
        if code:
            stayed.append(f"{reference} in {place}: {copies.last_line(error)}")
        else:
            removed.append({"place": place, "reference": reference})
    for entry in [] if check_mode else copies.left_over(copies.execute, options, removed):
        removed.remove(entry)
        stayed.append(f"{entry['reference']} in {entry['place']}: minikube did not remove it")
    return {"changed": bool(removed), "removed": removed, "stayed": stayed}


def main() -> None:
    """Run the module."""
    together = [("minikube_profile", "minikube_home")]
    module = AnsibleModule(options_of(DOCUMENTATION), required_together=together, supports_check_mode=True)
    conclude(module, lambda: prune(module.params, module.check_mode))


if __name__ == "__main__":
    main()
