"""The modules around PostgreSQL: what they refuse, what they write, and their sentences. A fake cluster answers."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import certificates, cluster_api, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.cluster_api import Ended, Trouble
from ansible_collections.cloud_django.kubernetes.plugins.modules import postgresql_access as access
from ansible_collections.cloud_django.kubernetes.plugins.modules import postgresql_foundation as foundation
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OURS = {"app.kubernetes.io/managed-by": "cloud-django"}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class Cluster(cluster_api.Cluster):
    """Holds objects by Kind/name, notes what is written, and answers programs by a function."""

    def __init__(self, *objects: dict[str, Any], exists: bool = True) -> None:
        super().__init__(None, "polls")
        self.objects = {f"{o['kind']}/{o['metadata']['name']}": o for o in objects}
        self.exists = exists
        self.classes: list[dict[str, Any]] = [storage_class("standard", default=True)]
        self.scripts: list[str] = []
        self.answers: Any = lambda script: Ended(0, "", "")
        self.notes: list[str] = []

    def namespace_exists(self) -> bool:
        return self.exists

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.objects.get(f"{kind}/{name}")

    def storage_classes(self) -> list[dict[str, Any]]:
        return self.classes

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        return [
            {"type": "Normal", "message": "waits"},
            {"type": "Warning", "message": "no\nroom."},
            {"message": "waits"},
        ]

    def apply(self, manifest: Any, force: bool = True) -> dict[str, Any]:
        self.objects[f"{manifest['kind']}/{manifest['metadata']['name']}"] = manifest
        self.notes.append(f"apply {manifest['kind']}/{manifest['metadata']['name']}")
        return manifest

    def create(self, manifest: Any) -> dict[str, Any]:
        self.notes.append(f"create {manifest['metadata']['name']}")
        return manifest

    def delete(self, kind: str, name: str, grace: int | None = None) -> None:
        self.objects.pop(f"{kind}/{name}", None)
        self.notes.append(f"delete {kind}/{name}")

    def annotate(self, kind: str, name: str, annotations: Any) -> None:
        self.notes.append(f"annotate {kind}/{name}")

    def wait_until_running(self, pod: str, timeout: float) -> None:
        self.notes.append(f"wait {pod}")

    def run(self, pod: str, container: str, command: Any, stdin: str = "", timeout: float = 60) -> Ended:
        assert "s3cret" not in " ".join(command), "secrets are sent through standard input only"
        self.scripts.append(stdin)
        return self.answers(stdin)


def thing(kind: str, name: str = "polls-postgresql", ours: bool = True, **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "labels": OURS if ours else {}}, **rest}


def secret(name: str, ours: bool = True, **values: str) -> dict[str, Any]:
    data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return thing("Secret", name, ours, data=data)


def storage_class(name: str, default: bool = False, grows: bool = False) -> dict[str, Any]:
    note = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": note}, "allowVolumeExpansion": grows}


def values_of(cluster: Cluster, name: str) -> dict[str, str]:
    return cluster_api.secret_data(cluster.objects[f"Secret/{name}"])


# --- postgresql_foundation --------------------------------------------------------------------------------------------


def basis(**changes: Any) -> dict[str, Any]:
    claim = {"name": "polls-postgresql", "size": "1Gi", "storage_class": ""}
    return {
        "namespace": "polls",
        "name": "polls-postgresql",
        "labels": OURS,
        "state": "present",
        "external": False,
        "admin_username": "postgres",
        "admin_password": None,
        "ca_certificate": None,
        "dns_names": ["polls-postgresql"],
        "ca_days": 3650,
        "certificate_days": 365,
        "renew_days": 30,
        "claim": claim,
        "container": "postgresql",
        "reload_timeout": 5,
    } | changes


def lay(cluster: Cluster, check_mode: bool = False, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    return foundation.run(basis(**changes), check_mode, cluster, now)


@pytest.fixture
def laid() -> Cluster:
    """Return a cluster with the three Secrets."""
    cluster = Cluster()
    lay(cluster)
    cluster.notes.clear()
    return cluster


def test_missing_secrets_are_made_once() -> None:
    cluster = Cluster()
    told = lay(cluster)
    assert told["changed"]
    assert told["changes"] == [
        "make the administrator's password",
        "make a certificate authority",
        "make the server's certificate",
    ]
    assert cluster.notes == [f"apply Secret/polls-postgresql-{name}" for name in ("admin", "ca", "tls")]
    admin = values_of(cluster, "polls-postgresql-admin")
    assert (admin["username"], len(admin["password"])) == ("postgres", 32)
    assert admin["password"] not in json.dumps(told)
    again = lay(cluster)
    assert (again["changed"], again["changes"]) == (False, [])


def test_a_dry_run_writes_nothing() -> None:
    for cluster in (Cluster(), Cluster(exists=False)):
        assert lay(cluster, check_mode=True)["changed"]
        assert cluster.notes == []


def test_a_missing_namespace_is_told() -> None:
    with pytest.raises(Trouble, match="Namespace polls does not exist"):
        lay(Cluster(exists=False))


def test_what_is_kept_and_what_is_renewed_as_time_goes_by(laid: Cluster) -> None:
    before = {name: values_of(laid, f"polls-postgresql-{name}") for name in ("admin", "ca", "tls")}
    assert lay(laid, now=NOW + timedelta(days=335))["changes"] == []
    told = lay(laid, now=NOW + timedelta(days=336))
    assert told["changes"] == ["renew the server's certificate since 29 days are left"]
    assert values_of(laid, "polls-postgresql-ca") == before["ca"]
    assert values_of(laid, "polls-postgresql-admin") == before["admin"]
    told = lay(laid, now=NOW + timedelta(days=3400))
    assert told["changes"][0] == "renew the certificate authority since 250 days are left"
    after = values_of(laid, "polls-postgresql-ca")
    assert after["tls.key"] == before["ca"]["tls.key"]
    assert after["tls.crt"] != before["ca"]["tls.crt"]


def test_other_names_are_another_certificate(laid: Cluster) -> None:
    told = lay(laid, dns_names=["polls-postgresql", "db.example.org"])
    assert told["changes"] == ["renew the server's certificate since its names are others"]


def test_a_given_password_replaces_the_generated_one(laid: Cluster) -> None:
    assert lay(laid, admin_password="given")["changes"] == ["change the administrator's password"]
    assert values_of(laid, "polls-postgresql-admin") == {"username": "postgres", "password": "given"}
    assert lay(laid)["changes"] == []


@pytest.mark.parametrize(
    ("name", "keys"), [("admin", ("username", "password")), ("ca", ("tls.crt", "tls.key")), ("tls", ("tls.key",))]
)
def test_a_secret_without_a_key_stops_everything(laid: Cluster, name: str, keys: tuple[str, ...]) -> None:
    for key in keys:
        cluster = Cluster(*laid.objects.values())
        broken = laid.objects[f"Secret/polls-postgresql-{name}"]
        cluster.objects[f"Secret/polls-postgresql-{name}"] = broken | {
            "data": {k: v for k, v in broken["data"].items() if k != key}
        }
        with pytest.raises(Trouble, match=f"Secret polls-postgresql-{name} in namespace polls has no {key}"):
            lay(cluster)
        assert cluster.notes == []


def test_a_secret_of_somebody_else_stops_everything() -> None:
    cluster = Cluster(secret("polls-postgresql-admin", ours=False, username="a", password="b"))
    with pytest.raises(Trouble, match="is there already and not from this collection"):
        lay(cluster)
    assert cluster.notes == []


def test_a_secret_that_is_no_authority_stops_everything() -> None:
    cluster = Cluster(secret("polls-postgresql-ca", tls_crt="nonsense", tls_key="nonsense"))
    with pytest.raises(Trouble, match="is no certificate authority: it cannot be read"):
        lay(cluster)


@pytest.mark.parametrize("kind", [*foundation.KINDS, "PersistentVolumeClaim"])
def test_an_object_of_somebody_else_stops_everything(kind: str) -> None:
    cluster = Cluster(thing(kind, ours=False))
    with pytest.raises(Trouble, match=f"{kind} polls-postgresql in namespace polls is there already"):
        lay(cluster)
    assert cluster.notes == []


def test_absent_only_tells_what_is_ours(laid: Cluster) -> None:
    for item in (thing("StatefulSet"), thing("Service", ours=False)):
        laid.objects[f"{item['kind']}/polls-postgresql"] = item
    told = lay(laid, state="absent")
    assert told["objects"] == [
        "StatefulSet/polls-postgresql",
        *(f"Secret/polls-postgresql-{name}" for name in ("admin", "ca", "tls")),
    ]
    assert not told["changed"]
    assert lay(Cluster(exists=False), state="absent")["objects"] == []


def held(size: str = "1Gi", kind: str = "standard", phase: str = "Bound") -> dict[str, Any]:
    spec = {"resources": {"requests": {"storage": size}}, "storageClassName": kind}
    return thing("PersistentVolumeClaim", spec=spec, status={"phase": phase})


@pytest.mark.parametrize(
    ("claim", "classes", "wanted", "words"),
    [
        (None, [], {}, "This cluster has no default storage class"),
        (None, [storage_class("a")], {}, "no default storage class. Set postgresql_storage_class to one of a"),
        (None, [storage_class("a", True)], {"storage_class": "b"}, "Storage class b does not exist in this cluster"),
        (None, [storage_class("a", True)], {"size": "1 GB"}, "The size 1 GB of the volume is no amount"),
        (held("2Gi"), [storage_class("standard")], {}, "has 2Gi, and volumes cannot shrink to 1Gi"),
        (held("1Mi"), [storage_class("standard")], {}, "its storage class standard cannot enlarge it to 1Gi"),
        (held(kind="other"), [], {"storage_class": "b"}, "is of storage class other, and cannot become one of b"),
    ],
)
def test_storage_that_cannot_be_had_is_refused(claim: Any, classes: Any, wanted: Any, words: str) -> None:
    cluster = Cluster(*([claim] if claim else []))
    cluster.classes = classes
    with pytest.raises(Trouble, match=words):
        lay(cluster, claim=basis()["claim"] | wanted)
    assert cluster.notes == []


@pytest.mark.parametrize(
    ("claim", "classes", "wanted"),
    [
        (None, [storage_class("a", True)], {}),
        (None, [storage_class("a")], {"storage_class": "a"}),
        (held("1024Mi"), [], {}),
        (held("1Mi"), [storage_class("standard", grows=True)], {}),
        (held(kind="b"), [], {"storage_class": "b"}),
    ],
)
def test_storage_that_can_be_had_is_not_refused(claim: Any, classes: Any, wanted: Any) -> None:
    cluster = Cluster(*([claim] if claim else []))
    cluster.classes = classes
    assert lay(cluster, claim=basis()["claim"] | wanted)["claim_bound"] is bool(claim)


def test_a_certificate_that_would_always_be_renewed_is_refused() -> None:
    with pytest.raises(Trouble, match="would be renewed in each run"):
        lay(Cluster(), certificate_days=30)
    lay(Cluster(), certificate_days=31)


def test_an_external_server_needs_its_secrets_or_variables() -> None:
    with pytest.raises(Trouble, match=r"Secret polls-postgresql-admin with username and password .* is missing"):
        lay(Cluster(), external=True)
    with pytest.raises(Trouble, match=r"Secret polls-postgresql-ca with the external server's .* is missing"):
        lay(Cluster(), external=True, admin_password="p")
    cluster = Cluster()
    told = lay(cluster, external=True, admin_username="boss", admin_password="p", ca_certificate="PEM")
    assert told["changes"] == ["make the administrator's password", "keep the server's certificate authority"]
    assert values_of(cluster, "polls-postgresql-admin") == {"username": "boss", "password": "p"}
    assert values_of(cluster, "polls-postgresql-ca") == {"tls.crt": "PEM"}
    assert "Secret/polls-postgresql-tls" not in cluster.objects


def test_secrets_that_somebody_made_for_an_external_server_are_taken_as_they_are() -> None:
    cluster = Cluster(
        secret("polls-postgresql-admin", ours=False, username="boss", password="p"),
        secret("polls-postgresql-ca", ours=False, tls_crt="PEM"),
    )
    assert lay(cluster, external=True)["changes"] == []
    assert cluster.notes == []


class Running:
    """Answers the statements of postgresql_foundation as a server does."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.certificate = values_of(cluster, "polls-postgresql-tls")["tls.crt"]
        self.loaded = True
        self.admin = True
        self.verifier = scram.verifier(values_of(cluster, "polls-postgresql-admin")["password"])
        status = {"replicas": 1, "availableReplicas": 1, "currentRevision": "1", "updateRevision": "1"}
        cluster.apply(thing("StatefulSet", spec={"replicas": 1}, status=status))
        cluster.apply(thing("Pod", "polls-postgresql-0", status=READY))
        cluster.notes.clear()
        cluster.answers = self

    def __call__(self, script: str) -> Ended:
        if "pg_reload_conf" in script:
            self.loaded = True
        elif "ALTER ROLE" in script:
            self.verifier = script.split("PASSWORD '")[1].split("'")[0]
        else:
            if "annotate Pod/polls-postgresql-0" in self.cluster.notes:
                self.certificate = values_of(self.cluster, "polls-postgresql-tls")["tls.crt"]
            names = ("certificate", "loaded", "admin", "verifier")
            return Ended(0, json.dumps({name: getattr(self, name) for name in names}), "")
        return Ended(0, "", "")


