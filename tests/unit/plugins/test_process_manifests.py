"""Manifests of workers and schedules, and the connections that they need."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.cloud_django.kubernetes.plugins.filter.process_connections import FilterModule as Connections
from ansible_collections.cloud_django.kubernetes.plugins.filter.process_manifests import FilterModule as Manifests

process_manifests = Manifests().filters()["process_manifests"]
process_connections = Connections().filters()["process_connections"]

type Obj = dict[str, Any]
BASE: Obj = {
    "app": "shop",
    "manage": ["python", "manage.py"],
    "labels": {"app.kubernetes.io/name": "shop"},
    "selector": {"app.kubernetes.io/instance": "shop"},
    "pod": {
        "serviceAccountName": "shop-processes",
        "automountServiceAccountToken": False,
        "volumes": [
            {"name": "database", "secret": {"secretName": "shop-database-app"}},
            {"name": "media", "persistentVolumeClaim": {"claimName": "shop-media"}, "only": ["web", "celery"]},
        ],
        "initContainers": [{"name": "proxy", "restartPolicy": "Always", "only": ["celery"]}],
    },
    "container": {
        "image": "shop:1",
        "env": [
            {"name": "DATABASE_APPLICATION_NAME", "value": "shop-processes"},
            {"name": "DEBUG", "value": "False"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "shop-values-app", "key": "environment.KEY"}}},
        ],
        "volumeMounts": [{"name": "media", "mountPath": "/app/media", "only": ["web", "celery"]}],
    },
    "egress": [{"ports": [{"port": 5432}]}, {"ports": [{"port": 443}], "only": ["celery"]}],
    "pod_labels": {"app.kubernetes.io/component": "processes", "cloud-django/postgresql-client": "true"},
    "pod_annotations": {"owner": "team"},
    "templates": {
        kind: {"apiVersion": "v0", "kind": kind, "spec": {}}
        for kind in (
            *("Deployment", "StatefulSet", "CronJob", "NetworkPolicy"),
            *("HorizontalPodAutoscaler", "PodDisruptionBudget"),
        )
    },
    "secrets": {"database": "shop-database-app", "cache": "shop-cache", "django": "shop-django"},
    "logins": {
        "migrate": {"shop-database-app": "shop-database-migrate", "shop-values-app": "shop-values-migrate"},
    },
    "stopped": False,
}
BEAT = {"command": ["celery", "beat"], "single": True}


def made(
    workers: Obj | None = None, schedules: Obj | None = None, overrides: Obj | None = None, **base: Any
) -> dict[str, Obj]:
    """Return the manifests by kind and name."""
    before = copy.deepcopy(BASE)
    objects = process_manifests(BASE | base, workers or {}, schedules or {}, overrides)
    assert before == BASE, "the parts of all processes are not changed"
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}


def worker(kind: str = "Deployment", **settings: Any) -> tuple[Obj, Obj, Obj]:
    """Return workload, pod, and container of a worker."""
    workload = made({"celery": {"command": ["celery"]} | settings})[f"{kind}/shop-celery"]
    pod = workload["spec"]["template"]["spec"]
    return workload, pod, pod["containers"][-1]


def schedule(**settings: Any) -> Obj:
    given = {"schedule": "15 3 * * *", "command": ["manage", "clearsessions"]} | settings
    return made({}, {"nightly": given})["CronJob/shop-nightly"]


# --- Workers ----------------------------------------------------------------------------------------------------------


def test_worker_is_a_deployment_with_a_selector_of_its_own() -> None:
    workload, pod, container = worker(replicas="1", labels={"team": "a"}, annotations={"note": "b"})
    labels = workload["spec"]["template"]["metadata"]["labels"]
    selector = workload["spec"]["selector"]["matchLabels"]
    assert selector == {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": "celery"}
    assert labels["app.kubernetes.io/component"] == "celery"
    assert labels["cloud-django/process"] == workload["metadata"]["labels"]["cloud-django/process"] == "worker"
    assert labels["team"] == "a"
    assert labels["cloud-django/postgresql-client"] == "true"
    assert workload["spec"]["template"]["metadata"]["annotations"].items() >= {"owner": "team", "note": "b"}.items()
    assert workload["spec"]["replicas"] == 1
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("shop-processes", False)
    assert (container["name"], container["command"], container["image"]) == ("worker", ["celery"], "shop:1")
    assert "args" not in container


def test_words_of_a_command_are_strings_and_manage_is_replaced() -> None:
    _, _, container = worker(command=["manage", "rqworker", 5], arguments=["--burst", 7])
    assert container["command"] == ["python", "manage.py", "rqworker", "5"]
    assert container["args"] == ["--burst", "7"]
    assert "command" not in worker(command=[], arguments=["worker"])[2]


def test_parts_for_other_pods_are_left_out() -> None:
    found = made({"celery": {"command": ["a"]}, "rq": {"command": ["b"]}})
    celery, rq = (found[f"Deployment/shop-{name}"]["spec"]["template"]["spec"] for name in ("celery", "rq"))
    assert [volume["name"] for volume in celery["volumes"]] == ["database", "media"]
    assert [volume["name"] for volume in rq["volumes"]] == ["database"]
    assert celery["containers"][0]["volumeMounts"] == [{"name": "media", "mountPath": "/app/media"}]
    assert rq["containers"][0]["volumeMounts"] == rq["initContainers"] == []
    assert celery["initContainers"] == [{"name": "proxy", "restartPolicy": "Always"}]


def test_own_connections_have_a_policy_of_their_own() -> None:
    found = made({"celery": {"command": ["a"]}, "rq": {"command": ["b"]}})
    policy = found["NetworkPolicy/shop-celery"]
    assert policy["spec"]["egress"] == [{"ports": [{"port": 443}]}]
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "celery"
    assert policy["metadata"]["labels"]["cloud-django/process"] == "policy"
    assert "NetworkPolicy/shop-rq" not in found


def test_single_worker_is_a_stateful_set_with_one_pod() -> None:
    found = made({"beat": BEAT | {"replicas_maximum": 1}})
    assert list(found) == ["StatefulSet/shop-beat"]
    spec = found["StatefulSet/shop-beat"]["spec"]
    assert (spec["replicas"], spec["serviceName"]) == (1, "shop-beat")
    assert "topologySpreadConstraints" not in spec["template"]["spec"]
    assert "Deployment/shop-beat" in made({"beat": BEAT | {"single": "no"}})


def test_several_pods_have_a_budget_and_an_autoscaler_sets_their_number() -> None:
    found = made({"celery": {"command": ["a"], "replicas": 2, "replicas_maximum": 5, "cpu_target": 60}})
    assert "replicas" not in found["Deployment/shop-celery"]["spec"]
    scaler = found["HorizontalPodAutoscaler/shop-celery"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert scaler["scaleTargetRef"]["name"] == "shop-celery"
    [metric] = scaler["metrics"]
    assert metric["containerResource"]["container"] == "worker"
    assert metric["containerResource"]["target"]["averageUtilization"] == 60
    budget = found["PodDisruptionBudget/shop-celery"]["spec"]
    assert budget["selector"] == found["Deployment/shop-celery"]["spec"]["selector"]
    assert list(made({"rq": {"command": ["a"]}})) == ["Deployment/shop-rq"]


def test_objects_beside_a_workload_are_applied_before_it() -> None:
    found = list(made({"celery": {"command": ["a"], "replicas": 2, "replicas_maximum": 5}}))
    assert found[-1] == "Deployment/shop-celery"
    assert len(found) == 4


@pytest.mark.parametrize(
    ("probe", "field", "content"),
    [
        (
            {"live": {"exec": ["manage", "check"]}},
            "livenessProbe",
            {"exec": {"command": ["python", "manage.py", "check"]}},
        ),
        ({"ready": {"tcp": "5555", "period": 3}}, "readinessProbe", {"tcpSocket": {"port": 5555}, "periodSeconds": 3}),
        (
            {"startup": {"http": "/up", "port": 80, "headers": {"Host": "a"}, "delay": 9, "failures": 2, "timeout": 4}},
            "startupProbe",
            {
                "httpGet": {"path": "/up", "port": 80, "httpHeaders": [{"name": "Host", "value": "a"}]},
                **{"initialDelaySeconds": 9, "failureThreshold": 2, "timeoutSeconds": 4},
            },
        ),
    ],
)
def test_probes_of_a_worker(probe: Obj, field: str, content: Obj) -> None:
    workload, _, container = worker(probes=probe)
    assert container[field].items() >= content.items()
    assert (workload["spec"]["minReadySeconds"] == 0) == ("ready" in probe)


def test_worker_without_a_probe_has_to_run_for_a_moment() -> None:
    assert worker()[0]["spec"]["minReadySeconds"] > 0


def test_worker_has_time_for_its_tasks_when_it_stops() -> None:
    assert worker(stop_seconds=300)[1]["terminationGracePeriodSeconds"] == 300


# --- Environment and login --------------------------------------------------------------------------------------------


def variables(container: Obj) -> Obj:
    return {entry["name"]: entry.get("value") or entry["valueFrom"] for entry in container["env"]}


def test_variables_of_a_process_are_added_replaced_and_removed() -> None:
    given = {"DEBUG": None, "QUEUE": "a$(b)", "TOKEN": {"secret": "shop-token", "key": "token"}}
    found = variables(worker(environment=given)[2])
    assert "DEBUG" not in found
    assert found["QUEUE"] == "a$$(b)"
    assert found["TOKEN"] == {"secretKeyRef": {"name": "shop-token", "key": "token"}}


@pytest.mark.parametrize(
    ("reference", "source"),
    [
        ("pod.ip", {"fieldRef": {"fieldPath": "status.podIP"}}),
        ("database.user", {"secretKeyRef": {"name": "shop-database-app", "key": "username"}}),
        ("cache.url", {"secretKeyRef": {"name": "shop-cache", "key": "url", "optional": True}}),
        ("django.secret_key", {"secretKeyRef": {"name": "shop-django", "key": "secret-key"}}),
    ],
)
def test_variables_of_a_process_have_values_of_groups(reference: str, source: Obj) -> None:
    assert variables(worker(environment={"A": {"from": reference}})[2])["A"] == source


def test_database_knows_the_name_of_a_process() -> None:
    assert variables(worker()[2])["DATABASE_APPLICATION_NAME"] == "shop-celery"
    given = BASE["container"] | {"env": []}
    [job] = made({}, {"nightly": {"command": ["a"], "schedule": "@daily"}}, container=given).values()
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["env"] == []


def test_another_login_has_other_secrets() -> None:
    _, pod, container = worker(login="migrate")
    assert pod["volumes"][0]["secret"]["secretName"] == "shop-database-migrate"
    assert variables(container)["KEY"]["secretKeyRef"]["name"] == "shop-values-migrate"
    _, pod, container = worker()
    assert pod["volumes"][0]["secret"]["secretName"] == "shop-database-app"
    assert variables(container)["KEY"]["secretKeyRef"]["name"] == "shop-values-app"


# --- Schedules --------------------------------------------------------------------------------------------------------


def test_schedule_is_a_cron_job_that_never_overlaps() -> None:
    spec = schedule()["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("15 3 * * *", "Etc/UTC", "Forbid")
    assert (spec["suspend"], spec["startingDeadlineSeconds"]) == (False, 3600)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 3)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 3600)
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    [container] = job["template"]["spec"]["containers"]
    assert container["command"] == ["python", "manage.py", "clearsessions"]
    labels = job["template"]["metadata"]["labels"]
    assert labels["cloud-django/process"] == "schedule"
    assert labels["app.kubernetes.io/component"] == "nightly"


def test_settings_of_a_schedule() -> None:
    given = {"time_zone": "Europe/Berlin", "overlap": "Replace", "suspended": True, "deadline": 60, "keep": "1"}
    spec = schedule(**given, timeout=10, retries=2)["spec"]
    assert (spec["timeZone"], spec["concurrencyPolicy"], spec["suspend"]) == ("Europe/Berlin", "Replace", True)
    assert (spec["startingDeadlineSeconds"], spec["successfulJobsHistoryLimit"]) == (60, 1)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (2, 10)


# --- All processes ----------------------------------------------------------------------------------------------------


def test_stopped_site_has_no_pods_and_starts_no_jobs() -> None:
    workers = {"celery": {"command": ["a"], "replicas": 2, "replicas_maximum": 4}, "beat": BEAT}
    found = made(workers, {"nightly": {"command": ["a"], "schedule": "@daily"}}, stopped=True)
    assert not [name for name in found if name.startswith(("HorizontalPodAutoscaler", "PodDisruptionBudget"))]
    assert (
        found["Deployment/shop-celery"]["spec"]["replicas"] == found["StatefulSet/shop-beat"]["spec"]["replicas"] == 0
    )
    assert found["CronJob/shop-nightly"]["spec"]["suspend"] is True


def test_processes_that_are_null_are_left_out() -> None:
    assert made({"celery": None}, {"nightly": None}) == {}


def test_overrides_are_merged_by_the_names_of_containers() -> None:
    container = {"name": "worker", "tty": True}
    overrides = {"Deployment": {"spec": {"template": {"spec": {"containers": [container], "hostname": "a"}}}}}
    found = made({"celery": {"command": ["a"]}, "beat": BEAT}, overrides=overrides)
    pod = found["Deployment/shop-celery"]["spec"]["template"]["spec"]
    assert pod["hostname"] == "a"
    [only] = pod["containers"]
    assert (only["tty"], only["command"]) == (True, ["a"])
    assert "hostname" not in found["StatefulSet/shop-beat"]["spec"]["template"]["spec"]


# --- Connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "schedules", "connections"),
    [
        ({}, {}, 0),
        ({"a": {"connections": 3}}, {}, 9),
        ({"a": {"replicas": 2, "replicas_maximum": "4", "connections": "2"}}, {}, 18),
        ({"a": {"single": True, "connections": 3}}, {}, 3),
        ({"a": None, "b": "text"}, {"c": None}, 0),
        ({}, {"a": {}, "b": {"connections": 2}, "c": {"overlap": "Allow"}}, 5),
        ("text", None, 0),
    ],
)
def test_connections_of_processes(workers: Any, schedules: Any, connections: int) -> None:
    assert process_connections(["present", workers, schedules]) == connections
    assert process_connections(["absent", workers, schedules]) == 0


def test_connections_of_a_login() -> None:
    values = ["present", {"a": {"single": True, "login": "migrate"}, "b": {"single": True, "connections": 1}}, {}]
    assert [process_connections(values, login) for login in ("", "migrate", "app")] == [5, 4, 1]


def test_connections_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(AnsibleError, match="connections of worker celery must be an integer"):
        process_connections(["present", {"celery": {"connections": "many"}}, {}])
