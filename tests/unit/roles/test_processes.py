"""Workers and schedules, as the roles render them, and the tasks of an empty role."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from rendering import PROJECT, rendered_cases

SITE = {"app_name": "polls", "app_namespace": "polls", "app_public_url": "https://polls.example.org"}
SITE |= {"django_image": "polls:1", "cache_state": "absent", "__django_process": "processes"}
WORKERS: dict[str, Any] = {
    "celery": {"command": ["celery", "worker"], "replicas": 2, "connections": 3, "stop_seconds": 90},
    "beat": {"command": ["celery", "beat"], "single": True},
    "gone": None,
}
SCHEDULES = {"nightly": {"schedule": "15 3 * * *", "command": ["manage", "clearsessions"], "login": "migrate"}}
PROCESSES = {"processes_workers": WORKERS, "processes_schedules": SCHEDULES}
NAMES = {
    "objects": "__processes_shared + __processes_manifests",
    "prune": "__processes_prune",
    "rules": "__django_process_rules",
    "leftovers": "__django_process_leftovers",
    "required": "__processes_required",
    "stop": "__processes_longest_stop | int",
    "limits": "__database_connection_limits",
    "needed": "__database_needed_connections | int",
    "accepted": "postgresql_max_connections | int",
}


HTTPS = {"https": {"ports": [443], "only": ["celery"]}}
MAIL = {"mail": {"ports": [587], "cidrs": ["203.0.113.7/32"]}}
OVERRIDES = {
    "ServiceAccount": {"metadata": {"annotations": {"a": "b"}}},
    "CronJob": {"spec": {"startingDeadlineSeconds": None}},
}
WEB = {"web_replicas": 3, "web_threads": 8}
SCALED = {"processes_workers": WORKERS | {"celery": WORKERS["celery"] | {"replicas_maximum": 4}}}
CASES: dict[str, dict[str, Any]] = {
    "none": {},
    "builtin": PROCESSES | WEB,
    "web as migrate": PROCESSES | WEB | {"web_login": "migrate"},
    "external": PROCESSES | WEB | {"database_backend": "external"},
    "stopped": PROCESSES | {"web_replicas": "0"},
    "more": PROCESSES
    | SCALED
    | {"django_egress": HTTPS | MAIL, "processes_overrides": OVERRIDES}
    | {"django_service_account_annotations": {"role": "s3"}},
    "secrets": {
        "processes_workers": {
            "celery": {"environment": {"A": "a", "B": None, "KEY": {"secret": "shop-stripe", "key": "api-key"}}},
            "gone": None,
        },
        "processes_schedules": {
            "nightly": {"environment": {"TOKEN": {"secret": "shop-bank", "key": "token"}, "C": {"from": "cache.url"}}}
        },
    },
    "many": WEB | {"processes_workers": {"celery": WORKERS["celery"] | {"replicas": 30}, "gone": None}},
}

type Rendered = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Variables of the roles, by case and short name."""
    entry_points = {"processes": "main", "postgresql": "main", "database": "main"}
    return rendered_cases(tmp_path_factory.mktemp("processes"), NAMES, entry_points, SITE, CASES)


