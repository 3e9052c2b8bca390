"""The judgement of rollouts, on objects recorded from a Kubernetes 1.36.3 control plane.

Specs, conditions, events of controllers and quotas are its own. No node was there: the status of pods and the kubelet's
events were written in a kubelet's place, in the words of its source.
"""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import rollout_state as state

RECORDED = Path(__file__).parent / "recorded"
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "job": "Job"}
GRACE = 5.0


class Case:
    """One recording, which a test may bend before it has it judged."""

    def __init__(self, name: str) -> None:
        content = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
        self.objects: dict[str, list[dict[str, Any]]] = content["objects"]
        self.kind = KINDS[name.partition("_")[0]]
        self.workload = self.objects[self.kind][0]
        self.name = self.workload["metadata"]["name"]
        self.now = state.seconds(content["recorded_at"])
        self.since = self.now - 60
        self.memory = state.Memory()

    @property
    def status(self) -> dict[str, Any]:
        return self.workload["status"]

    @property
    def spec(self) -> dict[str, Any]:
        return self.workload["spec"]

    @property
    def current(self) -> list[dict[str, Any]]:
        return list(state.view(self.kind, self.workload, self.objects).current)

    def pod(self, index: int = 0) -> dict[str, Any]:
        return self.current[index]

    def judge(self, later: float = 0.0) -> state.Verdict:
        """Judge it so many seconds after the recording, remembering earlier judgements."""
        clock = state.Clock(now=self.now + later, since=self.since, grace=GRACE)
        verdict, self.memory = state.judge(self.kind, self.name, self.objects, clock, self.memory)
        return verdict

    def lasting(self) -> state.Verdict:
        """Judge it, and again when the grace time is over."""
        self.judge()
        return self.judge(later=GRACE + 0.1)

    def failure(self, later: float = 0.0) -> state.Problem:
        verdict = self.judge(later)
        assert isinstance(verdict, state.Failed), verdict
        return verdict.problem

    def lasting_failure(self) -> state.Problem:
        """Expect patience at first, and a failure once the grace time is over."""
        assert isinstance(self.judge(), state.Waiting)
        assert isinstance(self.judge(later=GRACE - 0.1), state.Waiting)
        return self.failure(later=GRACE + 0.1)

    def wait(self, later: float = 0.0) -> state.Problem:
        verdict = self.judge(later)
        assert isinstance(verdict, state.Waiting), verdict
        return verdict.problem


def waiting(pod: dict[str, Any], reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    """Have a pod's first container wait for this reason."""
    pod["status"]["phase"] = "Pending" if reason != "CrashLoopBackOff" else "Running"
    pod["status"]["conditions"] = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    status = pod["status"].setdefault(kind, [{"name": pod["spec"]["containers"][0]["name"]}])[0]
    status.update({"ready": False, "state": {"waiting": {"reason": reason, "message": message}}, "lastState": {}})
    return status


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(about: dict[str, Any], kind: str, reason: str, message: str, at: float) -> dict[str, Any]:
    meta = about["metadata"]
    return {
        "metadata": {"name": f"{meta['name']}.{reason}", "uid": f"{meta['uid']}-{reason}-{at}"},
        "involvedObject": {"kind": kind, "name": meta["name"], "uid": meta["uid"]},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": stamp(at),
    }


def rolling_deployment() -> Case:
    """Return a Deployment under way, whose status lacks one replica and whose pods run."""
    case = Case("deployment_done")
    case.status.update({"availableReplicas": 2, "unavailableReplicas": 1})
    return case


# --- Done -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["deployment_done", "deployment_zero", "statefulset_done", "daemonset_done", "job_complete"],
)
def test_a_finished_workload_is_done(name: str) -> None:
    assert Case(name).judge() == state.Done()


@pytest.mark.parametrize("name", ["deployment_done", "statefulset_done", "daemonset_done"])
def test_status_of_an_earlier_generation_is_not_believed(name: str) -> None:
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
        ({"replicas": 4, "updatedReplicas": 4}, "1 surplus replica still to go"),
    ],
)
def test_a_deployment_needs_every_number_to_fit(change: dict[str, int], lacking: str) -> None:
    case = Case("deployment_done")
    case.status.update(change)
    assert case.wait().text == lacking


def test_a_deployment_is_not_done_while_an_old_replicaset_has_replicas() -> None:
    case = Case("deployment_rolling")
    case.status.update({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "unavailableReplicas": 0})
    assert "earlier revision" in case.wait().text
    for replicaset in case.objects["ReplicaSet"]:
        if replicaset is not state.view(case.kind, case.workload, case.objects).owner:
            replicaset["status"]["replicas"] = 0
    assert case.judge() == state.Done()


def test_a_deployment_without_a_number_of_replicas_wants_one() -> None:
    case = Case("deployment_done")
    del case.spec["replicas"]
    assert "surplus" in case.wait().text
    case.status.update({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
    assert case.judge() == state.Done()


def test_no_replicas_are_done_as_soon_as_none_is_left() -> None:
    case = Case("deployment_done")
    case.spec["replicas"] = 0
    assert isinstance(case.judge(), state.Waiting)
    for key in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"):
        case.status.pop(key)
    assert case.judge() == state.Done()


def test_no_replicas_need_no_replicaset() -> None:
    case = Case("deployment_zero")
    case.objects["ReplicaSet"] = []
    assert case.judge() == state.Done()


def test_no_replicas_of_a_statefulset_are_done_whatever_its_revisions() -> None:
    case = Case("statefulset_done")
    case.spec["replicas"] = 0
    case.status.update({"replicas": 0, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 0})
    case.status["updateRevision"] = "another"
    assert case.judge() == state.Done()
    case.status["replicas"] = 1
    assert isinstance(case.judge(), state.Waiting)


def test_a_deployment_whose_replicaset_has_not_appeared_is_waited_for() -> None:
    case = Case("deployment_done")
    case.objects["ReplicaSet"] = []
    assert case.wait().text == "its new ReplicaSet has not appeared"


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"updatedReplicas": 1}, "1 of 2 replicas are updated"),
        ({"readyReplicas": 1}, "1 of 2 replicas are available"),
        ({"availableReplicas": 1}, "1 of 2 replicas are available"),
        ({"replicas": 1}, "1 of 2 replicas are available"),
        ({"replicas": 3}, "1 surplus replica still to go"),
        ({"currentRevision": "earlier"}, "its controller has not closed the update"),
    ],
)
def test_a_statefulset_needs_every_number_to_fit(change: dict[str, Any], lacking: str) -> None:
    case = Case("statefulset_done")
    case.status.update(change)
    assert case.wait().text == lacking