def test_a_running_server_that_is_as_wanted_is_left_alone(laid: Cluster) -> None:
    Running(laid)
    told = lay(laid)
    assert (told["changes"], told["server_ready"]) == ([], True)
    assert len(laid.scripts) == 1


def test_a_changed_password_is_mended_by_its_verifier(laid: Cluster) -> None:
    server = Running(laid)
    server.verifier = scram.verifier("other")
    assert lay(laid, check_mode=True)["changes"] == ["set the administrator's password on the server"]
    assert not any("ALTER ROLE" in script for script in laid.scripts)
    assert lay(laid)["changes"] == ["set the administrator's password on the server"]
    password = values_of(laid, "polls-postgresql-admin")["password"]
    assert scram.fits(password, server.verifier)
    assert not any(password in script for script in laid.scripts)
    assert any("log_min_error_statement = panic" in script for script in laid.scripts)


def test_a_renewed_certificate_is_loaded(laid: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foundation, "POLL_SECONDS", 0)
    server = Running(laid)
    server.loaded = False
    told = lay(laid, now=NOW + timedelta(days=350))
    assert told["changes"] == [
        "renew the server's certificate since 15 days are left",
        "have the server load its certificate",
    ]
    assert server.loaded
    assert server.certificate == values_of(laid, "polls-postgresql-tls")["tls.crt"]


