# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugin that runs a module in the task's process if that has the same host and Python as the module.

Otherwise Ansible packs a module with its imports, starts Python, and compiles everything again. For a module that
connects to Kubernetes that takes 0.4 seconds, of which the API server needs a few hundredths. Each task has a process
on the control node anyway. If the host or the Python differs, the module runs as usual.
"""

import functools
import importlib
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.common import json as module_json
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import module_loader
from ansible.utils.display import Display
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Screen
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.command import die_with_parent
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.validation import (
    Validation,
    message,
    role_of_its_own,
)

_PROFILE = "legacy"


class ActionModule(ActionBase):
    """Action that runs the module that its task names."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate the variables of a role that runs alone, then run the module here or as Ansible usually does."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        if (role := role_of_its_own(self._task, self._templar, variables)) and (
            errors := Validation(self._templar, variables).errors([role])
        ):
            return result | {"failed": True, "msg": message(errors, role)}
        name = self._module()
        if not name or not self._runs_here(variables):
            return self._execute_module(task_vars=variables, wrap_async=bool(self._task.async_val))
        die_with_parent()
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, variables)
        return run_here(self._main(importlib.import_module(name)), arguments)

    def _module(self) -> str:
        """Return the Python name of the task's module, for a full, a short, or a redirected name.

        Return an empty string if the module is in no collection. Ansible then finds it or reports the missing module.
        """
        found = module_loader.find_plugin_with_context(self._task.action, collection_list=self._task.collections)
        if not found.resolved or not found.plugin_resolved_collection:
            return ""
        name = found.resolved_fqcn.removeprefix(f"{found.plugin_resolved_collection}.")
        return f"ansible_collections.{found.plugin_resolved_collection}.plugins.modules.{name}"

    def _main(self, module: Any) -> Callable[[], None]:
        """Return the function that does the work of a module."""
        return module.main

    def _runs_here(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the module would run on this host, as this user, in this environment, with this Python."""
        interpreter = self._templar.template(variables.get("ansible_python_interpreter", ""))
        return (
            self._connection.transport == "local"
            and not self._task.async_val
            and not any(self._task.environment or [])
            and not (self._connection.become and self._task.become)
            and os.path.normpath(interpreter) == os.path.normpath(sys.executable)
            and is_supported()
        )


@functools.cache
def is_supported() -> bool:
    """Return whether this version of ansible-core can run a module here, because its private names may change.

    An empty module proves it before a module that makes changes runs.
    """

    def main() -> None:
        module = basic.AnsibleModule({"number": {"type": "int"}})
        module.exit_json(twice=module.params["number"] * 2)

    # A module that doesn't find its arguments here prints an error.
    with suppress(Exception), redirect_stdout(io.StringIO()):
        inspect.signature(ActionBase._update_module_args).bind(None, "module", {}, {})
        return run_here(main, {"number": "21"})["twice"] == 42
    return False


def run_here(main: Callable[[], None], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run a module's function `main` with these arguments and return its result.

    Raises the errors that the module does not handle.
    """
    encoder = module_json.get_module_encoder(_PROFILE, module_json.Direction.CONTROLLER_TO_MODULE)
    decoder = module_json.get_module_decoder(_PROFILE, module_json.Direction.MODULE_TO_CONTROLLER)
    results: list[str] = []
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
    with _given(given, results), suppress(SystemExit):
        main()
    if len(results) != 1:
        raise RuntimeError(f"The module ended with {len(results)} results.")
    return json.loads(results[0], cls=decoder)


@contextmanager
def _given(arguments: bytes, results: list[str]) -> Iterator[None]:
    """Give a module its arguments, and store its result as JSON in `results` instead of printing it."""
    encoder = module_json.get_module_encoder(_PROFILE, module_json.Direction.MODULE_TO_CONTROLLER)

    def record(module: basic.AnsibleModule, result: dict[str, Any]) -> None:
        results.append(json.dumps(result, cls=encoder))

    Screen.show = Display().display
    before = basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE, basic.AnsibleModule._record_module_result
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE, basic.AnsibleModule._record_module_result = arguments, _PROFILE, record
    try:
        yield
    finally:
        Screen.show = None
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE, basic.AnsibleModule._record_module_result = before
