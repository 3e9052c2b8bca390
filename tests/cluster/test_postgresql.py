"""Role `postgresql` on a real cluster: hardening, TLS, kills, removal, and invalid input."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from postgresql_support import (
    NODE,
    admin_sql,
    cluster,
    eventually,
    own_namespace,
    pod,
    psql,
    run_play,
    running_pod,
    secret,
)
from support import the_cluster

NAMESPACE = "test-postgresql-cases"
CLIENT = "client"
SERVER = "polls-postgresql"
POD = f"{SERVER}-0"
PEER = {"cloud-django/postgresql-client": "true"}
SMALL = {"postgresql_storage_size": "1Gi", "postgresql_storage_timeout": 15}
KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget")


def play(*options, roles=("postgresql",), plain=False, namespace=NAMESPACE, **variables):
    return run_play(namespace, list(roles), SMALL | variables, *options, plain=plain)


def is_ready(where) -> bool:
    found = where.get("Pod", POD) or {"metadata": {}}
    conditions = found.get("status", {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in found["metadata"]


def uid(where) -> str:
    return where.get("Pod", POD)["metadata"]["uid"]


def access(where, **changes: str) -> dict[str, str]:
    """Return the administrator's login over the network, in the form of the database role's Secrets."""
    admin = secret(where, f"{SERVER}-admin")
    ca = secret(where, f"{SERVER}-ca")["tls.crt"]
    host = {"host": f"{SERVER}.{where.namespace}.svc", "port": "5432", "database": "postgres", "ca.crt": ca}
    return host | admin | changes


@pytest.fixture(scope="module")
def where() -> Iterator:
    with own_namespace(NAMESPACE) as namespace:
        started = time.monotonic()
        play().succeeded()
        namespace.seconds_to_install = time.monotonic() - started
        with running_pod(namespace, pod(CLIENT, PEER)):
            eventually(lambda: not psql(namespace, CLIENT, access(namespace), "SELECT 1").code)
            yield namespace


@pytest.mark.alone
def test_server_accepts_connections_within_twenty_seconds(where) -> None:
    """From an empty namespace, by the API server's clock, without the rest of the play."""
    made = where.get("StatefulSet", SERVER)["metadata"]["creationTimestamp"]
    ready = next(c for c in where.get("Pod", POD)["status"]["conditions"] if c["type"] == "Ready")["lastTransitionTime"]
    assert (certificates.datetime.fromisoformat(ready) - certificates.datetime.fromisoformat(made)).seconds <= 20
    print(f"installed in {where.seconds_to_install:.1f} s, play included")


def test_second_run_and_check_mode_change_nothing(where) -> None:
    assert play().succeeded().changed == 0
    assert play("--check", "--diff").succeeded().changed == 0


def test_check_mode_on_a_new_cluster_reports_a_plan() -> None:
    told = play("--check", "--diff", roles=("namespace", "postgresql", "database"), namespace="test-postgresql-none")
    told.succeeded()
    assert "create the server's certificate" in told.changes
    assert "create database polls" in told.changes
    assert not cluster("test-postgresql-none").namespace_exists()


def test_numbers_on_the_command_line_are_strings_and_work(where) -> None:
    """Pitfall 4: values of -e name=value are strings."""
    texts = {
        "postgresql_stop_seconds": "60",
        "postgresql_timeout": "600",
        "postgresql_user_id": "999",
        "postgresql_port": "5432",
        "postgresql_max_connections": "200",
        "postgresql_max_unavailable": "1",
        "postgresql_certificate_days": "365",
        "postgresql_storage_timeout": "15",
        "database_web_connections": "24",
    }
    assert play(**texts).succeeded().changed == 0
    assert play("--check", postgresql_state="absent", **texts).succeeded().changed


# --- Hardening --------------------------------------------------------------------------------------------------------