def test_a_certificate_that_is_never_loaded_is_told(laid: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foundation, "POLL_SECONDS", 0)
    Running(laid).certificate = "old"
    monkeypatch.setattr(laid, "annotate", lambda *_: None)
    with pytest.raises(Trouble, match="does not serve its renewed certificate after 0 s"):
        lay(laid, reload_timeout=0)


def test_another_administrator_is_refused(laid: Cluster) -> None:
    Running(laid).admin = False
    with pytest.raises(Trouble, match="has no role root"):
        lay(laid, admin_username="root")


def test_a_pod_that_is_not_ready_is_not_asked(laid: Cluster) -> None:
    Running(laid)
    laid.objects["Pod/polls-postgresql-0"]["status"] = {}
    lay(laid)
    assert laid.scripts == []


@pytest.mark.parametrize(
    "changes",
    [
        {"observedGeneration": 1},
        {"currentRevision": "0"},
        {"replicas": 0},
        {"availableReplicas": 0},
    ],
)
def test_an_unsettled_server_is_not_ready(changes: dict[str, Any]) -> None:
    status = {
        "replicas": 1,
        "availableReplicas": 1,
        "currentRevision": "1",
        "updateRevision": "1",
        "observedGeneration": 2,
    }
    item = {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}
    assert foundation.is_settled(item)
    assert not foundation.is_settled(item | {"status": status | changes})
    assert not foundation.is_settled(None)