def test_a_partition_leaves_the_first_pods_alone() -> None:
    case = Case("statefulset_done")
    case.status.update({"updatedReplicas": 1, "currentRevision": "earlier"})
    assert isinstance(case.judge(), state.Waiting)
    case.spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    assert case.judge() == state.Done()
    case.status["updatedReplicas"] = 0
    assert isinstance(case.judge(), state.Waiting)


def test_a_pod_that_the_partition_leaves_alone_has_to_run_too() -> None:
    case = Case("statefulset_blocked")
    case.spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    assert case.failure().code == "CrashLoopBackOff"


@pytest.mark.parametrize("name", ["statefulset_done", "daemonset_done"])
def test_on_delete_only_readiness_is_waited_for(name: str) -> None:
    case = Case(name)
    case.spec["updateStrategy"] = {"type": "OnDelete"}
    case.status.update({"updatedReplicas": 0, "updatedNumberScheduled": 0, "updateRevision": "another"})
    assert case.judge() == state.Done()
    case.status.update({"readyReplicas": 0, "numberAvailable": 0})
    assert isinstance(case.judge(), state.Waiting)


def test_on_delete_every_pod_counts_since_none_will_be_replaced() -> None:
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
def test_a_daemonset_needs_every_number_to_fit(change: dict[str, int], lacking: str) -> None:
    case = Case("daemonset_done")
    case.status.update(change)
    assert case.wait().text == lacking


def test_a_daemonset_that_no_node_wants_is_done() -> None:
    case = Case("daemonset_done")
    case.workload["status"] = {
        "observedGeneration": case.workload["metadata"]["generation"],
        "desiredNumberScheduled": 0,
    }
    assert case.judge() == state.Done()


# --- Jobs -------------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_told_before_its_pods_are_gone() -> None:
    case = Case("job_failed")
    case.status["conditions"] = [c for c in case.status["conditions"] if c["type"] == "FailureTarget"]
    problem = case.failure()
    assert (problem.code, problem.container) == ("BackoffLimitExceeded", "migrate")
    assert problem.pod == case.objects["Pod"][0]["metadata"]["name"]


def test_a_job_past_its_deadline_is_failed() -> None:
    problem = Case("job_deadline").failure()
    assert problem.code == "DeadlineExceeded"
    assert "activeDeadlineSeconds" in problem.advice


def test_a_job_that_tries_again_is_waited_for() -> None:
    case = Case("job_retrying")
    assert case.wait().text == "0 of 1 completion reached after 1 failed attempt"


def test_a_crashing_container_of_a_job_is_an_attempt_and_no_failure() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "CrashLoopBackOff")
    assert isinstance(case.lasting(), state.Waiting)


def test_a_suspended_job_is_stuck() -> None:
    assert Case("job_suspended").failure().code == "Suspended"


def test_a_complete_job_is_done_though_suspended_or_on_its_way_out() -> None:
    case = Case("job_complete")
    case.spec["suspend"] = True
    assert case.judge() == state.Done()
    case.workload["metadata"]["deletionTimestamp"] = stamp(case.now)
    assert case.judge() == state.Done()


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_condition_that_does_not_hold_says_nothing(status: str) -> None:
    case = Case("job_failed")
    for condition in case.status["conditions"]:
        condition["status"] = status
    assert isinstance(case.judge(), state.Waiting)


def test_an_image_that_a_job_cannot_have_is_hopeless() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "ErrImageNeverPull")
    assert case.failure().code == "ErrImageNeverPull"


def test_a_job_with_a_missing_secret_is_hopeless_after_the_grace_time() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "CreateContainerConfigError", 'secret "web-secret" not found')
    assert case.lasting_failure().missing == state.Missing("Secret", "web-secret")


