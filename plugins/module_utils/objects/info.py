# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Objects of one kind from the API, for conditions of tasks."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

PAUSE = 0.5


def without_secrets(obj: Obj, keys: Sequence[str]) -> Obj:
    """Return an object; of a Secret only these keys of its data, and no annotations, which may contain a copy."""
    if obj["kind"] != "Secret":
        return obj
    data = {key: value for key, value in (obj.get("data") or {}).items() if key in keys}
    return {key: obj[key] for key in ("apiVersion", "kind")} | {
        "metadata": {"name": obj["metadata"]["name"]},
        "data": data,
    }


def missing_condition(obj: Obj | None, condition: str) -> str:
    """Return why an object does not have a condition; empty if it has."""
    if obj is None:
        return "it does not exist"
    found = [c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type") == condition]
    if not found:
        return "it has no such condition yet"
    return "" if found[0]["status"] == "True" else str(found[0].get("message") or found[0].get("reason")).rstrip(".")


def run(
    params: dict[str, Any], check_mode: bool, client: Client, sleep: Callable[[float], Any] = time.sleep
) -> dict[str, Any]:
    """Return the module's result. Raises ApiError, also if the condition is not met before the timeout."""
    kind, name, version = params["kind"], params["name"], params["api_version"]
    if not name:
        return {"resources": [without_secrets(item, params["keys"]) for item in client.list(kind, version)]}
    pace = Pace()
    while True:
        found = client.get(kind, name, version)
        condition = params["condition"] if not check_mode else ""
        lacking = missing_condition(found, condition) if condition else ""
        if not lacking:
            return {
                "resources": [without_secrets({"kind": kind, "apiVersion": version} | found, params["keys"])]
                if found
                else []
            }
        if pace.seconds >= params["timeout"]:
            reason = f"is not {condition} after {params['timeout']} s: {lacking}"
            raise ApiError(f"{kind} {name}", reason, f"Fix the cause, {AGAIN}")
        pace.tell(f"{kind} {name} is not {condition}: {lacking}")
        sleep(PAUSE)
