"""The definitions of readiness for each kind of object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, placing, readiness
from workload_cases import Case

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str, kind: str) -> dict[str, Any]:
    """Return a recorded object with its kind, which a list of the API omits."""
    objects = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["objects"]
    return {"kind": kind} | objects[kind][0]


# --- Pods -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "ready"),
    [
        (None, False),
        ({"metadata": {}}, False),
        ({"metadata": {}, "status": None}, False),
        ({"metadata": {}, "status": {"conditions": [{"type": "Initialized", "status": "True"}]}}, False),
        ({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}, False),
        ({"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
        (
            {"metadata": {"deletionTimestamp": "now"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            False,
        ),
    ],
)
def test_a_pod_is_ready_if_it_serves_and_is_not_deleted(pod: Any, ready: bool) -> None:
    assert readiness.is_pod_ready(pod) is ready


class Pods:
    """Client that returns the next status of a pod at each request, and then always the last one."""

    def __init__(self, *statuses: dict[str, Any] | None) -> None:
        self.statuses = list(statuses)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        assert (kind, name) == ("Pod", "polls")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return None if status is None else {"status": status}


def containers(**waiting: str) -> list[dict[str, Any]]:
    return [{"state": {"waiting": waiting} if waiting else {"running": {}}}]


RUNNING = {"phase": "Running", "containerStatuses": containers()}
CREATING = {"phase": "Pending", "containerStatuses": containers(reason="ContainerCreating")}


def test_a_pod_is_waited_for_until_its_containers_run() -> None:
    pauses: list[float] = []
    half = {"phase": "Running", "containerStatuses": [*containers(), *containers(reason="ContainerCreating")]}
    readiness.wait_until_running(Pods(None, {"phase": "Pending"}, CREATING, half, RUNNING), "polls", 60, pauses.append)
    assert len(pauses) == 4


@pytest.mark.parametrize(
    ("status", "timeout", "cause"),
    [
        (None, -1, "it is missing"),
        ({"phase": "Pending", "conditions": [{"message": "no node fits."}]}, -1, "no node fits"),
        (CREATING, -1, "ContainerCreating"),
        ({"phase": "Pending", "initContainerStatuses": containers(reason="ErrImagePull")}, 60, "ErrImagePull"),
        ({"phase": "Failed"}, 60, "Failed"),
        ({"phase": "Succeeded"}, 60, "Succeeded"),
        (
            {"phase": "Pending", "containerStatuses": containers(reason="ErrImagePull", message="not found")},
            60,
            "ErrImagePull not found",
        ),
    ],
)
def test_a_pod_that_does_not_start_is_an_error(status: dict[str, Any] | None, timeout: float, cause: str) -> None:
    with pytest.raises(ApiError) as caught:
        readiness.wait_until_running(Pods(status), "polls", timeout, lambda _: None)
    assert str(caught.value) == (f"Pod polls does not start: {cause}. Correct the cause, {AGAIN}.")


UNPLACED = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu"}
    ],
}


@pytest.mark.parametrize(
    ("said", "seconds"), [("TriggeredScaleUp", 60), ("FailedScheduling", placing.PLACING_PATIENCE)]
)
def test_an_unschedulable_pod_with_an_announced_node_is_waited_for(
    said: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    class Cluster(Pods):
        asked = 0

        def events(self, kind: str, name: str) -> list[dict[str, Any]]:
            assert (kind, name) == ("Pod", "polls")
            self.asked += 1
            return [{"reason": said}]

    def sleep(pause: float) -> None:
        now[0] += pause

    monkeypatch.setattr(readiness, "Pace", lambda: progress.Pace(lambda: now[0]))
    cluster = Cluster(UNPLACED)
    with pytest.raises(ApiError, match="Pod polls does not start: 0/1 nodes are available: 1 Insufficient cpu"):
        readiness.wait_until_running(cluster, "polls", 60, sleep)
    assert (seconds <= now[0] < seconds + 1, cluster.asked) == (True, 1)


# --- Workloads --------------------------------------------------------------------------------------------------------


WORKLOADS = [
    ("deployment_done", "Deployment"),
    ("deployment_zero", "Deployment"),
    ("statefulset_done", "StatefulSet"),
    ("daemonset_done", "DaemonSet"),
]


@pytest.mark.parametrize(("name", "kind"), [*WORKLOADS, ("job_complete", "Job")])
def test_a_finished_workload_is_rolled_out(name: str, kind: str) -> None:
    assert readiness.is_rolled_out(recorded(name, kind))


@pytest.mark.parametrize(("name", "kind"), WORKLOADS)
def test_an_earlier_generation_is_not_rolled_out(name: str, kind: str) -> None:
    workload = recorded(name, kind)
    workload["metadata"]["generation"] += 1
    assert not readiness.is_rolled_out(workload)


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        *(("deployment_done", "Deployment", {count: 2}) for count in ("updatedReplicas", "availableReplicas")),
        ("deployment_done", "Deployment", {"replicas": 4}),
        *(
            ("statefulset_done", "StatefulSet", {count: 0})
            for count in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        ),
        ("statefulset_done", "StatefulSet", {"currentRevision": "polls-1"}),
        ("daemonset_done", "DaemonSet", {"updatedNumberScheduled": 0}),
        ("daemonset_done", "DaemonSet", {"numberAvailable": 0}),
    ],
)
def test_every_number_of_a_status_counts(name: str, kind: str, change: dict[str, Any]) -> None:
    workload = recorded(name, kind)
    workload["status"].update(change)
    assert not readiness.is_rolled_out(workload)


@pytest.mark.parametrize("name", ["job_failed", "job_retrying"])
def test_a_job_that_is_not_complete_is_not_rolled_out(name: str) -> None:
    assert not readiness.is_rolled_out(recorded(name, "Job"))


def test_an_object_of_another_kind_is_rolled_out() -> None:
    assert readiness.is_rolled_out({"kind": "Secret", "metadata": {}})


@pytest.mark.parametrize(("name", "failed"), [("job_failed", True), ("job_retrying", False), ("job_complete", False)])
def test_a_failed_job_differs_from_an_active_one(name: str, failed: bool) -> None:
    assert readiness.job_failed(recorded(name, "Job")) is failed


@pytest.mark.parametrize(("kind", "status", "failed"), [("FailureTarget", "True", True), ("Failed", "False", False)])
def test_a_job_has_failed_as_soon_as_its_condition_holds(kind: str, status: str, failed: bool) -> None:
    assert readiness.job_failed({"status": {"conditions": [{"type": kind, "status": status}]}}) is failed


# --- Workloads with their objects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["deployment_done", "deployment_zero", "statefulset_done", "daemonset_done", "job_complete"],
)
def test_a_finished_workload_is_done(name: str) -> None:
    assert Case(name).judge() == model.Done()


@pytest.mark.parametrize("name", ["deployment_done", "statefulset_done", "daemonset_done"])
def test_the_status_of_an_earlier_generation_is_ignored(name: str) -> None:
    case = Case(name)
    case.workload["metadata"]["generation"] += 1
    assert case.wait().code == "NotObserved"


@pytest.mark.parametrize("name", ["deployment_done", "statefulset_done", "daemonset_done"])
def test_a_workload_without_any_status_is_waited_for(name: str) -> None:
    case = Case(name)
    case.workload["status"] = {}
    assert case.wait().code == "NotObserved"


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"updatedReplicas": 2}, "2 of 3 replicas are updated"),
        ({"replicas": 4}, "1 replica of an earlier revision is still there"),
        ({"availableReplicas": 2}, "2 of 3 replicas are available"),
        ({"unavailableReplicas": 1}, "3 of 3 replicas are available"),
        ({"replicas": 4, "updatedReplicas": 4}, "1 surplus replica still to be removed"),
    ],
)
def test_a_deployment_needs_all_numbers(change: dict[str, int], lacking: str) -> None:
    case = Case("deployment_done")
    case.status.update(change)
    assert case.wait().text == lacking


def test_a_deployment_is_not_done_while_an_old_replicaset_has_replicas() -> None:
    case = Case("deployment_rolling")
    case.status.update({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "unavailableReplicas": 0})
    assert "earlier revision" in case.wait().text
    for replicaset in case.objects["ReplicaSet"]:
        if replicaset is not model.view(case.kind, case.workload, case.objects).owner:
            replicaset["status"]["replicas"] = 0
    assert case.judge() == model.Done()


def test_a_deployment_without_replicas_wants_one() -> None:
    case = Case("deployment_done")
    del case.spec["replicas"]
    assert "surplus" in case.wait().text
    case.status.update({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
    assert case.judge() == model.Done()


def test_zero_replicas_are_done_once_none_is_left() -> None:
    case = Case("deployment_done")
    case.spec["replicas"] = 0
    assert isinstance(case.judge(), model.Waiting)
    for key in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"):
        case.status.pop(key)
    assert case.judge() == model.Done()


def test_zero_replicas_need_no_replicaset() -> None:
    case = Case("deployment_zero")
    case.objects["ReplicaSet"] = []
    assert case.judge() == model.Done()


def test_zero_replicas_of_a_statefulset_are_done_in_any_revision() -> None:
    case = Case("statefulset_done")
    case.spec["replicas"] = 0
    case.status.update({"replicas": 0, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 0})
    case.status["updateRevision"] = "another"
    assert case.judge() == model.Done()
    case.status["replicas"] = 1
    assert isinstance(case.judge(), model.Waiting)


def test_a_deployment_without_its_new_replicaset_is_waited_for() -> None:
    case = Case("deployment_done")
    case.objects["ReplicaSet"] = []
    assert case.wait().text == "its new ReplicaSet does not exist yet"


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"updatedReplicas": 1}, "1 of 2 replicas are updated"),
        ({"readyReplicas": 1}, "1 of 2 replicas are available"),
        ({"availableReplicas": 1}, "1 of 2 replicas are available"),
        ({"replicas": 1}, "1 of 2 replicas are available"),
        ({"replicas": 3}, "1 surplus replica still to be removed"),
        ({"currentRevision": "earlier"}, "its controller has not completed the update"),
    ],
)
def test_a_statefulset_needs_all_numbers(change: dict[str, Any], lacking: str) -> None:
    case = Case("statefulset_done")
    case.status.update(change)
    assert case.wait().text == lacking


def test_a_partition_excludes_the_first_pods() -> None:
    case = Case("statefulset_done")
    case.status.update({"updatedReplicas": 1, "currentRevision": "earlier"})
    assert isinstance(case.judge(), model.Waiting)
    case.spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    assert case.judge() == model.Done()
    case.status["updatedReplicas"] = 0
    assert isinstance(case.judge(), model.Waiting)


def test_a_pod_below_the_partition_must_also_run() -> None:
    case = Case("statefulset_blocked")
    case.spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    assert case.failure().code == "CrashLoopBackOff"


@pytest.mark.parametrize("name", ["statefulset_done", "daemonset_done"])
def test_on_delete_only_readiness_is_waited_for(name: str) -> None:
    case = Case(name)
    case.spec["updateStrategy"] = {"type": "OnDelete"}
    case.status.update({"updatedReplicas": 0, "updatedNumberScheduled": 0, "updateRevision": "another"})
    assert case.judge() == model.Done()
    case.status.update({"readyReplicas": 0, "numberAvailable": 0})
    assert isinstance(case.judge(), model.Waiting)


def test_on_delete_every_pod_counts() -> None:
    case = Case("statefulset_blocked")
    case.spec["updateStrategy"] = {"type": "OnDelete"}
    assert case.failure().code == "CrashLoopBackOff"


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"currentNumberScheduled": 0}, "0 of 1 pod is scheduled"),
        ({"updatedNumberScheduled": 0}, "0 of 1 pod is updated"),
        ({"numberAvailable": 0}, "0 of 1 pod is available"),
        ({"numberUnavailable": 1}, "1 pod unavailable"),
    ],
)
def test_a_daemonset_needs_all_numbers(change: dict[str, int], lacking: str) -> None:
    case = Case("daemonset_done")
    case.status.update(change)
    assert case.wait().text == lacking


def test_a_daemonset_without_matching_nodes_is_done() -> None:
    case = Case("daemonset_done")
    case.workload["status"] = {
        "observedGeneration": case.workload["metadata"]["generation"],
        "desiredNumberScheduled": 0,
    }
    assert case.judge() == model.Done()
