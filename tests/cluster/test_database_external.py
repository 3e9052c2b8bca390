"""Role `database` with an external server that has its own certificate authority."""

from __future__ import annotations

import base64
import ipaddress
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates as certs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from postgresql_support import ODD_PASSWORD, Unsafe, eventually, image, own_namespace, pod, psql, run_play, running_pod
from postgresql_support import secret as secret_of

NAMESPACE = "test-database-external"
CONTAINER = "cloud-django-test-external-postgresql"
NETWORK = "kind"
CLIENT = "client"
ADMIN = ODD_PASSWORD + " admin"
START = """
set -eu
cd /tmp
umask 077
cat > setup
sed -n '/^-----BEGIN CERT/,/^-----END CERT/p' setup > tls.crt
sed -n '/^-----BEGIN PRIVATE/,/^-----END PRIVATE/p' setup > tls.key
[ -d data ] || initdb --pgdata=data --auth-local=trust --auth-host=reject --encoding=UTF8 --locale=C.UTF-8 >/dev/null
cat > data/pg_hba.conf <<'END'
local all all trust
hostssl all denied all reject
hostssl all all all scram-sha-256
END
pg_ctl --pgdata=data status >/dev/null && exec pg_ctl --pgdata=data reload
pg_ctl --pgdata=data --wait --log=log --options="-c listen_addresses=* -c ssl=on -c ssl_cert_file=/tmp/tls.crt \
  -c ssl_key_file=/tmp/tls.key -c unix_socket_directories=/tmp -c log_statement=ddl" start
"""


