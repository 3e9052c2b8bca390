#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Documentation of the action plugin validate_arguments, which does the work."""

DOCUMENTATION = r"""
module: validate_arguments
short_description: Validate the arguments of several roles in one task
version_added: 0.1.0
description:
  - Validates variables against C(meta/argument_specs.yml) of several roles and their dependencies, instead of one task
    for each role. Import the roles with C(rolespec_validate=false) after this task.
  - Checks types without conversion, so that a string is not valid for a list.
  - Checks names, URLs, numbers, and secrets that Kubernetes, PostgreSQL, or Django would refuse or change later.
    Includes the messages in a role's variable C(__<role>_refusals).
  - Fails if two hosts of the play deploy the same site to the same cluster.
  - Reports all errors together. If a role is used alone, its first task that connects to the cluster runs the same
    validation.
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
  description: All errors, one on each line. Values of options with C(no_log) are masked.
  type: str
  returned: failure
"""
