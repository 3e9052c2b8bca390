# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that merges overrides into a manifest, and lists in it by the names of their items."""

DOCUMENTATION = r"""
name: merged
short_description: Merge overrides into a manifest
version_added: 0.1.0
description:
  - Merges dictionaries recursively. Lists of dictionaries with a key (C(name), C(mountPath), C(containerPort), C(port),
    C(ip), or C(host)) are merged by the value of that key, and new items are added at the end. Other lists are
    replaced.
  - C(null) removes a key. An item of a list with C($patch=delete) is removed. C($patch=replace) in a dictionary or item
    replaces it as a whole.
options:
  _input:
    description: The manifest.
    type: dict
    required: true
  overrides:
    description: Dictionary merged over the manifest.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Print a pod with one more environment variable
  ansible.builtin.debug:
    msg: "{{ pod | cloud_django.kubernetes.merged({'containers': [{'name': 'web', 'tty': true}]}) }}"
  vars:
    pod:
      containers:
        - {name: web, image: shop}
"""

RETURN = r"""
_value:
  description: The merged manifest.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Keys that identify the items of a list, in this order. mountPath is before name, because one volume can have two
# mounts.
KEYS = ("mountPath", "name", "containerPort", "port", "ip", "host")
PATCH = "$patch"


def merged(manifest: Any, overrides: Any) -> Any:
    """Return a manifest with overrides."""
    if isinstance(manifest, Mapping) and isinstance(overrides, Mapping) and overrides.get(PATCH) != "replace":
        result = dict(manifest)
        for key, value in overrides.items():
            if value is None:
                result.pop(key, None)
            elif key != PATCH:
                result[key] = merged(manifest.get(key), value)
        return result
    if _is_list(manifest) and _is_list(overrides) and (key := _key_of([*manifest, *overrides])):
        return _merged_lists(manifest, overrides, key)
    return _clean(overrides)


def _merged_lists(items: Sequence[Any], overrides: Sequence[Any], key: str) -> list[Any]:
    """Return a list whose items with the same value of a key are merged."""
    result = {item[key]: item for item in items}
    for item in overrides:
        if item.get(PATCH) == "delete":
            result.pop(item[key], None)
        else:
            result[item[key]] = merged(result.get(item[key]), item)
    return list(result.values())


def _key_of(items: Sequence[Any]) -> str:
    """Return the key that all items of a list have; empty if there is none."""
    if not all(isinstance(item, Mapping) for item in items):
        return ""
    return next((key for key in KEYS if items and all(key in item for item in items)), "")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _clean(value: Any) -> Any:
    """Return a new value without what only tells how to merge it."""
    if isinstance(value, Mapping):
        return {key: _clean(inner) for key, inner in value.items() if inner is not None and key != PATCH}
    if _is_list(value):
        return [_clean(item) for item in value if not (isinstance(item, Mapping) and item.get(PATCH) == "delete")]
    return value


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[[Any, Any], Any]]:
        """Return the filters by their names."""
        return {"merged": merged}