def test_a_pod_of_another_job_is_not_judged() -> None:
    case = Case("job_retrying")
    waiting(case.objects["Pod"][0], "ErrImageNeverPull")
    case.objects["Pod"][0]["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert isinstance(case.judge(), state.Waiting)


# --- What will not move -----------------------------------------------------------------------------------------------


def test_a_paused_deployment_is_stuck() -> None:
    case = Case("deployment_rolling")
    case.spec["paused"] = True
    assert case.failure().code == "Paused"


@pytest.mark.parametrize("name", ["deployment_done", "job_retrying"])
def test_a_workload_that_is_being_deleted_is_not_waited_for(name: str) -> None:
    case = Case(name)
    case.workload["metadata"]["deletionTimestamp"] = stamp(case.now)
    assert case.failure().code == "Deleting"


def test_a_workload_that_does_not_exist_is_said_to() -> None:
    case = Case("deployment_done")
    case.objects["Deployment"] = []
    assert case.failure().code == "NotFound"


def test_a_passed_progress_deadline_is_hopeless_at_once() -> None:
    case = rolling_deployment()
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    case.status["conditions"] = [{**late, "lastTransitionTime": stamp(case.now)}]
    problem = case.failure()
    assert problem.code == "ProgressDeadlineExceeded"
    assert problem.text == "no progress for 600 s (ProgressDeadlineExceeded)"


def test_a_progress_deadline_from_before_gets_the_grace_time() -> None:
    case = rolling_deployment()
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    case.status["conditions"] = [{**late, "lastTransitionTime": stamp(case.since - 60)}]
    assert case.lasting_failure().code == "ProgressDeadlineExceeded"


def test_a_specific_cause_is_told_rather_than_the_deadline() -> None:
    case = Case("deployment_crash")
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    case.status["conditions"] = [{**late, "lastTransitionTime": stamp(case.now)}]
    assert case.failure().code == "CrashLoopBackOff"


def test_a_replicaset_that_may_not_be_made_is_hopeless_after_the_grace_time() -> None:
    case = rolling_deployment()
    refused = {"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": "exceeded quota"}
    case.status["conditions"] = [refused]
    assert case.lasting_failure().code == "ReplicaSetCreateError"


# --- Images -----------------------------------------------------------------------------------------------------------


def test_an_image_that_is_not_found_is_hopeless_at_once() -> None:
    case = Case("deployment_pull")
    problem = case.failure()
    assert problem.code == "ErrImagePull"
    assert state.sentence(case.kind, case.name, "polls", problem) == (
        f"Deployment polls-web is stuck: pod {problem.pod} cannot pull localhost/cloud-django/polls:n0t10aded: "
        "not found. Check that the image is loaded, then run the playbook again."
    )


@pytest.mark.parametrize(
    ("image", "message", "cause", "advice"),
    [
        ("reg.example/a:1", "failed to resolve: reg.example/a:1: not found", "not found", "pushed or loaded"),
        ("reg.example/a:1", "pull access denied, repository does not exist", "pull access denied", "pull secret"),
        ("reg.example/a:1", "unexpected status: 401 Unauthorized", "unauthorized", "pull secret"),
        ("localhost/a:1", "dial tcp [::1]:443: connect: connection refused", "connection refused", "is loaded"),
    ],
)
def test_a_pull_that_is_refused_is_hopeless_at_once(image: str, message: str, cause: str, advice: str) -> None:
    case = rolling_deployment()
    case.pod()["spec"]["containers"][0]["image"] = image
    waiting(case.pod(), "ErrImagePull", message)
    problem = case.failure()
    assert problem.text.endswith(f"cannot pull {image}: {cause}")
    assert advice in problem.advice


@pytest.mark.parametrize("message", ["dial tcp 192.0.2.7:443: i/o timeout", "429 Too Many Requests", "", "EOF"])
def test_a_first_pull_that_did_not_get_through_is_waited_for(message: str) -> None:
    case = rolling_deployment()
    case.pod()["spec"]["containers"][0]["image"] = "reg.example/a:1"
    waiting(case.pod(), "ErrImagePull", message)
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize(
    "message",
    [
        'Back-off pulling image "reg.example/a:1": ErrImagePull: dial tcp 192.0.2.7:443: i/o timeout',
        'Back-off pulling image "reg.example/a:1"',
    ],
)
def test_a_pull_that_backs_off_is_hopeless_at_once(message: str) -> None:
    case = rolling_deployment()
    pod = case.pod()
    pod["spec"]["containers"][0]["image"] = "reg.example/a:1"
    waiting(pod, "ImagePullBackOff", message)
    told = 'Failed to pull image "reg.example/a:1": dial tcp 192.0.2.7:443: i/o timeout'
    case.objects["Event"] = [event(pod, "Pod", "Failed", told, case.now)]
    problem = case.failure()
    assert problem.text.endswith("cannot pull reg.example/a:1: i/o timeout")
    assert problem.advice == "Check that the node reaches the registry"


def test_an_image_that_may_not_be_pulled_is_hopeless_at_once() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never')
    assert case.failure().advice == "Load the image into the cluster"


def test_a_name_that_is_no_image_name_is_hopeless_at_once() -> None:
    case = rolling_deployment()
    said = 'Failed to apply default image tag "A": couldn\'t parse image name "A": repository name must be lowercase'
    waiting(case.pod(), "InvalidImageName", said)
    assert case.failure().text.endswith(": repository name must be lowercase")


def test_an_image_whose_signature_is_not_valid_is_hopeless_at_once() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "SignatureValidationFailed")
    assert case.failure().code == "SignatureValidationFailed"


def test_an_init_container_counts_too() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "PodInitializing")
    waiting(case.pod(), "ErrImageNeverPull", kind="initContainerStatuses")
    assert case.failure().code == "ErrImageNeverPull"


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_container_that_is_being_made_is_waited_for(reason: str) -> None:
    case = rolling_deployment()
    waiting(case.pod(), reason)
    assert isinstance(case.lasting(), state.Waiting)


# --- Crashes and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deployment_crash", "statefulset_crash", "daemonset_crash"])
def test_a_container_that_keeps_crashing_is_hopeless_at_once(name: str) -> None:
    case = Case(name)
    problem = case.failure()
    assert problem.code == "CrashLoopBackOff"
    assert problem.text.endswith("keeps crashing (exit code 1)")
    assert problem.previous
    assert problem.pod in {p["metadata"]["name"] for p in case.objects["Pod"]}


def crashed_again(case: Case, code: int = 2, after: float = 3.0) -> None:
    """Have the broken container end with `code`, so long after its crash before, and the kubelet say no more yet."""
    status = case.pod()["status"]["containerStatuses"][0]
    before = state.seconds(status["lastState"]["terminated"]["finishedAt"])
    status["state"] = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": stamp(before + after)}}


def test_a_second_crash_is_hopeless_before_the_kubelet_says_so() -> None:
    case = Case("deployment_crash")
    crashed_again(case)
    problem = case.failure()
    assert problem.code == "CrashLoopBackOff"
    assert problem.text.endswith("keeps crashing (exit code 1)"), "the code belongs to the log that is shown"
    assert problem.previous


