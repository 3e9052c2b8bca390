# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What differs between two versions of an object, without the API server's additions and the values of Secrets."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import title
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import HIDDEN

Obj = dict[str, Any]

# The API server sets these; they say nothing about what was asked for.
_SERVER_METADATA = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
# All that a Secret's diff shows besides its keys. Its annotations may hold a copy of it, as kubectl apply makes one.
_PUBLIC_IN_SECRET = {"apiVersion", "kind", "type", "immutable"}
_PUBLIC_IN_SECRET_METADATA = {"name", "namespace", "labels"}


def meaning(obj: Obj | None) -> Obj:
    """Return the part of an object that a client asked for."""
    if not obj:
        return {}
    rest = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_METADATA}
    return {"metadata": metadata, **rest}


def same(before: Obj | None, after: Obj | None) -> bool:
    """Tell whether two versions of an object mean the same."""
    return meaning(before) == meaning(after)


def holds(existing: Any, wanted: Any) -> bool:
    """Tell whether an object has everything that a manifest names."""
    if isinstance(existing, dict) and isinstance(wanted, dict):
        return all(key in existing and holds(existing[key], value) for key, value in wanted.items())
    return existing == wanted


def difference(before: Obj | None, after: Obj | None) -> Obj:
    """Return the entry of Ansible's diff for one object, with no value of a Secret in it."""
    old, new = ((obj or {}).get("data") or {} for obj in (before, after))

    def show(obj: Obj | None, word: str) -> str:
        if not obj:
            return ""
        shown = meaning(obj)
        if obj["kind"] == "Secret":
            metadata = {key: value for key, value in shown["metadata"].items() if key in _PUBLIC_IN_SECRET_METADATA}
            data = {
                key: HIDDEN if old.get(key) == new.get(key) else f"(hidden, {word})"
                for key in sorted(obj.get("data") or {})
            }
            shown = {key: value for key, value in shown.items() if key in _PUBLIC_IN_SECRET}
            shown |= {"metadata": metadata, "data": data}
        return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    name = title(after or before or {})
    return {"before_header": name, "after_header": name, "before": show(before, "old"), "after": show(after, "new")}