def docker(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


class Server:
    """PostgreSQL server in its own container, on the network of the cluster's nodes."""

    def __init__(self) -> None:
        subprocess.run(["docker", "rm", "--force", CONTAINER], capture_output=True, check=False)
        docker("run", "--detach", "--name", CONTAINER, "--network", NETWORK, image(), "sleep", "3600")
        inspect = f'{{{{(index .NetworkSettings.Networks "{NETWORK}").IPAddress}}}}'
        self.address = docker("inspect", "--format", inspect, CONTAINER)
        self.ca = certs.authority("external", 100, certs.current_time() - timedelta(days=20))
        self.start(self.certificate())
        self.sql(f"CREATE ROLE boss LOGIN SUPERUSER PASSWORD $odd${ADMIN}$odd$")
        # Like administrators of managed servers: can create roles and databases, but not read stored passwords.
        self.sql(f"CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD $odd${ADMIN}$odd$")
        # Like logins that another team created.
        self.sql(f"CREATE ROLE shop LOGIN PASSWORD $odd${ODD_PASSWORD}$odd$; CREATE ROLE boutique LOGIN PASSWORD 'b'")
        self.sql("CREATE DATABASE shop_db OWNER shop")
        self.sql(f"CREATE ROLE nobody LOGIN PASSWORD $odd${ADMIN}$odd$; CREATE ROLE denied LOGIN PASSWORD 'x'")

    def certificate(self, days: int = 60, days_ago: int = 0, ca: certs.Pair | None = None) -> certs.Pair:
        """Return a certificate for the address, because the cluster's DNS does not know the server."""
        ca = ca or self.ca
        issuer = x509.load_pem_x509_certificate(ca.certificate.encode())
        start = certs.current_time() - timedelta(days=days_ago)
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))])
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=days))
            .add_extension(names, critical=True)
            .sign(serialization.load_pem_private_key(ca.key.encode(), None), hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certs.Pair(made.public_bytes(serialization.Encoding.PEM).decode(), private.decode())

    def start(self, pair: certs.Pair) -> None:
        docker("exec", "--interactive", CONTAINER, "sh", "-c", START, stdin=f"{pair.certificate}\n{pair.key}\n")

    def sql(self, statement: str, database: str = "postgres") -> str:
        command = ["psql", "-XqAt", "-h", "/tmp", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"]
        return docker("exec", "--interactive", CONTAINER, *command, stdin=statement)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        yield Server()
    finally:
        docker("rm", "--force", CONTAINER)


@pytest.fixture(scope="module")
def where(server: Server) -> Iterator:
    with own_namespace(NAMESPACE) as namespace, running_pod(namespace, pod(CLIENT, {})):
        yield namespace


@pytest.fixture(scope="module")
def play(server: Server):
    def run(*options: str, user: str = "manager", plain: bool = False, roles=("postgresql", "database"), **variables):
        settings = {
            "postgresql_backend": "external",
            "postgresql_host": server.address,
            "postgresql_admin_username": user,
            "postgresql_admin_password": Unsafe(ADMIN),
            "postgresql_ca_certificate": server.ca.certificate,
        }
        return run_play(NAMESPACE, list(roles), settings | variables, *options, plain=plain)

    return run


def untouched(server: Server, where) -> bool:
    """Fail if the collection left objects on the server or in the cluster."""
    roles = server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'polls%'")
    databases = server.sql("SELECT count(*) FROM pg_database WHERE datname = 'polls'")
    pods = [p["metadata"]["name"] for p in where.request("get", where.path("Pod"))["items"]]
    secrets = [where.get("Secret", f"polls-database-{login}") for login in ("migrate", "app", "read", "backup")]
    return (roles, databases, pods, [s for s in secrets if s]) == ("0", "0", [CLIENT], [])


# --- Invalid input: no objects exist before or after the run ----------------------------------------------------------


def test_check_mode_reports_the_plan_and_creates_nothing(server: Server, where, play) -> None:
    """Once without Secrets, and once with them, when it queries the server."""
    assert "create database polls" in play("--check").succeeded().changes
    assert not where.get("Secret", "polls-postgresql-admin")
    play(roles=["postgresql"]).succeeded()
    assert "create database polls" in play("--check").succeeded().changes
    assert untouched(server, where)


def test_stopped_server_is_reported(server: Server, where, play) -> None:
    docker("exec", CONTAINER, "pg_ctl", "--pgdata=/tmp/data", "stop")
    try:
        sentence = play().sentence()
    finally:
        server.start(server.certificate())
    assert sentence.startswith(
        f"The database server {server.address}:5432 cannot be reached: Connection refused. Start"
    )
    assert untouched(server, where)


def test_expired_certificate_is_reported_with_its_date(server: Server, where, play) -> None:
    server.start(server.certificate(days=3, days_ago=10))
    try:
        sentence = play().sentence()
    finally:
        server.start(server.certificate())
    ended = certs.current_time() - timedelta(days=7)
    assert sentence.startswith(
        f"The database server {server.address}:5432 cannot be trusted: its certificate expired on {ended:%Y-%m-%d}. "
    )
    assert untouched(server, where)


def test_certificate_of_another_ca_is_reported(server: Server, where, play) -> None:
    other = certs.authority("other", 10, certs.current_time())
    sentence = play(postgresql_ca_certificate=other.certificate).sentence()
    assert (
        "cannot be trusted: its certificate is expired, or not signed by the certificate authority in the Secret"
        in sentence
    )
    assert untouched(server, where)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("nobody", "The administrator's role nobody lacks CREATEROLE and CREATEDB."),
        ("denied", "rejects the administrator: FATAL: pg_hba.conf rejects connection"),
        ("stranger", "rejects the administrator: FATAL: password authentication failed"),
    ],
)
def test_denied_administrator_is_reported(server: Server, where, play, user: str, words: str) -> None:
    assert words in play(user=user).sentence()
    assert untouched(server, where)


def test_missing_secrets_are_reported(server: Server, where, play) -> None:
    play(roles=["postgresql"], postgresql_state="absent", postgresql_data="purge").succeeded()
    sentence = play(postgresql_admin_password="").sentence()
    assert sentence.startswith("Secret polls-postgresql-admin with username and password of the external server's")
    sentence = play(postgresql_ca_certificate="").sentence()
    assert sentence.startswith("Secret polls-postgresql-ca with the external server's certificate authority")
    assert untouched(server, where)


def test_an_extension_that_the_server_lacks_is_reported_before_the_first_change(server: Server, where, play) -> None:
    sentence = play(database_extensions=["no_such_extension"]).sentence()
    assert sentence.startswith("Extension no_such_extension is not installed on the server. Use a server with it, or")
    assert untouched(server, where)


