# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that selects the parts of a manifest that are for one kind of pod."""

DOCUMENTATION = r"""
name: only
short_description: Select the parts of a manifest for one kind of pod
version_added: 0.1.0
description:
  - Removes each dictionary in a list whose key C(only) is a list without the given name, and the key C(only) from the
    other ones. Lists and dictionaries inside of the value are searched too.
options:
  _input:
    description: Part of a manifest.
    type: raw
    required: true
  name:
    description: Name of the kind of pod, for instance V(web) or the name of a worker.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Print the volumes of a web pod
  ansible.builtin.debug:
    msg: "{{ volumes | cloud_django.kubernetes.only('web') }}"
  vars:
    volumes:
      - {name: media, only: [web]}
      - {name: reports, only: [nightly]}
"""

RETURN = r"""
_value:
  description: The part without what is for other pods.
  type: raw
"""

from collections.abc import Callable, Mapping
from typing import Any


def only(value: Any, name: str) -> Any:
    """Return a part of a manifest without what is only for pods of other names."""
    if isinstance(value, Mapping):
        return {key: only(inner, name) for key, inner in value.items() if key != "only"}
    if isinstance(value, list | tuple):
        return [only(inner, name) for inner in value if _is_for(inner, name)]
    return value


def _is_for(value: Any, name: str) -> bool:
    names = value.get("only") if isinstance(value, Mapping) else None
    return names is None or name in names


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names."""
        return {"only": only}
