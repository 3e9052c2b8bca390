"""Slow clients don't block other clients, and a partial form is never processed as a complete one."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest
from ground import Ground, eventually
from slow import CLIENTS, GOAL_SECONDS, SLOWEST_SECONDS, Address, connected, slow_clients, status

HONEST = 40
# Number of requests that must reach the goal. The others may have been delayed by the machine.
QUICK = 36
# The largest file of Django's admin, which each project has.
LARGE = "/static/admin/js/vendor/xregexp/xregexp.js"


@pytest.fixture
def address(ground: Ground) -> Address:
    return Address.of(ground.address)


@pytest.mark.parametrize("kind", ["silent", "head", "body", "all but one byte", "not reading"])
def test_500_slow_clients_do_not_delay_others(ground: Ground, address: Address, kind: str) -> None:
    form = address.vote()
    beginning = {
        "silent": b"",
        "head": address.head("GET / HTTP/1.1")[:-2] + b"X-Slow: ",
        "body": address.head("POST / HTTP/1.1", "Content-Length: 99"),
        "all but one byte": form[:-1],
        "not reading": address.head(f"GET {LARGE} HTTP/1.1"),
    }[kind]
    restarts, votes = ground.restarts(), ground.votes()
    with slow_clients(address, CLIENTS, beginning) as connections:
        # The project responds to clients that send complete requests, even if they read slowly.
        time.sleep(2)
        times = []
        for turn in range(HONEST):
            times.append(address.seconds())
            if kind in ("head", "body") and turn % 10 == 0:
                # After the front has closed a connection, it accepts no more bytes on it.
                for connection in connections:
                    with suppress(OSError):
                        connection.sendall(b"x")
        memory = ground.front_memory()
        if kind == "not reading":
            assert status(connections[0]) == 200
        # Half of the clients complete the form, and the other half disconnect at once.
        for connection in connections[::2]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
    times.sort()
    print(
        f"{kind}: slowest of {HONEST} requests {times[-1]:.3f} s (goal {GOAL_SECONDS} s), "
        f"number {QUICK} {times[QUICK - 1]:.3f} s, largest front {memory:.0f} MiB"
    )
    assert times[QUICK - 1] <= GOAL_SECONDS
    assert times[-1] <= SLOWEST_SECONDS
    assert ground.restarts() == restarts
    assert ground.votes() == votes


def test_the_largest_form_is_accepted(ground: Ground, address: Address) -> None:
    """Otherwise a form without its last byte would prove nothing."""
    votes = ground.votes()
    with connected(address) as connection:
        connection.sendall(address.vote())
        assert status(connection) == 302
    eventually(lambda: ground.votes() == votes + 1, 5, "the vote")
