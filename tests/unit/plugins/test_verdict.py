"""Verdicts about Jobs, stopped workloads, and pods that wait."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, placing
from workload_cases import Case, event, rolling_deployment, stamp, waiting

# --- Jobs -------------------------------------------------------------------------------------------------------------


def test_a_failed_job_fails_before_its_pods_are_deleted() -> None:
    case = Case("job_failed")
    case.status["conditions"] = [c for c in case.status["conditions"] if c["type"] == "FailureTarget"]
    problem = case.failure()
    assert (problem.code, problem.container) == ("BackoffLimitExceeded", "migrate")
    assert problem.pod == case.objects["Pod"][0]["metadata"]["name"]


def test_a_message_of_one_line_is_the_reason_of_a_failed_job() -> None:
    case = Case("job_failed")
    [status] = case.objects["Pod"][0]["status"]["containerStatuses"]
    status["state"]["terminated"]["message"] = "The cache refuses the password"
    problem = case.failure()
    assert (problem.text, problem.advice) == ("The cache refuses the password", "Fix the cause")
    # Several lines are the end of a log.
    status["state"]["terminated"]["message"] = "Traceback\nValueError"
    assert case.failure().text.startswith("BackoffLimitExceeded")


def test_a_failed_job_whose_command_could_not_start_names_the_command() -> None:
    case = Case("job_failed")
    [status] = case.objects["Pod"][0]["status"]["containerStatuses"]
    message = 'unable to start container process: error during container init: exec: "x": executable file not found'
    status["state"]["terminated"] |= {"reason": "StartError", "message": message}
    problem = case.failure()
    assert problem.text.endswith(' cannot start: exec: "x": executable file not found')
    assert problem.advice == "Correct the command of the container"


def test_a_job_past_its_deadline_is_failed() -> None:
    problem = Case("job_deadline").failure()
    assert problem.code == "DeadlineExceeded"
    assert "activeDeadlineSeconds" in problem.advice


def test_a_job_that_retries_is_waited_for() -> None:
    case = Case("job_retrying")
    assert case.wait().text == "0 of 1 completion reached after 1 failed attempt"


def test_a_crash_in_a_job_is_an_attempt() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "CrashLoopBackOff")
    assert isinstance(case.lasting(), model.Waiting)


def test_a_suspended_job_is_stuck() -> None:
    assert Case("job_suspended").failure().code == "Suspended"


def test_a_complete_job_is_done_even_if_suspended_or_deleted() -> None:
    case = Case("job_complete")
    case.spec["suspend"] = True
    assert case.judge() == model.Done()
    case.workload["metadata"]["deletionTimestamp"] = stamp(case.now)
    assert case.judge() == model.Done()


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_false_condition_is_ignored(status: str) -> None:
    case = Case("job_failed")
    for condition in case.status["conditions"]:
        condition["status"] = status
    assert isinstance(case.judge(), model.Waiting)


def test_an_unavailable_image_of_a_job_fails() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "ErrImageNeverPull")
    assert case.failure().code == "ErrImageNeverPull"


def test_a_job_with_a_missing_secret_fails_after_the_grace_period() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "CreateContainerConfigError", 'secret "web-secret" not found')
    assert case.lasting_failure().missing == model.Missing("Secret", "web-secret")


def test_a_pod_of_another_job_is_ignored() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "ErrImageNeverPull")
    case.objects["Pod"][0]["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert isinstance(case.judge(), model.Waiting)


# --- Stopped workloads ------------------------------------------------------------------------------------------------


def test_a_paused_deployment_is_stuck() -> None:
    case = Case("deployment_rolling")
    case.spec["paused"] = True
    assert case.failure().code == "Paused"


@pytest.mark.parametrize("name", ["deployment_done", "job_retrying"])
def test_a_workload_in_deletion_fails(name: str) -> None:
    case = Case(name)
    case.workload["metadata"]["deletionTimestamp"] = stamp(case.now)
    assert case.failure().code == "Deleting"


def test_a_missing_workload_fails() -> None:
    case = Case("deployment_done")
    case.objects["Deployment"] = []
    assert case.failure().code == "NotFound"


def test_an_exceeded_progress_deadline_fails_at_once() -> None:
    case = rolling_deployment()
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    case.status["conditions"] = [{**late, "lastTransitionTime": stamp(case.now)}]
    problem = case.failure()
    assert problem.code == "ProgressDeadlineExceeded"
    assert problem.text == "no progress for 600 s (ProgressDeadlineExceeded)"


def test_an_earlier_progress_deadline_gets_the_grace_period() -> None:
    case = rolling_deployment()
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    case.status["conditions"] = [{**late, "lastTransitionTime": stamp(case.since - 60)}]
    assert case.lasting_failure().code == "ProgressDeadlineExceeded"


def test_a_specific_cause_is_reported_instead_of_the_deadline() -> None:
    case = Case("deployment_crash")
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    case.status["conditions"] = [{**late, "lastTransitionTime": stamp(case.now)}]
    assert case.failure().code == "CrashLoopBackOff"


def test_a_rejected_replicaset_fails_after_the_grace_period() -> None:
    case = rolling_deployment()
    refused = {"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": "exceeded quota"}
    case.status["conditions"] = [refused]
    assert case.lasting_failure().code == "ReplicaSetCreateError"


# --- Pods that wait ---------------------------------------------------------------------------------------------------


def unplaced(message: str, kind: str = "deployment_unschedulable") -> Case:
    """Return a workload whose first pod fits on no node, with this message of the scheduler."""
    case = Case(kind)
    case.pod()["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}],
    }
    return case


@pytest.mark.parametrize("kind", ["deployment_unschedulable", "job_retrying"])
@pytest.mark.parametrize(
    "message",
    [
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available.",
        "0/1 nodes are available: 1 Insufficient memory",
        "0/1 nodes are available: 1 Insufficient ephemeral-storage",
        "0/1 nodes are available: 1 Too many pods",
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector",
        "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}",
        "0/1 nodes are available: 1 node(s) were unschedulable",
    ],
)
def test_an_unschedulable_pod_fails_within_a_few_seconds(kind: str, message: str) -> None:
    case = unplaced(message, kind)
    assert f"cannot be scheduled: {message.rstrip('.')}" in case.wait().text
    assert isinstance(case.judge(later=placing.PLACING_PATIENCE - 0.1), model.Waiting)
    problem = case.failure(later=placing.PLACING_PATIENCE + 0.1)
    assert (problem.code, problem.advice) == ("Unschedulable", placing.ADVICE)
    assert message.rstrip(".") in problem.text


def test_a_pod_that_may_get_a_node_is_waited_for() -> None:
    starts = unplaced("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }")
    preempts = unplaced("0/1 nodes are available: 1 Insufficient cpu")
    preempts.pod()["status"]["nominatedNodeName"] = "one"
    leaves = unplaced("0/1 nodes are available: 1 Insufficient cpu")
    leaves.objects["Pod"].append(
        {"metadata": {"name": "other", "uid": "other", "deletionTimestamp": stamp(leaves.now)}, "spec": {}}
    )
    for case in (starts, preempts, leaves):
        case.judge()
        assert "cannot be scheduled" in case.wait(later=60).text


def test_a_job_past_its_deadline_reports_a_pod_without_a_node() -> None:
    case = Case("job_deadline")
    case.objects["Pod"] = []
    gone = {"metadata": {"name": f"{case.name}-x7k2p", "uid": "gone"}}
    said = "0/1 nodes are available: 1 Insufficient cpu."
    case.objects["Event"] = [event(gone, "Pod", "FailedScheduling", said, case.now)]
    problem = case.failure()
    assert problem.text.endswith("and its pod could not be scheduled: 0/1 nodes are available: 1 Insufficient cpu")
    assert "activeDeadlineSeconds" not in problem.advice
    case.objects["Event"].append(event(gone, "Pod", "BackOff", "Back-off restarting", case.now + 1))
    assert "activeDeadlineSeconds" in case.failure().advice


def test_a_job_past_its_deadline_ignores_a_former_wait_for_a_node() -> None:
    """The events of a deleted pod do not show that it finally got a node."""
    case = Case("job_deadline")
    [pod] = case.objects["Pod"]
    pod["spec"]["nodeName"] = "one"
    conditions, case.status["conditions"] = case.status["conditions"], []
    assert isinstance(case.judge(), model.Waiting)
    said = "0/1 nodes are available: 1 Insufficient cpu."
    case.objects["Event"] = [event(pod, "Pod", "FailedScheduling", said, case.now)]
    case.objects["Pod"], case.status["conditions"] = [], conditions
    problem = case.failure()
    assert "scheduled" not in problem.text
    assert "activeDeadlineSeconds" in problem.advice


# --- Claims of a StatefulSet's pods -----------------------------------------------------------------------------------


def claimed(message: str = "", **claim: Any) -> Case:
    """Return a StatefulSet whose first pod waits for its claim `data`, with this message of the scheduler."""
    case = Case("statefulset_rolling")
    pod = case.pod()
    pod["status"] = {"phase": "Pending", "conditions": []}
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    if message:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        pod["status"]["conditions"] = [condition]
    case.status.update({"readyReplicas": 0, "availableReplicas": 0})
    metadata = {"name": "data", "uid": "claim", **claim.pop("metadata", {})}
    case.objects["PersistentVolumeClaim"] = [
        {"metadata": metadata, "spec": {"storageClassName": "slow"}, "status": {"phase": "Pending"}, **claim}
    ]
    return case


UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
DELETED = '0/1 nodes are available: persistentvolumeclaim "data" is being deleted.'
GOING = {"deletionTimestamp": "2026-11-25T02:06:00Z"}


@pytest.mark.parametrize(
    "case",
    [
        claimed(UNBOUND),
        claimed(metadata={"annotations": {"volume.kubernetes.io/selected-node": "one"}}),
    ],
)
def test_a_claim_without_a_volume_has_its_own_timeout(case: Case) -> None:
    assert "claim data has no volume, and its storage class is slow" in case.wait().text
    assert isinstance(case.judge(later=59), model.Waiting)
    problem = case.failure(later=61)
    assert (problem.code, problem.claim) == ("ClaimPending", "data")


def test_a_claim_that_waits_for_its_pod_is_no_problem() -> None:
    case = claimed("0/1 nodes are available: 1 Insufficient cpu.")
    case.judge()
    problem = case.failure(later=61)
    assert problem.code == "Unschedulable"
    assert "claim" not in problem.text + problem.advice


def test_a_claim_in_deletion_fails_with_the_pod_that_uses_it() -> None:
    case = claimed(DELETED, metadata=GOING)
    holder = {"metadata": {"name": "copy", "uid": "copy"}, "status": {"phase": "Running"}}
    holder["spec"] = {"nodeName": "one", "volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}
    case.objects["Pod"].append(holder)
    problem = case.lasting_failure()
    assert problem.code == "ClaimDeleting"
    assert problem.text == "claim data is being deleted, and pod copy still uses it"
    assert problem.advice.endswith("then delete pod copy")


def test_a_claim_that_is_missing_or_lost_its_volume_fails() -> None:
    assert "was deleted while claim data was bound to it" in claimed(status={"phase": "Lost"}).failure().text
    missing = claimed('0/1 nodes are available: persistentvolumeclaim "data" not found.')
    missing.objects["PersistentVolumeClaim"] = []
    assert "needs claim data, which does not exist" in missing.lasting_failure().text


@pytest.mark.parametrize(
    ("message", "reported"),
    [
        (
            "create Pod polls-postgresql-2 in StatefulSet polls-postgresql failed error: "
            'pods "polls-postgresql-2" is forbidden: maximum memory usage per Container is 128Mi, but limit is 1Gi',
            "its pods are rejected: maximum memory usage per Container is 128Mi, but limit is 1Gi",
        ),
        (
            "create Pod polls-postgresql-2 in StatefulSet polls-postgresql failed error: "
            'Pod "polls-postgresql-2" is invalid: spec.containers[0].resources.requests: Invalid value: "600m"',
            'its pods are rejected: Pod "polls-postgresql-2" is invalid: spec.containers[0].resources.requests: '
            'Invalid value: "600m"',
        ),
    ],
)
def test_a_rejected_pod_is_reported_without_its_claim(message: str, reported: str) -> None:
    case = Case("statefulset_quota")
    case.objects["PersistentVolumeClaim"] = claimed().objects["PersistentVolumeClaim"]
    case.objects["Event"] = [event(case.workload, "StatefulSet", "FailedCreate", message, case.now)]
    assert reported in case.wait().text
    problem = case.lasting_failure()
    assert (problem.code, problem.text) == ("FailedCreate", reported)
    assert "claim" not in problem.advice


def test_a_quota_is_reported_before_a_claim_without_a_volume() -> None:
    case = Case("statefulset_quota")
    case.objects["PersistentVolumeClaim"] = claimed().objects["PersistentVolumeClaim"]
    assert case.lasting_failure().text.startswith("quota ")


def test_a_running_unready_pod_is_reported_with_its_probe() -> None:
    case = rolling_deployment()
    pod = case.pod(1)
    next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["status"] = "False"
    pod["status"]["containerStatuses"][0]["ready"] = False
    case.objects["Event"] = [event(pod, "Pod", "Unhealthy", "Readiness probe failed: HTTP 503", case.now)]
    problem = case.wait()
    name = pod["metadata"]["name"]
    assert problem.text == (
        f"2 of 3 replicas are available, and pod {name} runs but is not ready: Readiness probe failed: HTTP 503"
    )
    assert (problem.pod, problem.container) == (name, "polls-web")


def test_a_volume_that_cannot_be_attached_is_waited_for() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "ContainerCreating")
    said = "Multi-Attach error for volume"
    case.objects["Event"] = [event(case.pod(), "Pod", "FailedAttachVolume", said, case.now)]
    assert case.wait().text.endswith(f"cannot start: {said}")
    assert isinstance(case.lasting(), model.Waiting)


def test_the_suspected_problem_is_reported_within_the_grace_period() -> None:
    assert "needs Secret web-secret" in Case("deployment_config_error").wait().text


def test_an_unstarted_sidecar_is_reported_with_its_probe() -> None:
    case = rolling_deployment()
    pod = case.pod(1)
    pod["spec"]["initContainers"] = [{"name": "web", "image": "site:1", "restartPolicy": "Always"}]
    pod["status"]["phase"] = "Pending"
    pod["status"]["conditions"] = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    pod["status"]["initContainerStatuses"] = [{"name": "web", "ready": False, "state": {"running": {}}}]
    waiting(pod, "PodInitializing")
    case.objects["Event"] = [event(pod, "Pod", "Unhealthy", "Startup probe failed: nothing listens", case.now)]
    problem = case.wait()
    assert problem.text.endswith("runs but is not ready: Startup probe failed: nothing listens")
    assert (problem.pod, problem.container) == (pod["metadata"]["name"], "web")


@pytest.mark.parametrize("policy", [None, "Always"], ids=["init container", "sidecar"])
def test_a_crashing_sidecar_fails_like_other_containers(policy: str | None) -> None:
    case = rolling_deployment()
    pod = case.pod()
    pod["spec"]["initContainers"] = [{"name": "web", "image": "site:1", "restartPolicy": policy}]
    ended = {"exitCode": 1, "reason": "Error"}
    status = waiting(pod, "CrashLoopBackOff", kind="initContainerStatuses")
    status |= {"name": "web", "lastState": {"terminated": ended}}
    problem = case.failure()
    assert problem.text.startswith("container web of pod ")
    assert (problem.code, problem.container, problem.previous) == ("CrashLoopBackOff", "web", True)
