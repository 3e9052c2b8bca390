"""Egress that NetworkPolicies allow on a real cluster: DNS in the cluster and on nodes, and an external database.

Both tests use the policy of the database client, which has the same egress rules as the site and its Jobs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Result
from postgresql_support import NODE, eventually, own_namespace, pod, run_play, running_pod
from support import docker, the_cluster

NAMESPACE = "test-egress"
CLIENT = {"app.kubernetes.io/name": "database-client", "app.kubernetes.io/instance": "polls"}
PORTS = (5353, 25060, 9999)
LISTEN = (
    "perl -MIO::Socket::INET -e 'my @open = map { IO::Socket::INET->new(LocalPort => $_, Listen => 5) or die $! } "
    f"@ARGV; sleep 600' {' '.join(map(str, PORTS))} >/tmp/log 2>&1 </dev/null & sleep 0.5; ! grep . /tmp/log"
)

# Addresses of NodeLocal DNSCache, and of the metadata service of clouds.
RESOLVER, METADATA = "169.254.20.10", "169.254.169.254"
# A second network namespace on the node, because the network plugin ignores connections to the node itself.
MAKE = f"""
ip netns add {NAMESPACE}
ip link add test-egress0 type veth peer name test-egress1 netns {NAMESPACE}
ip address add 169.254.20.9/30 dev test-egress0
ip link set test-egress0 up
ip route add {METADATA}/32 via {RESOLVER}
ip -n {NAMESPACE} address add {RESOLVER}/30 dev test-egress1
ip -n {NAMESPACE} address add {METADATA}/32 dev test-egress1
ip -n {NAMESPACE} link set test-egress1 up
ip -n {NAMESPACE} route add default via 169.254.20.9
"""
UNMAKE = f"ip link delete test-egress0; ip netns delete {NAMESPACE}"
SERVE = """
import socket
import time
held = [socket.create_server(("0.0.0.0", port)) for port in (53, 9999)]
print("ready", flush=True)
time.sleep(300)
"""

type Shell = Callable[[str], Result]


def open_ports(run: Shell, *addresses: tuple[str, int]) -> list[tuple[str, int]]:
    """Return the addresses and ports that accept a connection from a pod within two seconds."""
    tries = [f"(timeout 2 bash -c '</dev/tcp/{host}/{port}' && echo {host} {port}) &" for host, port in addresses]
    lines = run("\n".join([*tries, "wait"])).out.splitlines()
    return sorted((host, int(port)) for host, port in map(str.split, lines))


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    """Return the address of a pod in another namespace that listens on each of PORTS."""
    with own_namespace(f"{NAMESPACE}-dns") as other, running_pod(other, pod("resolver", {})) as run:
        assert not run(LISTEN).code, run("cat /tmp/log").out
        yield other.get("Pod", "resolver")["status"]["podIP"]


@pytest.fixture(scope="module")
def client(resolver: str) -> Iterator[Shell]:
    """Return a shell in a pod with the policy, which is enforced."""
    with own_namespace(NAMESPACE) as site, running_pod(site, pod("client", CLIENT)) as run:
        external = {"postgresql_backend": "external", "postgresql_host": resolver, "postgresql_port": 25060}
        # Without Secrets, the play fails after it has applied the policy.
        assert "is missing" in run_play(NAMESPACE, ["database"], external).sentence()
        eventually(lambda: not open_ports(run, (resolver, 9999)), 20)
        yield run


def test_only_a_resolver_and_the_external_server_are_reached(client: Shell, resolver: str) -> None:
    assert open_ports(client, *((resolver, port) for port in PORTS)) == [(resolver, 5353), (resolver, 25060)]


@contextmanager
def node_local_resolver() -> Iterator[None]:
    """Serve TCP on link-local addresses behind the node, on the port of DNS and on another one."""
    subprocess.run(["docker", "exec", NODE, "sh", "-c", UNMAKE], capture_output=True, check=False)
    docker("exec", NODE, "sh", "-euc", MAKE)
    try:
        pid = docker("inspect", "--format", "{{.State.Pid}}", NODE).strip()
        inside = ["nsenter", f"--net=/proc/{pid}/root/run/netns/{NAMESPACE}", sys.executable, "-c", SERVE]
        with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                assert process.stdout.readline() == "ready\n"
                yield
            finally:
                process.kill()
    finally:
        docker("exec", NODE, "sh", "-euc", UNMAKE)


def test_a_node_local_resolver_is_reached_and_no_metadata(client: Shell) -> None:
    if NODE not in the_cluster().nodes():
        pytest.skip("the resolver is made on a node on this machine")
    with node_local_resolver():
        wanted = [(RESOLVER, 53), (RESOLVER, 9999), (METADATA, 53)]
        assert open_ports(client, *wanted) == [(RESOLVER, 53)]