# --- Logins that exist already ----------------------------------------------------------------------------------------


@pytest.fixture
def given(where, play):
    """Return a play with logins that exist already, whose passwords are in a Secret of the user."""
    data = {"password": ODD_PASSWORD, "wrong": "x", "boutique": "b"}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    where.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rds-shop"}, "data": encoded})

    def run(*options: str, key: str = "password", username: str = "shop", **variables):
        settings = {
            "database_access": "given",
            "database_name": "shop_db",
            "database_logins": {"app": {"username": username, "secret": "rds-shop", "key": key}},
            "postgresql_admin_password": "",
        }
        return play(*options, **settings | variables)

    purge = {"postgresql_state": "absent", "postgresql_data": "purge"}
    play(roles=["postgresql"], **purge).succeeded()
    yield run
    run(roles=["database", "postgresql"], database_state="absent", **purge).succeeded()
    where.delete("Secret", "rds-shop")


SERVICE = """
umask 077
cat > /tmp/service <<'END'
{service}
END
cat > /tmp/ca.crt <<'END'
{ca}
END
sed -i 's#^sslrootcert=.*#sslrootcert=/tmp/ca.crt#' /tmp/service
export PGSERVICEFILE=/tmp/service PGSERVICE=default
psql -XqAt -v ON_ERROR_STOP=1 -c "SELECT current_user"
psql -XqAt -v ON_ERROR_STOP=1 -d {address} -c "SELECT current_database()"
exit
"""


def test_given_logins_get_secrets_that_log_in(server: Server, where, given) -> None:
    """Also with an odd password, by the service file alone and with an address without a password."""
    assert given("--check").succeeded().changes == [
        "store the server's certificate authority",
        "create Secret polls-database-migrate",
        "create Secret polls-database-app",
    ]
    told = given("-vvv", "--diff", plain=True)
    assert not told.code, told.text
    assert ODD_PASSWORD[:20] not in told.text
    again = given().succeeded()
    assert (again.changed, again.changes) == (0, [])
    assert not where.get("Secret", "polls-postgresql-admin")
    assert not where.get("Secret", "polls-database-read")
    values = secret_of(where, "polls-database-app")
    assert (values["username"], values["owner"], values["schema"]) == ("shop", "shop", "public")
    script = SERVICE.format(service=values["service"], ca=values["ca.crt"], address=f"'{values['address']}'")
    # Not as an argument, because other tests look for passwords in the arguments of all processes.
    ended = where.exec(CLIENT, "main", ["sh", "-es"], script, timeout=60)
    assert (ended.code, ended.out.split()) == (0, ["shop", "shop_db"]), ended.err
    assert not psql(
        where, CLIENT, secret_of(where, "polls-database-migrate"), "CREATE TABLE made (); DROP TABLE made"
    ).code
    # A password that another program changes reaches the Secrets with the next run.
    server.sql("ALTER ROLE shop PASSWORD 'rotated'")
    where.patch("Secret", "rds-shop", {"data": {"password": base64.b64encode(b"rotated").decode()}})
    assert given().succeeded().changes == ["change Secret polls-database-migrate", "change Secret polls-database-app"]
    server.sql(f"ALTER ROLE shop PASSWORD $odd${ODD_PASSWORD}$odd$")


@pytest.mark.parametrize("mode", ["verify-ca", "require"])
def test_weaker_tls_is_named_at_the_end_of_the_run(where, given, mode: str) -> None:
    ca = {} if mode == "verify-ca" else {"postgresql_ca_certificate": ""}
    told = given(plain=True, database_sslmode=mode, **ca)
    assert not told.code, told.text
    assert f"because database_sslmode is {mode}." in " ".join(told.text.split())
    values = secret_of(where, "polls-database-app")
    assert (values["sslmode"], bool(values["ca.crt"])) == (mode, mode == "verify-ca")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "wrong"}, "rejects login shop: FATAL: password authentication failed"),
        ({"key": "none"}, "has no key none, which login shop in database_logins needs."),
        ({"database_sslmode": "disable"}, "rejects login shop: FATAL: no pg_hba.conf entry"),
        (
            {"database_name": "no_such_database"},
            'lacks the database: FATAL: database "no_such_database" does not exist',
        ),
        ({"database_schema": "other"}, "Login shop uses schema public in database shop_db, not other."),
        ({"username": "boutique", "key": "boutique"}, "Login boutique cannot create tables in schema public"),
        ({"database_extensions": ["citext"]}, "Extension citext is missing in database shop_db"),
        (
            {"postgresql_ca_certificate": "system", "database_ca_bundle": "/no/such/bundle.crt"},
            "cannot be checked: root certificate file",
        ),
    ],
)
def test_a_given_login_that_cannot_be_used_is_reported(where, given, options: dict[str, Any], words: str) -> None:
    assert words in given(**options).sentence()
    assert not where.get("Secret", "polls-database-app")


