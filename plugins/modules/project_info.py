#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Read a Django project, and return an inventory for it."""

DOCUMENTATION = r"""
module: project_info
short_description: Read a Django project, and return an inventory for it
version_added: 0.1.0
description:
  - Reads the files of a Django project on the control node, and returns the files of an inventory that deploys it.
  - The project is never imported, run, or changed. Python files are parsed, and files with a syntax error are skipped.
  - Values of an environment file, such as C(.env), are not read, because they are secret.
  - Variables of the cluster and the servers of another inventory are taken over, without its site and its secrets.
attributes:
  check_mode: {description: The module is read-only., support: full}
options:
  project:
    description: Directory of the project. A leading C(~) is the home directory.
    type: str
    required: true
  site:
    description: Name of the site. Empty means the name of the directory.
    type: str
    default: ""
  directory:
    description: Directory of all inventories. An inventory in it that already exists fails the task.
    type: str
    required: true
  inventory:
    description: Directory of another inventory, whose cluster the new one has. Empty means none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Read the project
  cloud_django.kubernetes.project_info:
    project: ~/shop
    directory: "{{ playbook_dir | dirname }}/inventory"
    inventory: "{{ inventory_dir }}"
  register: adopted
"""

RETURN = r"""
path:
  description: Directory of the new inventory.
  type: str
  returned: success
  sample: /home/me/cloud-django/inventory/shop
files:
  description: Files of the inventory, each with C(path) in its directory and C(content).
  type: list
  elements: dict
  returned: success
names:
  description: Names that the project reads from its environment.
  type: list
  elements: str
  returned: success
needed:
  description: Names that the project needs, and for which no source of a value is known.
  type: list
  elements: str
  returned: success
report:
  description: Sentences about the findings, the lines to fill in, and the next command.
  type: list
  elements: str
  returned: success
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.adoption import adopt
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Return the result of the module. Raises AdoptError."""
    other = options["inventory"]
    return adopt(options["project"], options["site"], Path(options["directory"]), Path(other) if other else None)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(options_of(DOCUMENTATION), supports_check_mode=True)
    conclude(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
