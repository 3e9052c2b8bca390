"""A database that cannot start or be removed: the error names the reason early, on a real cluster."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.placing import PLACING_PATIENCE
from postgresql_support import Play, cluster, eventually, own_namespace, pod, run_play, running_pod

SERVER = "polls-postgresql"
SMALL = {"postgresql_storage_size": "1Gi"}
OWNER = {"app.kubernetes.io/managed-by": "cloud-django", "app.kubernetes.io/instance": "polls"}
HOPELESS_WITHIN = 30.0


def play(namespace: str, **variables: Any) -> Play:
    return run_play(namespace, ["postgresql"], SMALL | variables)


def test_a_pod_that_is_refused_or_fits_nowhere_is_told_and_its_claim_is_not() -> None:
    name = "test-reasons-pod"
    with own_namespace(name) as where:
        limits = [{"type": "Container", "max": {"memory": "128Mi"}}]
        bounds = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": limits}}
        where.create(bounds)
        told = play(name)
        assert told.sentence().startswith(f"StatefulSet {SERVER} is stuck: its pods are refused: ")
        assert "memory" in told.sentence()
        assert "claim" not in told.sentence()
        assert told.seconds < HOPELESS_WITHIN
        where.delete("LimitRange", "small")
        resources = {"requests": {"cpu": "1000", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
        told = play(name, postgresql_resources=resources)
        assert "cannot be scheduled: " in told.sentence()
        assert "Insufficient cpu" in told.sentence()
        assert "remove the claim" not in told.sentence()
        # Until then an autoscaler may announce a node.
        assert told.seconds < HOPELESS_WITHIN + PLACING_PATIENCE


def test_a_claim_that_another_pod_holds_is_told_by_a_run_and_by_a_removal() -> None:
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
                    f"PersistentVolumeClaim {SERVER} in namespace {name} is not gone after "
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