# --- Valid input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["boss", "manager"])
def test_roles_manage_an_external_database(server: Server, where, play, user: str) -> None:
    """As a superuser, and as an administrator of a managed server, up to the removal."""
    logged = len(docker("exec", CONTAINER, "cat", "/tmp/log"))
    told = play("-vvv", "--diff", plain=True, user=user)
    assert not told.code, told.text
    again = play(user=user).succeeded()
    assert (again.changed, again.changes) == (0, [])

    def run(login: str, statement: str, **options: str):
        return psql(where, CLIENT, secret_of(where, f"polls-database-{login}"), statement, **options)

    assert not run("migrate", "CREATE TABLE question (id bigserial PRIMARY KEY)").code
    assert not run("app", "INSERT INTO question DEFAULT VALUES").code
    assert "permission denied" in run("app", "CREATE TABLE mine ()").err
    assert "read-only" in run("read", "DELETE FROM question").err
    assert run("app", "SELECT 1", sslmode="disable").code
    # Drift, including a password, which this administrator can detect only by a login.
    server.sql("ALTER ROLE polls_app PASSWORD 'other'; ALTER ROLE polls_read CONNECTION LIMIT 1")
    server.sql(
        "REVOKE SELECT ON polls.question FROM polls_backup; ALTER TABLE polls.question OWNER TO polls_owner", "polls"
    )
    wanted = {
        "set the password of role polls_app",
        "set CONNECTION LIMIT 5 of role polls_read",
        "grant SELECT on table polls.question to polls_backup",
    }
    assert set(play("--check", user=user).succeeded().changes) == wanted
    assert set(play(user=user).succeeded().changes) == wanted
    assert not run("app", "SELECT 1").code
    odd = {"database_passwords": {"app": Unsafe(ODD_PASSWORD)}}
    play(user=user, **odd).succeeded()
    assert play(user=user, **odd).succeeded().changed == 0
    assert not run("app", "SELECT 1", password=ODD_PASSWORD).code
    log = docker("exec", CONTAINER, "cat", "/tmp/log")[logged:]
    for text in (told.text, log):
        assert ODD_PASSWORD[:20] not in text
    # Only a superuser can disable the logging of verifiers. No login logs a plain password.
    assert ("SCRAM-SHA-256$" in log) == (user == "manager")
    # The removal keeps or drops it.
    play(user=user, roles=["database"], database_state="absent").succeeded()
    assert not run("app", "SELECT 1").code
    play(user=user, roles=["database", "postgresql"], database_state="absent", postgresql_data="purge").succeeded()
    eventually(lambda: untouched(server, where))
    again = play(user=user, roles=["database"], database_state="absent", postgresql_data="purge").succeeded()
    assert again.changes == []


def test_pod_of_an_interrupted_play_has_a_deadline_of_ten_minutes(server: Server, where, play) -> None:
    """The deadline is in the pod's manifest."""
    seen: list[dict] = []
    known = {CLIENT}
    process = threading.Thread(target=play, daemon=True)
    process.start()
    until = time.monotonic() + 60
    while not seen and time.monotonic() < until:
        pods = where.request("get", where.path("Pod"))["items"]
        seen = [p for p in pods if p["metadata"]["name"] not in known]
    process.join(60)
    assert seen[0]["spec"]["activeDeadlineSeconds"] == 600
    play(roles=["database", "postgresql"], database_state="absent", postgresql_state="absent", postgresql_data="purge")