def test_pod_is_hardened(where) -> None:
    spec = where.get("Pod", POD)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    for container in spec["containers"] + spec["initContainers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "admin" not in [mount["name"] for mount in spec["containers"][0]["volumeMounts"]]
    tried = where.exec(POD, "postgresql", ["sh", "-c", "id -u; touch /file; ls /var/run/secrets/kubernetes.io"])
    assert tried.out.strip() == "999"
    assert "Read-only file system" in tried.err
    assert "No such file" in tried.err
    show = "tr '\\0' ' ' < /proc/$(head -n 1 $PGDATA/postmaster.pid)/cmdline; cat /proc/1/comm"
    assert re.fullmatch("postgres .*pause\n", where.exec(POD, "postgresql", ["sh", "-c", show]).out)


def test_key_has_the_mode_that_postgresql_requires(where) -> None:
    told = where.exec(POD, "postgresql", ["stat", "-Lc", "%a %u %g", "/run/secrets/tls/tls.key"]).out
    assert told.strip() == "440 0 999"


def test_database_cluster_has_the_expected_settings(where) -> None:
    query = (
        "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'postgres'"
    )
    assert admin_sql(where, query) == "b|C.UTF-8|UTF8"
    assert admin_sql(where, "SHOW data_checksums") == "on"
    assert admin_sql(where, "SHOW data_directory") == "/var/lib/postgresql/data/pgdata"
    assert admin_sql(where, "SHOW shared_buffers") == "128MB"
    assert where.exec(POD, "postgresql", ["psql", "-c", "ALTER SYSTEM SET work_mem = '1MB'"]).code


def test_clients_verify_the_server(where) -> None:
    for host in (
        SERVER,
        f"{SERVER}.{NAMESPACE}",
        f"{SERVER}.{NAMESPACE}.svc",
        f"{SERVER}.{NAMESPACE}.svc.cluster.local",
    ):
        query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        done = psql(where, CLIENT, access(where, host=host), query)
        assert done.out.strip() == "t", done.err


def test_client_with_another_ca_refuses_the_server(where) -> None:
    other = certificates.authority("other", 10, certificates.current_time()).certificate
    done = psql(where, CLIENT, access(where, **{"ca.crt": other}), "SELECT 1")
    assert "certificate verify failed" in done.err


def test_client_that_expects_another_name_refuses_the_server(where) -> None:
    address = where.get("Pod", POD)["status"]["podIP"]
    done = psql(where, CLIENT, access(where, host=address), "SELECT 1")
    assert "does not match host name" in done.err


def test_connection_without_tls_fails(where) -> None:
    done = psql(where, CLIENT, access(where), "SELECT 1", sslmode="disable")
    assert "no encryption" in done.err


def enforces_policies(where, run) -> bool:
    """Return whether the cluster enforces NetworkPolicies, because not every network does."""
    labels = {"test": "closed"}
    listen = "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => 7777, Listen => 9); $s->accept while 1"
    canary = pod("canary", labels)
    canary["spec"]["containers"][0]["command"] = ["perl", "-e", listen]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "canary"},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]},
    }
    where.create(policy)
    try:
        with running_pod(where, canary):
            address = where.get("Pod", "canary")["status"]["podIP"]
            time.sleep(2)
            return "open" not in run(f"timeout 3 bash -c '</dev/tcp/{address}/7777' && echo open || true").out
    finally:
        where.delete("NetworkPolicy", "canary")


def test_other_pods_and_the_server_reach_nothing(where) -> None:
    with running_pod(where, pod("stranger", {})) as run:
        if not enforces_policies(where, run):
            assert not the_cluster().nodes(), "a cluster that the role cluster made enforces them"
            pytest.skip("this cluster's network does not enforce NetworkPolicies")
        address = where.get("Pod", POD)["status"]["podIP"]
        assert "no response" in run(f"pg_isready -h {address} -t 4 || true").out
        there = where.get("Pod", "stranger")["status"]["podIP"]
        tried = where.exec(POD, "postgresql", ["bash", "-c", f"timeout 4 bash -c '</dev/tcp/{there}/1'; echo $?"])
        assert tried.out.strip() == "124", "a refusal would have come at once"


