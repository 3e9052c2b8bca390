# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Test whether the cluster enforces NetworkPolicies."""

from collections.abc import Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client

from .readiness import is_pod_ready

# By the exit code of the command that tries to connect.
ENFORCED = {0: False, 3: True}


def run(params: Mapping[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Return the result of the module. Raises ApiError if the pods cannot be listed or the command cannot run."""
    pods = client.list("Pod", label_selector=",".join(params["label_selectors"]))
    ready = [pod for pod in pods if is_pod_ready(pod)]
    if len(ready) < 2:
        return {"pod": "", "enforced": None}
    name, address = ready[0]["metadata"]["name"], ready[1]["status"]["podIP"]
    ended = client.exec(name, params["container"], [*params["command"], address], timeout=20)
    return {"pod": name, "enforced": ENFORCED.get(ended.code)}
