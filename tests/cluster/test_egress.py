"""Egress that NetworkPolicies allow on a real cluster: DNS outside of kube-system, and an external database."""

from __future__ import annotations

from postgresql_support import eventually, own_namespace, pod, run_play, running_pod

NAMESPACE = "test-egress"
CLIENT = {"app.kubernetes.io/name": "database-client", "app.kubernetes.io/instance": "polls"}
PORTS = (5353, 25060, 9999)
LISTEN = (
    "perl -MIO::Socket::INET -e 'my @open = map { IO::Socket::INET->new(LocalPort => $_, Listen => 5) or die $! } "
    f"@ARGV; sleep 600' {' '.join(map(str, PORTS))} >/tmp/log 2>&1 </dev/null & sleep 0.5; ! grep . /tmp/log"
)


def test_only_a_resolver_and_the_external_server_are_reached() -> None:
    """Uses the policy of the database client, which has the same egress rules as the site and its Jobs."""
    with (
        own_namespace(NAMESPACE) as site,
        own_namespace(f"{NAMESPACE}-dns") as other,
        running_pod(other, pod("resolver", {})) as in_resolver,
        running_pod(site, pod("client", CLIENT)) as in_client,
    ):
        assert not in_resolver(LISTEN).code, in_resolver("cat /tmp/log").out
        address = other.get("Pod", "resolver")["status"]["podIP"]
        external = {"postgresql_backend": "external", "postgresql_host": address, "postgresql_port": 25060}
        # Without Secrets, the play fails after it has applied the policy.
        assert "is missing" in run_play(NAMESPACE, ["database"], external).sentence()

        def is_open(port: int) -> bool:
            return not in_client(f"timeout 2 bash -c '</dev/tcp/{address}/{port}'").code

        eventually(lambda: not is_open(9999), 20)
        assert [port for port in PORTS if is_open(port)] == [5353, 25060]
