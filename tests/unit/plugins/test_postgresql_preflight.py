"""The module postgresql_preflight with a fake client: errors and results."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import preflight
from ansible_collections.cloud_django.kubernetes.plugins.modules import postgresql_preflight
from postgresql_cases import OURS, ROLLED_OUT, FakeClient, assert_documented, claim, secret, storage_class, thing


def check(client: FakeClient, check_mode: bool = False, size: Any = None, **changes: Any) -> dict[str, Any]:
    options = {
        "namespace": "polls",
        "name": "polls-postgresql",
        "labels": {},
        "state": "present",
        "external": False,
        "connections": None,
        "claim": {"name": "polls-postgresql", "size": "1Gi", "storage_class": ""} | (size or {}),
    }
    reported = preflight.run(options | changes, check_mode, client)
    assert reported["changed"] is False
    assert client.notes == client.scripts == []
    return reported


def test_an_empty_namespace_is_accepted() -> None:
    assert check(FakeClient()) == {
        "changed": False,
        "namespace_exists": True,
        "claim_bound": False,
        "server_ready": False,
        "objects": [],
    }


def test_fewer_connections_than_the_site_needs_are_refused_first() -> None:
    needed = {"web": 56, "jobs": 5, "reserved": 10}
    client = FakeClient()
    with pytest.raises(ManifestError) as caught:
        check(client, connections=needed | {"accepted": 70})
    assert str(caught.value) == (
        "The site may open 71 connections (56 by web pods, 5 by Jobs, 10 reserved), but the server accepts 70. "
        f"Raise postgresql_max_connections, or lower replicas, workers, or threads, {AGAIN}."
    )
    with pytest.raises(ManifestError, match=r"open 79 connections \(56 by web pods, 8 by workers and schedules, 5 by"):
        check(client, connections=needed | {"processes": 8, "accepted": 78})
    assert client.read == []
    check(client, connections=needed | {"accepted": 71})
    # The limit of an external server is unknown, and a removal needs no connections.
    check(client, connections=needed | {"accepted": 70}, external=True)
    check(client, connections=needed | {"accepted": 70}, state="absent")


def test_a_missing_namespace_fails_except_in_check_mode() -> None:
    client = FakeClient(exists=False)
    with pytest.raises(ManifestError, match="Namespace polls does not exist"):
        check(client)
    assert check(client, check_mode=True)["namespace_exists"] is False
    assert check(client, state="absent")["objects"] == []
    # A user may have no permission to read in a namespace that does not exist.
    assert set(client.read) == {"Namespace", "StorageClass"}


def test_a_running_server_needs_one_request_per_object() -> None:
    client = FakeClient(*(thing(kind, spec={}) for kind in preflight.KINDS), claim())
    check(client)
    assert len(client.read) == len(set(client.read)) == 1 + len(preflight.KINDS) + 1 + 3
    client.read.clear()
    check(client, external=True)
    assert len(client.read) == 1 + 3


@pytest.mark.parametrize("kind", [*preflight.KINDS, "PersistentVolumeClaim"])
def test_an_unmanaged_object_fails_before_any_change(kind: str) -> None:
    with pytest.raises(ManifestError, match=f"{kind} polls-postgresql in namespace polls already exists and isn't"):
        check(FakeClient(thing(kind, ours=False)))


def test_an_object_without_the_labels_of_the_site_fails_before_any_change() -> None:
    client = FakeClient(thing("Service"))
    check(client, labels=OURS)
    with pytest.raises(ManifestError, match="already exists and isn't managed by this collection"):
        check(client, labels={"app.kubernetes.io/instance": "polls"})
    assert check(client, labels={"app.kubernetes.io/instance": "polls"}, state="absent")["objects"] == []


def test_a_broken_secret_fails_before_any_change() -> None:
    with pytest.raises(ManifestError, match="Secret polls-postgresql-admin in namespace polls has no password"):
        check(FakeClient(secret("polls-postgresql-admin", username="postgres")))
    with pytest.raises(ManifestError, match="Secret polls-postgresql-tls in namespace polls already exists"):
        check(FakeClient(secret("polls-postgresql-tls", ours=False, tls_crt="a", tls_key="b")))


def test_absent_returns_only_managed_objects() -> None:
    secrets = [secret(f"polls-postgresql-{name}") for name in ("admin", "ca", "tls")]
    reported = check(FakeClient(thing("StatefulSet", spec={}), thing("Service", ours=False), *secrets), state="absent")
    assert reported["objects"] == [
        "StatefulSet/polls-postgresql",
        *(f"Secret/polls-postgresql-{name}" for name in ("admin", "ca", "tls")),
    ]


@pytest.mark.parametrize(
    ("existing", "classes", "wanted", "words"),
    [
        (None, [], {}, "This cluster has no default storage class"),
        (None, [storage_class("a")], {}, "no default storage class. Set postgresql_storage_class to one of a"),
        (None, [storage_class("a", True)], {"storage_class": "b"}, "Storage class b does not exist in this cluster"),
        (
            None,
            [storage_class("a", True)],
            {"size": "1 GB"},
            "The size 1 GB of the volume is not a Kubernetes quantity",
        ),
        (claim("2Gi"), [storage_class("standard")], {}, "has 2Gi and cannot shrink to 1Gi"),
        (claim("1Mi"), [storage_class("standard")], {}, "its storage class standard cannot expand it to 1Gi"),
        (claim(kind="other"), [], {"storage_class": "b"}, "has storage class other, which cannot change to b"),
    ],
)
def test_unavailable_storage_is_refused(existing: Any, classes: Any, wanted: Any, words: str) -> None:
    client = FakeClient(*([existing] if existing else []))
    client.classes = classes
    with pytest.raises(ManifestError, match=words):
        check(client, size=wanted)


@pytest.mark.parametrize(
    ("existing", "classes", "wanted"),
    [
        (None, [storage_class("a", True)], {}),
        (None, [storage_class("a")], {"storage_class": "a"}),
        (claim("1024Mi"), [], {}),
        (claim("1Mi"), [storage_class("standard", grows=True)], {}),
        (claim(kind="b"), [], {"storage_class": "b"}),
    ],
)
def test_available_storage_is_not_refused(existing: Any, classes: Any, wanted: Any) -> None:
    client = FakeClient(*([existing] if existing else []))
    client.classes = classes
    assert check(client, size=wanted)["claim_bound"] is bool(existing)


def test_a_claim_without_a_volume_is_not_bound() -> None:
    assert check(FakeClient(claim(phase="Pending")))["claim_bound"] is False


@pytest.mark.parametrize(
    ("changes", "is_ready"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"currentRevision": "0"}, False),
        ({"replicas": 0}, False),
        ({"availableReplicas": 0}, False),
    ],
)
def test_a_server_is_ready_once_its_stateful_set_is_rolled_out(changes: dict[str, Any], is_ready: bool) -> None:
    item = thing("StatefulSet", spec={"replicas": 1}, status=ROLLED_OUT | {"observedGeneration": 2} | changes)
    item["metadata"] = item["metadata"] | {"generation": 2}
    assert check(FakeClient(item))["server_ready"] is is_ready


def test_documentation_and_arguments_agree() -> None:
    assert_documented(postgresql_preflight)
