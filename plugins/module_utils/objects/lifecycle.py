# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What follows from the state of existing objects: what to prune, what to hand over, what holds a removal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import is_going

Obj = dict[str, Any]


def owned_replicas(existing: Obj | None, wanted: Obj, manager: str) -> int | None:
    """Return the replicas to hand over before `wanted`, which names none, is applied; None if there is nothing to do.

    A field that its only manager stops naming falls back to its default, which here is 1 and would end the other pods.
    """
    if not existing or "replicas" in (wanted.get("spec") or {}) or "replicas" not in (existing.get("spec") or {}):
        return None
    managers = existing["metadata"].get("managedFields") or []
    owners = {
        entry.get("manager")
        for entry in managers
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return existing["spec"]["replicas"] if owners == {manager} else None


def outdated(items: Iterable[Obj], keep: int, wanted: Iterable[Obj]) -> list[Obj]:
    """Return the items to prune, oldest first: all but the `keep` youngest, and never one that is wanted.

    Those that are wanted and do not exist yet, as in a dry run, are the youngest of all. Those that are being deleted
    do not count.
    """
    by_age = sorted(
        (item for item in items if not is_going(item)),
        key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]),
    )
    there = {item["metadata"]["name"] for item in by_age}
    names = {obj["metadata"]["name"] for obj in wanted}
    room = max(keep - len(names - there), 0)
    return [item for item in by_age[: max(len(by_age) - room, 0)] if item["metadata"]["name"] not in names]


def what_holds(obj: Obj) -> str:
    """Return why a namespace that is being deleted still exists, as far as it says so; empty for anything else."""
    conditions = (obj.get("status") or {}).get("conditions") or [] if obj["kind"] == "Namespace" else []
    messages = [condition.get("message") or "" for condition in conditions if condition["status"] == "True"]
    return " ".join(filter(None, messages)).rstrip(".")
