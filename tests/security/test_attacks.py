"""Attempts of strangers and intruders on a real site: each attempt fails, and allowed actions work."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from postgresql_support import admin_sql, cluster, pod, running_pod, secret
from support_security import GIVEN, STRANGERS, SUPERUSER, Answer, Site, outside_address

PYTHON_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"
PAGES = ["/", "/polls/1/", "/polls/1/results/", "/polls/1/results.json", "/admin/", "/admin/login/", "/none/", "/livez"]
METRICS_PORTS = (9090, 9100, 9187, 2019, 10250)
# The front listens on the first port for all clients, the project on the second one for the front only.
FRONT_PORT, PROJECT_PORT = 8080, 8000


# --- (c) Strangers in the cluster -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(site: Site) -> Iterator[Callable[[str], Any]]:
    """Return a shell in a pod of another namespace."""
    where = cluster(STRANGERS)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STRANGERS, "labels": labels}}
    where.request("post", "/api/v1/namespaces", body=body)
    with running_pod(where, pod("stranger", {})) as shell:
        yield shell


@pytest.fixture(scope="module")
def neighbour(site: Site) -> Iterator[Callable[[str], Any]]:
    """Return a shell in a pod of the site's namespace that does not belong to the site."""
    with running_pod(site.where, pod("neighbour", {})) as shell:
        yield shell


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[Callable[[str], Any]]:
    """Return a shell in a pod that may connect to the database."""
    with running_pod(site.where, pod("client", {"cloud-django/postgresql-client": "true"})) as shell:
        yield shell


