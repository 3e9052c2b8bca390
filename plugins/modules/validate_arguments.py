#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Documentation of the action plugin validate_arguments, which does the work."""

DOCUMENTATION = r"""
module: validate_arguments
short_description: Validate the arguments of several roles in one task
version_added: 0.1.0
description:
  - Validates variables against C(meta/argument_specs.yml) of several roles, as Ansible does in a task of each role.
    Import the roles with C(rolespec_validate=false) after it.
  - Fails as well if the variable C(__<role>_refusal) of a role, where there is one, holds a sentence.
attributes:
  check_mode: {description: The module is read-only., support: full}
options:
  roles:
    description: Names of roles of this collection, without the name of the collection.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Validate the arguments of the roles
  cloud_django.kubernetes.validate_arguments:
    roles: [postgresql, web]
"""

RETURN = r"""
msg:
  description: The errors of all roles, each with its role, or a refusal. Values of options with C(no_log) are masked.
  type: str
  returned: failure
"""
