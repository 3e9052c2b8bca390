# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Runs a module inside of the task's own process, where that is the machine and the Python that it would run on anyway.

Ansible packs a module with all that it imports, starts a Python, and has it compile everything anew: four tenths of a
second for a module that speaks to Kubernetes, of which the API server takes a few hundredths. A task has a process of
its own on the controller already. In every other case the module runs as any other.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from ansible.module_utils import basic
from ansible.module_utils.common.json import Direction, get_module_decoder, get_module_encoder
from ansible.plugins.action import ActionBase
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.process import die_with_parent

_PROFILE = "legacy"


class DirectActionModule(ActionBase):
    """Base of an action that runs the module of its own name; a subclass names the module's function."""

    _supports_check_mode = True
    _supports_async = True
    main: ClassVar[Callable[[], None]]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module here, or as Ansible usually does."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        if not self._runs_here(variables):
            return self._execute_module(task_vars=variables, wrap_async=bool(self._task.async_val))
        die_with_parent()
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, variables)
        return run_here(type(self).main, arguments)

    def _runs_here(self, variables: Mapping[str, Any]) -> bool:
        """Tell whether the module would run on this machine, as this user, in this environment, with this Python."""
        interpreter = self._templar.template(variables.get("ansible_python_interpreter", ""))
        return (
            self._connection.transport == "local"
            and not self._task.async_val
            and not any(self._task.environment or [])
            and not (self._connection.become and self._task.become)
            and os.path.normpath(interpreter) == os.path.normpath(sys.executable)
        )


def run_here(main: Callable[[], None], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run a module's function `main` with these arguments and return its result.

    Raises whatever the module does not handle itself.
    """
    encoder = get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE)
    results: list[str] = []
    given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
    with _given(given, results), suppress(SystemExit):
        main()
    if len(results) != 1:
        raise RuntimeError(f"The module ended with {len(results)} results.")
    return json.loads(results[0], cls=get_module_decoder(_PROFILE, Direction.MODULE_TO_CONTROLLER))


@contextmanager
def _given(arguments: bytes, results: list[str]) -> Iterator[None]:
    """Have a module find its arguments, and leave its result as JSON in `results` instead of on standard output."""
    encoder = get_module_encoder(_PROFILE, Direction.MODULE_TO_CONTROLLER)

    def record(module: basic.AnsibleModule, result: dict[str, Any]) -> None:
        results.append(json.dumps(result, cls=encoder))

    before = basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE, basic.AnsibleModule._record_module_result
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE, basic.AnsibleModule._record_module_result = arguments, _PROFILE, record
    try:
        yield
    finally:
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE, basic.AnsibleModule._record_module_result = before
