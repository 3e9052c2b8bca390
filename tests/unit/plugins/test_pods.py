"""What keeps a pod from running: its image, its crashes, its settings."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, pods, report
from workload_cases import GRACE, Case, event, rolling_deployment, stamp, waiting

# --- Images -----------------------------------------------------------------------------------------------------------


def test_an_image_that_is_not_found_is_hopeless_at_once() -> None:
    case = Case("deployment_pull")
    problem = case.failure()
    assert problem.code == "ErrImagePull"
    assert report.sentence(case.kind, case.name, "polls", problem) == (
        f"Deployment polls-web is stuck: pod {problem.pod} cannot pull localhost/cloud-django/polls:n0t10aded: "
        "not found. Check that the image is loaded, then rerun the playbook."
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
    assert isinstance(case.lasting(), model.Waiting)


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
    assert isinstance(case.lasting(), model.Waiting)


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
    before = model.seconds(status["lastState"]["terminated"]["finishedAt"])
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
    assert isinstance(case.judge(), model.Waiting)


def test_a_first_crash_is_waited_for() -> None:
    case = Case("deployment_crash")
    crashed_again(case)
    case.pod()["status"]["containerStatuses"][0]["lastState"] = {}
    assert isinstance(case.judge(), model.Waiting)


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
    assert isinstance(case.lasting(), model.Waiting)


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
    assert isinstance(case.lasting(), model.Waiting)


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
    assert isinstance(case.lasting(), model.Waiting)


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
    assert isinstance(case.lasting(), model.Waiting)


def test_an_old_pod_that_is_ready_is_waited_for() -> None:
    case = Case("statefulset_rolling")
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("what", ["terminating", "finished"])
def test_a_pod_that_is_on_its_way_out_is_not_judged(what: str) -> None:
    case = Case("deployment_crash")
    for pod in case.current:
        if what == "terminating":
            pod["metadata"]["deletionTimestamp"] = stamp(case.now)
        else:
            pod["status"]["phase"] = "Failed"
    assert isinstance(case.lasting(), model.Waiting)


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
        ('secret "web-secret" not found', model.Missing("Secret", "web-secret")),
        ('configmap "web-config" not found', model.Missing("ConfigMap", "web-config")),
        ("couldn't find key dsn in Secret polls/web-secret", model.Missing("Secret", "web-secret", "dsn")),
        ("couldn't find key LOG in ConfigMap polls/web", model.Missing("ConfigMap", "web", "LOG")),
        (
            'MountVolume.SetUp failed for volume "secrets" : references non-existent secret key: tls.key',
            model.Missing("Secret", "in-a-projection", "tls.key"),
        ),
        (
            'MountVolume.SetUp failed for volume "plain" : references non-existent secret key: tls.key',
            model.Missing("Secret", "on-its-own", "tls.key"),
        ),
        (
            'MountVolume.SetUp failed for volume "conf" : configmap references non-existent config key: a.conf',
            model.Missing("ConfigMap", "settings", "a.conf"),
        ),
        ("container has runAsNonRoot and image will run as root", None),
        ('MountVolume.SetUp failed for volume "data" : rpc error: code = Internal', None),
    ],
)
def test_the_missing_object_is_read_from_what_the_kubelet_says(message: str, missing: model.Missing | None) -> None:
    item = [{"key": "tls.key", "path": "tls.key"}]
    volumes = [
        {"name": "plain", "secret": {"secretName": "on-its-own", "items": item}},
        {"name": "secrets", "projected": {"sources": [{"secret": {"name": "in-a-projection", "items": item}}]}},
        {"name": "conf", "configMap": {"name": "settings", "items": [{"key": "a.conf", "path": "a.conf"}]}},
    ]
    pod = {"metadata": {"name": "web"}, "spec": {"volumes": volumes}}
    assert pods.missing_object(message, pod) == missing


def test_a_missing_secret_is_told_as_such() -> None:
    problem = Case("deployment_config_error").lasting_failure()
    assert problem.text == f"pod {problem.pod} needs Secret web-secret, which does not exist"
    assert problem.missing == model.Missing("Secret", "web-secret")
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
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("one line", "one line"),
        ("a log\nof two lines", ""),
        ('{"level":"info","msg":"a"}\n{"level":"error","ts":1,"msg":"loading config: no"}\n', "loading config: no"),
        ('{"level":"info","msg":"a"}\n{"level":"info","msg":"b"}', ""),
        ("", ""),
    ],
)
def test_the_last_words_of_a_container(message: str, words: str) -> None:
    assert pods.last_words(message) == words
