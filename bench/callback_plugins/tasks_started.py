"""Callback that counts and times the tasks of a run, and writes the figures to the file in TASKS_STARTED_FILE."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: tasks_started
type: aggregate
short_description: Count and time the tasks of a run
description:
  - Counts all tasks that start, including skipped and included tasks, and measures the seconds until the next one.
  - Counts the tasks that aren't skipped and use a module that sends requests to the Kubernetes API.
options: {}
"""
RUNTIME = Path(__file__).resolve().parents[2] / "meta" / "runtime.yml"


def api_modules(runtime: str) -> set[str]:
    """Return the collection's modules that connect to the Kubernetes API, from the content of meta/runtime.yml."""
    group = yaml.safe_load(runtime)["action_groups"]["k8s"]
    return {f"cloud_django.kubernetes.{name}" for name in group if isinstance(name, str)}


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "tasks_started"

    def __init__(self) -> None:
        super().__init__()
        self.api_modules = api_modules(RUNTIME.read_text(encoding="utf-8"))
        self.api_tasks = 0
        # Name and start time of each task.
        self.started: list[tuple[str, float]] = []

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Record the start of a task."""
        self.started.append((task.get_name().strip(), time.monotonic()))

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Record the start of a handler."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count a task that sent requests to the API."""
        action = result.task.resolved_action or result.task.action
        self.api_tasks += action in self.api_modules or action.startswith("kubernetes.core.")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the figures."""
        ends = [moment for _, moment in self.started[1:]] + [time.monotonic()]
        seconds = [(name, end - start) for (name, start), end in zip(self.started, ends, strict=True)]
        figures = {"api_tasks": self.api_tasks, "seconds": seconds}
        Path(os.environ["TASKS_STARTED_FILE"]).write_text(json.dumps(figures), encoding="utf-8")
