# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The one rule for whether an object belongs to the collection or to one owner within it: its labels."""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError

# Each object that the collection creates has this label.
MANAGED = {"app.kubernetes.io/managed-by": "cloud-django"}


def labels_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object."""
    return item["metadata"].get("labels") or {}


def foreign(existing: Mapping[str, Any], owner: Mapping[str, str]) -> bool:
    """Tell whether an object lacks one of its owner's labels."""
    return any(labels_of(existing).get(key) != value for key, value in owner.items())


def is_ours(item: Mapping[str, Any]) -> bool:
    """Tell whether an object has the label that the collection gives to what it creates."""
    return not foreign(item, MANAGED)


def place_of(item: Mapping[str, Any]) -> str:
    """Return where an object is, as the end of a sentence."""
    namespace = item["metadata"].get("namespace")
    return f" in namespace {namespace}" if namespace else ""


def refuse_foreign(existing: Iterable[Mapping[str, Any]], owner: Mapping[str, str]) -> None:
    """Raise ManifestError if one of the objects lacks one of its owner's labels."""
    others = [f"{item['kind']} {item['metadata']['name']}{place_of(item)}" for item in existing if foreign(item, owner)]
    if others:
        verb = "exists and was" if len(others) == 1 else "exist and were"
        raise ManifestError(
            ", ".join(others),
            f"{verb} not made by this site (the labels differ), so this task changed nothing",
            "Rename or remove it, or give the site another app_name or namespace",
        )


def as_text(pairs: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return labels whose values are text, also if one is a number. Raises ManifestError if there are none."""
    if not pairs:
        raise ManifestError(what, "is empty, so that every object would count as ours", "Name the labels in it")
    return {str(key): str(value) for key, value in pairs.items()}