# --- postgresql_access ------------------------------------------------------------------------------------------------


def wishes(**changes: Any) -> dict[str, Any]:
    roles = [("migrate", "owner"), ("app", "write"), ("read", "read")]
    return {
        "namespace": "polls",
        "labels": OURS,
        "state": "present",
        "pod": "polls-postgresql-0",
        "container": "postgresql",
        "client_pod": None,
        "required_secrets": {},
        "server_host": "polls-postgresql.polls.svc",
        "server_port": 5432,
        "ca_secret": "polls-postgresql-ca",
        "database": "polls",
        "schema": "polls",
        "owner": "polls_owner",
        "roles": [
            {
                "name": f"polls_{name}",
                "access": kind,
                "secret": f"polls-database-{name}",
                "password": None,
                "connection_limit": -1,
                "settings": {},
            }
            for name, kind in roles
        ],
        "extensions": [],
        "connections": 10,
        "expected_connections": 100,
    } | changes


class Database:
    """Answers as an empty server, and after a writing script as one on which nothing is left to do."""

    def __init__(self, cluster: Cluster, is_mended: bool = True) -> None:
        cluster.answers = self
        self.written: list[str] = []
        self.is_mended = is_mended

    def __call__(self, script: str) -> Ended:
        if "pg_advisory_xact_lock" in script:
            self.written.append(script)
            return Ended(0, "", "")
        if self.written and self.is_mended:
            return Ended(0, self.done(), "")
        empty = access.planning.nothing(connections=100)
        return Ended(0, f"/dev/x 1000000 1 999999 1% /data\n{json.dumps(empty)}\n", "")

    def done(self) -> str:
        verifiers = dict(
            part.split(" ")[2].strip('"') and (part.split('"')[1], part.split("PASSWORD '")[1].split("'")[0])
            for part in self.written[0].splitlines()
            if "PASSWORD '" in part
        )
        role = access.planning.attributes(True, -1) | {"expires": False}
        names = ("polls_migrate", "polls_app", "polls_read")
        connect = [[name, "CONNECT", False] for name in names]
        usage = [[name, "USAGE", False] for name in names[1:]]
        rights = {"r": ["SELECT", "INSERT", "UPDATE", "DELETE"], "S": ["USAGE"]}
        defaults = {
            kind: [["polls_app", right, False] for right in of] + [["polls_read", "SELECT", False]]
            for kind, of in rights.items()
        }
        return json.dumps(
            access.planning.nothing(connections=100)
            | {
                "roles": {"polls_owner": role | {"login": False}} | {name: role for name in names},
                "memberships": [
                    {
                        "role": "polls_owner",
                        "member": "polls_migrate",
                        "grantor": "postgres",
                        "admin": False,
                        "inherit": False,
                        "set": True,
                    }
                ],
                "settings": {name: ["search_path=polls", "role=polls_owner"] for name in names},
                "database": {"owner": "polls_owner", "encoding": "UTF8", "acl": connect},
                "schema": {"owner": "polls_owner", "acl": usage},
                "public": None,
                "defaults": defaults,
                "extensions": [],
                "relations": [],
                "verifiers": verifiers,
            }
        )


