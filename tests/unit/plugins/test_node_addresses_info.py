"""Order of the addresses that node_addresses_info returns."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.modules.node_addresses_info import addresses


def node(*known: tuple[str, str]) -> dict[str, Any]:
    return {"status": {"addresses": [{"type": kind, "address": address} for kind, address in known]}}


def test_internal_addresses_are_in_the_order_of_the_nodes() -> None:
    nodes = [
        node(("InternalIP", "10.0.0.2"), ("Hostname", "b")),
        node(("Hostname", "a"), ("InternalIP", "10.0.0.1")),
    ]
    assert addresses(nodes) == ["10.0.0.2", "10.0.0.1"]


def test_external_addresses_are_first() -> None:
    nodes = [
        node(("InternalIP", "10.0.0.1")),
        node(("InternalIP", "10.0.0.2"), ("ExternalIP", "192.0.2.2"), ("InternalIP", "fd00::2")),
    ]
    assert addresses(nodes) == ["192.0.2.2", "10.0.0.1", "10.0.0.2", "fd00::2"]


def test_a_new_node_has_no_addresses() -> None:
    assert addresses([{}, {"status": {}}, {"status": {"addresses": None}}, node(("Hostname", "a"))]) == []