@pytest.mark.parametrize(("code", "after"), [(0, 3.0), (2, 301.0)], ids=["no error", "long ago"])
def test_a_container_that_is_restarted_at_once_is_waited_for(code: int, after: float) -> None:
    case = Case("deployment_crash")
    crashed_again(case, code, after)
    assert isinstance(case.judge(), state.Waiting)


def test_a_first_crash_is_waited_for() -> None:
    case = Case("deployment_crash")
    crashed_again(case)
    case.pod()["status"]["containerStatuses"][0]["lastState"] = {}
    assert isinstance(case.judge(), state.Waiting)


def test_an_init_container_that_keeps_crashing_is_hopeless_too() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "CrashLoopBackOff", kind="initContainerStatuses")
    assert case.failure().code == "CrashLoopBackOff"


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, "keeps being killed for lack of memory (OOMKilled)"),
        ({"exitCode": 0, "reason": "Completed"}, "keeps ending, though without an error (exit code 0)"),
        (
            {
                "exitCode": 128,
                "reason": "StartError",
                "message": "failed to create containerd task: runc create failed: unable to start container process: "
                'error during container init: exec: "gunicornx": executable file not found in $PATH',
            },
            'cannot start: exec: "gunicornx": executable file not found in $PATH',
        ),
        ({}, "keeps crashing"),
        (
            {"exitCode": 1, "reason": "Error", "message": "The volume is of another version. Set it back.\n"},
            "keeps crashing (exit code 1): The volume is of another version. Set it back.",
        ),
        ({"exitCode": 1, "reason": "Error", "message": "line\nof a log"}, "keeps crashing (exit code 1)"),
    ],
)
def test_the_way_a_container_ends_is_told(ended: dict[str, Any], text: str) -> None:
    case = rolling_deployment()
    waiting(case.pod(), "CrashLoopBackOff")["lastState"] = {"terminated": ended} if ended else {}
    assert case.failure().text.endswith(text)


def test_a_crashing_pod_of_an_old_revision_is_ignored() -> None:
    case = Case("deployment_rolled_back")
    crashing = [p for p in case.objects["Pod"] if "CrashLoopBackOff" in json.dumps(p["status"])]
    assert crashing, "the recording has one"
    for pod in crashing:
        pod["metadata"].pop("deletionTimestamp", None)
    assert isinstance(case.lasting(), state.Waiting)


def test_right_after_a_rollback_the_template_tells_the_current_replicaset() -> None:
    """The Deployment is still annotated with the revision that is being left."""
    case = Case("deployment_rolled_back")
    broken = next(
        rs
        for rs in case.objects["ReplicaSet"]
        if rs["spec"]["template"]["spec"]["containers"][0]["image"].endswith("bad0c0de")
    )
    noted = "deployment.kubernetes.io/revision"
    case.workload["metadata"]["annotations"][noted] = broken["metadata"]["annotations"][noted]
    for pod in case.objects["Pod"]:
        pod["metadata"].pop("deletionTimestamp", None)
    assert isinstance(case.lasting(), state.Waiting)


def test_without_an_equal_template_the_revision_tells_the_current_replicaset() -> None:
    case = Case("deployment_crash")
    for replicaset in case.objects["ReplicaSet"]:
        replicaset["spec"]["template"]["spec"]["defaultedByAnotherVersion"] = True
    assert case.failure().code == "CrashLoopBackOff"


def test_a_crashing_pod_of_a_daemonsets_old_revision_is_ignored() -> None:
    case = Case("daemonset_crash")
    template = case.spec["template"]
    template["spec"]["containers"][0]["image"] = "localhost/cloud-django/polls:3"
    case.workload["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = "3"
    case.status["updatedNumberScheduled"] = 0
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize("without", ["ControllerRevision", "deprecated.daemonset.template.generation"])
def test_either_mark_tells_a_daemonsets_current_pods(without: str) -> None:
    case = Case("daemonset_crash")
    case.objects.pop(without, None)
    case.workload["metadata"]["annotations"].pop(without, None)
    assert case.failure().code == "CrashLoopBackOff"


def test_an_old_pod_that_crashes_holds_up_an_ordered_statefulset() -> None:
    case = Case("statefulset_blocked")
    problem = case.lasting_failure()
    assert (problem.code, problem.pod, problem.advice) == ("Blocked", "polls-postgresql-1", "Delete that pod")


def test_an_old_pod_that_crashes_does_not_hold_up_a_parallel_statefulset() -> None:
    case = Case("statefulset_blocked")
    case.spec["podManagementPolicy"] = "Parallel"
    assert isinstance(case.lasting(), state.Waiting)


def test_an_old_pod_that_is_ready_is_waited_for() -> None:
    case = Case("statefulset_rolling")
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize("what", ["terminating", "finished"])
def test_a_pod_that_is_on_its_way_out_is_not_judged(what: str) -> None:
    case = Case("deployment_crash")
    for pod in case.current:
        if what == "terminating":
            pod["metadata"]["deletionTimestamp"] = stamp(case.now)
        else:
            pod["status"]["phase"] = "Failed"
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize("reason", ["RunContainerError", "CreateContainerError", "CreateContainerConfigError"])
def test_a_container_that_cannot_be_started_gets_the_grace_time(reason: str) -> None:
    case = rolling_deployment()
    waiting(case.pod(), reason, "container has runAsNonRoot and image will run as root")
    problem = case.lasting_failure()
    assert problem.text.endswith("cannot be started: container has runAsNonRoot and image will run as root")


def test_a_problem_that_mended_itself_starts_anew() -> None:
    case = rolling_deployment()
    mended = copy.deepcopy(case.objects["Pod"])
    waiting(case.pod(), "CreateContainerError", "context deadline exceeded")
    broken = case.objects["Pod"]
    case.wait()
    case.objects["Pod"] = mended
    case.wait(later=GRACE - 1)
    case.objects["Pod"] = broken
    case.wait(later=GRACE + 1)
    case.failure(later=2 * GRACE + 1)


def test_a_problem_that_was_disproved_starts_anew() -> None:
    case = Case("deployment_config_error")
    case.wait()
    problem = case.failure(later=GRACE)
    case.memory = case.memory.forget(problem.key)
    case.wait(later=GRACE + 0.1)
    case.failure(later=2 * GRACE + 0.1)


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ('secret "web-secret" not found', state.Missing("Secret", "web-secret")),
        ('configmap "web-config" not found', state.Missing("ConfigMap", "web-config")),
        ("couldn't find key dsn in Secret polls/web-secret", state.Missing("Secret", "web-secret", "dsn")),
        ("couldn't find key LOG in ConfigMap polls/web", state.Missing("ConfigMap", "web", "LOG")),
        (
            'MountVolume.SetUp failed for volume "secrets" : references non-existent secret key: tls.key',
            state.Missing("Secret", "in-a-projection", "tls.key"),
        ),
        (
            'MountVolume.SetUp failed for volume "plain" : references non-existent secret key: tls.key',
            state.Missing("Secret", "on-its-own", "tls.key"),
        ),
        (
            'MountVolume.SetUp failed for volume "conf" : configmap references non-existent config key: a.conf',
            state.Missing("ConfigMap", "settings", "a.conf"),
        ),
        ("container has runAsNonRoot and image will run as root", None),
        ('MountVolume.SetUp failed for volume "data" : rpc error: code = Internal', None),
    ],
)
def test_the_missing_object_is_read_from_what_the_kubelet_says(message: str, missing: state.Missing | None) -> None:
    item = [{"key": "tls.key", "path": "tls.key"}]
    volumes = [
        {"name": "plain", "secret": {"secretName": "on-its-own", "items": item}},
        {"name": "secrets", "projected": {"sources": [{"secret": {"name": "in-a-projection", "items": item}}]}},
        {"name": "conf", "configMap": {"name": "settings", "items": [{"key": "a.conf", "path": "a.conf"}]}},
    ]
    pod = {"metadata": {"name": "web"}, "spec": {"volumes": volumes}}
    assert state.missing_object(message, pod) == missing