def test_policy_allows_clients_and_no_egress(where) -> None:
    spec = where.get("NetworkPolicy", SERVER)["spec"]
    labels = where.get("Pod", POD)["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= labels.items()
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    assert "egress" not in spec
    assert spec["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": PEER}}], "ports": [{"port": 5432, "protocol": "TCP"}]}
    ]


# --- Drift ------------------------------------------------------------------------------------------------------------


def test_volume_with_another_password_is_fixed(where) -> None:
    """Pitfall 21: also an old verifier, and a missing one."""
    for statement in ("PASSWORD 'other'", "PASSWORD NULL"):
        admin_sql(where, f"ALTER ROLE postgres {statement}")
        assert play("--check").succeeded().changes == ["set the administrator's password on the server"]
        assert psql(where, CLIENT, access(where), "SELECT 1").code
        assert play().succeeded().changes == ["set the administrator's password on the server"]
        assert not psql(where, CLIENT, access(where), "SELECT 1").code


def test_given_administrator_password_is_used_and_kept(where) -> None:
    play(postgresql_admin_password="given ' \" \\ é").succeeded()
    assert secret(where, f"{SERVER}-admin")["password"] == "given ' \" \\ é"
    assert not psql(where, CLIENT, access(where), "SELECT 1").code
    assert play().succeeded().changed == 0


def test_a_changed_setting_restarts_the_server_once(where) -> None:
    before = uid(where)
    assert play(postgresql_settings={"work_mem": "5MB", "cluster_name": "it's"}).succeeded().changed
    after = uid(where)
    assert after != before
    assert admin_sql(where, "SHOW cluster_name") == "it's"
    assert play(postgresql_settings={"work_mem": "5MB", "cluster_name": "it's"}).succeeded().changed == 0
    assert uid(where) == after
    play().succeeded()


def versions(where) -> list[str]:
    """Return the resource versions of the server's objects, and the names of the rehearsal pods."""
    found = [where.get(kind, SERVER) for kind in (*KINDS, "PersistentVolumeClaim")]
    found += [pod for pod in where.list("Pod") if "-check-" in pod["metadata"]["name"]]
    # Probes change the status of the pod itself.
    return [f"{item['kind']} {item['metadata']['resourceVersion']}" for item in found]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"postgresql_settings": {"log_diconnections": "on"}},
            'are rejected by PostgreSQL in .*: unrecognized configuration parameter "log_diconnections". The running',
        ),
        (
            {"postgresql_settings": {"wal_level": "minimal"}},
            r'are rejected by PostgreSQL in .*: WAL streaming \("?max_wal_senders"? > 0\) requires',
        ),
        ({"postgresql_image": "localhost/cloud-django/no-such:1"}, "does not start: .*no-such:1"),
        ({"postgresql_settings": {"port": 6000}}, "postgresql_settings has port, which the Service"),
    ],
)
def test_settings_that_prevent_a_start_fail_and_the_server_continues(where, variables, words: str) -> None:
    before = uid(where), versions(where)
    started = time.monotonic()
    refused = play(**variables)
    took = time.monotonic() - started
    assert re.search(words, refused.sentence())
    assert refused.changed == 0
    assert (uid(where), versions(where)) == before
    assert is_ready(where)
    print(f"refused in {took:.1f} s")
    assert took <= 15


def test_invalid_settings_of_a_new_server_fail_before_its_creation() -> None:
    name = "test-postgresql-refused"
    with own_namespace(name) as empty:
        refused = play(namespace=name, postgresql_settings={"work_mem": "lots"})
        assert 'invalid value for parameter "work_mem": "lots"' in refused.sentence()
        assert not [kind for kind in (*KINDS, "PersistentVolumeClaim") if empty.get(kind, SERVER)]