def attempts(shell: Callable[[str], Any], targets: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Connect to all targets in parallel. A result is `open`, `refused` by the host, or `dropped` on the way."""
    # Connections of bash, because the image has no other program for them.
    try_one = "(code=0; timeout 2 bash -c ': < /dev/tcp/{0}/{1}' 2> /dev/null || code=$?; echo {0} {1} $code) &"
    told = shell("\n".join([*(try_one.format(*target) for target in targets), "wait"])).out.split()
    outcomes = {"0": "open", "124": "dropped"}
    pairs = zip(told[::3], told[1::3], told[2::3], strict=True)
    return {(host, int(port)): outcomes.get(code, "refused") for host, port, code in pairs}


def connects(shell: Callable[[str], Any], host: str, port: int) -> bool:
    return attempts(shell, [(host, port)]) == {(host, port): "open"}


def targets(site: Site) -> list[tuple[str, int]]:
    """Return all ports of the site that are not public."""
    server = site.where.get("Pod", "polls-postgresql-0")["status"]["podIP"]
    web = [entry["status"]["podIP"] for entry in site.pods()]
    cache = site.where.get("Pod", "polls-cache-0")["status"]["podIP"]
    found = [(server, 5432), (f"polls-postgresql.{site.where.namespace}.svc.cluster.local", 5432)]
    found += [(cache, 6379), (f"polls-cache.{site.where.namespace}.svc.cluster.local", 6379)]
    return found + [(host, port) for host in [server, *web] for port in (6379, 26379, *METRICS_PORTS)]


def test_allowed_connections_work(
    site: Site, client: Callable[[str], Any], stranger: Callable[[str], Any], tell: Callable[[str], None]
) -> None:
    tried = list(attempts(client, [target for target in targets(site) if target[1] == 5432]).values())
    # The site itself is public, and pods are ready only with a connection to the database.
    tried += attempts(stranger, [(entry["status"]["podIP"], FRONT_PORT) for entry in site.pods()]).values()
    tried += ["open" if site.get("/readyz").status == 200 else "not ready"]
    tell(f"{tried.count('open')} of {len(tried)} allowed connections succeeded")
    assert set(tried) == {"open"}


@pytest.mark.parametrize("who", ["stranger", "neighbour"])
def test_connections_of_strangers_fail(
    site: Site, who: str, request: pytest.FixtureRequest, tell: Callable[[str], None]
) -> None:
    """No connection is refused either, which would prove only that no process listens there now."""
    tried = attempts(request.getfixturevalue(who), targets(site))
    succeeded = [target for target, outcome in tried.items() if outcome == "open"]
    tell(f"{len(succeeded)} of {len(tried)} connections of the {who} succeeded")
    assert len(tried) == len(targets(site))
    assert {target: outcome for target, outcome in tried.items() if outcome != "dropped"} == {}


def test_only_the_front_reaches_the_project(site: Site, stranger: Callable[[str], Any]) -> None:
    """Even if a NetworkPolicy allows all pods, the port is open only inside the pod."""
    site.where.create(
        ALLOW_ALL
        | {
            "metadata": {"name": "lets-all-in"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
        }
    )
    try:
        for address in (entry["status"]["podIP"] for entry in site.pods()):
            assert attempts(stranger, [(address, PROJECT_PORT)]) == {(address, PROJECT_PORT): "refused"}
            assert connects(stranger, address, FRONT_PORT)
    finally:
        site.where.delete("NetworkPolicy", "lets-all-in")
    assert site.in_pod("python", "-c", PYTHON_CONNECT, "127.0.0.1", str(PROJECT_PORT)).code == 0


ALLOW_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "somebody-allows-all"},
    "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
}
FORBIDDEN = "could connect to another pod of the site, which its NetworkPolicy forbids"


def test_probe_has_no_warning_if_policies_are_enforced(site: Site) -> None:
    ended = site.record.play("site.yml", "--tags=web", web_network_policy_probe="require")
    assert (ended.code, ended.changed) == (0, 0), ended.output[-2000:]
    assert FORBIDDEN not in ended.unfolded


def test_probe_warns_if_policies_are_not_enforced(site: Site) -> None:
    """As in a cluster without enforcement, the pods may open any connection here."""
    site.where.create(ALLOW_ALL)
    try:
        required = site.record.play("site.yml", "--tags=web", web_network_policy_probe="require")
        assert required.code != 0
        assert FORBIDDEN in required.unfolded
        other = {"django_environment": {"POLLS_PAGE_SIZE": "9"}}
        warned = site.record.play("site.yml", "--tags=web", **other)
        assert (warned.code, FORBIDDEN in warned.unfolded) == (0, True)
        ignored = site.record.play("site.yml", "--tags=web", web_network_policy_probe="ignore")
        assert (ignored.code, ignored.changed > 0, FORBIDDEN in ignored.unfolded) == (0, True, False)
    finally:
        site.where.delete("NetworkPolicy", "somebody-allows-all")


def test_probe_fails_if_enforcement_is_unknown(site: Site) -> None:
    """A single pod can't check enforcement."""
    ended = site.record.play("site.yml", "--tags=web", web_network_policy_probe="require", web_replicas=1)
    assert ended.code != 0
    assert "NetworkPolicy enforcement of the cluster is unknown" in ended.unfolded
    assert site.record.play("site.yml", "--tags=web").code == 0


def test_only_configured_peers_reach_the_pods(
    site: Site, stranger: Callable[[str], Any], neighbour: Callable[[str], Any]
) -> None:
    peers = [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": STRANGERS}}}]
    assert site.record.play("site.yml", "--tags=web", web_network_policy_peers=peers, web_proof=False).code == 0
    web = [entry["status"]["podIP"] for entry in site.pods()]
    assert all(connects(stranger, address, FRONT_PORT) for address in web)
    assert not any(connects(neighbour, address, FRONT_PORT) for address in web)
    assert site.record.play("site.yml", "--tags=web").code == 0


# --- (d) An intruder in a pod of the site -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/app", "/opt/venv", "/etc", "/run/secrets/django", "/usr/local/bin", "/var/tmp"]
)
def test_the_intruder_cannot_write(site: Site, path: str) -> None:
    ended = site.in_pod("python", "-c", "import sys; open(sys.argv[1] + '/intruder', 'w')", path)
    assert ended.code == 1
    assert "Read-only file system" in ended.err


def test_the_intruder_can_write_to_tmp_only(site: Site) -> None:
    assert site.in_pod("python", "-c", "open('/tmp/file', 'w').write('x')").code == 0


def test_intruder_has_no_privileges(site: Site) -> None:
    script = "import os; print(os.getuid(), os.getgid()); print(open('/proc/self/status').read())"
    told = site.in_pod("python", "-c", script)
    assert told.out.startswith("10001 10001\n")
    status = dict(line.split(":\t", 1) for line in told.out.splitlines() if ":\t" in line)
    assert status["CapEff"].strip("0") == status["CapBnd"].strip("0") == ""
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert site.in_pod("python", "-c", "import os; os.setuid(0)").code == 1
    assert site.in_pod("python", "-c", "open('/var/run/secrets/kubernetes.io/serviceaccount/token')").code == 1


def test_secret_files_have_the_narrowest_mode(site: Site) -> None:
    script = "import glob, os\nfor path in glob.glob('/run/secrets/*/*'): print(oct(os.stat(path).st_mode))"
    told = site.in_pod("python", "-c", script).out.split("\n")
    modes = {line.split()[0] for line in told if line}
    assert len(told) > 3
    assert modes == {"0o100440"}


def test_the_intruder_cannot_reach_the_api_server(site: Site) -> None:
    host = site.in_pod("python", "-c", "import os; print(os.environ['KUBERNETES_SERVICE_HOST'])").out.strip()
    assert site.in_pod("python", "-c", PYTHON_CONNECT, host, "443").code == 1
    names = site.in_pod("python", "-c", "import os; print(*os.environ)").out.split()
    assert not [name for name in names if name.startswith("POLLS_") and name.endswith(("_HOST", "_PORT"))]


def test_the_intruder_cannot_reach_the_internet(site: Site, stranger: Callable[[str], Any]) -> None:
    """A server outside of the cluster stands for the internet. A pod without a NetworkPolicy reaches it."""
    gateway = outside_address()
    with http.server.ThreadingHTTPServer((gateway, 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        assert connects(stranger, gateway, port)
        ended = site.in_pod("python", "-c", PYTHON_CONNECT, gateway, str(port))
        server.shutdown()
    assert ended.code == 1
    assert "timed out" in ended.err or "refused" in ended.err


def sql(site: Site, statement: str) -> str:
    """Run SQL as the site does; return the result or the error."""
    code = (
        "import django, sys; django.setup(); from django.db import connection\n"
        "with connection.cursor() as c:\n  c.execute(sys.argv[1]); print(c.fetchall() if c.description else 'done')"
    )
    ended = site.in_pod("python", "-c", code, statement)
    return (ended.out + ended.err).strip()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE intruder (id int)",
        "CREATE TABLE public.intruder (id int)",
        "CREATE TEMPORARY TABLE intruder (id int)",
        "CREATE SCHEMA intruder",
        "CREATE EXTENSION dblink",
        "DROP TABLE polls_choice",
        "ALTER TABLE polls_choice ADD COLUMN x int",
        "TRUNCATE polls_choice",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE polls_owner",
        "SET ROLE postgres",
        "ALTER ROLE polls_app SUPERUSER",
        "SELECT * FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY polls_choice TO PROGRAM 'id'",
        "COPY polls_choice FROM '/etc/passwd'",
        "SELECT * FROM other.diary",
        "SELECT lo_import('/etc/passwd')",
    ],
)
def test_intruder_has_no_database_privileges(site: Site, other_table: None, statement: str) -> None:
    answer = sql(site, statement)
    assert "InsufficientPrivilege" in answer or "permission denied" in answer or "must be" in answer, answer


@pytest.fixture(scope="module")
def other_table(site: Site) -> None:
    """Return a table of another role in the same database."""
    database = secret(site.where, "polls-database-app")["database"]
    admin_sql(site.where, "CREATE ROLE other; CREATE SCHEMA other AUTHORIZATION other", database)
    admin_sql(site.where, "CREATE TABLE other.diary (entry text); ALTER TABLE other.diary OWNER TO other", database)


def test_the_site_itself_can_read_and_vote(site: Site) -> None:
    assert "(1,)" in sql(site, "SELECT 1")
    assert sql(site, "UPDATE polls_choice SET votes = votes WHERE false") == "done"


def test_connections_to_the_database_are_encrypted_and_verified(site: Site) -> None:
    assert "True" in sql(site, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    database = secret(site.where, "polls-database-app")["database"]
    over_network = "pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
    assert admin_sql(site.where, f"SELECT DISTINCT ssl FROM {over_network}", database) == "t"
    code = (
        "import os, psycopg2 as p; p.connect(host=os.environ['DATABASE_HOST'], user='x', dbname='x', sslmode='disable')"
    )
    assert "no encryption" in site.in_pod("python", "-c", code).err


# --- (e) Pod Security -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "breach",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]},
        {"securityContext": {"runAsUser": 0}},
        {"containers": [{"name": "main", "image": "x", "securityContext": {"privileged": True}}]},
    ],
)
def test_the_namespace_enforces_restricted(site: Site, breach: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match='violates PodSecurity "restricted'):
        site.where.create(pod("breach", {}, **breach))


