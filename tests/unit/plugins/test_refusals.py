"""Reasons why the pods of a workload cannot be created."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, pods
from workload_cases import GRACE, Case, event, stamp

# --- Rejected pods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_quota_that_rejects_pods_fails_after_the_grace_period(name: str) -> None:
    problem = Case(name).lasting_failure()
    assert problem.code == "FailedCreate"
    assert problem.text.startswith("quota few rejects its pods: requested: pods=1, used: pods=")
    assert problem.advice == "Raise the quota or lower the requests"


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_an_old_rejection_counts_if_the_quota_still_rejects(name: str) -> None:
    case = Case(name)
    case.since = case.now + 3600
    case.now = case.since
    assert case.lasting_failure().code == "FailedCreate"


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_deleted_quota_rejects_no_pods(name: str) -> None:
    case = Case(name)
    case.objects["ResourceQuota"] = []
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_raised_quota_rejects_no_pods(name: str) -> None:
    case = Case(name)
    for where in ("spec", "status"):
        case.objects["ResourceQuota"][0][where]["hard"]["pods"] = "10"
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_stale_rejection_is_ignored_without_permission_to_read_quotas(name: str) -> None:
    case = Case(name)
    del case.objects["ResourceQuota"]
    assert isinstance(case.lasting(), model.Failed)
    stale = Case(name)
    del stale.objects["ResourceQuota"]
    stale.since = stale.now + 3600
    stale.now = stale.since
    verdict = stale.lasting()
    assert isinstance(verdict, model.Waiting)
    assert "quota few rejects its pods" in verdict.problem.text, "the timeout still has to report the quota"


def test_without_events_the_condition_counts() -> None:
    case = Case("deployment_quota")
    del case.objects["ResourceQuota"], case.objects["Event"]
    case.since = case.now + 3600
    case.now = case.since
    assert case.lasting_failure().code == "FailedCreate"


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_terminating_pods_may_free_quota(name: str) -> None:
    case = Case(name)
    case.objects["Pod"][0]["metadata"]["deletionTimestamp"] = stamp(case.now)
    assert isinstance(case.lasting(), model.Waiting)


def test_a_rejection_counts_again_after_the_last_pod_terminated() -> None:
    """Without permission to read a quota, only a rejection after the pods terminated proves that it is too small."""
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


def test_a_rejection_ends_with_a_created_pod() -> None:
    case = Case("statefulset_quota_lifted")
    case.status["readyReplicas"] = 2
    assert any(e["reason"] == "FailedCreate" for e in case.objects["Event"])
    case.objects.pop("ResourceQuota")
    assert isinstance(case.lasting(), model.Waiting)
    assert "quota" not in case.wait().text


def test_a_replicaset_without_its_condition_is_not_rejected() -> None:
    case = Case("deployment_quota")
    for replicaset in case.objects["ReplicaSet"]:
        replicaset["status"].pop("conditions", None)
    assert isinstance(case.lasting(), model.Waiting)


def test_an_earlier_condition_counts_after_a_repeated_rejection() -> None:
    case = Case("deployment_quota")
    del case.objects["ResourceQuota"]
    owner = model.view(case.kind, case.workload, case.objects).owner
    assert owner is not None
    old = next(rs for rs in case.objects["ReplicaSet"] if rs is not owner)
    case.since = case.now + 60
    case.now = case.since + 10
    said = case.objects["Event"][-1]["message"]
    case.objects["Event"].append(event(old, "ReplicaSet", "FailedCreate", said, case.now))
    assert isinstance(case.lasting(), model.Waiting), "a rejection of an old ReplicaSet does not count"
    case.objects["Event"].append(event(owner, "ReplicaSet", "FailedCreate", said, case.now))
    assert case.lasting_failure().code == "FailedCreate"


def test_only_pods_of_the_same_deployment_may_free_quota() -> None:
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


def test_a_rejection_of_an_old_replicaset_is_ignored() -> None:
    case = Case("deployment_quota")
    owner = model.view(case.kind, case.workload, case.objects).owner
    assert owner is not None
    old = next(rs for rs in case.objects["ReplicaSet"] if rs is not owner)
    old["status"]["conditions"] = owner["status"].pop("conditions")
    for reported in case.objects["Event"]:
        reported["involvedObject"]["uid"] = old["metadata"]["uid"]
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("kind", ["DaemonSet", "Job"])
def test_rejections_of_daemonsets_and_jobs_come_from_events(kind: str) -> None:
    case = Case("daemonset_done" if kind == "DaemonSet" else "job_suspended")
    case.spec["suspend"] = False
    case.status.update({"currentNumberScheduled": 0})
    case.objects["Pod"] = []
    said = 'Error creating: pods "x-abcde" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
    case.objects["Event"] = [event(case.workload, kind, "FailedCreate", said, case.now)]
    problem = case.lasting_failure()
    assert problem.text == 'its pods are rejected: violates PodSecurity "restricted:latest": runAsNonRoot != true'


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
def test_a_rejection_is_reported_without_its_preamble(said: str, bare: str) -> None:
    assert pods.CREATE_PREAMBLE.sub("", said) == bare


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
def test_the_quota_shows_whether_it_still_rejects(
    asked: str, hard: dict[str, str], used: dict[str, str], refuses: bool | None
) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}
    assert pods.quota_refuses(QUOTA_SAID.format(asked=asked), [quota]) is refuses


def test_a_quota_with_an_unprocessed_change_gives_no_answer() -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "9"}}, "status": {"hard": {"pods": "3"}}}
    assert pods.quota_refuses(QUOTA_SAID.format(asked="pods=1"), [quota]) is None


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
def test_a_rejection_without_a_quota_gives_no_answer(said: str, quotas: list[Any] | None, refuses: bool | None) -> None:
    assert pods.quota_refuses(said, quotas) is refuses