def test_a_missing_secret_is_told_as_such() -> None:
    problem = Case("deployment_config_error").lasting_failure()
    assert problem.text == f"pod {problem.pod} needs Secret web-secret, which does not exist"
    assert problem.missing == state.Missing("Secret", "web-secret")
    assert problem.fresh


def test_a_volume_that_wants_a_missing_secret_is_hopeless_after_the_grace_time() -> None:
    problem = Case("deployment_mount").lasting_failure()
    assert (problem.code, problem.fresh) == ("FailedMount", True)
    assert problem.missing is not None
    assert problem.missing.kind == "Secret"


def test_a_mount_that_failed_before_the_wait_has_to_be_looked_into() -> None:
    case = Case("deployment_mount")
    case.since = case.now + 5
    assert not case.lasting_failure().fresh


def test_a_mount_that_failed_before_the_container_started_is_past() -> None:
    case = Case("deployment_mount")
    for pod in case.current:
        pod["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert isinstance(case.lasting(), state.Waiting)


# --- Pods that are refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_quota_that_refuses_pods_is_hopeless_after_the_grace_time(name: str) -> None:
    problem = Case(name).lasting_failure()
    assert problem.code == "FailedCreate"
    assert problem.text.startswith("quota few refuses its pods: requested: pods=1, used: pods=")
    assert problem.advice == "Raise the quota or ask for less"


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_an_old_refusal_counts_if_the_quota_still_refuses(name: str) -> None:
    case = Case(name)
    case.since = case.now + 3600
    case.now = case.since
    assert case.lasting_failure().code == "FailedCreate"


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_quota_that_is_gone_refuses_nothing(name: str) -> None:
    case = Case(name)
    case.objects["ResourceQuota"] = []
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_quota_that_was_raised_refuses_nothing(name: str) -> None:
    case = Case(name)
    for where in ("spec", "status"):
        case.objects["ResourceQuota"][0][where]["hard"]["pods"] = "10"
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_stale_refusal_says_nothing_where_quotas_cannot_be_read(name: str) -> None:
    case = Case(name)
    del case.objects["ResourceQuota"]
    assert isinstance(case.lasting(), state.Failed)
    stale = Case(name)
    del stale.objects["ResourceQuota"]
    stale.since = stale.now + 3600
    stale.now = stale.since
    verdict = stale.lasting()
    assert isinstance(verdict, state.Waiting)
    assert "quota few refuses its pods" in verdict.problem.text, "the timeout has to tell it nonetheless"


def test_without_events_the_condition_is_all_there_is() -> None:
    case = Case("deployment_quota")
    del case.objects["ResourceQuota"], case.objects["Event"]
    case.since = case.now + 3600
    case.now = case.since
    assert case.lasting_failure().code == "FailedCreate"


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_pods_on_their_way_out_may_make_room(name: str) -> None:
    case = Case(name)
    case.objects["Pod"][0]["metadata"]["deletionTimestamp"] = stamp(case.now)
    assert isinstance(case.lasting(), state.Waiting)


def test_a_refusal_counts_anew_once_the_last_pod_is_gone() -> None:
    """A quota that cannot be read: only a refusal after the room was made proves that it is not enough."""
    case = Case("statefulset_quota")
    del case.objects["ResourceQuota"]
    leaving = case.objects["Pod"][0]
    leaving["metadata"]["deletionTimestamp"] = stamp(case.now)
    case.wait(later=10)
    del leaving["metadata"]["deletionTimestamp"]
    case.wait(later=11)
    case.wait(later=11 + GRACE)
    message = case.objects["Event"][-1]["message"]
    case.objects["Event"].append(event(case.workload, "StatefulSet", "FailedCreate", message, case.now + 20))
    case.wait(later=20)
    case.failure(later=20 + GRACE)


def test_a_refusal_is_past_once_a_pod_was_made() -> None:
    case = Case("statefulset_quota_lifted")
    case.status["readyReplicas"] = 2
    assert any(e["reason"] == "FailedCreate" for e in case.objects["Event"])
    case.objects.pop("ResourceQuota")
    assert isinstance(case.lasting(), state.Waiting)
    assert "quota" not in case.wait().text


def test_a_replicaset_that_dropped_its_condition_is_not_refused_any_more() -> None:
    case = Case("deployment_quota")
    for replicaset in case.objects["ReplicaSet"]:
        replicaset["status"].pop("conditions", None)
    assert isinstance(case.lasting(), state.Waiting)


def test_a_condition_from_before_counts_once_the_refusal_is_repeated() -> None:
    case = Case("deployment_quota")
    del case.objects["ResourceQuota"]
    owner = state.view(case.kind, case.workload, case.objects).owner
    assert owner is not None
    old = next(rs for rs in case.objects["ReplicaSet"] if rs is not owner)
    case.since = case.now + 60
    case.now = case.since + 10
    said = case.objects["Event"][-1]["message"]
    case.objects["Event"].append(event(old, "ReplicaSet", "FailedCreate", said, case.now))
    assert isinstance(case.lasting(), state.Waiting), "what is refused to an old ReplicaSet does not count"
    case.objects["Event"].append(event(owner, "ReplicaSet", "FailedCreate", said, case.now))
    assert case.lasting_failure().code == "FailedCreate"


def test_only_pods_of_the_same_deployment_may_make_room() -> None:
    case = Case("deployment_quota")
    leaving = copy.deepcopy(case.objects["Pod"][0])
    leaving["metadata"].update({"name": "another", "uid": "another", "deletionTimestamp": stamp(case.now)})
    leaving["metadata"]["ownerReferences"][0]["uid"] = "another-replicaset"
    case.objects["Pod"].append(leaving)
    stranger = copy.deepcopy(case.objects["ReplicaSet"][0])
    stranger["metadata"]["uid"] = "another-replicaset"
    stranger["metadata"]["ownerReferences"][0]["uid"] = "another-deployment"
    case.objects["ReplicaSet"].append(stranger)
    assert case.lasting_failure().code == "FailedCreate"


def test_a_refusal_of_an_old_replicaset_is_ignored() -> None:
    case = Case("deployment_quota")
    owner = state.view(case.kind, case.workload, case.objects).owner
    assert owner is not None
    old = next(rs for rs in case.objects["ReplicaSet"] if rs is not owner)
    old["status"]["conditions"] = owner["status"].pop("conditions")
    for told in case.objects["Event"]:
        told["involvedObject"]["uid"] = old["metadata"]["uid"]
    assert isinstance(case.lasting(), state.Waiting)


@pytest.mark.parametrize("kind", ["DaemonSet", "Job"])
def test_daemonsets_and_jobs_are_refused_by_event(kind: str) -> None:
    case = Case("daemonset_done" if kind == "DaemonSet" else "job_suspended")
    case.spec["suspend"] = False
    case.status.update({"currentNumberScheduled": 0})
    case.objects["Pod"] = []
    said = 'Error creating: pods "x-abcde" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
    case.objects["Event"] = [event(case.workload, kind, "FailedCreate", said, case.now)]
    problem = case.lasting_failure()
    assert problem.text == 'its pods are refused: violates PodSecurity "restricted:latest": runAsNonRoot != true'


@pytest.mark.parametrize(
    ("said", "bare"),
    [
        ('Error creating: pods "web-1" is forbidden: no', "no"),
        ('(combined from similar events): Error creating: pods "web-1" is forbidden: no', "no"),
        ('create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: no', "no"),
        ("create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: no", "no"),
        ("Internal error occurred: no", "Internal error occurred: no"),
    ],
)
def test_a_refusal_is_told_without_its_preamble(said: str, bare: str) -> None:
    assert state.CREATE_PREAMBLE.sub("", said) == bare


QUOTA_SAID = "exceeded quota: few, requested: {asked}, used: whatever=0, limited: whatever=0"


@pytest.mark.parametrize(
    ("asked", "hard", "used", "refuses"),
    [
        ("pods=1", {"pods": "3"}, {"pods": "3"}, True),
        ("pods=1", {"pods": "3"}, {"pods": "2"}, False),
        ("requests.memory=512Mi", {"requests.memory": "1Gi"}, {"requests.memory": "600Mi"}, True),
        ("requests.memory=512Mi", {"requests.memory": "1Gi"}, {"requests.memory": "512Mi"}, False),
        ("requests.cpu=250m,pods=1", {"requests.cpu": "1", "pods": "9"}, {"requests.cpu": "800m", "pods": "1"}, True),
        ("requests.cpu=250m,pods=1", {"requests.cpu": "1", "pods": "9"}, {"pods": "9"}, True),
        ("pods=1", {"cpu": "1"}, {}, False),
        ("pods=1", {}, {}, None),
        ("pods=x", {"pods": "3"}, {"pods": "3"}, None),
    ],
)
def test_the_quota_is_asked_whether_it_refuses_still(
    asked: str, hard: dict[str, str], used: dict[str, str], refuses: bool | None
) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}
    assert state.quota_refuses(QUOTA_SAID.format(asked=asked), [quota]) is refuses


