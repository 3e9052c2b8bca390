#!/usr/bin/python
"""Module that removes old tags of an image from the engine and from the nodes of a kind or minikube cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_prune
short_description: Remove old tags of an image from the engine and from the nodes of a kind or minikube cluster
version_added: 0.1.0
author: The Cloud Django authors
description:
  - Removes tags of one repository, the oldest first. In the engine only images with the label C(cloud-django.context)
    are touched, because only those are ours.
  - A copy in a registry is never removed.
extends_documentation_fragment:
  - cloud_django.kubernetes.minikube
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
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import image_copies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.image_copies import Run, execute


def removals(run: Run, parameters: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return what is to be removed: the place, the reference, and the command that does it."""
    repository, _ = image_copies.split(parameters["reference"])
    keep = parameters["keep"]
    wanted = set(parameters["used"]) | ({parameters["reference"]} if keep else set())
    newest_first = [image["reference"] for image in image_copies.engine_images(run, repository)]
    found = [
        ("engine", reference, ["docker", "image", "rm", reference])
        for reference in image_copies.outdated(newest_first, newest_first, wanted, keep)
    ]
    for node in image_copies.kind_nodes(run, parameters["kind_cluster"]) if parameters["kind_cluster"] else []:
        inside = ["docker", "exec", node, "ctr", "--namespace=k8s.io", "images"]
        code, output, error = run([*inside, "ls"])
        if code:
            raise image_copies.CopiesError(f"Node {node} cannot list its images: {image_copies.last_line(error)}.")
        names = image_copies.names_of(image_copies.parse_listing(output), repository)
        tags = {f"{repository}:{name.rpartition(':')[2]}": every for name, every in names.items()}
        old = image_copies.outdated(tags, newest_first, wanted, keep)
        # Two tags can be one image; its other name must stay as long as one of them does.
        shared = {name for tag, every in tags.items() if tag not in old for name in every}
        found += [(node, tag, [*inside, "rm", *(name for name in tags[tag] if name not in shared)]) for tag in old]
    if parameters["minikube_profile"]:
        command, nodes = image_copies.minikube_command(parameters), image_copies.minikube_nodes(parameters)
        # minikube removes from all nodes at once.
        tags = {
            tag
            for node in image_copies.minikube_copies(run, command, nodes, parameters["reference"])
            for tag in node["references"]
        }
        old = image_copies.outdated(tags, newest_first, wanted, keep)
        found += [(parameters["minikube_profile"], tag, [*command, "image", "rm", tag]) for tag in old]
    return found


def left_over(run: Run, parameters: dict[str, Any], removed: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return what a profile of minikube still has of what was removed: it ends well whatever became of that."""
    profile = parameters["minikube_profile"]
    asked = [entry for entry in removed if entry["place"] == profile]
    if not profile or not asked:
        return []
    command, nodes = image_copies.minikube_command(parameters), image_copies.minikube_nodes(parameters)
    copies = image_copies.minikube_copies(run, command, nodes, parameters["reference"])
    there = {tag for node in copies for tag in node["references"]}
    return [entry for entry in asked if entry["reference"] in there]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=image_copies.MINIKUBE_OPTIONS
        | {
            "reference": {"type": "str", "required": True},
            "keep": {"type": "int", "required": True},
            "used": {"type": "list", "elements": "str", "default": []},
            "kind_cluster": {"type": "str"},
        },
        required_together=[("minikube_profile", "minikube_home")],
        supports_check_mode=True,
    )
    removed, stayed = [], []
    try:
        for place, reference, command in removals(execute, module.params):
            code, _, error = (0, "", "") if module.check_mode else execute(command)
            if code:
                stayed.append(f"{reference} in {place}: {image_copies.last_line(error)}")
            else:
                removed.append({"place": place, "reference": reference})
        for entry in [] if module.check_mode else left_over(execute, module.params, removed):
            removed.remove(entry)
            stayed.append(f"{entry['reference']} in {entry['place']}: minikube did not remove it")
    except image_copies.CopiesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(removed), removed=removed, stayed=stayed)


if __name__ == "__main__":
    main()