@pytest.fixture
def ready() -> Cluster:
    """Return a cluster with a server that is ready, and its authority."""
    return Cluster(thing("Pod", "polls-postgresql-0", status=READY), secret("polls-postgresql-ca", tls_crt="PEM"))


def test_an_empty_server_is_filled_and_the_secrets_are_made(ready: Cluster) -> None:
    server = Database(ready)
    told = access.present(wishes(), False, ready)
    assert told["changed"]
    assert told["changes"][-3:] == [f"make Secret polls-database-{name}" for name in ("migrate", "app", "read")]
    values = values_of(ready, "polls-database-migrate")
    assert values == {
        "host": "polls-postgresql.polls.svc",
        "port": "5432",
        "database": "polls",
        "schema": "polls",
        "username": "polls_migrate",
        "password": values["password"],
        "ca.crt": "PEM",
        "role": "polls_owner",
    }
    assert "role" not in values_of(ready, "polls-database-app")
    for name in ("migrate", "app", "read"):
        password = values_of(ready, f"polls-database-{name}")["password"]
        assert len(password) == 32
        assert password not in json.dumps(told) + "".join(ready.scripts)
    assert "SCRAM" not in json.dumps(told)
    assert len(server.written) == 1
    again = access.present(wishes(), False, ready)
    assert (again["changed"], again["changes"]) == (False, [])


