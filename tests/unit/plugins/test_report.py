"""Results and errors about a workload."""

from __future__ import annotations

import json

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, report
from workload_cases import Case, event, stamp

RERUN = AGAIN.removeprefix("then ").capitalize()

# --- Errors and summaries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (
            model.Problem("NotFound", "", advice="Apply it", verb="does not exist"),
            f"Job a does not exist in namespace ns. Apply it, {AGAIN}.",
        ),
        (model.Problem("X", "it broke."), f"Job a is stuck: it broke. {RERUN}."),
        (
            model.Problem("X", "line one\nline  two", advice="Fix it"),
            f"Job a is stuck: line one line two. Fix it, {AGAIN}.",
        ),
    ],
)
def test_the_sentence_names_thing_reason_and_next_step(problem: model.Problem, expected: str) -> None:
    assert report.sentence("Job", "a", "ns", problem) == expected


def test_events_and_log_follow_on_separate_lines() -> None:
    text = report.report(["It broke."], ["Failed Pod/a: no"], ["Traceback", "ValueError"], "a/app")
    assert text.splitlines() == [
        "It broke.",
        "Last events:",
        "  Failed Pod/a: no",
        "Last log lines of a/app:",
        "  Traceback",
        "  ValueError",
    ]
    assert report.report(["It broke."], [], []) == "It broke."


def test_a_repeated_rejection_is_listed_once() -> None:
    case = Case("deployment_quota")
    assert len(case.objects["Event"]) > 1
    reported = report.recent_events(case.kind, case.name, case.objects)
    assert len(reported) == 1
    assert reported[0].startswith("FailedCreate ReplicaSet/polls-web-")
    assert "exceeded quota: few" in reported[0]


def test_events_are_the_last_ones_about_the_broken_pod_and_its_owners() -> None:
    case = Case("deployment_done")
    first, second = case.pod(0), case.pod(1)
    case.objects["Event"] = [
        *(event(first, "Pod", "Unhealthy", f"number {n}", case.now - n) for n in range(9)),
        event(second, "Pod", "Unhealthy", "of another pod", case.now),
        event({"metadata": {"name": "x", "uid": "stranger"}}, "Pod", "Unhealthy", "of a stranger", case.now),
    ]
    reported = report.recent_events(case.kind, case.name, case.objects, pod=first["metadata"]["name"])
    assert [line.rpartition(" ")[2] for line in reported] == ["4", "3", "2", "1", "0"]
    assert not any("another" in line or "stranger" in line for line in reported)


def test_the_summary_has_replicas_images_and_running_image_ids() -> None:
    case = Case("deployment_done")
    reported = report.summary(case.kind, case.name, case.objects)
    assert (reported["replicas"], reported["images"]) == (3, ["localhost/cloud-django/polls:3f9c2a1b"])
    assert reported["image_ids"] == ["sha256:" + "ab" * 32]
    assert len(reported["pods"]) == 3
    assert reported["pods"][0]["image_ids"] == {"polls-web": "sha256:" + "ab" * 32}


def test_the_summary_leaves_out_pods_of_an_old_revision() -> None:
    case = Case("deployment_rolled_back")
    running = {pod["name"] for pod in report.summary(case.kind, case.name, case.objects)["pods"]}
    old = {p["metadata"]["name"] for p in case.objects["Pod"] if "CrashLoopBackOff" in json.dumps(p["status"])}
    assert old
    assert not running & old


@pytest.mark.parametrize("what", ["terminating", "pending"])
def test_the_summary_leaves_out_pods_that_do_not_run(what: str) -> None:
    case = Case("deployment_done")
    if what == "terminating":
        case.pod()["metadata"]["deletionTimestamp"] = stamp(case.now)
    else:
        case.pod()["status"]["phase"] = "Pending"
    assert len(report.summary(case.kind, case.name, case.objects)["pods"]) == 2


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_every_reference_to_a_secret_is_found() -> None:
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
    assert report.secret_references(spec) == {"init-env", "env", "env-from", "volume", "projected"}
    assert report.secret_references({}) == set()


def test_the_secrets_of_the_broken_pod_and_of_the_template_are_found() -> None:
    case = Case("deployment_crash")
    pod = case.pod()
    pod["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "only-in-the-pod"}}]
    names = report.secrets_of(case.kind, case.name, case.objects, pod["metadata"]["name"])
    assert names == {"web-secret", "polls-database-app", "only-in-the-pod"}


def test_without_a_pod_the_template_has_the_secrets() -> None:
    case = Case("job_suspended")
    assert report.secrets_of(case.kind, case.name, case.objects) == {"web-secret", "polls-database-app"}
    assert report.secrets_of(case.kind, "nowhere", case.objects) == set()


def test_a_sidecar_counts_as_a_container_and_an_init_container_does_not() -> None:
    case = Case("deployment_done")
    template = case.spec["template"]["spec"]
    sidecar = {"name": "web", "image": "site:1", "restartPolicy": "Always"}
    template["initContainers"] = [{"name": "first", "image": "first:1"}, sidecar]
    for replicaset in case.objects["ReplicaSet"]:
        replicaset["spec"]["template"]["spec"]["initContainers"] = template["initContainers"]
    for pod in case.objects["Pod"]:
        pod["spec"]["initContainers"] = template["initContainers"]
        pod["status"]["initContainerStatuses"] = [
            {"name": "first", "imageID": "sha256:first", "state": {}},
            {"name": "web", "imageID": "sha256:web", "state": {"running": {}}},
        ]
    reported = report.summary(case.kind, case.name, case.objects)
    assert reported["images"][0] == "site:1"
    assert "first:1" not in reported["images"]
    assert all(pod["image_ids"]["web"] == "sha256:web" for pod in reported["pods"])
    assert "sha256:first" not in reported["image_ids"]
    assert "first:1" in report.public_names(case.objects)