# --- (f) Headers and cookies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_headers_of_every_page(site: Site, path: str) -> None:
    answer = site.get(path)
    if path == "/livez":
        assert answer.status == 200
        return
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert "Python" not in str(answer.headers)
    assert not {"Server", "Via"} & set(answer.headers)


def test_cookies(site: Site) -> None:
    cookies = site.get("/admin/login/").cookies() | site.log_in(str(GIVEN["superuser_password"])).cookies()
    assert set(cookies) == {"csrftoken", "sessionid"}
    for cookie in cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"


# --- (g) Guessing passwords -------------------------------------------------------------------------------------------

POD_LOG_IN = """
import http.client, sys, urllib.parse, json
host, user, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
password = sys.stdin.read()
def ask(method, body=None, **headers):
    client = http.client.HTTPConnection(host, 8080, timeout=10)
    client.request(method, "/admin/login/", body, {"Host": "localhost", **headers})
    answer = client.getresponse()
    return answer, answer.read().decode()
statuses = []
for _ in range(times):
    answer, page = ask("GET")
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    cookie = answer.headers["Set-Cookie"].split(";")[0]
    body = urllib.parse.urlencode({"username": user, "password": password, "csrfmiddlewaretoken": token})
    kind = "application/x-www-form-urlencoded"
    statuses.append(ask("POST", body, **{"Cookie": cookie, "Content-Type": kind, "Origin": "http://localhost"})[0].status)
print(json.dumps(statuses))
"""


