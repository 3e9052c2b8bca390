#!/usr/bin/python
"""Module that removes old tags of an image from the engine and from the nodes of a kind or minikube cluster."""

DOCUMENTATION = r"""
module: image_prune
short_description: Remove old tags of an image from the engine and from the nodes of a kind or minikube cluster
version_added: 0.1.0
description:
  - Removes tags of one repository, the oldest first. In the engine only images with the label C(cloud-django.context)
    are touched, because only those are ours.
  - A copy in a registry is never removed.
options:
  reference:
    description: The image whose repository is looked through. It stays itself, unless O(keep) is 0.
    type: str
    required: true
  keep:
    description: How many tags stay in each place. With 0 all go that are not in O(used).
    type: int
    required: true
  used:
    description: Images that stay in any case, for instance those of all pods. Those of other repositories don't matter.
    type: list
    elements: str
    default: []
  kind_cluster:
    description: Name of a kind cluster on this machine, whose running nodes are looked through. Unset, none are.
    type: str
  minikube_profile:
    description: Name of a minikube profile, whose running nodes are looked through. Unset, none are.
    type: str
  minikube_programs:
    description: Names on PATH or paths of minikube. The first that is installed is used.
    type: list
    elements: str
    default: [minikube]
  minikube_home:
    description: The folder that minikube knows as C(MINIKUBE_HOME). Must be given with O(minikube_profile).
    type: path
"""

EXAMPLES = r"""
- name: Keep the last three
  cloud_django.kubernetes.image_prune:
    reference: localhost/cloud-django/polls:5f3a
    keep: 3
    kind_cluster: cloud-django
"""

RETURN = r"""
removed:
  description: What was removed, or would be, each as C(place) and C(reference).
  type: list
  elements: dict
  returned: always
stayed:
  description: What should have gone and did not, each with the reason, for instance that a container runs from it.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import copies


def prune(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove old tags, and return what the module returns. Raises MachineError."""
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