def test_a_dry_run_neither_writes_statements_nor_secrets(ready: Cluster) -> None:
    server = Database(ready)
    assert access.present(wishes(), True, ready)["changed"]
    assert (server.written, ready.notes) == ([], [])


@pytest.mark.parametrize("exists", [True, False])
def test_a_dry_run_without_a_server_tells_the_whole_plan(exists: bool) -> None:
    told = access.present(wishes(), True, Cluster(exists=exists))
    assert "create database polls" in told["changes"]


def test_a_dry_run_without_a_server_tells_the_limit_that_will_be() -> None:
    given = wishes(expected_connections=200)
    given["roles"][1]["connection_limit"] = -15
    told = access.present(given, True, Cluster())
    assert "CONNECTION LIMIT 185 " in str(told["diff"])


def test_a_server_that_is_not_ready_is_told() -> None:
    with pytest.raises(Trouble, match="The database server in pod polls-postgresql-0 of namespace polls is not ready"):
        access.present(wishes(), False, Cluster())


def test_what_does_not_stay_mended_is_told(ready: Cluster) -> None:
    Database(ready, is_mended=False)
    with pytest.raises(Trouble, match="Database polls still differs after it was mended: create role polls_owner"):
        access.present(wishes(), False, ready)
    assert ready.notes == []


def test_a_refused_statement_leaves_no_secret(ready: Cluster) -> None:
    server = Database(ready)

    def refuse(script: str) -> Ended:
        return Ended(3, "", "psql:<stdin>:9: ERROR:  out of luck\n") if "BEGIN;" in script else server(script)

    ready.answers = refuse
    with pytest.raises(Trouble, match="refuses a statement, and nothing was changed: ERROR: out of luck"):
        access.present(wishes(), False, ready)
    assert ready.notes == []


def test_given_and_kept_passwords(ready: Cluster) -> None:
    Database(ready)
    ready.apply(secret("polls-database-app", username="polls_app", password="kept"))
    given = wishes()
    given["roles"][2]["password"] = "given"
    access.present(given, False, ready)
    assert values_of(ready, "polls-database-app")["password"] == "kept"
    assert values_of(ready, "polls-database-read")["password"] == "given"


def test_secrets_of_roles_are_looked_at_first(ready: Cluster) -> None:
    ready.apply(secret("polls-database-app", username="polls_app"))
    with pytest.raises(Trouble, match="Secret polls-database-app in namespace polls has no password"):
        access.present(wishes(), False, ready)
    ready.apply(secret("polls-database-app", ours=False, username="a", password="b"))
    with pytest.raises(Trouble, match="is there already and not from this collection"):
        access.present(wishes(), False, ready)
    assert ready.scripts == []


def test_names_and_passwords_that_cannot_be_are_refused(ready: Cluster) -> None:
    with pytest.raises(Trouble, match="The name Polls cannot be used in the database"):
        access.present(wishes(schema="Polls"), False, ready)
    given = wishes()
    given["roles"][0]["password"] = "a\0b"
    with pytest.raises(Trouble, match="has a null character"):
        access.present(given, False, ready)


def external(**changes: Any) -> dict[str, Any]:
    manifest = {
        "metadata": {"name": "polls-database-client"},
        "spec": {"containers": [{"name": "psql"}]},
        "kind": "Pod",
    }
    needed = {"polls-postgresql-admin": ["username", "password"], "polls-postgresql-ca": ["tls.crt"]}
    return wishes(client_pod=manifest, required_secrets=needed, server_host="db.example.org", **changes)


