"""Failures of a site without a front, which the front prevents."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import prove
import pytest
from ground import Ground, eventually
from rows import Row
from slow import CLIENTS, SLOWEST_SECONDS, Address, connected, slow_clients, status


@pytest.fixture(scope="module")
def without_front(deployed: Ground) -> Ground:
    deployed.spoiled = True
    deployed.deploy("--tags=image,postgresql,web", web_front_enabled=False)
    deployed.wait_until_whole(prove.REPLICAS)
    deployed.wait_for_old_pods()
    return deployed


def test_killed_gunicorn_breaks_connections(without_front: Ground, keep: Callable[[Row], Row]) -> None:
    assert "not the page of the front" in str(keep(prove.gunicorn_killed(without_front, pods=1)).wrong)


def test_partial_form_is_processed_as_a_complete_one(without_front: Ground) -> None:
    address = Address.of(without_front.address)
    votes = without_front.votes()
    with connected(address) as connection:
        connection.sendall(address.vote()[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert status(connection) == 302
    eventually(lambda: without_front.votes() == votes + 1, 5, "the vote")


def test_slow_clients_delay_others(without_front: Ground) -> None:
    address = Address.of(without_front.address)
    seconds = 2.0
    with slow_clients(address, CLIENTS, address.head("GET / HTTP/1.1")[:-2]), suppress(TimeoutError):
        seconds = address.seconds(timeout=2)
    assert seconds > SLOWEST_SECONDS
