# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugin that validates the arguments of several roles in one task."""

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.validation import Validation, message


class ActionModule(ActionBase):
    """The controller's side of :mod:`validate_arguments`; its documentation is in the module of that name."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a failure with the errors of all roles if there are any."""
        result = super().run(tmp, task_vars)
        roles = {"type": "list", "elements": "str", "required": True}
        _, options = self.validate_argument_spec(argument_spec={"roles": roles})
        errors = Validation(self._templar, task_vars or {}).errors(options["roles"])
        if errors:
            return result | {"failed": True, "msg": message(errors)}
        return result | {"changed": False}