def test_a_quota_whose_change_has_not_been_taken_up_tells_nothing() -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "9"}}, "status": {"hard": {"pods": "3"}}}
    assert state.quota_refuses(QUOTA_SAID.format(asked="pods=1"), [quota]) is None


@pytest.mark.parametrize(
    ("said", "quotas", "refuses"),
    [
        ("violates PodSecurity", [], None),
        (QUOTA_SAID.format(asked="pods=1"), None, None),
        (QUOTA_SAID.format(asked="pods=1"), [], False),
        ("failed quota: few: must specify limits.cpu for: app", [], False),
        ("failed quota: few: must specify limits.cpu for: app", [{"metadata": {"name": "few"}}], None),
    ],
)
def test_what_no_quota_can_answer_stays_open(said: str, quotas: list[Any] | None, refuses: bool | None) -> None:
    assert state.quota_refuses(said, quotas) is refuses


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", 0.25),
        ("2", 2),
        ("1.5", 1.5),
        ("2k", 2000),
        ("1Ki", 1024),
        ("2Gi", 2 * 1024**3),
        ("1e3", 1000),
        ("x", None),
    ],
)
def test_quantities_are_numbers(text: str, value: float | None) -> None:
    assert state.quantity(text) == value


# --- What is waited for -----------------------------------------------------------------------------------------------


