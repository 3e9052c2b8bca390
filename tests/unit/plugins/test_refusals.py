"""What keeps the pods of a workload from being created."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, pods
from workload_cases import GRACE, Case, event, stamp

# --- Pods that are refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_quota_that_refuses_pods_is_hopeless_after_the_grace_time(name: str) -> None:
    problem = Case(name).lasting_failure()
    assert problem.code == "FailedCreate"
    assert problem.text.startswith("quota few rejects its pods: requested: pods=1, used: pods=")
    assert problem.advice == "Raise the quota or lower the requests"


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
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_quota_that_was_raised_refuses_nothing(name: str) -> None:
    case = Case(name)
    for where in ("spec", "status"):
        case.objects["ResourceQuota"][0][where]["hard"]["pods"] = "10"
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("name", ["deployment_quota", "statefulset_quota"])
def test_a_stale_refusal_says_nothing_where_quotas_cannot_be_read(name: str) -> None:
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
    assert isinstance(case.lasting(), model.Waiting)


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
    assert isinstance(case.lasting(), model.Waiting)
    assert "quota" not in case.wait().text


def test_a_replicaset_that_dropped_its_condition_is_not_refused_any_more() -> None:
    case = Case("deployment_quota")
    for replicaset in case.objects["ReplicaSet"]:
        replicaset["status"].pop("conditions", None)
    assert isinstance(case.lasting(), model.Waiting)


def test_a_condition_from_before_counts_once_the_refusal_is_repeated() -> None:
    case = Case("deployment_quota")
    del case.objects["ResourceQuota"]
    owner = model.view(case.kind, case.workload, case.objects).owner
    assert owner is not None
    old = next(rs for rs in case.objects["ReplicaSet"] if rs is not owner)
    case.since = case.now + 60
    case.now = case.since + 10
    said = case.objects["Event"][-1]["message"]
    case.objects["Event"].append(event(old, "ReplicaSet", "FailedCreate", said, case.now))
    assert isinstance(case.lasting(), model.Waiting), "what is refused to an old ReplicaSet does not count"
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
    owner = model.view(case.kind, case.workload, case.objects).owner
    assert owner is not None
    old = next(rs for rs in case.objects["ReplicaSet"] if rs is not owner)
    old["status"]["conditions"] = owner["status"].pop("conditions")
    for told in case.objects["Event"]:
        told["involvedObject"]["uid"] = old["metadata"]["uid"]
    assert isinstance(case.lasting(), model.Waiting)


@pytest.mark.parametrize("kind", ["DaemonSet", "Job"])
def test_daemonsets_and_jobs_are_refused_by_event(kind: str) -> None:
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
def test_a_refusal_is_told_without_its_preamble(said: str, bare: str) -> None:
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
def test_the_quota_is_asked_whether_it_refuses_still(
    asked: str, hard: dict[str, str], used: dict[str, str], refuses: bool | None
) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}
    assert pods.quota_refuses(QUOTA_SAID.format(asked=asked), [quota]) is refuses


def test_a_quota_whose_change_has_not_been_taken_up_tells_nothing() -> None:
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
def test_what_no_quota_can_answer_stays_open(said: str, quotas: list[Any] | None, refuses: bool | None) -> None:
    assert pods.quota_refuses(said, quotas) is refuses
