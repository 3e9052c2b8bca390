"""The module postgresql_credentials with a fake client: Secrets, and their use in a running server."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import (
    credentials,
    scram,
    server,
)
from ansible_collections.cloud_django.kubernetes.plugins.modules import postgresql_credentials
from postgresql_cases import NOW, OURS, READY, FakeClient, assert_documented, secret, thing, values_of


def basis(**changes: Any) -> dict[str, Any]:
    return {
        "namespace": "polls",
        "name": "polls-postgresql",
        "labels": OURS,
        "external": False,
        "administrator": True,
        "authority": True,
        "admin_username": "postgres",
        "admin_password": None,
        "ca_certificate": None,
        "dns_names": ["polls-postgresql"],
        "ca_days": 3650,
        "certificate_days": 365,
        "renew_days": 30,
        "container": "postgresql",
        "reload_timeout": 5,
    } | changes


def lay(client: FakeClient, check_mode: bool = False, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    return credentials.run(basis(**changes), check_mode, client, now)


@pytest.fixture
def laid() -> FakeClient:
    """Return a client of a cluster with the three Secrets."""
    client = FakeClient()
    lay(client)
    client.notes.clear()
    return client


def test_missing_secrets_are_created_once() -> None:
    client = FakeClient()
    reported = lay(client)
    assert reported["changed"]
    assert reported["changes"] == [
        "create the administrator's password",
        "create a certificate authority",
        "create the server's certificate",
    ]
    assert client.notes == [f"apply Secret/polls-postgresql-{name}" for name in ("admin", "ca", "tls")]
    admin = values_of(client, "polls-postgresql-admin")
    assert (admin["username"], len(admin["password"])) == ("postgres", 32)
    assert admin["password"] not in json.dumps(reported)
    again = lay(client)
    assert (again["changed"], again["changes"]) == (False, [])


def test_check_mode_writes_nothing() -> None:
    for client in (FakeClient(), FakeClient(exists=False)):
        assert lay(client, check_mode=True)["changes"][0] == "create the administrator's password"
        assert client.notes == []


def test_check_mode_reads_nothing_in_a_namespace_that_does_not_exist() -> None:
    """A user may have no permission to read there."""
    client = FakeClient(exists=False)
    lay(client, check_mode=True)
    assert client.read == ["Namespace"]


def test_certificates_are_renewed_over_time_and_passwords_stay(laid: FakeClient) -> None:
    before = {name: values_of(laid, f"polls-postgresql-{name}") for name in ("admin", "ca", "tls")}
    assert lay(laid, now=NOW + timedelta(days=335))["changes"] == []
    reported = lay(laid, now=NOW + timedelta(days=336))
    assert reported["changes"] == ["renew the server's certificate because 29 days are left"]
    assert values_of(laid, "polls-postgresql-ca") == before["ca"]
    assert values_of(laid, "polls-postgresql-admin") == before["admin"]
    reported = lay(laid, now=NOW + timedelta(days=3400))
    assert reported["changes"][0] == "renew the certificate authority because 250 days are left"
    after = values_of(laid, "polls-postgresql-ca")
    assert after["tls.key"] == before["ca"]["tls.key"]
    assert after["tls.crt"] != before["ca"]["tls.crt"]


def test_other_host_names_renew_the_certificate(laid: FakeClient) -> None:
    reported = lay(laid, dns_names=["polls-postgresql", "db.example.org"])
    assert reported["changes"] == ["renew the server's certificate because its host names differ"]


def test_a_given_password_replaces_the_generated_one(laid: FakeClient) -> None:
    assert lay(laid, admin_password="given")["changes"] == ["change the administrator's password"]
    assert values_of(laid, "polls-postgresql-admin") == {"username": "postgres", "password": "given"}
    assert lay(laid)["changes"] == []


@pytest.mark.parametrize(
    ("name", "keys"), [("admin", ("username", "password")), ("ca", ("tls.crt", "tls.key")), ("tls", ("tls.key",))]
)
def test_a_secret_without_a_key_fails_before_any_change(laid: FakeClient, name: str, keys: tuple[str, ...]) -> None:
    for key in keys:
        client = FakeClient(*laid.objects.values())
        broken = laid.objects[f"Secret/polls-postgresql-{name}"]
        client.objects[f"Secret/polls-postgresql-{name}"] = broken | {
            "data": {k: v for k, v in broken["data"].items() if k != key}
        }
        with pytest.raises(ManifestError, match=f"Secret polls-postgresql-{name} in namespace polls has no {key}"):
            lay(client)
        assert client.notes == []


def test_an_unmanaged_secret_fails_before_any_change() -> None:
    client = FakeClient(secret("polls-postgresql-admin", ours=False, username="a", password="b"))
    with pytest.raises(ManifestError, match="already exists and isn't managed by this collection"):
        lay(client)
    assert client.notes == []


def test_a_secret_without_a_certificate_authority_fails_before_any_change() -> None:
    client = FakeClient(secret("polls-postgresql-ca", tls_crt="nonsense", tls_key="nonsense"))
    with pytest.raises(ManifestError, match="is not a certificate authority: it cannot be read"):
        lay(client)


def test_a_binary_secret_fails_before_any_change() -> None:
    broken = thing("Secret", "polls-postgresql-admin", data={"password": base64.b64encode(b"\xff").decode()})
    with pytest.raises(ManifestError, match="Secret polls-postgresql-admin has a value that is not text"):
        lay(FakeClient(broken))


def test_a_certificate_that_would_always_be_renewed_is_refused() -> None:
    with pytest.raises(ManifestError, match="would be renewed in each run"):
        lay(FakeClient(), certificate_days=30)
    lay(FakeClient(), certificate_days=31)


def test_an_external_server_needs_its_secrets_or_variables() -> None:
    with pytest.raises(ManifestError, match=r"Secret polls-postgresql-admin with username and password .* is missing"):
        lay(FakeClient(), external=True)
    with pytest.raises(ManifestError, match=r"Secret polls-postgresql-ca with the external server's .* is missing"):
        lay(FakeClient(), external=True, admin_password="p")
    client = FakeClient()
    reported = lay(client, external=True, admin_username="boss", admin_password="p", ca_certificate="PEM")
    assert reported["changes"] == ["create the administrator's password", "store the server's certificate authority"]
    assert values_of(client, "polls-postgresql-admin") == {"username": "boss", "password": "p"}
    assert values_of(client, "polls-postgresql-ca") == {"tls.crt": "PEM"}
    assert "Secret/polls-postgresql-tls" not in client.objects


def test_an_external_server_without_administrator_or_authority_has_no_secrets() -> None:
    """Logins exist already, and clients verify nothing or use the bundle of their image."""
    client = FakeClient()
    assert not credentials.run(basis(external=True, administrator=False, authority=False), False, client)["changed"]
    with pytest.raises(ManifestError, match="Secret polls-postgresql-ca with the external server's"):
        credentials.run(basis(external=True, administrator=False), False, client)
    with pytest.raises(ManifestError, match="Secret polls-postgresql-admin with username and password"):
        credentials.run(basis(external=True, authority=False), False, client)
    reported = credentials.run(basis(external=True, administrator=False, ca_certificate="PEM"), False, client)
    assert reported["changes"] == ["store the server's certificate authority"]
    assert client.notes == ["apply Secret/polls-postgresql-ca"]


def test_secrets_of_the_user_for_an_external_server_are_not_changed() -> None:
    client = FakeClient(
        secret("polls-postgresql-admin", ours=False, username="boss", password="p"),
        secret("polls-postgresql-ca", ours=False, tls_crt="PEM"),
    )
    assert lay(client, external=True)["changes"] == []
    assert client.notes == []


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize(
    ("password", "reason"), [("a\0b", "has a NUL byte"), ("hunter2\nx", "has a line break"), ("x\r\ny", "has a line")]
)
def test_an_edited_password_of_the_administrator_is_refused(external: bool, password: str, reason: str) -> None:
    client = FakeClient(
        secret("polls-postgresql-admin", username="boss", password=password),
        *([secret("polls-postgresql-ca", tls_crt="PEM")] if external else []),
    )
    with pytest.raises(ManifestError, match=f"^The password of the administrator {reason}") as raised:
        lay(client, external=external)
    assert password not in str(raised.value)
    assert client.notes == []


def test_a_line_break_at_the_end_of_the_administrators_password_is_accepted() -> None:
    """The server and psql both ignore it."""
    client = FakeClient(
        secret("polls-postgresql-admin", username="boss", password="hunter2\n"),
        secret("polls-postgresql-ca", tls_crt="PEM"),
    )
    assert lay(client, external=True)["changes"] == []


@pytest.mark.parametrize("name", ["boss\n", "a\0b"])
def test_an_edited_name_of_the_administrator_is_refused(name: str) -> None:
    """It is in the environment of psql, which does not remove the line break."""
    client = FakeClient(
        secret("polls-postgresql-admin", username=name, password="p"), secret("polls-postgresql-ca", tls_crt="PEM")
    )
    with pytest.raises(ManifestError, match=r"^The name of the administrator has a "):
        lay(client, external=True)
    assert client.notes == []


class Running:
    """Answers the statements of postgresql_credentials like a server."""

    def __init__(self, client: FakeClient) -> None:
        self.client = client
        self.certificate = values_of(client, "polls-postgresql-tls")["tls.crt"]
        self.loaded = True
        self.admin = True
        self.verifier = scram.verifier(values_of(client, "polls-postgresql-admin")["password"])
        client.apply(thing("Pod", "polls-postgresql-0", status=READY))
        client.notes.clear()
        client.answers = self

    def __call__(self, script: str) -> Result:
        if "pg_reload_conf" in script:
            self.loaded = True
        elif "ALTER ROLE" in script:
            self.verifier = script.split("PASSWORD '")[1].split("'")[0]
        else:
            if "annotate Pod/polls-postgresql-0" in self.client.notes:
                self.certificate = values_of(self.client, "polls-postgresql-tls")["tls.crt"]
            names = ("certificate", "loaded", "admin", "verifier")
            return Result(0, json.dumps({name: getattr(self, name) for name in names}), "")
        return Result(0, "", "")


def test_a_running_server_in_the_wanted_state_is_not_changed(laid: FakeClient) -> None:
    Running(laid)
    laid.read.clear()
    assert lay(laid)["changes"] == []
    assert len(laid.scripts) == 1
    assert laid.read == [f"Secret/polls-postgresql-{name}" for name in ("admin", "ca", "tls")] + [
        "Pod/polls-postgresql-0"
    ]


def test_a_changed_password_is_set_again_by_its_verifier(laid: FakeClient) -> None:
    running = Running(laid)
    running.verifier = scram.verifier("other")
    assert lay(laid, check_mode=True)["changes"] == ["set the administrator's password on the server"]
    assert not any("ALTER ROLE" in script for script in laid.scripts)
    assert lay(laid)["changes"] == ["set the administrator's password on the server"]
    password = values_of(laid, "polls-postgresql-admin")["password"]
    assert scram.fits(password, running.verifier)
    assert not any(password in script for script in laid.scripts)
    assert any("log_min_error_statement = panic" in script for script in laid.scripts)


def test_a_renewed_certificate_is_loaded(laid: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "POLL_SECONDS", 0)
    running = Running(laid)
    running.loaded = False
    reported = lay(laid, now=NOW + timedelta(days=350))
    assert reported["changes"] == [
        "renew the server's certificate because 15 days are left",
        "reload the server's certificate",
    ]
    assert running.loaded
    assert running.certificate == values_of(laid, "polls-postgresql-tls")["tls.crt"]


def test_a_certificate_that_is_never_loaded_is_reported(laid: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "POLL_SECONDS", 0)
    Running(laid).certificate = "old"
    monkeypatch.setattr(laid, "patch", lambda *_: None)
    lines: list[str] = []
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr(progress.Screen, "show", staticmethod(lines.append))
    with pytest.raises(ServerError, match=r"does not serve its renewed certificate after 0\.1 s"):
        lay(laid, reload_timeout=0.1)
    assert "has not loaded its renewed certificate" in lines[0]


def test_another_administrator_is_refused(laid: FakeClient) -> None:
    Running(laid).admin = False
    with pytest.raises(ServerError, match="has no role root"):
        lay(laid, admin_username="root")
    assert laid.notes == []


@pytest.mark.parametrize(
    "pod", [thing("Pod", "polls-postgresql-0"), thing("Pod", "polls-postgresql-0", False, status=READY)]
)
def test_an_unready_or_unmanaged_pod_runs_no_script(laid: FakeClient, pod: dict[str, Any]) -> None:
    Running(laid)
    laid.objects["Pod/polls-postgresql-0"] = pod
    lay(laid)
    assert laid.scripts == []


def test_documentation_and_arguments_agree() -> None:
    assert_documented(postgresql_credentials)


def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "x509", None)
    with pytest.raises(ManifestError, match=r"The Python library cryptography is missing\. Install it"):
        lay(FakeClient())
