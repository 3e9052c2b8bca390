"""Decisions of the module apply about ownership and namespaces, and its changes to a cluster in memory."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import (
    manifests,
    ownership,
    reconcile,
    secrets,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.reconcile import Run

OWNER = {"app.kubernetes.io/managed-by": "cloud-django", "app.kubernetes.io/instance": "polls"}

type Obj = dict[str, Any]


class Memory(Client):
    """A cluster that stores objects by path, and records writes."""

    def __init__(self, *objects: Obj, namespace: str = "", dry_run: bool = False) -> None:
        super().__init__(dynamic=None, namespace=namespace, dry_run=dry_run)
        self.held: dict[str, Obj] = {}
        self.written: list[str] = []
        for obj in objects:
            self.hold(obj)

    def hold(self, obj: Obj) -> Obj:
        path = self.path_to(obj)
        kept = copy.deepcopy(obj)
        kept["metadata"] |= {"uid": path, "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.held[path] = kept
        return kept

    def request(self, method: str, path: str, about: str = "", **options: Any) -> Any:
        assert method in ("get", "delete"), "other writes use apply and create"
        if method == "delete":
            self.written.append(f"delete {path}")
            return None if self.dry_run else self.held.pop(path)
        if path.startswith("/apis/gateway"):
            return None
        inside = [obj for key, obj in self.held.items() if key.startswith(f"{path}/")]
        return {"items": inside} if inside and path not in self.held else copy.deepcopy(self.held.get(path))

    def apply(self, manifest: Any, manager: str = "cloud-django", force: bool = True) -> Obj:
        place = manifest["metadata"].get("namespace")
        if place and f"/api/v1/namespaces/{place}" not in self.held:
            raise ApiError("The namespace", "is missing", "", 404)
        self.written.append(f"apply {self.path_to(manifest)}")
        if not self.dry_run:
            return self.hold(dict(manifest))
        return copy.deepcopy(dict(manifest)) | {"metadata": manifest["metadata"] | {"uid": self.path_to(manifest)}}

    def create(self, manifest: Any) -> Obj:
        self.written.append(f"create {self.path_to(manifest)}")
        return self.hold(dict(manifest))


def manifest(kind: str, name: str, api_version: str = "v1", namespace: str = "", **content: Any) -> Obj:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def managed(obj: Obj) -> Obj:
    return obj | {"metadata": obj["metadata"] | {"labels": dict(OWNER)}}


def namespace(name: str = "polls", **content: Any) -> Obj:
    return manifest("Namespace", name, **content)


def deployment(**pod: Any) -> Obj:
    return manifest("Deployment", "web", "apps/v1", spec={"replicas": 1, "template": {"metadata": {}, "spec": pod}})


CLUSTER_ROLE = manifest("ClusterRole", "reader", "rbac.authorization.k8s.io/v1", rules=[])
CONFIG_MAP = manifest("ConfigMap", "settings", namespace="polls", data={"A": "1"})


PARAMETERS = {
    "objects": [],
    "unwanted": [],
    "keep_unwanted": False,
    "owner": OWNER,
    "leave_foreign": [],
    "configuration_hash": True,
    "generate": {},
    "secret_values": {},
    "compose": {},
    "sources": {},
    "required": [],
    "prune": [],
    "timeout": 0,
    "wait": True,
}


def run(cluster: Memory, state: str = "present", **options: Any) -> tuple[dict[str, str], dict[str, Any]]:
    work = Run(cluster, PARAMETERS | options, lambda obj: True, lambda job: False, show_difference=True)
    result = work.present() if state == "present" else work.absent()
    return {f"{item['kind']}/{item['name']}": item["action"] for item in result["objects"]}, result


# --- Several namespaces and cluster-scoped objects --------------------------------------------------------------------


def test_cluster_scoped_and_namespaced_objects_are_applied_together() -> None:
    cluster = Memory(namespace("kube-system"))
    objects = [CLUSTER_ROLE, manifest("ServiceAccount", "reader", namespace="kube-system")]
    assert run(cluster, objects=objects)[0] == {"ClusterRole/reader": "created", "ServiceAccount/reader": "created"}
    actions, result = run(cluster, objects=objects)
    assert actions == {"ClusterRole/reader": "unchanged", "ServiceAccount/reader": "unchanged"}
    assert (result["changed"], result["exists"]) == (False, True)
    assert run(cluster, state="absent", objects=objects)[1]["changed"]
    assert run(cluster, state="absent", objects=objects)[0] == dict.fromkeys(actions, "absent")


def test_a_namespace_is_created_before_its_objects() -> None:
    cluster = Memory()
    actions, result = run(cluster, objects=[namespace(), CONFIG_MAP])
    assert actions == {"Namespace/polls": "created", "ConfigMap/settings": "created"}
    assert not result["exists"]
    assert not run(cluster, objects=[namespace(), CONFIG_MAP])[1]["changed"]


def test_check_mode_sends_no_requests_to_a_new_namespace() -> None:
    cluster = Memory(dry_run=True)
    reads = manifest("Deployment", "web", "apps/v1", "polls", spec={"template": {"spec": {"volumes": []}}})
    actions, result = run(
        cluster, objects=[namespace(), CONFIG_MAP, reads], unwanted=[manifest("Secret", "a", namespace="polls")]
    )
    assert set(actions.values()) == {"created"}
    assert result["changed"]
    assert cluster.written == ["apply /api/v1/namespaces/polls"]
    assert [entry["after_header"] for entry in result["diff"]] == [
        "Namespace polls",
        "ConfigMap settings",
        "Deployment web",
    ]


@pytest.mark.parametrize("place", ["", "polls"])
def test_a_missing_namespace_is_refused_before_the_first_change(place: str) -> None:
    cluster = Memory(namespace=place)
    objects = [CONFIG_MAP] if place else [CLUSTER_ROLE, CONFIG_MAP]
    with pytest.raises(
        ManifestError, match=r"^Namespace polls does not exist\. Create it with the role namespace, then"
    ):
        run(cluster, objects=objects)
    going = namespace()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.hold(going)
    with pytest.raises(ManifestError, match=r"^Namespace polls is being deleted\. Wait until it is deleted"):
        run(cluster, objects=objects)
    assert cluster.written == []


def test_objects_of_other_owners_are_refused_before_the_first_change() -> None:
    cluster = Memory(namespace(), CLUSTER_ROLE, CONFIG_MAP)
    with pytest.raises(ManifestError) as error:
        run(cluster, objects=[managed(namespace("other")), CLUSTER_ROLE, CONFIG_MAP])
    assert str(error.value) == (
        "ClusterRole reader, ConfigMap settings in namespace polls exist and are not managed by this site (the labels "
        "differ), so this task made no changes. Rename or remove them, or set another app_name or app_namespace, then "
        "rerun the playbook."
    )
    assert cluster.written == []
    assert run(cluster, state="absent", objects=[CLUSTER_ROLE, CONFIG_MAP])[0] == {
        "ClusterRole/reader": "absent",
        "ConfigMap/settings": "absent",
    }
    assert cluster.written == []


@pytest.mark.parametrize(
    ("obj", "place", "words"),
    [
        (
            CLUSTER_ROLE,
            "polls",
            "ClusterRole of rbac.authorization.k8s.io/v1 is cluster-scoped, but this task changes only",
        ),
        (CONFIG_MAP, "other", "ConfigMap settings has the namespace polls, but this task changes only other. Remove"),
        (manifest("ConfigMap", "settings"), "", "ConfigMap settings has no namespace. Add one to its metadata"),
        ({"kind": "ConfigMap", "metadata": {"name": "a"}}, "polls", "An object has no apiVersion. Add it"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "polls", "An object has no metadata.name. Add it"),
        (
            manifest("HTTPRoute", "a", "gateway.networking.k8s.io/v1"),
            "polls",
            "The cluster has no kind HTTPRoute of gateway",
        ),
    ],
)
def test_an_object_in_the_wrong_namespace_is_refused(obj: Obj, place: str, words: str) -> None:
    cluster = Memory(namespace(), namespace("other"), namespace=place)
    with pytest.raises((ManifestError, ApiError)) as error:
        run(cluster, objects=[obj])
    assert str(error.value).startswith(words)
    assert cluster.written == []


def test_pruning_needs_a_namespace() -> None:
    rule = {"api_version": "v1", "kind": "ConfigMap", "labels": {"a": "b"}, "keep": 0}
    with pytest.raises(ManifestError, match="Option prune needs a single namespace"):
        run(Memory(), prune=[rule])


# --- Existing namespaces ----------------------------------------------------------------------------------------------


def test_kinds_in_leave_foreign_are_left_unchanged() -> None:
    cluster = Memory(namespace())
    wanted = namespace()
    wanted["metadata"]["labels"] = {"team": "a"}
    actions, _ = run(cluster, objects=[wanted, CONFIG_MAP], leave_foreign=["Namespace"])
    assert actions == {"Namespace/polls": "left", "ConfigMap/settings": "created"}
    assert "labels" not in cluster.held["/api/v1/namespaces/polls"]["metadata"]
    cluster.hold(CONFIG_MAP)
    with pytest.raises(ManifestError, match="ConfigMap settings in namespace polls exists and is not managed"):
        run(cluster, objects=[wanted, CONFIG_MAP], leave_foreign=["Namespace"])


def test_a_namespace_that_matches_is_not_applied() -> None:
    """A deployer account may lack the permission."""
    existing = managed(namespace())
    existing["metadata"]["labels"]["kubernetes.io/metadata.name"] = "polls"
    cluster = Memory(existing | {"spec": {"finalizers": ["kubernetes"]}})
    assert run(cluster, objects=[namespace()])[0] == {"Namespace/polls": "unchanged"}
    assert cluster.written == []
    wanted = namespace()
    wanted["metadata"]["labels"] = {"team": "a"}
    assert run(cluster, objects=[wanted])[0] == {"Namespace/polls": "changed"}


def test_workloads_are_removed_before_the_objects_that_pods_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the node of a server is unavailable, its volume claim is kept, and the removal can be reverted."""
    monkeypatch.setattr(reconcile.time, "sleep", lambda _: None)
    claim = managed(manifest("PersistentVolumeClaim", "data", namespace="polls"))
    server = managed(manifest("StatefulSet", "db", "apps/v1", "polls", spec={"template": {"spec": {}}}))
    named = manifest("StatefulSet", "db", "apps/v1", "polls")
    cluster = Memory(namespace(), claim, server, namespace="polls")
    assert run(cluster, "absent", objects=[claim, named])[0] == {
        "StatefulSet/db": "removed",
        "PersistentVolumeClaim/data": "removed",
    }
    assert [line.rpartition("/")[2] for line in cluster.written] == ["db", "data"]

    class Stuck(Memory):
        def request(self, method: str, path: str, about: str = "", **options: Any) -> Any:
            if method == "delete" and path.endswith("/db"):
                return self.written.append(f"delete {path}")
            return super().request(method, path, about, **options)

    cluster = Stuck(namespace(), claim, server, namespace="polls")
    with pytest.raises(ManifestError, match="StatefulSet db in namespace polls still exists"):
        run(cluster, "absent", objects=[claim, named])
    assert [line.rpartition("/")[2] for line in cluster.written] == ["db"]