def test_a_pod_that_fits_nowhere_is_waited_for_and_told() -> None:
    case = Case("deployment_unschedulable")
    verdict = case.lasting()
    assert isinstance(verdict, state.Waiting)
    assert verdict.problem.code == "Unschedulable"
    assert "cannot be scheduled: 0/1 nodes are available: 1 Insufficient memory" in verdict.problem.text


def test_a_pod_that_runs_but_is_not_ready_is_told_with_its_probe() -> None:
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


def test_a_volume_that_cannot_be_attached_is_waited_for_and_told() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "ContainerCreating")
    said = "Multi-Attach error for volume"
    case.objects["Event"] = [event(case.pod(), "Pod", "FailedAttachVolume", said, case.now)]
    assert case.wait().text.endswith(f"cannot start: {said}")
    assert isinstance(case.lasting(), state.Waiting)


def test_within_the_grace_time_the_suspected_problem_is_told() -> None:
    assert "needs Secret web-secret" in Case("deployment_config_error").wait().text


# --- What is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (
            state.Problem("NotFound", "", advice="Apply it first", verb="does not exist"),
            "Job a does not exist in namespace ns. Apply it first, then run the playbook again.",
        ),
        (state.Problem("X", "it broke."), "Job a is stuck: it broke. Run the playbook again."),
        (
            state.Problem("X", "line one\nline  two", advice="Mend it"),
            "Job a is stuck: line one line two. Mend it, then run the playbook again.",
        ),
    ],
)
def test_the_sentence_names_thing_reason_and_next_step(problem: state.Problem, expected: str) -> None:
    assert state.sentence("Job", "a", "ns", problem) == expected


def test_events_and_log_follow_on_lines_of_their_own() -> None:
    text = state.report(["It broke."], ["Failed Pod/a: no"], ["Traceback", "ValueError"], "a/app")
    assert text.splitlines() == [
        "It broke.",
        "Last events:",
        "  Failed Pod/a: no",
        "Last log lines of a/app:",
        "  Traceback",
        "  ValueError",
    ]
    assert state.report(["It broke."], [], []) == "It broke."


def test_a_long_message_is_cut_to_one_line() -> None:
    assert masking.shorten("a\n b", 10) == "a b"
    assert masking.shorten("x" * 20, 10) == "x" * 9 + "…"


def test_the_same_refusal_is_told_once() -> None:
    case = Case("deployment_quota")
    assert len(case.objects["Event"]) > 1
    told = state.recent_events(case.kind, case.name, case.objects)
    assert len(told) == 1
    assert told[0].startswith("FailedCreate ReplicaSet/polls-web-")
    assert "exceeded quota: few" in told[0]


def test_events_are_the_last_ones_about_the_broken_pod_and_its_owners() -> None:
    case = Case("deployment_done")
    first, second = case.pod(0), case.pod(1)
    case.objects["Event"] = [
        *(event(first, "Pod", "Unhealthy", f"number {n}", case.now - n) for n in range(9)),
        event(second, "Pod", "Unhealthy", "of another pod", case.now),
        event({"metadata": {"name": "x", "uid": "stranger"}}, "Pod", "Unhealthy", "of a stranger", case.now),
    ]
    told = state.recent_events(case.kind, case.name, case.objects, pod=first["metadata"]["name"])
    assert [line.rpartition(" ")[2] for line in told] == ["4", "3", "2", "1", "0"]
    assert not any("another" in line or "stranger" in line for line in told)


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": "2026-11-25T02:00:00Z", "eventTime": None},
        {"eventTime": "2026-11-25T02:00:00.000000Z", "lastTimestamp": None},
        {"series": {"lastObservedTime": "2026-11-25T02:00:00.000000Z"}, "eventTime": "2026-11-25T01:00:00Z"},
        {"metadata": {"creationTimestamp": "2026-11-25T02:00:00Z"}},
    ],
)
def test_an_event_tells_its_time_in_any_dialect(times: dict[str, Any]) -> None:
    assert state.event_time(times) == datetime(2026, 11, 25, 2, tzinfo=UTC).timestamp()


def test_the_summary_tells_replicas_images_and_what_really_runs() -> None:
    case = Case("deployment_done")
    told = state.summary(case.kind, case.name, case.objects)
    assert (told["replicas"], told["images"]) == (3, ["localhost/cloud-django/polls:3f9c2a1b"])
    assert told["image_ids"] == ["sha256:" + "ab" * 32]
    assert len(told["pods"]) == 3
    assert told["pods"][0]["image_ids"] == {"polls-web": "sha256:" + "ab" * 32}


