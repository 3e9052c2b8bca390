"""The module cache_credentials with a fake client: Secrets, certificates, and claims."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.cache import credentials
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.modules import cache_credentials
from postgresql_cases import NOW, OURS, FakeClient, assert_documented, claim, secret, thing, values_of

KEYS = ["ca", "host", "password", "port", "prefix", "salt", "url", "user"]


def basis(**changes: Any) -> dict[str, Any]:
    return {
        "namespace": "polls",
        "name": "polls-cache",
        "labels": OURS,
        "more_labels": {},
        "external": False,
        "server_host": "polls-cache.polls.svc",
        "server_port": 6379,
        "user": "polls",
        "user_password": None,
        "tls": True,
        "ca_certificate": None,
        "dns_names": ["polls-cache", "polls-cache.polls.svc"],
        "ca_days": 3650,
        "certificate_days": 365,
        "renew_days": 30,
        "claim": None,
    } | changes


def lay(client: FakeClient, check_mode: bool = False, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    return credentials.run(basis(**changes), check_mode, client, now)


@pytest.fixture
def laid() -> FakeClient:
    """Return a client of a cluster with the Secrets."""
    client = FakeClient()
    lay(client)
    client.notes.clear()
    return client


def test_missing_secrets_are_created_once() -> None:
    client = FakeClient()
    reported = lay(client)
    assert reported["changes"] == [
        "create a certificate authority",
        "create the server's certificate",
        "create the password",
    ]
    # The server's certificate first, so that clients never get a CA certificate without it.
    assert client.notes == [f"apply Secret/polls-cache{suffix}" for suffix in ("-ca", "-tls", "")]
    values = values_of(client, "polls-cache")
    assert sorted(values) == KEYS
    assert len(values["password"]) == 32
    assert values["url"] == f"rediss://polls:{values['password']}@polls-cache.polls.svc:6379"
    assert values["ca"] == values_of(client, "polls-cache-ca")["tls.crt"]
    assert values["password"] not in json.dumps(reported)
    assert lay(client) == {"changed": False, "changes": [], "claim_bound": False}


def test_check_mode_writes_nothing() -> None:
    for client in (FakeClient(), FakeClient(exists=False)):
        assert lay(client, check_mode=True)["changed"]
        assert client.notes == []
    client = FakeClient(exists=False)
    lay(client, check_mode=True)
    assert client.read == ["Namespace"], "a user may have no permission to read there"


def test_without_tls_there_is_no_certificate() -> None:
    client = FakeClient()
    assert lay(client, tls=False)["changes"] == ["create the password"]
    values = values_of(client, "polls-cache")
    assert values["ca"] == ""
    assert values["url"].startswith("redis://polls:")
    assert lay(client, tls=False)["changes"] == []


def test_expired_certificate_is_noticed_and_renewed(laid: FakeClient) -> None:
    before = {name: values_of(laid, name) for name in ("polls-cache", "polls-cache-ca", "polls-cache-tls")}
    assert lay(laid, now=NOW + timedelta(days=335))["changes"] == []
    reported = lay(laid, now=NOW + timedelta(days=366))
    assert reported["changes"] == ["renew the server's certificate because it has expired"]
    assert values_of(laid, "polls-cache-tls") != before["polls-cache-tls"]
    assert values_of(laid, "polls-cache") == before["polls-cache"], "no pod of the site restarts"


def test_renewed_authority_keeps_its_key_and_reaches_the_clients(laid: FakeClient) -> None:
    before = values_of(laid, "polls-cache-ca")
    reported = lay(laid, now=NOW + timedelta(days=3400))
    assert reported["changes"][0] == "renew the certificate authority because 250 days are left"
    after = values_of(laid, "polls-cache-ca")
    assert after["tls.key"] == before["tls.key"]
    assert values_of(laid, "polls-cache")["ca"] == after["tls.crt"] != before["tls.crt"]


@pytest.mark.parametrize("values", [{"tls_crt": "nonsense", "tls_key": "nonsense"}, {"tls_crt": "nonsense"}, {}])
@pytest.mark.parametrize("suffix", ["ca", "tls"])
def test_broken_certificate_is_replaced(laid: FakeClient, suffix: str, values: dict[str, str]) -> None:
    laid.objects[f"Secret/polls-cache-{suffix}"] = secret(f"polls-cache-{suffix}", **values)
    assert lay(laid)["changed"]
    certificates.Pair.of(values_of(laid, f"polls-cache-{suffix}"))
    assert values_of(laid, "polls-cache")["ca"] == values_of(laid, "polls-cache-ca")["tls.crt"]
    assert lay(laid)["changes"] == []


def test_given_password_replaces_the_generated_one(laid: FakeClient) -> None:
    assert lay(laid, user_password="given")["changes"] == ["change the password"]
    assert values_of(laid, "polls-cache")["url"] == "rediss://polls:given@polls-cache.polls.svc:6379"
    assert lay(laid)["changes"] == []


def test_prefix_and_salt_are_unique_and_never_change(laid: FakeClient) -> None:
    before = values_of(laid, "polls-cache")
    assert before["prefix"].startswith("polls:polls-cache:")
    assert len(before["salt"]) == 32
    laid.objects["Secret/polls-cache"]["data"].pop("password")
    for changes in ({}, {"user_password": "given"}, {"server_port": 6380}):
        assert lay(laid, **changes)["changes"]
        after = values_of(laid, "polls-cache")
        assert [after[key] for key in ("prefix", "salt")] == [before[key] for key in ("prefix", "salt")]
    other = FakeClient()
    lay(other)
    assert not {values_of(other, "polls-cache")[key] for key in ("prefix", "salt")} & set(before.values())


def test_no_two_names_have_the_same_prefix() -> None:
    first, second = FakeClient(), FakeClient()
    lay(first, namespace="shop-eu", name="polls-cache")
    lay(second, namespace="shop", name="eu-polls-cache")
    prefixes = [values_of(first, "polls-cache")["prefix"], values_of(second, "eu-polls-cache")["prefix"]]
    assert [prefix.rpartition(":")[0] for prefix in prefixes] == ["shop-eu:polls-cache", "shop:eu-polls-cache"]


def test_secret_without_a_prefix_gets_one(laid: FakeClient) -> None:
    data = laid.objects["Secret/polls-cache"]["data"]
    del data["prefix"], data["salt"]
    assert lay(laid)["changes"] == ["change the prefix of the keys"]
    assert lay(laid)["changes"] == []


def test_other_address_reaches_the_clients(laid: FakeClient) -> None:
    password = values_of(laid, "polls-cache")["password"]
    assert lay(laid, server_port=6380)["changes"] == ["change the address, user, or CA certificate"]
    assert values_of(laid, "polls-cache")["url"] == f"rediss://polls:{password}@polls-cache.polls.svc:6380"


def test_password_that_no_url_can_hold_is_refused(laid: FakeClient) -> None:
    with pytest.raises(ManifestError, match="has characters other than letters, digits, and"):
        lay(laid, user_password="a:b@c")
    assert laid.notes == []


def test_an_unmanaged_secret_fails_before_any_change() -> None:
    client = FakeClient(secret("polls-cache-tls", ours=False, tls_crt="a", tls_key="b"))
    with pytest.raises(ManifestError, match="Secret polls-cache-tls exists and is not managed by this site"):
        lay(client)
    assert client.notes == []


@pytest.mark.parametrize("kind", [*credentials.KINDS, "PersistentVolumeClaim"])
def test_a_foreign_object_fails_before_any_change(kind: str) -> None:
    foreign = claim("1Gi") | thing(kind, "polls-cache", ours=False)
    client = FakeClient(foreign)
    wanted = {"name": "polls-cache", "size": "1Gi", "storage_class": ""}
    for check_mode in (False, True):
        with pytest.raises(ManifestError, match=f"{kind} polls-cache exists and is not managed by this site"):
            lay(client, check_mode, claim=wanted)
    assert client.notes == []


def test_a_run_without_changes_reads_only_secrets(laid: FakeClient) -> None:
    laid.read.clear()
    lay(laid)
    assert laid.read == [f"Secret/polls-cache{suffix}" for suffix in ("", "-ca", "-tls")]


def test_a_foreign_policy_of_the_check_fails_before_any_change() -> None:
    client = FakeClient(thing("NetworkPolicy", "polls-cache-check", ours=False))
    with pytest.raises(ManifestError, match="NetworkPolicy polls-cache-check exists and is not managed by this site"):
        lay(client, external=True, user_password="p", ca_certificate="PEM")
    assert client.notes == []


def test_external_cache_needs_its_secret_or_variables() -> None:
    with pytest.raises(ManifestError, match=r"Secret polls-cache with the password .* is missing\. Create it with"):
        lay(FakeClient(), external=True)
    with pytest.raises(ManifestError, match=r"Secret polls-cache with the CA certificate .* is missing\."):
        lay(FakeClient(), external=True, user_password="p")
    client = FakeClient()
    lay(client, external=True, server_host="fd00::1", user="an user", user_password="p/@ß", ca_certificate="PEM")
    assert client.notes == ["apply Secret/polls-cache"]
    values = values_of(client, "polls-cache")
    assert values["url"] == "rediss://an%20user:p%2F%40%C3%9F@[fd00::1]:6379"
    assert values["ca"] == "PEM"


def test_secret_of_the_user_for_an_external_cache_is_completed() -> None:
    client = FakeClient(secret("polls-cache", ours=False, password="p\n", ca="PEM"))
    assert lay(client, external=True, server_host="a.example.org")["changed"]
    values = values_of(client, "polls-cache")
    assert (values["password"], values["ca"], values["host"]) == ("p", "PEM", "a.example.org")
    applied = client.objects["Secret/polls-cache"]
    # With these labels, a removal would remove it. Another type than that of the user would be refused.
    assert applied["metadata"]["labels"] == {}
    assert "type" not in applied
    assert lay(client, external=True, server_host="a.example.org")["changes"] == []


def test_secret_of_another_owner_is_no_secret_of_an_external_cache() -> None:
    client = FakeClient(secret("polls-cache", ours=False, token="x"))
    with pytest.raises(ManifestError, match=r"is not managed by this site .* and has no key password\. Add"):
        lay(client, external=True, user_password="p", ca_certificate="PEM")
    assert client.notes == []


def test_claim_that_gets_no_volume_fails_before_any_change() -> None:
    client = FakeClient()
    client.classes = []
    wanted = {"name": "polls-cache", "size": "1Gi", "storage_class": ""}
    with pytest.raises(ManifestError, match=r"This cluster has no default storage class\. Set cache_storage_class"):
        lay(client, claim=wanted)
    assert client.notes == []
    held = claim("2Gi")
    held["metadata"]["name"] = "polls-cache"
    client = FakeClient(held)
    with pytest.raises(ManifestError, match=r"cannot shrink to 1Gi\. Set cache_storage_size to 2Gi or more"):
        lay(client, claim=wanted)
    assert lay(client, claim=wanted | {"size": "2Gi"})["claim_bound"] is True


def test_documentation_and_arguments_agree() -> None:
    assert_documented(cache_credentials)


def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "x509", None)
    with pytest.raises(ManifestError, match=r"The Python library cryptography is missing\. Install it"):
        lay(FakeClient())
