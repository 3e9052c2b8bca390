# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manifests and existing objects: their names and places, Jobs named by content, what to prune or to hand over."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError

Obj = dict[str, Any]
# Kind, namespace and name.
Identity = tuple[str, str, str]


def title(obj: Obj) -> str:
    """Return how an object is called in a sentence."""
    return f"{obj['kind']} {obj['metadata']['name']}"


def identity(obj: Obj) -> Identity:
    """Return what tells an object from all others of a task."""
    return obj["kind"], namespace_of(obj), obj["metadata"]["name"]


def namespace_of(obj: Obj) -> str:
    """Return the namespace of an object, empty if it belongs to none."""
    return obj["metadata"].get("namespace") or ""


def is_going(obj: Obj) -> bool:
    """Tell whether an object is being deleted, and something that it owns or waits for is not gone yet."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def lasting(obj: Obj | None) -> Obj | None:
    """Return an object that is not being deleted."""
    return None if obj and is_going(obj) else obj


def same_object(one: Obj, other: Obj) -> bool:
    """Tell whether both are the same object and not two of one name, one after the other."""
    return one["metadata"].get("uid") == other["metadata"].get("uid")


def placed(objects: Iterable[Obj], namespace: str, is_cluster_wide: Callable[[str, str], bool]) -> list[Obj]:
    """Return copies of manifests that name their namespace if they belong to one.

    With a `namespace`, all of them must belong to that one. Raises ManifestError if one does not, or names none.
    """
    return [_placed(obj, namespace, is_cluster_wide) for obj in objects]


def _placed(obj: Obj, namespace: str, is_cluster_wide: Callable[[str, str], bool]) -> Obj:
    metadata = obj.get("metadata")
    named = isinstance(metadata, dict) and metadata.get("name")
    missing = [key for key in ("apiVersion", "kind") if not obj.get(key)] + ([] if named else ["metadata.name"])
    if missing:
        raise ManifestError("An object", f"has no {missing[0]}", "Add it to the manifest")
    obj = copy.deepcopy(obj)
    own = obj["metadata"].pop("namespace", None)
    if is_cluster_wide(obj["apiVersion"], obj["kind"]):
        if namespace:
            reason = "belongs to no namespace, and this task works in one"
            raise ManifestError(f"{obj['kind']} of {obj['apiVersion']}", reason, "Leave it out")
        return obj
    if not (own or namespace):
        raise ManifestError(title(obj), "names no namespace", "Add one to its metadata, or set the option namespace")
    if namespace and own and own != namespace:
        reason = f"names the namespace {own}, and this task applies to {namespace}"
        raise ManifestError(title(obj), reason, "Leave its namespace out")
    obj["metadata"]["namespace"] = own or namespace
    return obj


def refuse_twins(objects: Iterable[Obj]) -> None:
    """Raise ManifestError if two are one and the same object: they would take turns for ever."""
    seen = set()
    for obj in objects:
        if identity(obj) in seen:
            raise ManifestError(title(obj), "is named twice", "Name it once, either among objects or among unwanted")
        seen.add(identity(obj))


def pod_template(obj: Obj) -> Obj | None:
    """Return the pod template of a workload, and None of anything else."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif obj["kind"] not in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return None
    return spec.get("template")


def named_by_content(job: Obj) -> Obj:
    """Return the Job with a hash of its specification at the end of its name: another content is another Job."""
    digest = hashlib.sha256(json.dumps(job.get("spec"), sort_keys=True).encode()).hexdigest()[:10]
    return job | {"metadata": job["metadata"] | {"name": f"{job['metadata']['name']}-{digest}"}}


def is_named_after(name: str, job: Obj) -> bool:
    """Tell whether `name` is that of a Job, whatever its content, in one run or another."""
    return bool(re.fullmatch(re.escape(job["metadata"]["name"]) + "-[0-9a-f]{10}", name))


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
