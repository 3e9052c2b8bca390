# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Runs the module lease; its documentation stands in the module of that name."""

from __future__ import annotations

import multiprocessing
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.modules import lease
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.direct import DirectActionModule


class ActionModule(DirectActionModule):
    """The controller's side of the module."""

    main = staticmethod(lease.main)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on behalf of the playbook, whose process started that of this task."""
        parent = multiprocessing.parent_process()
        if parent and self._runs_here(task_vars or {}):
            # Not the parent that the system tells, which is another one once the playbook has ended.
            self._task.args = {"process": parent.pid} | self._task.args
        return super().run(tmp, task_vars)