def test_a_client_pod_is_made_used_and_removed_even_after_a_failure(ready: Cluster) -> None:
    with pytest.raises(Trouble, match="Secret polls-postgresql-admin in namespace polls is missing"):
        access.present(external(), False, ready)
    ready.apply(secret("polls-postgresql-admin", username="boss"))
    with pytest.raises(Trouble, match="Secret polls-postgresql-admin in namespace polls has no password"):
        access.present(external(), False, ready)
    ready.apply(secret("polls-postgresql-admin", username="boss", password="s3cret"))
    ready.notes.clear()
    ready.answers = lambda script: Ended(2, "", 'psql: error: connection to server at "x", port 1 failed: refused')
    with pytest.raises(Trouble, match=r"The database server db\.example\.org:5432 cannot be reached: refused"):
        access.present(external(), False, ready)
    name = ready.notes[0].removeprefix("create ")
    assert name.startswith("polls-database-client-")
    assert ready.notes == [f"create {name}", f"wait {name}", f"delete Pod/{name}"]


def test_where_verifiers_cannot_be_read_log_ins_are_tried() -> None:
    wanted = access.wanted_state(wishes(), {"polls-database-app": {"password": "it's"}})
    catalog = access.planning.nothing() | {"roles": {"polls_app": {}, "polls_read": {}}, "database": {}}
    del catalog["verifiers"]
    cluster = Cluster()
    answers = iter(
        [Ended(2, "", 'FATAL: password authentication failed for user "polls_app"'), Ended(2, "", "too many")]
    )
    cluster.answers = lambda script: next(answers)
    psql = access.Psql(cluster, "client", "psql", "h", 1, is_client=True)
    assert access.wrong_passwords(wanted, catalog, psql) == {"polls_app"}
    assert "\\connect 'postgresql:///?dbname=postgres&user=polls_app&password=it%27s'" in cluster.scripts[0]


def test_verifiers_tell_which_passwords_are_wrong() -> None:
    held = {f"polls-database-{name}": {"password": name} for name in ("migrate", "app", "read")}
    wanted = access.wanted_state(wishes(), held)
    catalog = access.planning.nothing() | {
        "roles": {name: {} for name in ("polls_owner", "polls_migrate", "polls_app")}
    }
    catalog["verifiers"] = {"polls_owner": None, "polls_migrate": "md5x", "polls_app": scram.verifier("app")}
    assert access.wrong_passwords(wanted, catalog, None) == {"polls_migrate"}
    catalog["verifiers"]["polls_owner"] = scram.verifier("x")
    assert access.wrong_passwords(wanted, catalog, None) == {"polls_migrate", "polls_owner"}


def test_a_server_that_has_just_started_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.time, "sleep", lambda _: None)
    answers = iter([Ended(2, "", "FATAL: the database system is starting up"), Ended(0, "{}", "")])
    cluster = Cluster()
    cluster.answers = lambda script: next(answers)
    assert access.Psql(cluster, "p", "c", "h", 1, is_client=False).output("x") == "{}"


@pytest.mark.parametrize(("free", "is_full"), [(16 * 1024 - 1, True), (16 * 1024, False), (0, True)])
def test_a_full_volume_is_told(free: int, is_full: bool) -> None:
    line = f"/dev/vda1    1048576 1000 {free}  99% /var/lib/postgresql/data\n{{}}"
    if not is_full:
        access.refuse_full_volume(line, "pod")
        return
    with pytest.raises(Trouble, match=f"The volume of pod pod is full: {free // 1024} MiB of 1024 MiB are free"):
        access.refuse_full_volume(line, "pod")


def test_absent_removes_our_secrets_and_an_external_database(ready: Cluster) -> None:
    ready.apply(secret("polls-database-app", username="polls_app", password="s3cret"))
    ready.apply(secret("polls-database-read", ours=False, username="polls_read", password="s3cret"))
    ready.notes.clear()
    assert access.absent(wishes(), True, ready)["changed"]
    assert ready.notes == []
    told = access.absent(wishes(), False, ready)
    assert (told["changes"], ready.notes) == (
        ["remove Secret polls-database-app"],
        ["delete Secret/polls-database-app"],
    )
    assert ready.scripts == []
    assert access.absent(external(), False, ready)["changed"] is False
    ready.apply(secret("polls-database-app", username="polls_app", password="s3cret"))
    told = access.absent(external(), False, ready)
    assert told["changes"][0] == "drop database polls and its roles"
    assert 'DROP DATABASE IF EXISTS "polls"' in ready.scripts[0]