def test_a_removal_that_times_out_reports_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = managed(namespace())
    stuck["status"] = {
        "conditions": [
            {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content deleted."},
            {"type": "NamespaceContentRemaining", "status": "True", "message": "1 pod remains."},
        ]
    }
    cluster = Memory(stuck)
    monkeypatch.setattr(cluster, "remove", lambda obj: None)
    with pytest.raises(ManifestError) as error:
        run(cluster, state="absent", objects=[namespace()])
    assert str(error.value) == (
        "Namespace polls still exists after 0 s: 1 pod remains. "
        "Find the cause with kubectl describe, then rerun the playbook."
    )
    assert run(cluster, state="absent", objects=[namespace()], wait=False)[1]["changed"]


class Slow:
    """A clock that advances only during waits, and the printed progress lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        monkeypatch.setattr(reconcile.time, "sleep", self.sleep)
        monkeypatch.setattr(reconcile, "Pace", lambda: progress.Pace(lambda: self.now))
        monkeypatch.setattr(progress.Screen, "show", staticmethod(self.lines.append))

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def user_of(claim: str, name: str = "copy", **metadata: str) -> Obj:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    pod = manifest("Pod", name, namespace="polls", spec={"nodeName": "one", "volumes": volumes})
    return pod | {"metadata": pod["metadata"] | metadata, "status": {"phase": "Running"}}


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def going(kind: str, name: str, place: str = "polls", **content: Any) -> Obj:
    obj = managed(manifest(kind, name, namespace=place, **content))
    return obj | {"metadata": obj["metadata"] | GOING}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_claim_that_another_pod_holds_is_an_error_within_ten_seconds(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    claim = manifest("PersistentVolumeClaim", "data", namespace="polls")
    cluster = Memory(namespace(), going("PersistentVolumeClaim", "data"), user_of("data"), namespace="polls")
    with pytest.raises(
        ManifestError, match=r"data in namespace polls still exists after \d+ s: pod copy still uses it"
    ):
        run(cluster, state, objects=[claim], timeout=600)
    assert slow.now < 10
    assert not any(line.startswith("apply") for line in cluster.written)


def test_a_wait_for_a_claim_with_a_terminating_pod_prints_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    claim = manifest("PersistentVolumeClaim", "data", namespace="polls")
    cluster = Memory(namespace(), going("PersistentVolumeClaim", "data"), user_of("data", **GOING), namespace="polls")
    with pytest.raises(ManifestError, match="still exists after 60 s: pod copy still uses it while terminating"):
        run(cluster, "absent", objects=[claim], timeout=60)
    assert (
        slow.lines[0] == "  8 s: PersistentVolumeClaim data is being deleted: pod copy still uses it while terminating"
    )
    assert len(slow.lines) == 7


def test_a_claim_that_is_released_at_the_last_moment_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    claim = manifest("PersistentVolumeClaim", "data", namespace="polls")
    other = going("ConfigMap", "settings")
    cluster = Memory(namespace(), going("PersistentVolumeClaim", "data"), other, user_of("data"), namespace="polls")
    at = {"data": 4.5, "settings": 7.0}
    sleep = slow.sleep

    def sleep_and_remove(seconds: float) -> None:
        sleep(seconds)
        for path in [path for path in cluster.held if at.get(path.rpartition("/")[2], slow.now + 1) <= slow.now]:
            del cluster.held[path]

    monkeypatch.setattr(reconcile.time, "sleep", sleep_and_remove)
    run(cluster, "absent", objects=[claim, manifest("ConfigMap", "settings")], timeout=600)
    assert 7 <= slow.now < 8


def test_an_error_about_the_content_of_a_namespace_names_no_api_service(monkeypatch: pytest.MonkeyPatch) -> None:
    Slow(monkeypatch)
    state = {"type": "NamespaceDeletionContentFailure", "status": "True", "message": "admission webhook denied it."}
    cluster = Memory(going("Namespace", "polls", "", status={"conditions": [state]}))
    with pytest.raises(ManifestError, match=r"admission webhook denied it\. Fix the cause that the message"):
        run(cluster, "absent", objects=[namespace()], timeout=120)


def test_a_namespace_with_an_unavailable_api_is_an_error_after_30_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow(monkeypatch)
    state = {"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "Discovery failed: v1.x."}
    cluster = Memory(going("Namespace", "polls", "", status={"conditions": [state]}))
    with pytest.raises(ManifestError, match=r"Discovery failed: v1\.x\. Repair or remove the unavailable API"):
        run(cluster, "absent", objects=[namespace()], timeout=120)
    assert 30 <= slow.now < 31
    assert slow.lines[0] == "  8 s: Namespace polls is being deleted: Discovery failed: v1.x"


def test_a_finalizer_that_is_not_removed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    Slow(monkeypatch)
    held = going("ConfigMap", "settings")
    held["metadata"]["finalizers"] = ["foregroundDeletion", "example.com/hook"]
    cluster = Memory(namespace(), held, namespace="polls")
    with pytest.raises(ManifestError, match=r"its finalizer example\.com/hook is still set"):
        run(cluster, "absent", objects=[manifest("ConfigMap", "settings")], timeout=5)


# --- Configuration ----------------------------------------------------------------------------------------------------


def test_pods_get_a_configuration_hash_unless_it_is_disabled() -> None:
    pod = {"containers": [{"name": "web", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}
    cluster = Memory(namespace(), namespace="polls")

    def template(**options: Any) -> Obj:
        run(cluster, objects=[CONFIG_MAP, deployment(**pod)], **options)
        return cluster.held["/apis/apps/v1/namespaces/polls/deployments/web"]["spec"]["template"]

    assert template(configuration_hash=False) == {"metadata": {}, "spec": pod}
    # A fixed value, because any other one would replace the pods of all existing sites.
    assert template()["metadata"]["annotations"] == {manifests.CONFIGURATION: "130efd55b472e171624ad738334212f2"}


def test_a_release_is_named_by_images_and_configuration_if_the_template_has_the_annotation() -> None:
    def releases(
        image: str = "polls:1", setting: str = "a", surge: int = 1, annotation: str = manifests.RELEASE
    ) -> Any:
        pod = {"containers": [{"name": "web", "image": image, "envFrom": [{"configMapRef": {"name": "settings"}}]}]}
        wanted = deployment(**pod)
        wanted["spec"] |= {"surge": surge}
        wanted["spec"]["template"]["metadata"] = {"annotations": {annotation: ""}}
        cluster = Memory(namespace(), namespace="polls")
        settings = manifest("ConfigMap", "settings", data={"A": setting})
        _, result = run(cluster, objects=[settings, wanted])
        held = cluster.held["/apis/apps/v1/namespaces/polls/deployments/web"]["spec"]["template"]["metadata"]
        if result["releases"]:
            [release] = result["releases"]
            assert held["annotations"] == {
                manifests.RELEASE: release["release"],
                manifests.CONFIGURATION: release["configuration_hash"],
            }
        return result["releases"]

    [first] = releases()
    assert {key: first[key] for key in ("kind", "name")} == {"kind": "Deployment", "name": "web"}
    assert [len(first[key]) for key in ("release", "configuration_hash")] == [32, 32]
    assert releases() == releases(surge=2) == [first]
    others = [releases(image="polls:2"), releases(setting="b"), releases(image="polls:2", setting="b"), [first]]
    assert len({release["release"] for [release] in others}) == 4
    # For instance the database, which a new name would restart.
    assert releases(annotation="other") == []


def test_all_configuration_of_pods_is_found() -> None:
    sources = [{"secret": {"name": "a"}}, {"configMap": {"name": "b"}}, {"serviceAccountToken": {}}]
    variables = [{"name": "A", "value": "1"}, {"valueFrom": {"secretKeyRef": {"name": "e", "key": "k"}}}]
    template = {
        "spec": {
            "volumes": [
                {"projected": {"sources": sources}},
                {"secret": {"secretName": "c"}},
                {"configMap": {"name": "d"}},
                {"emptyDir": {}},
            ],
            "initContainers": [{"env": variables}],
            "containers": [
                {"envFrom": [{"configMapRef": {"name": "f"}}, {"secretRef": {"name": "g"}}]},
                {"env": [{"valueFrom": {"configMapKeyRef": {"name": "h"}}}, {"valueFrom": {"fieldRef": {}}}]},
            ],
        }
    }
    found = manifests.references(template)
    assert found == [*(("ConfigMap", name) for name in "bdfh"), *(("Secret", name) for name in "aceg")]


def test_optional_configuration_replaces_pods_but_repeats_no_job() -> None:
    optional = [
        {"secret": {"secretName": "cache", "optional": True}},
        {"projected": {"sources": [{"secret": {"name": "cache", "optional": True}}]}},
    ]
    reads = {"envFrom": [{"configMapRef": {"name": "settings"}}], "name": "web"}
    pod = {"volumes": optional, "containers": [reads]}
    job = manifest("Job", "migrations", "batch/v1", "polls", spec={"template": {"metadata": {}, "spec": pod}})

    def changes(cache: str, setting: str) -> dict[str, str]:
        cluster.hold(managed(manifest("Secret", "cache", namespace="polls", data={"password": cache})))
        settings = CONFIG_MAP | {"data": {"A": setting}}
        return run(cluster, objects=[settings, copy.deepcopy(job), deployment(**copy.deepcopy(pod))])[0]

    cluster = Memory(namespace(), namespace="polls")
    changes("b2xk", "1")
    changed = changes("bmV3", "1")
    assert changed["Deployment/web"] == "changed"
    assert "created" not in changed.values()
    assert "created" in changes("bmV3", "2").values(), "a Job with other settings is another Job"


def test_unwanted_objects_can_stay_until_the_rollout_is_complete() -> None:
    unwanted = managed(manifest("ConfigMap", "old", namespace="polls"))
    cluster = Memory(namespace(), unwanted, namespace="polls")

    def actions(rolled_out: bool, keep: bool) -> list[str]:
        params = PARAMETERS | {"objects": [deployment()], "unwanted": [unwanted], "keep_unwanted": keep}
        work = Run(cluster, params, lambda obj: rolled_out, lambda job: False)
        return [item["action"] for item in work.present()["objects"] if item["name"] == "old"]

    assert actions(rolled_out=False, keep=True) == []
    assert actions(rolled_out=True, keep=True) == ["removed"]
    cluster.hold(unwanted)
    assert actions(rolled_out=False, keep=False) == ["removed"]


def test_references_are_read_in_the_namespace_of_the_pods() -> None:
    other = manifest("ConfigMap", "settings", namespace="other", data={"A": "2"})
    cluster = Memory(namespace(), namespace("other"), managed(other))
    pod = {"containers": [{"name": "web", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}
    placed = [copy.deepcopy(deployment(**pod)) for _ in range(2)]
    for obj, place in zip(placed, ("polls", "other"), strict=True):
        obj["metadata"]["namespace"] = place
    run(cluster, objects=[CONFIG_MAP, *placed])
    found = [
        cluster.held[f"/apis/apps/v1/namespaces/{place}/deployments/web"]["spec"]["template"]["metadata"]["annotations"]
        for place in ("polls", "other")
    ]
    assert found[0] != found[1]


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_random_values_are_long_plain_and_different() -> None:
    texts = {secrets.random_text() for _ in range(100)}
    assert len(texts) == 100
    assert all(len(text) == 32 and text.isalnum() and text.isascii() for text in texts)
    assert len(secrets.random_text(64)) == 64


def test_given_values_take_precedence_over_existing_and_generated_ones() -> None:
    secret = manifest("Secret", "a")
    existing = {"data": {"kept": secrets.encode("old"), "given": secrets.encode("old"), "empty": ""}}
    filled = secrets.fill(secret, existing, {"given": "new"}, {"kept": 3, "empty": "4", "given": 5}, lambda n: "x" * n)
    assert secrets.data_of(filled) == {"kept": "old", "given": "new", "empty": "xxxx"}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("password", b"hunter2\n", "has a line break at its end, which readers of a file ignore. Remove it"),
        ("password", b"hunter2\r\n", "has a line break at its end"),
        ("password", b"hun\nter2", "has a line break, but readers of a file stop there. Remove it, then rerun"),
        ("password", b"hunter2\0", "has a NUL byte, which no server accepts. Remove it, then rerun the playbook."),
        ("password", b"\xff", "is not text in UTF-8. Replace it, then rerun the playbook."),
        ("secret-key", b"hunter2\n", "has a line break at its end"),
        ("secret-key", b"\0", "has a NUL byte"),
    ],
)
def test_an_edited_secret_that_pods_would_read_differently_is_refused(key: str, value: bytes, reason: str) -> None:
    """Of the superuser or of Django: the same rule as for login roles and for variables."""
    secret = manifest("Secret", "polls-superuser", namespace="polls")
    cluster = Memory(namespace(), managed(secret) | {"data": {key: base64.b64encode(value).decode()}})
    with pytest.raises(ManifestError) as raised:
        run(cluster, objects=[secret], generate={"polls-superuser": {key: 24}})
    assert str(raised.value).startswith(f"Key {key} of Secret polls-superuser {reason}")
    assert "hunter2" not in str(raised.value)
    assert cluster.written == []


def test_an_edited_secret_is_replaced_by_a_given_value_or_read_as_a_whole() -> None:
    edited = {"data": {"password": secrets.encode("hunter2\n"), "secret-key": secrets.encode("a\nb")}}
    filled = secrets.fill(manifest("Secret", "a"), edited, {"password": "new"}, {"password": 9, "secret-key": 9})
    assert filled["data"] == {"password": secrets.encode("new"), "secret-key": edited["data"]["secret-key"]}


@pytest.mark.parametrize(
    ("secret", "values", "generate", "words"),
    [
        ({}, {"key": 5}, {}, "Key key of Secret a is not a string. Quote its value, then"),
        ({"data": {"key": "!"}}, {}, {}, "Key key of Secret a is not base64. Set its plain value in secret_values"),
        ({}, {}, {"key": "none"}, "Key key of Secret a cannot be none characters long."),
    ],
)
def test_wrong_values_are_refused(secret: Obj, values: Obj, generate: Obj, words: str) -> None:
    with pytest.raises(ManifestError) as error:
        secrets.fill(manifest("Secret", "a") | secret, None, values, generate)
    assert str(error.value).startswith(words)


def test_a_binary_value_is_refused_and_not_shown() -> None:
    with pytest.raises(ManifestError, match="Secret a has a value that is not text"):
        secrets.data_of(manifest("Secret", "a", data={"key": "//79"}))


def test_values_of_a_secret_can_be_read_from_its_manifest() -> None:
    made = secrets.manifest("a", "polls", OWNER, {"b": "é", "a": "1"})
    assert secrets.data_of(made) == {"a": "1", "b": "é"}
    assert (made["type"], made["metadata"]["namespace"]) == ("Opaque", "polls")
    assert secrets.hide(made)["data"] == {"a": "(hidden)", "b": "(hidden)"}


# --- Decisions about single objects -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "is_managed"),
    [(OWNER, True), ({"app.kubernetes.io/managed-by": "Helm"}, False), ({}, False), (None, False)],
)
def test_an_object_is_managed_if_it_has_the_label(labels: Obj | None, is_managed: bool) -> None:
    assert ownership.is_ours({"metadata": {"labels": labels}}) is is_managed


def test_an_owner_without_labels_is_refused() -> None:
    with pytest.raises(ManifestError, match="every object would count as managed"):
        ownership.as_text({}, "The option owner")


@pytest.mark.parametrize(
    ("existing", "wanted", "holds"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": 1}, False),
    ],
)
def test_an_object_has_all_fields_of_a_manifest(existing: Obj, wanted: Obj, holds: bool) -> None:
    assert manifests.holds(existing, wanted) is holds


def test_a_diff_shows_no_value_of_a_secret() -> None:
    before = manifest("Secret", "a", data={"same": "b2xk", "other": "b2xk"})
    after = manifest("Secret", "a", data={"same": "b2xk", "other": "bmV3"})
    shown = manifests.difference(before, after)
    assert not [text for text in ("b2xk", "bmV3") if text in shown["before"] + shown["after"]]
    assert '"other": "(hidden, new)"' in shown["after"]


def test_jobs_of_one_manifest_are_identified_by_their_names() -> None:
    job = manifest("Job", "migrations", "batch/v1", spec={"backoffLimit": 0})
    name = manifests.named_by_content(job)["metadata"]["name"]
    assert name != manifests.named_by_content(job | {"spec": {}})["metadata"]["name"]
    assert manifests.is_named_after(name, job)
    assert not manifests.is_named_after("migrations-0123456789-old", job)


def test_the_oldest_objects_are_outdated() -> None:
    items = [
        {"metadata": {"name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}}
        for day, name in enumerate(("one", "two", "three"), start=1)
    ]
    wanted = [{"metadata": {"name": "one"}}, {"metadata": {"name": "new"}}]
    assert [item["metadata"]["name"] for item in manifests.outdated(items, 2, [])] == ["one"]
    assert [item["metadata"]["name"] for item in manifests.outdated(items, 2, wanted)] == ["two"]


@pytest.mark.parametrize(
    ("managers", "replicas"), [(["cloud-django"], 3), (["cloud-django", "scaler"], None), ([], None)]
)
def test_replicas_without_another_manager_are_handed_over(managers: list[str], replicas: int | None) -> None:
    entries = [{"manager": name, "fieldsV1": {"f:spec": {"f:replicas": {}}}} for name in managers]
    existing = {"metadata": {"managedFields": entries}, "spec": {"replicas": 3}}
    assert manifests.owned_replicas(existing, {"spec": {}}, "cloud-django") == replicas
    assert manifests.owned_replicas(existing, {"spec": {"replicas": 2}}, "cloud-django") is None


def test_the_handover_has_a_separate_manager() -> None:
    assert reconcile.HANDOVER_MANAGER != "cloud-django"


# --- Old objects ------------------------------------------------------------------------------------------------------


def old(kind: str, name: str, api_version: str = "apps/v1") -> Obj:
    return managed(manifest(kind, name, api_version, "polls"))


def rule(**options: Any) -> Obj:
    return {"api_version": "apps/v1", "kind": "StatefulSet", "labels": {"a": "b"}, "keep": 0} | options


@pytest.mark.parametrize("first", [True, False])
def test_old_objects_are_removed_before_or_after_the_others(first: bool) -> None:
    cluster = Memory(namespace(), old("StatefulSet", "beat"), namespace="polls")
    wanted = manifest("StatefulSet", "scheduler", "apps/v1", "polls")
    actions, _ = run(cluster, objects=[wanted], prune=[rule(first=first)])
    assert actions == {"StatefulSet/beat": "removed", "StatefulSet/scheduler": "created"}
    assert [line.split()[0] for line in cluster.written] == (["delete", "apply"] if first else ["apply", "delete"])


def test_nothing_is_applied_until_an_old_object_is_gone() -> None:
    class Stuck(Memory):
        def request(self, method: str, path: str, about: str = "", **options: Any) -> Any:
            return None if method == "delete" else super().request(method, path, about, **options)

    for obj in (old("StatefulSet", "beat"), going("StatefulSet", "beat") | {"apiVersion": "apps/v1"}):
        cluster = Stuck(namespace(), obj, namespace="polls")
        wanted = [manifest("StatefulSet", "scheduler", "apps/v1", "polls")]
        with pytest.raises(ManifestError, match="StatefulSet beat in namespace polls still exists"):
            run(cluster, objects=wanted, prune=[rule(first=True)])
        assert cluster.written == []
        # It does not have to be first.
        assert run(cluster, objects=wanted, prune=[rule()])[0]["StatefulSet/scheduler"] == "created"


def test_wanted_objects_are_kept() -> None:
    cluster = Memory(namespace(), old("StatefulSet", "beat"), namespace="polls")
    wanted = manifest("StatefulSet", "beat", "apps/v1", "polls")
    assert run(cluster, objects=[wanted], prune=[rule(first=True)])[0] == {"StatefulSet/beat": "unchanged"}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_managed_objects_are_removed_together(state: str) -> None:
    policy = "networking.k8s.io/v1"
    foreign = manifest("NetworkPolicy", "shared", policy, "polls")
    cluster = Memory(
        namespace(), old("StatefulSet", "beat"), old("NetworkPolicy", "beat", policy), foreign, namespace="polls"
    )
    together = [{"api_version": policy, "kind": "NetworkPolicy", "name": name} for name in ("", "shared", "none")]
    actions, _ = run(cluster, state, prune=[rule(together=together)])
    assert actions == {"NetworkPolicy/beat": "removed", "StatefulSet/beat": "removed"}


@pytest.mark.parametrize(("replicas", "handed_over"), [(0, []), (3, [{"replicas": 3}])])
def test_stopped_workload_is_not_handed_over_with_no_pods(replicas: int, handed_over: list[Obj]) -> None:
    """An autoscaler would leave it stopped."""
    entry = {"manager": reconcile.FIELD_MANAGER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    existing = managed(manifest("Deployment", "web", "apps/v1", "polls", spec={"replicas": replicas}))
    existing["metadata"]["managedFields"] = [entry]
    cluster = Memory(namespace(), existing, namespace="polls")
    sent = []
    apply = cluster.apply
    cluster.apply = lambda obj, *manager: (sent.extend([obj["spec"]] if manager else []), apply(obj))[1]  # type: ignore[method-assign] # records
    run(cluster, objects=[manifest("Deployment", "web", "apps/v1", "polls", spec={"paused": False})])
    assert sent == handed_over
