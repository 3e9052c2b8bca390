"""Which contexts the filter kubeconfig_contexts finds."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.filter.kubeconfig_contexts import kubeconfig_contexts


def test_the_contexts_come_in_their_order() -> None:
    assert kubeconfig_contexts("contexts: [{name: staging, context: {}}, {name: 7}]") == ["staging", "7"]


@pytest.mark.parametrize(
    "text",
    ["", "a list: [", "- a", "contexts:", "contexts: {a: b}", "contexts: [a, {context: {}}]", "\x00", "<html></html>"],
)
def test_what_is_no_kubeconfig_has_none(text: str) -> None:
    assert kubeconfig_contexts(text) == []
