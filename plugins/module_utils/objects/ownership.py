# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Ownership of objects by labels: of the collection, or of one owner in it."""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ManifestError

# Each object that the collection creates has this label.
MANAGED = {"app.kubernetes.io/managed-by": "cloud-django"}


def labels_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object."""
    return item["metadata"].get("labels") or {}


def foreign(existing: Mapping[str, Any], owner: Mapping[str, str]) -> bool:
    """Return whether an object lacks one of its owner's labels."""
    return any(labels_of(existing).get(key) != value for key, value in owner.items())


def is_ours(item: Mapping[str, Any]) -> bool:
    """Return whether an object has the label of the objects that the collection creates."""
    return not foreign(item, MANAGED)


def place_of(item: Mapping[str, Any]) -> str:
    """Return the namespace of an object as the end of a phrase; empty if it is cluster-scoped."""
    namespace = item["metadata"].get("namespace")
    return f" in namespace {namespace}" if namespace else ""


def refuse_foreign(existing: Iterable[Mapping[str, Any]], owner: Mapping[str, str]) -> None:
    """Raise ManifestError if one of the objects lacks one of its owner's labels."""
    others = [f"{item['kind']} {item['metadata']['name']}{place_of(item)}" for item in existing if foreign(item, owner)]
    if others:
        verb, them = ("exists and is", "it") if len(others) == 1 else ("exist and are", "them")
        raise ManifestError(
            ", ".join(others),
            f"{verb} not managed by this site (the labels differ), so this task made no changes",
            f"Rename or remove {them}, or set another app_name or app_namespace, {AGAIN}",
        )


def as_text(pairs: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return labels with all values as strings. Raises ManifestError if there are none."""
    if not pairs:
        reason = "is empty, so that every object would count as managed"
        raise ManifestError(what, reason, f"Add at least one label, {AGAIN}")
    return {str(key): str(value) for key, value in pairs.items()}
