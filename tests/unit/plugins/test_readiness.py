"""The rules for "is it ready" that the floors above and the modules share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import readiness

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str, kind: str) -> dict[str, Any]:
    """Return a recorded object with its kind, which a list of the API leaves out."""
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
def test_a_pod_is_ready_if_it_serves_and_stays(pod: Any, ready: bool) -> None:
    assert readiness.is_pod_ready(pod) is ready


class Pods:
    """A client that returns the next status of a pod at each request, and the last one for ever."""

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
    assert str(caught.value) == (f"Pod polls does not start: {cause}. Correct the cause, then run the playbook again.")


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


def test_what_is_no_workload_is_rolled_out() -> None:
    assert readiness.is_rolled_out({"kind": "Secret", "metadata": {}})


@pytest.mark.parametrize(("name", "failed"), [("job_failed", True), ("job_retrying", False), ("job_complete", False)])
def test_a_failed_job_is_told_from_one_that_goes_on(name: str, failed: bool) -> None:
    assert readiness.job_failed(recorded(name, "Job")) is failed


@pytest.mark.parametrize(("kind", "status", "failed"), [("FailureTarget", "True", True), ("Failed", "False", False)])
def test_a_job_has_failed_as_soon_as_its_condition_holds(kind: str, status: str, failed: bool) -> None:
    assert readiness.job_failed({"status": {"conditions": [{"type": kind, "status": status}]}}) is failed