def test_used_node_port_fails_before_the_namespace_is_created() -> None:
    name = "test-postgresql-port"
    with own_namespace(name) as other:
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        made = other.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop-web"}, "spec": spec})
        port = made["spec"]["ports"][0]["nodePort"]
        wanted = {"web_service_type": "NodePort", "web_node_port": port}
        refused = play(roles=("namespace",), namespace=f"{name}-new", **wanted)
        assert refused.sentence().startswith(
            f"Node port {port} for Service polls-web is used by Service shop-web in namespace {name}. "
            "Set web_node_port to a free port, for instance "
        )
        assert refused.changed == 0
        assert not cluster(f"{name}-new").namespace_exists()


def test_a_renewed_certificate_is_served_without_a_restart(where) -> None:
    """A client sees the new certificate, and open sessions continue."""
    where.delete("Secret", f"{SERVER}-tls")
    made = play(postgresql_certificate_days=40).succeeded()
    assert made.changes == ["create the server's certificate", "reload the server's certificate"]
    before = uid(where), admin_sql(where, "SELECT pg_postmaster_start_time()")
    old = secret(where, f"{SERVER}-tls")["tls.crt"]
    assert served(where) == certificates.x509.load_pem_x509_certificate(old.encode()).serial_number
    assert play("--check", postgresql_certificate_renew_days=100).succeeded().changed
    assert secret(where, f"{SERVER}-tls")["tls.crt"] == old
    started = time.monotonic()
    told = play(postgresql_certificate_renew_days=100).succeeded()
    print(f"renewed in {time.monotonic() - started:.1f} s: {told.changes}")
    new = secret(where, f"{SERVER}-tls")["tls.crt"]
    assert new != old
    assert served(where) == certificates.x509.load_pem_x509_certificate(new.encode()).serial_number
    assert (uid(where), admin_sql(where, "SELECT pg_postmaster_start_time()")) == before
    assert play(postgresql_certificate_renew_days=100).succeeded().changed == 0
    assert not psql(where, CLIENT, access(where), "SELECT 1").code


def served(where) -> int:
    """Return the serial number of the server's certificate, queried from the node."""
    address = where.get("Pod", POD)["status"]["podIP"]
    script = (
        "import socket, ssl, struct, sys\n"
        f"s = socket.create_connection(({address!r}, 5432), 5)\n"
        "s.sendall(struct.pack('!ii', 8, 80877103)); assert s.recv(1) == b'S'\n"
        "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
        "sys.stdout.write(ssl.DER_cert_to_PEM_cert(c.wrap_socket(s).getpeercert(True)))"
    )
    # The pod network starts at the node, which the policies allow.
    pid = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Pid}}", NODE], capture_output=True, text=True, check=True
    ).stdout.strip()
    told = subprocess.run(
        ["nsenter", "--net", f"--target={pid}", "python3", "-c", script], capture_output=True, text=True, check=True
    )
    return certificates.x509.load_pem_x509_certificate(told.stdout.encode()).serial_number


# --- Restarts and kills -----------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_clean_stop_does_not_wait_for_clients(where) -> None:
    """With an open session. The next start needs no recovery."""
    idle = threading.Thread(target=psql, args=(where, CLIENT, access(where), "SELECT pg_sleep(50)"), daemon=True)
    idle.start()
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    eventually(lambda: admin_sql(where, sleeping) == "1")
    before = uid(where)
    started = time.monotonic()
    where.delete("Pod", POD)
    eventually(lambda: (where.get("Pod", POD) or {"metadata": {"uid": before}})["metadata"]["uid"] != before, 40, 0.1)
    assert time.monotonic() - started < 12
    eventually(lambda: is_ready(where))
    log = where.dynamic.request("get", where.path("Pod", POD) + "/log", serialize=False).data.decode()
    assert "database system was shut down at" in log
    assert "was not properly shut down" not in log
    idle.join(60)


