"""Shared parts of the tests of the PostgreSQL modules: a fake client of a cluster, and its objects."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import data_of
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OURS = {"app.kubernetes.io/managed-by": "cloud-django"}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
ROLLED_OUT = {
    "replicas": 1,
    "updatedReplicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
    "currentRevision": "1",
    "updateRevision": "1",
}


class FakeClient(Client):
    """Stores objects by Kind/name, records reads and writes, and answers commands with a function."""

    def __init__(self, *objects: dict[str, Any], exists: bool = True) -> None:
        super().__init__(None, "polls")
        self.objects = {f"{o['kind']}/{o['metadata']['name']}": o for o in objects}
        self.exists = exists
        self.classes: list[dict[str, Any]] = [storage_class("standard", default=True)]
        self.scripts: list[str] = []
        self.answers: Any = lambda script: Result(0, "", "")
        self.read: list[str] = []
        self.notes: list[str] = []

    def namespace_exists(self) -> bool:
        self.read.append("Namespace")
        return self.exists

    def get(self, kind: str, name: str, *_: Any) -> dict[str, Any] | None:
        self.read.append(f"{kind}/{name}")
        return self.objects.get(f"{kind}/{name}")

    def list(self, kind: str, *_: Any, **__: Any) -> list[dict[str, Any]]:
        assert kind == "StorageClass"
        self.read.append(kind)
        return self.classes

    def apply(self, manifest: Any, *_: Any) -> dict[str, Any]:
        self.objects[f"{manifest['kind']}/{manifest['metadata']['name']}"] = manifest
        self.notes.append(f"apply {manifest['kind']}/{manifest['metadata']['name']}")
        return manifest

    def create(self, manifest: Any) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        self.objects[f"{manifest['kind']}/{name}"] = manifest | {"status": {"phase": "Running"}}
        self.notes.append(f"create {name}")
        return manifest

    def delete(self, kind: str, name: str, grace: int | None = None) -> None:
        self.objects.pop(f"{kind}/{name}", None)
        self.notes.append(f"delete {kind}/{name}")

    def patch(self, kind: str, name: str, body: Any, *_: Any) -> None:
        assert body["metadata"]["annotations"]
        self.notes.append(f"annotate {kind}/{name}")

    def exec(self, pod: str, container: str, command: Any, stdin: str = "", timeout: float = 60) -> Result:
        assert "s3cret" not in " ".join(command), "secrets are sent only through standard input"
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


def claim(size: str = "1Gi", kind: str = "standard", phase: str = "Bound") -> dict[str, Any]:
    spec = {"resources": {"requests": {"storage": size}}, "storageClassName": kind}
    return thing("PersistentVolumeClaim", spec=spec, status={"phase": phase})


def values_of(client: FakeClient, name: str) -> dict[str, str]:
    return data_of(client.objects[f"Secret/{name}"])


def assert_documented(module: Any) -> None:
    """Assert that a module's documentation and its arguments agree."""
    specified = module.OPTIONS
    assert not set(specified) & set(AUTH_ARG_SPEC)
    compare(yaml.safe_load(module.DOCUMENTATION)["options"], specified)


def compare(documented: dict[str, Any], specified: dict[str, Any]) -> None:
    assert documented.keys() == specified.keys()
    for name, option in specified.items():
        for key in ("type", "required", "default", "choices", "elements"):
            assert documented[name].get(key) == option.get(key), (name, key)
        assert documented[name]["description"]
        if "options" in option:
            compare(documented[name]["suboptions"], option["options"])
