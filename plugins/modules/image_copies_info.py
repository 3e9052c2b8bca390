#!/usr/bin/python
"""Module that says where copies of an image are, and which image each of them is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_copies_info
short_description: Look for an image in the engine, in the nodes of a kind or minikube cluster, or in a registry
version_added: 0.1.0
author: The Cloud Django authors
description:
  - Says which tags of an image's repository the container engine has, by what ID and from what context, and where else
    the image is.
  - Images without the label C(cloud-django.context) are not ours, and are left out.
extends_documentation_fragment:
  - cloud_django.kubernetes.minikube
options:
  reference:
    description: The image, as repository and tag.
    type: str
    required: true
  kind_cluster:
    description: Name of a kind cluster on this machine, whose running nodes are looked into. Unset, none are.
    type: str
  registry:
    description: Whether to ask the registry that O(reference) names, with the credentials of C(docker login).
    type: bool
    default: false
  bases:
    description: Images that the build will start from. Those that no registry has must be in the engine.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look for the image
  cloud_django.kubernetes.image_copies_info:
    reference: localhost/cloud-django/polls:5f3a
    kind_cluster: cloud-django
"""

RETURN = r"""
engine:
  description: Tags of the repository in the engine, the newest first, each with C(reference), C(id) and C(context).
  type: list
  elements: dict
  returned: always
builder:
  description: Name of the buildx builder that is the engine itself, and so sees its images.
  type: str
  returned: always
missing_bases:
  description: Those of O(bases) that begin with C(localhost/) and are not in the engine.
  type: list
  elements: str
  returned: always
nodes:
  description:
    - Running nodes, each with C(name), C(references), the tags of the repository that it has, and C(ids), by which
      engines know its copy of O(reference). Without a copy C(ids) is empty.
  type: list
  elements: dict
  returned: always
registry:
  description: The registry's copy with C(digest), C(ids) and C(context). Empty if it has none or was not asked.
  type: dict
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import image_copies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.image_copies import execute


def minikube_nodes(parameters: dict[str, Any], engine: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return what the nodes of a profile have, by the engine's own ID where it is the same image."""
    reference = parameters["reference"]
    command, names = image_copies.minikube_command(parameters), image_copies.minikube_nodes(parameters)
    nodes = image_copies.minikube_copies(execute, command, names, reference)
    built = next((image["id"] for image in engine if image["reference"] == reference), "")
    return image_copies.known_to(built, nodes, lambda: image_copies.saved_configuration_id(reference))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=image_copies.MINIKUBE_OPTIONS
        | {
            "reference": {"type": "str", "required": True},
            "kind_cluster": {"type": "str"},
            "registry": {"type": "bool", "default": False},
            "bases": {"type": "list", "elements": "str", "default": []},
        },
        required_together=[("minikube_profile", "minikube_home")],
        supports_check_mode=True,
    )
    parameters = module.params
    result = {"engine": [], "builder": "default", "missing_bases": [], "nodes": [], "registry": {}}
    if module.check_mode and not module.get_bin_path("docker"):
        # On a machine that has no engine yet a dry run says what would be done.
        module.exit_json(changed=False, **result)
    try:
        repository, _ = image_copies.split(parameters["reference"])
        result["engine"] = image_copies.engine_images(execute, repository)
        result["builder"] = execute(["docker", "context", "show"])[1].strip() or "default"
        result["missing_bases"] = [
            base
            for base in parameters["bases"]
            if base.startswith("localhost/") and execute(["docker", "image", "inspect", base])[0]
        ]
        if parameters["kind_cluster"]:
            result["nodes"] = image_copies.node_copies(execute, parameters["kind_cluster"], parameters["reference"])
        if parameters["minikube_profile"]:
            result["nodes"] = minikube_nodes(parameters, result["engine"])
        if parameters["registry"]:
            result["registry"] = image_copies.registry_copy(execute, parameters["reference"])
    except image_copies.CopiesError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
