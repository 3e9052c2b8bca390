# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Filter that reads the names of the contexts in a kubeconfig."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kubeconfig_contexts
short_description: Read the names of the contexts in a kubeconfig
version_added: 0.1.0
author: The Cloud Django authors
description:
  - Returns the names of the contexts in the text of a kubeconfig. A text that is no kubeconfig has none.
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say which contexts there are
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', '~/.kube/config') | cloud_django.kubernetes.kubeconfig_contexts }}"
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""

from collections.abc import Callable

import yaml


def kubeconfig_contexts(text: str) -> list[str]:
    """Return the names of the contexts in a kubeconfig."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    contexts = document.get("contexts") if isinstance(document, dict) else None
    if not isinstance(contexts, list):
        return []
    return [str(entry["name"]) for entry in contexts if isinstance(entry, dict) and "name" in entry]


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[[str], list[str]]]:
        return {"kubeconfig_contexts": kubeconfig_contexts}