@contextmanager
def writing(where) -> Iterator[None]:
    """Write rows from a pod until the block ends, and record there which are acknowledged."""
    entry = access(where)
    # Numbers continue after a lost connection, so that each is written once.
    script = f"""
umask 077; rm -f /tmp/stop /tmp/acknowledged; touch /tmp/acknowledged
cat > /tmp/ca.crt <<'END'
{entry["ca.crt"]}
END
echo '*:*:*:*:{entry["password"]}' > /tmp/pass
export PGPASSFILE=/tmp/pass PGSSLMODE=verify-full PGSSLROOTCERT=/tmp/ca.crt PGCONNECT_TIMEOUT=2
while [ ! -e /tmp/stop ]; do
  psql -XqAt -h {entry["host"]} -U postgres -d postgres >> /tmp/acknowledged 2>/dev/null <<'END'
\\set ON_ERROR_STOP on
INSERT INTO numbers DEFAULT VALUES RETURNING n, extract(epoch FROM clock_timestamp()) \\watch 0.005
END
  sleep 0.1
done
"""
    loop = threading.Thread(target=where.exec, args=(CLIENT, "main", ["sh", "-c", script], "", 500), daemon=True)
    loop.start()
    try:
        yield
    finally:
        where.exec(CLIENT, "main", ["touch", "/tmp/stop"])
        eventually(lambda: is_ready(where))
        admin_sql(where, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_addr IS NOT NULL")
        loop.join(30)


def acknowledged(where) -> dict[int, float]:
    """Return the acknowledged rows, and the time of each in seconds since the epoch."""
    told = where.exec(CLIENT, "main", ["sh", "-c", "grep -xE '[0-9]+[|][0-9.]+' /tmp/acknowledged || true"], timeout=60)
    return {int(n): float(at) for n, at in (line.split("|") for line in told.out.split())}


def identity(where) -> tuple[str, str]:
    found = where.get("Pod", POD) or {"metadata": {"uid": ""}}
    statuses = found.get("status", {}).get("containerStatuses") or [{}]
    return found["metadata"]["uid"], statuses[0].get("containerID", "")


@pytest.mark.alone
def test_ten_kills_under_write_load_lose_no_acknowledged_row(where) -> None:
    """Half of them delete the pod by force, half kill the server's processes. Writes continue within 15 s."""
    play(postgresql_admin_password="plain0123456789").succeeded()
    admin_sql(where, "DROP TABLE IF EXISTS numbers; CREATE TABLE numbers (n bigserial PRIMARY KEY)")
    with writing(where):
        for attempt in range(10):
            eventually(lambda: is_ready(where))
            count = len(acknowledged(where))
            eventually(lambda count=count: len(acknowledged(where)) > count + 50, 40)
            before = identity(where)
            if attempt % 2:
                where.delete("Pod", POD, grace=0)
            else:
                kill_server(where)
            eventually(lambda before=before: identity(where) != before and is_ready(where), 60)
        count = len(acknowledged(where))
        eventually(lambda: len(acknowledged(where)) > count + 50, 40)
    noted = acknowledged(where)
    eventually(lambda: is_ready(where))
    stored = set(map(int, admin_sql(where, "SELECT n FROM numbers").split()))
    times = sorted(noted.values())
    gaps = sorted((later - earlier for earlier, later in pairwise(times)), reverse=True)
    print(f"{len(noted)} acknowledged rows; the longest gaps: {', '.join(f'{gap:.1f}' for gap in gaps[:10])} s")
    assert set(noted) - stored == set()
    assert len(noted) > 500
    assert gaps[9] > 0.5, "not each kill was felt"
    assert gaps[0] <= 15
    assert admin_sql(where, "SELECT sum(checksum_failures) FROM pg_stat_database") in ("", "0")


def kill_server(where) -> None:
    """Kill all processes of the server's container at once, like the kernel when memory runs out."""
    eventually(lambda: is_ready(where))
    name = where.get("Pod", POD)["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    subprocess.run(
        ["docker", "exec", NODE, "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", name],
        check=True,
        capture_output=True,
    )


def test_orphaned_process_does_not_stop_the_server(where) -> None:
    """As PID 1 of its container, the server would treat the orphan as its own crashed process."""
    checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    before = admin_sql(where, checkpointer)
    for signal in ("TERM", "KILL"):
        orphan = where.exec(
            POD, "postgresql", ["bash", "-c", "sleep 300 < /dev/null > /dev/null 2>&1 & echo $!"]
        ).out.strip()
        assert not where.exec(POD, "postgresql", ["bash", "-c", f"kill -{signal} {orphan}"]).code
        eventually(lambda orphan=orphan: where.exec(POD, "postgresql", ["bash", "-c", f"kill -0 {orphan}"]).code)
    time.sleep(1)
    assert admin_sql(where, checkpointer) == before


def test_two_servers_never_use_one_volume(where) -> None:
    """A second pod with the same volume waits until the first one is removed."""
    manifest = pod("second", {}, claim=SERVER)
    with running_pod(where, manifest) as run:
        assert run("flock --nonblock --exclusive /data/lock true || echo held").out.strip() == "held"


# --- Removal ----------------------------------------------------------------------------------------------------------


def test_removal_keeps_rows_and_password_or_purges_all(where) -> None:
    admin_sql(where, "CREATE TABLE kept AS SELECT 42 AS answer")
    before = secret(where, f"{SERVER}-admin"), secret(where, f"{SERVER}-ca")
    assert play("--check", postgresql_state="absent").succeeded().changed
    assert where.get("StatefulSet", SERVER)
    play(postgresql_state="absent").succeeded()
    assert [kind for kind in KINDS if where.get(kind, SERVER)] == []
    assert not where.get("Pod", POD)
    assert play(postgresql_state="absent").succeeded().changed == 0
    play().succeeded()
    assert (secret(where, f"{SERVER}-admin"), secret(where, f"{SERVER}-ca")) == before
    done = psql(where, CLIENT, access(where), "SELECT answer FROM kept")
    assert done.out.strip() == "42", done.err
    play(postgresql_state="absent", postgresql_data="purge").succeeded()
    eventually(lambda: not where.get("PersistentVolumeClaim", SERVER))
    assert [name for name in ("admin", "ca", "tls") if where.get("Secret", f"{SERVER}-{name}")] == []
    assert play(postgresql_state="absent", postgresql_data="purge").succeeded().changed == 0
    play().succeeded()
    assert secret(where, f"{SERVER}-admin") != before[0]
    assert 'relation "kept" does not exist' in psql(where, CLIENT, access(where), "SELECT answer FROM kept").err


# --- Invalid input ----------------------------------------------------------------------------------------------------


class TestVolumeOfAStoppedServer:
    """Contents of the volume that the server must not use. Each test ends without a server."""

    @pytest.fixture(scope="class")
    def run(self, where) -> Iterator:
        """Return a shell on the volume while no server uses it, then start the server again."""
        play(postgresql_state="absent").succeeded()
        try:
            with running_pod(where, pod("volume", {}, claim=SERVER)) as run:
                yield run
        finally:
            play().succeeded()
        # The database of the first server is back.
        assert admin_sql(where, "SELECT 1") == "1"

    def test_another_major_version_fails_with_advice(self, run) -> None:
        run("cd /data/pgdata; mv PG_VERSION kept; echo 16 > PG_VERSION")
        started = time.monotonic()
        sentence = play().sentence()
        lasted = time.monotonic() - started
        run("cd /data/pgdata; mv kept PG_VERSION")
        play(postgresql_state="absent").succeeded()
        print(f"refused after {lasted:.1f} s: {sentence}")
        assert (
            "The volume holds data of PostgreSQL 16 and the image has PostgreSQL 17, which cannot read it." in sentence
        )
        assert "Set postgresql_image back to 16. To change versions, back up with 16 and restore into a new" in sentence
        assert len(sentence.splitlines()[0]) < 600
        assert lasted < 60

    def test_interrupted_initialization_is_repeated(self, where, run) -> None:
        run("mv /data/pgdata /data/aside; mkdir /data/initializing; echo 17 > /data/initializing/PG_VERSION")
        play().succeeded()
        assert admin_sql(where, "SELECT 1") == "1"
        play(postgresql_state="absent").succeeded()
        assert run("ls -d /data/initializing || true").out == ""
        run("rm -rf /data/pgdata; mv /data/aside /data/pgdata")

    def test_directory_without_a_database_is_not_changed(self, run) -> None:
        run("mv /data/pgdata /data/aside; mkdir /data/pgdata; echo mine > /data/pgdata/file")
        sentence = play().sentence()
        play(postgresql_state="absent").succeeded()
        assert run("cat /data/pgdata/file").out == "mine\n"
        run("rm -r /data/pgdata; mv /data/aside /data/pgdata")
        assert "is not a data directory of PostgreSQL" in sentence


def test_read_only_volume_fails(where) -> None:
    """Pitfall 24: a volume of root that ignores fsGroup."""
    name = "test-postgresql-root"
    make = "mkdir -p {path}; chmod 0755 {path}"
    with local_volume(name, make, "rm -rf {path}") as class_name, own_namespace(name, wait=True):
        sentence = play(namespace=name, postgresql_storage_class=class_name).sentence()
    assert "cannot be written by user 999: it ignores fsGroup, or is read-only" in sentence


def test_secret_without_a_key_fails(where) -> None:
    for suffix, key in (("admin", "password"), ("admin", "username"), ("ca", "tls.key"), ("tls", "tls.crt")):
        path = where.path("Secret", f"{SERVER}-{suffix}")
        whole = where.request("get", path)["data"]
        where.request("patch", path, body={"data": {key: None}}, content_type="application/merge-patch+json")
        generation = where.get("StatefulSet", SERVER)["metadata"]["resourceVersion"]
        assert play().sentence() == (
            f"Secret {SERVER}-{suffix} in namespace {NAMESPACE} has no {key}. Restore its content, or delete it so "
            "that a new one is created, then rerun the playbook."
        )
        assert where.get("StatefulSet", SERVER)["metadata"]["resourceVersion"] == generation
        where.request("patch", path, body={"data": whole}, content_type="application/merge-patch+json")
    # All four have their content again.
    assert play().succeeded().changed == 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"postgresql_storage_size": "10Mi"}, "has 1Gi and cannot shrink to 10Mi"),
        ({"postgresql_storage_size": "9Gi"}, "its storage class standard cannot expand it to 9Gi"),
        ({"postgresql_storage_size": "much"}, "postgresql_storage_size: much is not a Kubernetes quantity"),
        ({"postgresql_storage_class": "other"}, "has storage class standard, which cannot change to other"),
        ({"postgresql_certificate_days": 30}, "would be renewed in each run. Raise postgresql_certificate_days, "),
        ({"postgresql_admin_username": "root"}, "has no role root. Restore the postgresql_admin_username"),
    ],
)
def test_invalid_settings_fail_before_any_change(where, variables, words: str) -> None:
    before = {name: secret(where, f"{SERVER}-{name}") for name in ("ca", "tls")}
    assert words in play(**variables).sentence()
    assert {name: secret(where, f"{SERVER}-{name}") for name in ("ca", "tls")} == before


