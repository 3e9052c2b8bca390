#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Documentation of the action plugin validate_arguments, which does the work."""

DOCUMENTATION = r"""
module: validate_arguments
short_description: Validate the arguments of several roles in one task
version_added: 0.1.0
description:
  - Validates variables against C(meta/argument_specs.yml) of several roles and of those that they depend on, as Ansible
    does in a task of each role. Import the roles with C(rolespec_validate=false) after it.
  - The types are those of the specification without a conversion, so that a text is no list.
  - Validates names, addresses, numbers and secrets as well, which Kubernetes, PostgreSQL or Django would refuse or
    change later, and the sentences in the variable C(__<role>_refusals) of a role, where there is one.
  - Fails if two hosts of the play deploy the same site to the same cluster.
  - Reports all of it together. A role that is used alone is validated in the same way by its first task that reaches
    the cluster.
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
  description: All complaints, one on each line. Values of options with C(no_log) are masked.
  type: str
  returned: failure
"""
