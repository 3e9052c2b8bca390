"""Reasons why a pod does not run: its image, its crashes, and its settings."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, pods, report
from workload_cases import GRACE, Case, event, rolling_deployment, stamp, waiting

# --- Images -----------------------------------------------------------------------------------------------------------


def test_a_missing_image_fails_at_once() -> None:
    case = Case("deployment_pull")
    problem = case.failure()
    assert problem.code == "ErrImagePull"
    assert report.sentence(case.kind, case.name, "polls", problem) == (
        f"Deployment polls-web is stuck: pod {problem.pod} cannot pull localhost/cloud-django/polls:n0t10aded: "
        f"not found. Check that the image is loaded, {AGAIN}."
    )


@pytest.mark.parametrize(
    ("image", "message", "cause", "advice"),
    [
        ("reg.example/a:1", "failed to resolve: reg.example/a:1: not found", "not found", "pushed or loaded"),
        ("reg.example/a:1", "pull access denied, repository does not exist", "pull access denied", "pull Secret"),
        ("reg.example/a:1", "unexpected status: 401 Unauthorized", "unauthorized", "pull Secret"),
        ("localhost/a:1", "dial tcp [::1]:443: connect: connection refused", "connection refused", "is loaded"),
    ],
)
def test_a_rejected_pull_fails_at_once(image: str, message: str, cause: str, advice: str) -> None:
    case = rolling_deployment()
    case.pod()["spec"]["containers"][0]["image"] = image
    waiting(case.pod(), "ErrImagePull", message)
    problem = case.failure()
    assert problem.text.endswith(f"cannot pull {image}: {cause}")
    assert advice in problem.advice


@pytest.mark.parametrize("message", ["dial tcp 192.0.2.7:443: i/o timeout", "429 Too Many Requests", "", "EOF"])
def test_a_first_pull_without_a_connection_is_waited_for(message: str) -> None:
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
def test_a_pull_in_back_off_fails_at_once(message: str) -> None:
    case = rolling_deployment()
    pod = case.pod()
    pod["spec"]["containers"][0]["image"] = "reg.example/a:1"
    waiting(pod, "ImagePullBackOff", message)
    reported = 'Failed to pull image "reg.example/a:1": dial tcp 192.0.2.7:443: i/o timeout'
    case.objects["Event"] = [event(pod, "Pod", "Failed", reported, case.now)]
    problem = case.failure()
    assert problem.text.endswith("cannot pull reg.example/a:1: i/o timeout")
    assert problem.advice == "Check that the node reaches the registry"


def test_an_image_with_pull_policy_never_fails_at_once() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never')
    assert case.failure().advice == "Load the image into the cluster"


def test_an_invalid_image_name_fails_at_once() -> None:
    case = rolling_deployment()
    said = 'Failed to apply default image tag "A": couldn\'t parse image name "A": repository name must be lowercase'
    waiting(case.pod(), "InvalidImageName", said)
    assert case.failure().text.endswith(": repository name must be lowercase")


def test_an_image_with_an_invalid_signature_fails_at_once() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "SignatureValidationFailed")
    assert case.failure().code == "SignatureValidationFailed"


def test_an_init_container_also_counts() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "PodInitializing")
    waiting(case.pod(), "ErrImageNeverPull", kind="initContainerStatuses")
    assert case.failure().code == "ErrImageNeverPull"


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_container_in_creation_is_waited_for(reason: str) -> None:
    case = rolling_deployment()
    waiting(case.pod(), reason)
    assert isinstance(case.lasting(), model.Waiting)


# --- Crashes and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deployment_crash", "statefulset_crash", "daemonset_crash"])
def test_a_crashing_container_fails_at_once(name: str) -> None:
    case = Case(name)
    problem = case.failure()
    assert problem.code == "CrashLoopBackOff"
    assert problem.text.endswith("keeps crashing (exit code 1)")
    assert problem.previous
    assert problem.pod in {p["metadata"]["name"] for p in case.objects["Pod"]}


def crashed_again(case: Case, code: int = 2, after: float = 3.0) -> None:
    """Stop the broken container with `code`, some time after its previous crash, without a report of the kubelet."""
    status = case.pod()["status"]["containerStatuses"][0]
    before = model.seconds(status["lastState"]["terminated"]["finishedAt"])
    status["state"] = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": stamp(before + after)}}


def test_a_second_crash_fails_before_the_kubelet_reports_it() -> None:
    case = Case("deployment_crash")
    crashed_again(case)
    problem = case.failure()
    assert problem.code == "CrashLoopBackOff"
    assert problem.text.endswith("keeps crashing (exit code 1)"), "the code belongs to the shown log"
    assert problem.previous


@pytest.mark.parametrize(("code", "after"), [(0, 3.0), (2, 301.0)], ids=["no error", "long ago"])
def test_a_container_that_restarts_at_once_is_waited_for(code: int, after: float) -> None:
    case = Case("deployment_crash")
    crashed_again(case, code, after)
    assert isinstance(case.judge(), model.Waiting)


def test_a_first_crash_is_waited_for() -> None:
    case = Case("deployment_crash")
    crashed_again(case)
    case.pod()["status"]["containerStatuses"][0]["lastState"] = {}
    assert isinstance(case.judge(), model.Waiting)


def test_a_crashing_init_container_fails_at_once() -> None:
    case = rolling_deployment()
    waiting(case.pod(), "CrashLoopBackOff", kind="initContainerStatuses")
    assert case.failure().code == "CrashLoopBackOff"


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, "keeps being killed for lack of memory (OOMKilled)"),
        ({"exitCode": 0, "reason": "Completed"}, "keeps exiting without an error (exit code 0)"),
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
def test_the_end_of_a_container_is_reported(ended: dict[str, Any], text: str) -> None:
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


def test_after_a_rollback_the_template_identifies_the_current_replicaset() -> None:
    """The Deployment still has the annotation of the previous revision."""
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


def test_without_an_equal_template_the_revision_identifies_the_current_replicaset() -> None:
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
def test_hash_or_generation_identifies_the_current_pods_of_a_daemonset(without: str) -> None:
    case = Case("daemonset_crash")
    case.objects.pop(without, None)
    case.workload["metadata"]["annotations"].pop(without, None)
    assert case.failure().code == "CrashLoopBackOff"


def test_an_old_crashing_pod_blocks_an_ordered_statefulset() -> None:
    case = Case("statefulset_blocked")
    problem = case.lasting_failure()
    assert (problem.code, problem.pod, problem.advice) == ("Blocked", "polls-postgresql-1", "Delete the pod")


def test_an_old_crashing_pod_does_not_block_a_parallel_statefulset() -> None:
    case = Case("statefulset_blocked")
    case.spec["podManagementPolicy"] = "Parallel"
    assert isinstance(case.lasting(), model.Waiting)


def test_an_old_pod_that_is_ready_is_waited_for() -> None:
    case = Case("statefulset_rolling")
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("what", ["terminating", "finished"])
def test_a_terminating_or_failed_pod_is_ignored(what: str) -> None:
    case = Case("deployment_crash")
    for pod in case.current:
        if what == "terminating":
            pod["metadata"]["deletionTimestamp"] = stamp(case.now)
        else:
            pod["status"]["phase"] = "Failed"
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("reason", ["RunContainerError", "CreateContainerError", "CreateContainerConfigError"])
def test_a_container_that_cannot_start_gets_the_grace_period(reason: str) -> None:
    case = rolling_deployment()
    waiting(case.pod(), reason, "container has runAsNonRoot and image will run as root")
    problem = case.lasting_failure()
    assert problem.text.endswith("cannot be started: container has runAsNonRoot and image will run as root")


def test_a_recovered_problem_restarts_the_grace_period() -> None:
    case = rolling_deployment()
    recovered = copy.deepcopy(case.objects["Pod"])
    waiting(case.pod(), "CreateContainerError", "context deadline exceeded")
    broken = case.objects["Pod"]
    case.wait()
    case.objects["Pod"] = recovered
    case.wait(later=GRACE - 1)
    case.objects["Pod"] = broken
    case.wait(later=GRACE + 1)
    case.failure(later=2 * GRACE + 1)


def test_a_disproved_problem_restarts_the_grace_period() -> None:
    case = Case("deployment_config_error")
    case.wait()
    problem = case.failure(later=GRACE)
    case.memory = case.memory.without(problem.key)
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
def test_the_missing_object_is_read_from_the_kubelets_message(message: str, missing: model.Missing | None) -> None:
    item = [{"key": "tls.key", "path": "tls.key"}]
    volumes = [
        {"name": "plain", "secret": {"secretName": "on-its-own", "items": item}},
        {"name": "secrets", "projected": {"sources": [{"secret": {"name": "in-a-projection", "items": item}}]}},
        {"name": "conf", "configMap": {"name": "settings", "items": [{"key": "a.conf", "path": "a.conf"}]}},
    ]
    pod = {"metadata": {"name": "web"}, "spec": {"volumes": volumes}}
    assert pods.missing_object(message, pod) == missing


def test_a_missing_secret_is_reported_by_name() -> None:
    problem = Case("deployment_config_error").lasting_failure()
    assert problem.text == f"pod {problem.pod} needs Secret web-secret, which does not exist"
    assert problem.missing == model.Missing("Secret", "web-secret")
    assert problem.fresh


def test_a_volume_with_a_missing_secret_fails_after_the_grace_period() -> None:
    problem = Case("deployment_mount").lasting_failure()
    assert (problem.code, problem.fresh) == ("FailedMount", True)
    assert problem.missing is not None
    assert problem.missing.kind == "Secret"


def test_a_mount_failure_from_before_the_wait_must_be_confirmed() -> None:
    case = Case("deployment_mount")
    case.since = case.now + 5
    assert not case.lasting_failure().fresh


def test_a_mount_failure_from_before_the_start_is_ignored() -> None:
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
def test_the_termination_message_of_a_container(message: str, words: str) -> None:
    assert pods.last_words(message) == words


def test_the_launcher_adds_the_next_step() -> None:
    message = '{"level": "error", "msg": "A migration needs postgis", "advice": "Add it to database_extensions"}\n'
    assert pods.last_words(message) == "A migration needs postgis"
    assert pods.next_step(message) == "Add it to database_extensions"
    assert pods.next_step("one line") == "Fix the cause"


# --- Commands that are not in the image -------------------------------------------------------------------------------

RUNC = "failed to create containerd task: runc create failed: unable to start container process: "
# Messages of runtimes about a command.
WRONG = {
    RUNC + 'error during container init: exec: "nosuch": executable file not found in $PATH': "nosuch",
    RUNC + 'error during container init: exec: "/app/run": stat /app/run: no such file or directory': "/app/run",
    RUNC + 'error during container init: exec: "/app/x.py": permission denied': "/app/x.py",
    "crun: executable file `nosuch` not found in $PATH: No such file or directory: OCI not found": "nosuch",
}
# The next attempt can be on another node.
UNCERTAIN = "failed to create containerd task: failed to start shim: start failed: no space left on device"


def not_started(message: str) -> Case:
    """Return a Job whose first pod could not run its command, and that tries again later."""
    case = Case("job_retrying")
    pod = case.objects["Pod"][0]
    ended = {"exitCode": 128, "reason": "StartError", "message": message}
    pod["status"] |= {"phase": "Failed"}
    pod["status"]["containerStatuses"][0]["state"] = {"terminated": ended}
    return case


@pytest.mark.parametrize(("message", "name"), WRONG.items())
def test_a_job_whose_command_is_not_in_the_image_fails_at_once(message: str, name: str) -> None:
    problem = not_started(message).failure()
    assert (problem.code, problem.advice) == ("StartError", "Correct the command of the container")
    assert " cannot start: " in problem.text
    assert name in problem.text
    assert "containerd" not in problem.text


def test_a_job_that_a_node_could_not_start_is_tried_again() -> None:
    assert isinstance(not_started(UNCERTAIN).lasting(), model.Waiting)
