"""Counts the tasks that spoke to the Kubernetes API, and writes the number to the file that API_TASKS_FILE names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: api_tasks
type: aggregate
short_description: Count the tasks that speak to the Kubernetes API
description:
  - Counts the tasks that ran, were not skipped, and use a module that speaks to the API server.
options: {}
"""
OURS = {
    f"cloud_django.kubernetes.{name}"
    for name in (
        "apply",
        "lease",
        "namespace_content_info",
        "network_policy_info",
        "node_addresses_info",
        "postgresql_access",
        "postgresql_credentials",
        "postgresql_preflight",
        "rollout",
        "volume_claim_wait",
    )
}


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "api_tasks"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count a task that ran."""
        action = result.task.resolved_action or result.task.action
        self.count += action in OURS or action.startswith("kubernetes.core.")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the number."""
        Path(os.environ["API_TASKS_FILE"]).write_text(str(self.count), encoding="utf-8")