def python_pod(site: Site, name: str) -> dict[str, Any]:
    """Return a pod in the strangers' namespace with the site's image, which has Python."""
    manifest = pod(name, {})
    manifest["spec"]["containers"][0] |= {
        "image": site.project(site.pods()[0])["image"],
        "command": ["sleep", "600"],
    }
    manifest["spec"]["securityContext"] |= {"runAsUser": 10001, "runAsGroup": 10001}
    return manifest


def test_ten_failed_logins_lock_only_their_address(site: Site, stranger: Callable[[str], Any]) -> None:
    where = cluster(STRANGERS)
    web = site.pods()[0]["status"]["podIP"]

    def guesses(name: str, password: str, times: int) -> list[int]:
        command = ["sh", "-c", 'head -c "$1" | python -c "$2" "$3" "$4" "$5"', "sh"]
        data = password.encode()
        ended = where.exec(name, "main", [*command, str(len(data)), POD_LOG_IN, web, SUPERUSER, str(times)], password)
        assert not ended.code, ended.err
        return json.loads(ended.out)

    with ExitStack() as stack:
        for name in ("attacker", "owner"):
            stack.enter_context(running_pod(where, python_pod(site, name)))
        assert guesses("attacker", "guess", 10) == [200] * 4 + [429] * 6
        right = str(GIVEN["superuser_password"])
        assert guesses("attacker", right, 1) == [429]
        assert guesses("owner", right, 1) == [302]
    assert site.log_in(right).status == 302


def test_clients_from_outside_have_their_own_address(site: Site) -> None:
    """With one address for all clients, the first attacker would lock out all users."""
    assert site.log_in("guess", "marker").status == 200
    database = secret(site.where, "polls-database-app")["database"]
    address = admin_sql(
        site.where, "SELECT DISTINCT ip_address FROM polls.axes_accessattempt WHERE username = 'marker'", database
    )
    assert address == outside_address()


