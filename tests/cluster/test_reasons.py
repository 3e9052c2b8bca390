"""Reasons why a database does not start or stop: reported on a real cluster, early, and with correct advice."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import holds
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import content
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.reconcile import Run
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.placing import PLACING_PATIENCE
from postgresql_support import Play, cluster, eventually, own_namespace, pod, run_play, running_pod

SERVER = "polls-postgresql"
SMALL = {"postgresql_storage_size": "1Gi"}
OWNER = {"app.kubernetes.io/managed-by": "cloud-django", "app.kubernetes.io/instance": "polls"}
HOPELESS_WITHIN = 30.0
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


def play(namespace: str, **variables: Any) -> Play:
    return run_play(namespace, ["postgresql"], SMALL | variables)


def test_refused_or_unschedulable_pod_is_reported_without_its_claim() -> None:
    name = "test-reasons-pod"
    with own_namespace(name) as where:
        limits = [{"type": "Container", "max": {"memory": "128Mi"}}]
        bounds = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": limits}}
        where.create(bounds)
        told = play(name)
        assert told.sentence().startswith(f"StatefulSet {SERVER} is stuck: its pods are rejected: ")
        assert "memory" in told.sentence()
        assert "claim" not in told.sentence()
        assert told.seconds < HOPELESS_WITHIN
        where.delete("LimitRange", "small")
        resources = {"requests": {"cpu": "1000", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
        told = play(name, postgresql_resources=resources)
        assert "cannot be scheduled: " in told.sentence()
        assert "Insufficient cpu" in told.sentence()
        assert "delete the claim" not in told.sentence()
        # Until then an autoscaler may announce a node.
        assert told.seconds < HOPELESS_WITHIN + PLACING_PATIENCE


def test_claim_of_another_pod_is_reported_by_a_run_and_a_removal() -> None:
    name = "test-reasons-claim"
    with own_namespace(name) as where:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": SERVER, "labels": OWNER}
        where.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
        with running_pod(where, pod("copy", {}, claim=SERVER)):
            where.delete("PersistentVolumeClaim", SERVER)
            for options in ({}, {"postgresql_state": "absent", "postgresql_data": "purge"}):
                told = play(name, **options)
                assert told.sentence().startswith(
                    f"PersistentVolumeClaim {SERVER} in namespace {name} still exists after "
                )
                assert "pod copy still uses it" in told.sentence()
                assert told.seconds < HOPELESS_WITHIN
            assert not where.get("StatefulSet", SERVER)
            options = {"teardown_data": "purge", "teardown_cluster": False}
            told = run_play(name, [], options, "--tags=postgresql", playbook="playbooks/teardown.yml", plain=True)
            assert told.code
            left = f"Being deleted and still there: PersistentVolumeClaim/{SERVER} (pod copy still uses it)"
            assert left in " ".join(told.text.split())
        eventually(lambda: cluster(name).get("PersistentVolumeClaim", SERVER) is None)


@pytest.mark.alone
def test_unavailable_api_service_is_reported_when_a_namespace_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is repaired, no namespace of the cluster can be removed."""
    name, group = "test-reasons-api", "unavailable.cloud-django.test"
    service = {"name": "nothing", "namespace": "default"}
    spec = {"group": group, "version": "v1", "service": service, "groupPriorityMinimum": 100, "versionPriority": 100}
    body = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"v1.{group}"}}
    # Keeps the namespace until its controller has noticed.
    held = {"name": "held", "finalizers": ["cloud-django.test/hold"]}
    params = {"owner": {"app.kubernetes.io/managed-by": "cloud-django"}, "unwanted": [], "leave_foreign": []}
    params |= {"objects": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}], "prune": []}
    params |= {"compose": {}, "sources": {}, "required": []}
    params |= {"generate": {}, "secret_values": {}, "configuration_hash": False, "timeout": 60, "wait": True}
    # Instead of half a minute.
    monkeypatch.setattr(holds, "NAMESPACE_PATIENCE", 2.0)

    def is_unavailable() -> bool:
        found = cluster(name).request("get", f"{API_SERVICES}/v1.{group}")
        conditions = found.get("status", {}).get("conditions") or []
        return any(each["type"] == "Available" and each["status"] == "False" for each in conditions)

    with own_namespace(name) as where:
        where.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
        where.request("post", API_SERVICES, body=body | {"spec": spec | {"insecureSkipTLSVerify": True}})
        try:
            eventually(is_unavailable, 20)
            with pytest.raises(ManifestError) as caught:
                Run(cluster(""), params, lambda obj: True, lambda job: False).absent()
            found = content.read(cluster(name))
        finally:
            where.request("delete", f"{API_SERVICES}/v1.{group}")
            release = {"metadata": {"finalizers": None}}
            where.request(
                "patch", where.path("ConfigMap", "held"), body=release, content_type="application/merge-patch+json"
            )
    assert str(caught.value).startswith(f"Namespace {name} still exists after ")
    assert "Discovery failed for some groups" in str(caught.value)
    assert group in str(caught.value)
    assert "Repair or remove the unavailable API service, which kubectl get apiservices lists" in str(caught.value)
    # The other kinds are listed.
    assert any(entry.startswith("ConfigMap/held") for entry in found["objects"] + found["going"])
