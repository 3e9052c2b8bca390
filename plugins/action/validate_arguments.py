# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugin that validates the arguments of several roles in one task."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

ROLES = Path(__file__).resolve().parents[2] / "roles"


class ActionModule(ActionBase):
    """The controller's side of :mod:`validate_arguments`; its documentation is in the module of that name."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a failure with the errors of all roles, or with the first refusal of one, if there are any."""
        result = super().run(tmp, task_vars)
        roles = {"type": "list", "elements": "str", "required": True}
        _, options = self.validate_argument_spec(argument_spec={"roles": roles})
        errors = [
            f"{role}: {error}" for role in options["roles"] for error in self._errors(self._spec(role), task_vars or {})
        ]
        if errors:
            return result | {"failed": True, "msg": "\n".join(["Validation of arguments failed:", *errors])}
        # What a role refuses of values that are valid one by one.
        names = [f"__{role}_refusal" for role in options["roles"] if f"__{role}_refusal" in (task_vars or {})]
        if refusal := next(filter(None, (self._templar.template(task_vars[name]) for name in names)), ""):
            return result | {"failed": True, "msg": refusal}
        return result | {"changed": False}

    def _spec(self, role: str) -> dict[str, Any]:
        """Return the options of a role's tasks/main.yml. Raises AnsibleError for a role that has none."""
        specs = self._loader.load_from_file(str(ROLES / role / "meta" / "argument_specs.yml"))
        return specs["argument_specs"]["main"]["options"]

    def _errors(self, spec: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the variables that are options, as Ansible's own validation of a role reports it."""
        values, secrets, spec = {}, set(), dict(spec)
        for name in spec.keys() & variables.keys():
            try:
                # In a dictionary, from which `omit` removes it.
                values |= self._templar.template({name: variables[name]})
            except AnsibleError as error:
                yield f"{name}: {error}"
                del spec[name]
                continue
            if spec[name].get("no_log"):
                secrets |= set(_texts(values.get(name)))
        found = ArgumentSpecValidator(spec).validate(values, validate_role_argument_spec=True)
        yield from remove_values(found.error_messages, secrets)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value, those in lists and dictionaries included."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        yield from [str(value)] if value else []
        return
    for each in value:
        yield from _texts(each)