# --- (h) Odd paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/", "GET", {"Host": "evil.example"}, {400}),
        ("/", "GET", {"Host": "localhost@evil.example"}, {400}),
        ("/", "GET", {"Host": ""}, {400}),
        ("/", "GET", {"X_Forwarded_Host": "evil.example"}, {200}),
        ("/", "GET", {"X_Forwarded_Proto": "https", "X_Forwarded_For": "127.0.0.1"}, {200}),
        ("/", "GET", {"Forwarded": "host=evil.example;proto=https"}, {200}),
        ("/", "GET", {"X_Original_URL": "/admin/", "X_Rewrite_URL": "/admin/"}, {200}),
        ("/", "GET", {"X_HTTP_Method_Override": "DELETE"}, {200}),
        ("/", "POST", {}, {403, 405}),
        ("/", "TRACE", {}, {405}),
        ("/", "DELETE", {}, {403, 405}),
        ("/", "INVENTED", {}, {400, 403, 405}),
        ("/polls/1/vote/", "POST", {}, {403}),
        ("/../../etc/passwd", "GET", {}, {404}),
        ("/static/../../etc/passwd", "GET", {}, {404}),
        ("/static/%2e%2e/%2e%2e/etc/passwd", "GET", {}, {404}),
        ("/static/..%5c..%5cetc/passwd", "GET", {}, {404}),
        ("/%00", "GET", {}, {404}),
        ("/polls/1%00/", "GET", {}, {404}),
        ("/polls/99999999999999999999/", "GET", {}, {404}),
        ("/polls/1'%20OR%201=1/", "GET", {}, {404}),
        ("//evil.example/", "GET", {}, {404}),
        ("/polls//evil.example", "GET", {}, {404, 301}),
        ("/?page=%27;DROP%20TABLE", "GET", {}, {200}),
        ("/.env", "GET", {}, {404}),
        ("/.git/config", "GET", {}, {404}),
        ("/readyz/", "GET", {}, {404}),
        ("/front-livez", "GET", {}, {200}),
        ("/front-livez/../admin/", "GET", {}, {200, 302, 404}),
        ("/config/", "GET", {}, {404}),
        ("/admin/login/?next=//evil.example/", "GET", {}, {200}),
    ],
)
def test_odd_paths_get_the_expected_status(
    site: Site, path: str, method: str, headers: dict[str, str], status: set[int]
) -> None:
    answer = site.get(path, method, **headers)
    assert answer.status in status
    location = answer.headers["Location"] or ""
    assert not location.startswith("//")
    assert "evil.example" not in location
    assert 'href="http' not in answer.text or "evil.example" not in answer.text
    assert "Traceback" not in answer.text


def test_too_large_requests_are_refused(site: Site) -> None:
    # The response follows the head, because a client that keeps sending may see only a closed connection.
    assert site.send(f"POST /polls/1/vote/ HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: 1000000\r\n\r\n") == 413
    assert site.get("/", X_Long="x" * 40_000).status == 431
    assert site.get("/" + "x" * 5000).status in {400, 414}
    fields = "&".join(f"a{number}=1" for number in range(5000))
    assert site.get("/polls/1/vote/", "POST", fields, Content_Type="application/x-www-form-urlencoded").status in {
        400,
        403,
    }


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 40", ""),
        ("Transfer-Encoding : chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked", "0\r\n\r\n"),
        ("Transfer_Encoding: chunked\r\nContent-Length: 0", ""),
    ],
)
def test_no_request_is_smuggled(site: Site, lengths: str, body: str) -> None:
    """tests/front/ tests all variants. Here a few run against the real site."""
    request = f"POST / HTTP/1.1\r\nHost: {site.host}\r\n{lengths}\r\n\r\n{body}{SMUGGLED.format(host=site.host)}"
    assert site.send(request) in {400, 403, 405, 501}
    assert site.get("/").status == 200


def test_admin_does_not_reveal_users(site: Site) -> None:
    known, unknown = site.log_in("wrong"), site.log_in("wrong", "nobody-of-this-name")
    assert (known.status, unknown.status) == (200, 200)

    def message(answer: Answer) -> str:
        return answer.text.split('class="errornote"')[1].split("</p>")[0]

    assert message(known) == message(unknown)


def test_no_page_reveals_the_version(site: Site) -> None:
    """Neither in headers nor in error pages."""
    for path in ("/none/", "/polls/999999/"):
        answer = site.get(path)
        assert "Django" not in answer.text
        assert "gunicorn/" not in str(answer.headers)


def test_database_refuses_unencrypted_connections(site: Site, client: Callable[[str], Any]) -> None:
    access = secret(site.where, "polls-database-app")
    where = f"host={access['host']} user={access['username']} dbname={access['database']} sslmode=disable"
    told = client(f"psql '{where}' 2>&1 || true")
    assert "no encryption" in told.out