def test_the_summary_leaves_out_pods_of_an_old_revision() -> None:
    case = Case("deployment_rolled_back")
    running = {pod["name"] for pod in state.summary(case.kind, case.name, case.objects)["pods"]}
    old = {p["metadata"]["name"] for p in case.objects["Pod"] if "CrashLoopBackOff" in json.dumps(p["status"])}
    assert old
    assert not running & old


@pytest.mark.parametrize(
    ("kinds", "watched"),
    [
        (["Deployment", "Deployment"], ["Deployment", "ReplicaSet", "Pod", "Event", "ResourceQuota"]),
        (["Job"], ["Job", "Pod", "Event", "ResourceQuota"]),
        (["DaemonSet"], ["DaemonSet", "ControllerRevision", "Pod", "Event", "ResourceQuota"]),
        ([], []),
    ],
)
def test_only_the_needed_kinds_are_watched(kinds: list[str], watched: list[str]) -> None:
    assert state.kinds_to_watch(kinds) == watched


@pytest.mark.parametrize("what", ["terminating", "pending"])
def test_the_summary_leaves_out_pods_that_do_not_run(what: str) -> None:
    case = Case("deployment_done")
    if what == "terminating":
        case.pod()["metadata"]["deletionTimestamp"] = stamp(case.now)
    else:
        case.pod()["status"]["phase"] = "Pending"
    assert len(state.summary(case.kind, case.name, case.objects)["pods"]) == 2


# --- Secrets ----------------------------------------------------------------------------------------------------------

PASSWORD = "p@ss:w/rd?#% '\"\\é🔑"


def test_every_way_to_refer_to_a_secret_is_found() -> None:
    spec = {
        "initContainers": [{"name": "i", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "init-env"}}}]}],
        "containers": [
            {
                "name": "c",
                "env": [{"name": "A", "value": "x"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "env"}}}],
                "envFrom": [{"secretRef": {"name": "env-from"}}, {"configMapRef": {"name": "config"}}],
            }
        ],
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume"}},
            {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "no"}}]}},
            {"name": "c", "emptyDir": {}},
        ],
    }
    assert state.secret_references(spec) == {"init-env", "env", "env-from", "volume", "projected"}
    assert state.secret_references({}) == set()


def test_the_secrets_of_the_broken_pod_and_of_the_template_are_asked_for() -> None:
    case = Case("deployment_crash")
    pod = case.pod()
    pod["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "only-in-the-pod"}}]
    names = state.secrets_of(case.kind, case.name, case.objects, pod["metadata"]["name"])
    assert names == {"web-secret", "polls-database-app", "only-in-the-pod"}


def test_without_a_pod_the_template_tells_the_secrets() -> None:
    case = Case("job_suspended")
    assert state.secrets_of(case.kind, case.name, case.objects) == {"web-secret", "polls-database-app"}
    assert state.secrets_of(case.kind, "nowhere", case.objects) == set()


@pytest.mark.parametrize(
    "seen",
    [
        PASSWORD,
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
        base64.b64encode(PASSWORD.encode() + b"\n").decode(),
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote_plus(PASSWORD),
        quote(PASSWORD, safe="").lower(),
        json.dumps(PASSWORD)[1:-1],
        repr(PASSWORD)[1:-1],
        PASSWORD.replace("'", "''"),
    ],
)
def test_a_secret_is_masked_in_every_form(seen: str) -> None:
    masked = masking.mask(f"before {seen} after", masking.all_forms([PASSWORD]))
    assert masked.startswith(f"before {masking.MASK}")
    assert masked.endswith(" after")
    assert seen not in masked


@pytest.mark.parametrize("user", ["a", "ab", "abc"])
def test_a_secret_is_masked_inside_longer_base64(user: str) -> None:
    """As in an Authorization header, where the user's name shifts every character of it."""
    password = "correct-horse-battery"
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    masked = masking.mask(header, masking.all_forms([password]))
    assert masking.MASK in masked
    assert len(masked.replace(masking.MASK, "")) <= len(header) - len(password)


def test_each_line_of_a_long_secret_is_masked() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----\n"
    assert "kqhkiG9w0BAQ" not in masking.mask("read kqhkiG9w0BAQ only", masking.all_forms([key]))


def test_bytes_that_are_no_text_are_masked_in_base64() -> None:
    raw = b"\xff\xfe\x00\x01secret"
    assert masking.mask(base64.b64encode(raw).decode(), masking.all_forms([raw])) == masking.MASK


def test_what_is_too_short_to_be_a_secret_stays() -> None:
    assert masking.all_forms(["abc", "", "x  "]) == []
    assert masking.mask("port 443", masking.all_forms(["443"])) == "port 443"
    assert masking.mask("a tree", masking.all_forms(["tree"])) == f"a {masking.MASK}"


def test_the_longest_value_is_masked_whole() -> None:
    forms = masking.all_forms(["sesame", "sesame-open"])
    assert forms.index("sesame-open") < forms.index("sesame")
    assert masking.mask("say sesame-open now", forms) == f"say {masking.MASK} now"


def test_values_that_overlap_are_covered_together() -> None:
    assert masking.mask("x abcdefgh y", masking.all_forms(["abcdef", "defgh"])) == f"x {masking.MASK} y"
    assert masking.mask("aaaaaa", masking.all_forms(["aaaa"])) == masking.MASK


def test_a_value_inside_a_public_name_stays_readable() -> None:
    public = state.public_names(Case("deployment_done").objects)
    forms = masking.all_forms(["polls", "s3cr3t"])
    name = Case("deployment_done").pod()["metadata"]["name"]
    assert masking.mask(f"pod {name}: polls s3cr3t", forms, public) == f"pod {name}: {masking.MASK} {masking.MASK}"


def test_a_value_that_is_a_whole_public_name_is_masked() -> None:
    assert masking.mask("as polls-web", masking.all_forms(["polls-web"]), {"polls-web"}) == f"as {masking.MASK}"