def test_object_of_another_manager_fails() -> None:
    with own_namespace("test-postgresql-theirs") as theirs:
        theirs.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SERVER}, "data": {"mine": "1"}})
        sentence = play(namespace="test-postgresql-theirs").sentence()
        assert sentence.startswith(
            f"ConfigMap {SERVER} in namespace test-postgresql-theirs already exists and isn't managed by"
        )
        assert not theirs.get("Secret", f"{SERVER}-ca")
        play(namespace="test-postgresql-theirs", postgresql_state="absent", postgresql_data="purge").succeeded()
        assert theirs.get("ConfigMap", SERVER)["data"] == {"mine": "1"}


@pytest.mark.alone
def test_missing_storage_class_fails_at_once() -> None:
    with own_namespace("test-postgresql-class") as empty:
        told = play(namespace="test-postgresql-class", postgresql_storage_class="nothing-like-it")
        assert told.sentence() == (
            "Storage class nothing-like-it does not exist in this cluster. Set postgresql_storage_class to one of "
            "standard, then rerun the playbook."
        )
        assert told.seconds < 10
        assert not empty.get("StatefulSet", SERVER)
        assert not empty.get("Secret", f"{SERVER}-ca")


def test_storage_class_that_never_binds_is_reported() -> None:
    name = "test-postgresql-never"
    path = "/apis/storage.k8s.io/v1/storageclasses"
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "nobody.example/never",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    with own_namespace(name) as empty:
        empty.request("post", path, body=body)
        try:
            told = play(namespace=name, postgresql_storage_class=name)
        finally:
            empty.request("delete", f"{path}/{name}")
        beginning = f"StatefulSet {SERVER} is stuck: claim {SERVER} has no volume, and its storage class is {name}: "
        assert told.sentence().startswith(beginning)
        assert "nobody.example/never" in told.sentence()
        play(namespace=name, postgresql_state="absent", postgresql_data="purge").succeeded()