def by_title(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    spec = workload["spec"].get("jobTemplate", workload)["spec"]
    return spec["template"]["spec"]


def test_each_process_is_restricted_like_the_site(rendered: Rendered) -> None:
    found = by_title(rendered["builtin"]["objects"])
    workloads = [found[f"{kind}/polls-{name}"] for kind, name in zip(
        ("Deployment", "StatefulSet", "CronJob"), ("celery", "beat", "nightly"), strict=True
    )]  # fmt: skip
    for workload in workloads:
        pod = pod_of(workload)
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["serviceAccountName"] == "polls-processes"
        [container] = pod["containers"]
        security = container["securityContext"]
        assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["image"] == "polls:1"
        assert container["resources"]["limits"]["memory"]
    assert found["ServiceAccount/polls-processes"]["automountServiceAccountToken"] is False
    assert "gone" not in str(found)


def test_no_pod_can_connect_to_a_process(rendered: Rendered) -> None:
    found = by_title(rendered["more"]["objects"])
    spec = found["NetworkPolicy/polls-processes"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/instance": "polls"}
    assert spec["podSelector"]["matchExpressions"] == [{"key": "cloud-django/process", "operator": "Exists"}]
    ports = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
    assert {53, 5432, 587} <= set(ports)
    assert 443 not in ports
    own = found["NetworkPolicy/polls-celery"]["spec"]
    assert [port["port"] for rule in own["egress"] for port in rule["ports"]] == [443]
    assert "NetworkPolicy/polls-beat" not in found


def test_rollout_of_a_single_worker_never_runs_two(rendered: Rendered) -> None:
    found = rendered["builtin"]
    objects = by_title(found["objects"])
    beat = objects["StatefulSet/polls-beat"]["spec"]
    assert (beat["replicas"], beat["podManagementPolicy"]) == (1, "Parallel")
    assert objects["Deployment/polls-celery"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # Workers under an earlier name end before it starts.
    assert {rule["kind"]: bool(rule.get("first")) for rule in found["prune"]} == {
        **{"StatefulSet": True, "Deployment": True, "CronJob": False},
        **{"HorizontalPodAutoscaler": False, "PodDisruptionBudget": False, "NetworkPolicy": False},
    }
    rules = rendered["many"]["prune"]
    assert not next(rule for rule in rules if rule["kind"] == "Deployment")["first"]


def test_all_kinds_of_objects_are_pruned(rendered: Rendered) -> None:
    found = rendered["more"]
    labels = {rule["kind"]: rule["labels"]["cloud-django/process"] for rule in found["prune"]}
    own = [each for each in found["objects"] if not each["metadata"]["name"].endswith("-processes")]
    assert {each["kind"] for each in own} == set(labels)
    assert all(each["metadata"]["labels"]["cloud-django/process"] == labels[each["kind"]] for each in own)
    # A removal lists only the workloads.
    others = {each["kind"] for rule in found["rules"] for each in rule["together"]}
    assert {rule["kind"] for rule in found["rules"]} | others == set(labels) | {"ServiceAccount"}


def test_leftovers_are_removed_by_the_role_web(rendered: Rendered) -> None:
    """Each run skips the role without workers and schedules."""
    assert rendered["builtin"]["leftovers"] == []
    found = rendered["none"]
    assert found["leftovers"] == found["rules"]
    web = (PROJECT / "roles" / "web" / "tasks" / "main.yml").read_text(encoding="utf-8")
    assert re.search(r"prune: .*__django_process_leftovers", web)


def test_stopped_site_stops_its_processes(rendered: Rendered) -> None:
    found = by_title(rendered["stopped"]["objects"])
    assert (
        found["Deployment/polls-celery"]["spec"]["replicas"] == found["StatefulSet/polls-beat"]["spec"]["replicas"] == 0
    )
    assert found["CronJob/polls-nightly"]["spec"]["suspend"] is True


def test_existing_secrets_of_single_processes_are_required(rendered: Rendered) -> None:
    assert rendered["secrets"]["required"] == [
        {"secret": "shop-stripe", "key": "api-key", "reason": "KEY of celery"},
        {"secret": "shop-bank", "key": "token", "reason": "TOKEN of nightly"},
    ]
    assert rendered["builtin"]["required"] == []


def test_overrides_are_for_the_objects_of_all_processes(rendered: Rendered) -> None:
    found = by_title(rendered["more"]["objects"])
    assert found["ServiceAccount/polls-processes"]["metadata"]["annotations"] == {"a": "b"}
    assert "startingDeadlineSeconds" not in found["CronJob/polls-nightly"]["spec"]


def test_account_of_a_cloud_replaces_that_of_the_role(rendered: Rendered) -> None:
    found = by_title(rendered["more"]["objects"])
    assert pod_of(found["Deployment/polls-celery"])["serviceAccountName"] == "polls-project"


def test_time_of_workers_to_stop(rendered: Rendered) -> None:
    assert rendered["builtin"]["stop"] == 90
    assert rendered["none"]["stop"] == 0


@pytest.mark.parametrize(("backend", "app"), [("builtin", -16), ("external", 56 + 20 + 5)])
def test_database_has_connections_for_all_processes(rendered: Rendered, backend: str, app: int) -> None:
    """Celery has 5 pods of 3 connections, beat 4, and the schedule one."""
    found = rendered[backend]
    assert found["needed"] == 56 + 20 + 5 + 10
    assert (found["limits"]["migrate"], found["limits"]["app"]) == (6, app)
    assert rendered["web as migrate"]["limits"]["migrate"] == 6 + 56
    assert rendered["web as migrate"]["limits"]["app"] == -16 - 56
    assert rendered["many"]["accepted"] == 56 + 183 + 5 + 10


def test_role_without_processes_renders_nothing() -> None:
    """Its tasks are skipped by conditions that come first."""
    text = (PROJECT / "roles" / "processes" / "tasks" / "main.yml").read_text(encoding="utf-8")
    prepare, deploy, wait, remove = yaml.safe_load(text)
    cheap = ["processes_state == 'present'", "processes_workers | length + processes_schedules | length > 0"]
    # A lookup, because Ansible evaluates each variable that an expression names.
    value = f"lookup('ansible.builtin.vars', '__django_preparations') if {' and '.join(cheap)} else []"
    assert prepare["loop"].split() == ["{{", *value.split(), "}}"]
    assert deploy["when"] == cheap
    assert wait["when"] == "__processes_applied.unfinished | default([]) | length > 0"
    assert remove["when"] == "processes_state == 'absent'"