SERVER = "The database server db:1"
FAILED = 'psql: error: connection to server at "db" (10.0.0.1), port 5432 failed: '
AGAIN = "then run the playbook again."


@pytest.mark.parametrize(
    ("err", "sentence"),
    [
        (
            f"{FAILED}Connection refused\n\tIs the server running on that host?\n",
            f"{SERVER} cannot be reached: Connection refused. Start it or correct its address, {AGAIN}",
        ),
        (
            'psql: error: could not translate host name "db" to address: Name or service not known\n',
            f'{SERVER} cannot be reached: could not translate host name "db" to address: Name or service not known. '
            f"Start it or correct its address, {AGAIN}",
        ),
        (
            f"{FAILED}SSL error: certificate verify failed\n",
            f"{SERVER} cannot be trusted: its certificate is not signed by the authority in the Secret, or it has "
            f"expired. Renew it or correct the authority, {AGAIN}",
        ),
        (
            f'{FAILED}server certificate for "other" does not match host name "db"\n',
            f'{SERVER} cannot be trusted: server certificate for "other" does not match host name "db". '
            f"Correct its certificate or the host, {AGAIN}",
        ),
        (
            f'{FAILED}FATAL:  password authentication failed for user "boss"\n',
            f'{SERVER} refuses the administrator: FATAL: password authentication failed for user "boss". '
            f"Correct the admin Secret or the server, {AGAIN}",
        ),
        (
            "psql:<stdin>:12: ERROR:  permission denied\nDETAIL:  Only roles with CREATEROLE may.\nLINE 1: x\n   ^",
            f"{SERVER} refuses a statement, and nothing was changed: ERROR: permission denied "
            f"DETAIL: Only roles with CREATEROLE may. Mend that, {AGAIN}",
        ),
        (
            'psql:<stdin>:12: ERROR:  could not extend file "base/1": No space left on device\n',
            'The volume of the database server db:1 is full: ERROR: could not extend file "base/1": '
            f"No space left on device. Enlarge it, {AGAIN}",
        ),
    ],
)
def test_what_psql_complains_of_becomes_a_sentence(err: str, sentence: str) -> None:
    assert access.explain(err, "db:1") == sentence


# --- cluster_api and all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b'{"status": "Success"}', 0),
        ('{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}', 3),
        ('{"status": "Failure", "message": "no such file"}', 255),
        ("", 255),
    ],
)
def test_exit_codes(status: bytes | str, code: int) -> None:
    assert cluster_api.exit_code(status) == code


@pytest.mark.parametrize("params", [{}, {"kubeconfig": "x"}, {"context": "x"}])
def test_no_cluster_is_ever_guessed(params: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Trouble, match="This task needs both kubeconfig and context"):
        cluster_api.connect(SimpleNamespace(params=params | {"namespace": "polls"}))


def test_a_secret_that_is_no_text_is_told() -> None:
    broken = thing("Secret", data={"a": base64.b64encode(b"\xff").decode()})
    with pytest.raises(Trouble, match="Secret polls-postgresql holds something that is no text"):
        cluster_api.secret_data(broken)


@pytest.mark.parametrize("module", [access, foundation])
def test_documentation_and_arguments_agree(module: Any) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    specified = {name: value for name, value in module.argument_spec().items() if name not in AUTH_ARG_SPEC}
    assert not set(specified) & set(AUTH_ARG_SPEC)
    compare(documented, specified)


def compare(documented: dict[str, Any], specified: dict[str, Any]) -> None:
    assert documented.keys() == specified.keys()
    for name, option in specified.items():
        for key in ("type", "required", "default", "choices", "elements"):
            assert documented[name].get(key) == option.get(key), (name, key)
        assert documented[name]["description"]
        if "options" in option:
            compare(documented[name]["suboptions"], option["options"])


def test_certificates_need_no_library_to_be_imported_for_documentation() -> None:
    assert certificates.x509 is not None