@contextmanager
def local_volume(name: str, make: str, unmake: str) -> Iterator[str]:
    """Yield a storage class with one volume, a directory on the node that a script creates."""
    path = f"/var/{name}"

    def on_node(script: str) -> None:
        command = ["docker", "exec", NODE, "sh", "-ec", script.format(path=path)]
        subprocess.run(command, check=True, capture_output=True)

    top = cluster("default")
    classes, volumes = "/apis/storage.k8s.io/v1/storageclasses", "/api/v1/persistentvolumes"
    on_node(make)
    top.request(
        "post",
        classes,
        body={
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner",
        },
    )
    top.request(
        "post",
        volumes,
        body={
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": path},
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": name,
            },
        },
    )
    try:
        yield name
    finally:
        top.request("delete", f"{classes}/{name}")
        top.request("delete", f"{volumes}/{name}")
        on_node(unmake)


def test_full_volume_refuses_writes_and_loses_no_rows() -> None:
    """On a volume with limited space: a separate file system of 150 MiB on the node."""
    name = "test-postgresql-full"
    make = "mkdir -p {path}; mount -t tmpfs -o size=150m,mode=0777 tmpfs {path}"
    with local_volume(name, make, "umount {path}; rmdir {path}") as class_name, own_namespace(name, wait=True) as full:
        wanted = {"namespace": name, "postgresql_storage_class": class_name, "roles": ("postgresql", "database")}
        # Fill the existing write-ahead log, so that rows and the log fill the volume together.
        wanted |= {"postgresql_settings": {"min_wal_size": "32MB", "max_wal_size": "48MB"}}
        play(**wanted).succeeded()
        admin_sql(full, "CREATE TABLE big (n bigserial, filling text)")
        fill = "INSERT INTO big (filling) SELECT repeat(md5(g::text), 30) FROM generate_series(1, 500) g RETURNING n"
        kept: list[int] = []
        for _ in range(1000):
            ended = full.exec(POD, "postgresql", ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", fill])
            if ended.code:
                break
            kept += map(int, ended.out.split())
        assert "No space left on device" in ended.err or "server closed the connection" in ended.err, ended.err
        told = play(**wanted)
        sentence = told.sentence()
        print(sentence)
        assert "full" in sentence or "No space left on device" in sentence
        # The volume is enlarged, and the server works again.
        subprocess.run(
            ["docker", "exec", NODE, "mount", "-o", "remount,size=400m", f"/var/{name}"],
            check=True,
            capture_output=True,
        )
        eventually(lambda: is_ready(full), 120)
        play(**wanted).succeeded()
        assert set(kept) <= set(map(int, admin_sql(full, "SELECT n FROM big").split()))
        assert admin_sql(full, "SELECT sum(checksum_failures) FROM pg_stat_database") in ("", "0")
