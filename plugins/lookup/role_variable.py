# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lookup plugin that reads a variable of another role of the collection."""

DOCUMENTATION = r"""
name: role_variable
short_description: Read a variable of another role
version_added: 0.1.0
description:
  - Returns the value of another role's public variable from the inventory or the play, or else the default of that
    role.
  - With this lookup, each default has one definition, and each role can run alone.
options:
  _terms:
    description: Names of variables, each with its role's name as the prefix.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Print the host of the database
  ansible.builtin.debug:
    msg: "{{ lookup('cloud_django.kubernetes.role_variable', 'postgresql_host') }}"
"""

RETURN = r"""
_list:
  description: The values, in the order of the names.
  type: list
  elements: raw
"""

from collections import ChainMap
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

ROLES = Path(__file__).resolve().parents[2] / "roles"


def role_of(name: str, roles: list[str]) -> str:
    """Return the role of a variable. Raises AnsibleLookupError if there is none."""
    fitting = [role for role in roles if name.startswith(f"{role}_")]
    if not fitting:
        raise AnsibleLookupError(
            f"{name} is not a variable of any role of this collection. Correct its name, then rerun the playbook."
        )
    return max(fitting, key=len)


class LookupModule(LookupBase):
    """Lookup of a variable in the play, then in the defaults of its role."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[Any]:
        """Return one value per name. Raises AnsibleLookupError for a name that no role has."""
        return [self.value(name, variables or {}) for name in terms]

    def value(self, name: str, variables: dict) -> Any:
        """Return the value of one variable."""
        if name in variables:
            return self._templar.template(variables[name])
        role = role_of(name, [path.name for path in ROLES.iterdir()])
        file = ROLES / role / "defaults" / "main.yml"
        defaults = self._loader.load_from_file(str(file), trusted_as_template=True)
        if name not in defaults:
            raise AnsibleLookupError(f"Role {role} has no variable {name}. Correct its name, then rerun the playbook.")
        # A default can refer to other defaults of its role.
        templar = self._templar.copy_with_new_env(available_variables=ChainMap(variables, defaults))
        return templar.template(defaults[name])
