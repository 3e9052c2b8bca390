"""Rules for workers and schedules. Each refused case would fail later, elsewhere, or silently."""

from __future__ import annotations

import zoneinfo
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import cron, processes, rules

type Obj = dict[str, Any]
WORKER = {"command": ["celery", "-A", "shop", "worker"]}
SCHEDULE = {"command": ["manage", "clearsessions"], "schedule": "15 3 * * *"}


def errors(workers: Obj | None = None, schedules: Obj | None = None, **values: Any) -> list[str]:
    values |= {"app_name": "shop", "processes_workers": workers or {}, "processes_schedules": schedules or {}}
    return list(rules.errors(values))


def errors_of_worker(**settings: Any) -> list[str]:
    return errors({"celery": WORKER | settings})


def errors_of_schedule(**settings: Any) -> list[str]:
    return errors({}, {"nightly": SCHEDULE | settings})


def test_workers_and_schedules_are_accepted() -> None:
    probes = {"live": {"exec": ["manage", "check"], "period": 60}, "ready": {"http": "/up", "port": 80}}
    worker = WORKER | {"replicas": "2", "replicas_maximum": 4, "probes": probes, "login": "migrate", "connections": 0}
    beat = {"command": ["celery", "-A", "shop", "beat"], "single": True}
    schedule = SCHEDULE | {"time_zone": "Europe/Berlin", "overlap": "Replace", "suspended": True, "retries": 0}
    assert errors({"celery": worker, "beat": beat, "old": None}, {"nightly": schedule, "gone": None}) == []
    variables = {"A": "b", "B": None, "C": {"secret": "a", "key": "b"}, "D": {"from": "django.pepper"}}
    variables |= {"E": {"from": "cache.url"}, "F": {"from": "database.sslmode"}}
    of_site = {"django_generated": {"pepper": 64}, "django_cache_secret": "shop-cache"}
    assert errors({"celery": WORKER | {"environment": variables}, "old": None}, **of_site) == []
    # The entrypoint of the image gets them.
    assert errors({"celery": {"arguments": ["worker"]}}) == []


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_worker", "Worker my_worker has a name that is not a valid name in Kubernetes."),
        ("Celery", "for instance celery."),
        ("w" * 48, "has 48 characters, but at most 47 are allowed: the longest name with shop can have 52."),
        ("web", "Worker web has the name of another part of the site. Rename it."),
        ("superuser", "Worker superuser has the name of another part of the site."),
        # The role web removes the Jobs and the policy of web_after by this name.
        ("after", "Worker after has the name of another part of the site."),
    ],
)
def test_names_that_no_object_can_have_are_refused(name: str, words: str) -> None:
    [error] = errors({name: WORKER})
    assert words in error
    [error] = errors({}, {name: SCHEDULE})
    assert words.replace("Worker", "Schedule") in error


def test_the_longest_name_is_accepted() -> None:
    assert errors({"w" * 47: WORKER}, {"s" * 47: SCHEDULE}) == []


def test_a_name_of_both_kinds_is_refused() -> None:
    assert errors({"cleanup": WORKER}, {"cleanup": SCHEDULE}) == [
        "processes_workers and processes_schedules both have cleanup. Rename one."
    ]
    assert errors({"cleanup": None}, {"cleanup": SCHEDULE}) == []


# --- Settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"replica": 2}, "processes_workers.celery has replica, which does not exist. Write replicas."),
        ({"shape": 2}, "processes_workers.celery has shape, which does not exist. Use command, arguments, "),
        ({"command": "celery worker"}, "processes_workers.celery.command is celery worker, a string, not a list."),
        ({"command": []}, "Worker celery has no command. Set one, for instance [manage, clearsessions]."),
        ({"command": [""]}, "Worker celery has no command."),
        ({"command": ["a", True]}, "Worker celery has True in its command, which is not a string. Quote it."),
        ({"arguments": [{"a": 1}]}, "Worker celery has {'a': 1} in its arguments, which is not a string."),
        ({"replicas": "two"}, "processes_workers.celery.replicas is two, a string, not an integer."),
        ({"replicas": -1}, "processes_workers.celery.replicas is -1. Set a number of 0 or more."),
        ({"cpu_target": 0}, "processes_workers.celery.cpu_target is 0. Set a number of 1 or more."),
        ({"replicas": 3, "replicas_maximum": 2}, "Worker celery has 3 replicas and a maximum of 2. Raise it, or set"),
        ({"single": True, "replicas": 2}, "Worker celery is single and has 2 replicas. Set replicas to 1."),
        ({"single": True, "replicas_maximum": 3}, "Worker celery is single and has up to 3 replicas."),
        ({"single": "perhaps"}, "processes_workers.celery.single is perhaps, a string, not true or false."),
        ({"login": "application"}, "processes_workers.celery.login is application, which does not exist."),
        ({"labels": {"a": 1}}, "processes_workers.celery.labels.a is 1, a number, not a string. Quote the value."),
        ({"resources": {"limits": {"cpu": "many"}}}, "processes_workers.celery.resources.limits.cpu: many is not"),
        ({"stop_seconds": None}, "processes_workers.celery.stop_seconds is null. Remove the line."),
        ({"schedule": "@daily"}, "processes_workers.celery has schedule, which does not exist."),
    ],
)
def test_settings_of_a_worker_are_refused(settings: Obj, sentence: str) -> None:
    [error] = errors_of_worker(**settings)
    assert error.startswith(sentence)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("A", 1, "is not a string. Quote it."),
        (
            "A",
            "${database.url}",
            "has a placeholder in plain text, which pods would get unchanged. Set it in django",
        ),
        ("1 A", "a", "is not a valid name of an environment variable. Use letters"),
        ("A", {"from": "site.url"}, "asks for site.url, which only django_environment can have. Set it there."),
        ("A", {"from": "pod.cpu"}, "asks for pod.cpu, which is none of ip, name, node, cpus. Correct it."),
        ("A", {"from": "databse.host"}, "asks for databse.host, but the groups are database, cache, django"),
        ("A", {"from": "database"}, "names no group and key. Write for instance database.host."),
        ("A", {"from": "django.peper"}, "asks for django.peper, which is none of secret_key, pepper. Correct it."),
        ("A", {"from": "cache.url"}, "asks for cache.url, but cache_state is absent. Start the cache, or name"),
        ("A", {"template": "${database.url}"}, "names no source. Use from, or secret with key, or set it in django"),
        ("A", {"secret": "a"}, "names no source. Use from, or secret with key"),
        ("A", {"secret": "a", "key": ""}, "has an empty key. Set it."),
    ],
)
def test_variables_of_one_process_without_a_value_are_refused(name: str, value: Any, words: str) -> None:
    of_site = {"django_generated": {"pepper": 64}, "django_cache_secret": ""}
    [error] = errors({"celery": WORKER | {"environment": {name: value}}}, **of_site)
    assert error.startswith(f"{name} in processes_workers.celery.environment {words}")
    [error] = errors({}, {"nightly": SCHEDULE | {"environment": {name: value}}}, **of_site)
    assert error.startswith(f"{name} in processes_schedules.nightly.environment {words}")


def test_a_worker_that_is_no_dictionary_is_refused() -> None:
    [error] = errors({"celery": ["celery", "worker"]})
    assert error.startswith("processes_workers.celery is a list, not a dictionary.")


@pytest.mark.parametrize(
    ("probes", "sentence"),
    [
        ({"alive": {"tcp": 1}}, "processes_workers.celery.probes has alive, which does not exist. Write live."),
        ({"live": "a"}, "processes_workers.celery.probes.live is a, a string, not a dictionary."),
        ({"live": {}}, "processes_workers.celery.probes.live has no check. Set exactly one of exec, tcp, and http."),
        ({"live": {"tcp": 1, "exec": ["a"]}}, "processes_workers.celery.probes.live has exec and tcp. Set exactly"),
        ({"live": {"http": "/up"}}, "processes_workers.celery.probes.live has no port."),
        ({"live": {"tcp": 70000}}, "processes_workers.celery.probes.live.tcp is 70000. Set a number from 1 to 65535."),
        ({"live": {"exec": ["a"], "intervall": 5}}, "processes_workers.celery.probes.live has intervall, which does"),
        ({"live": {"exec": "a"}}, "processes_workers.celery.probes.live.exec is a, a string, not a list."),
    ],
)
def test_probes_are_refused(probes: Obj, sentence: str) -> None:
    [error] = errors_of_worker(probes=probes)
    assert error.startswith(sentence)


def test_overrides_of_an_unknown_kind_are_refused() -> None:
    assert errors(processes_overrides={"Deployment": {}, "CronJob": {}}) == []
    assert errors(processes_overrides={"Deployments": {}}) == [
        "processes_overrides has Deployments, which does not exist. Write Deployment."
    ]


def test_parts_for_unknown_pods_are_refused() -> None:
    names = ("containers", "egress", "files", "init_containers", "volumes", "writable")
    parts: Obj = {f"django_{name}": {} for name in names}
    egress = {"https": {"ports": [443], "only": ["celery", "web", "nightly"]}, "gone": None, "all": {"ports": [1]}}
    valid = {"celery": WORKER}, {"nightly": SCHEDULE}
    assert errors(*valid, **parts | {"django_egress": egress}) == []
    volumes = {"media": {"path": "/media", "only": ["web", "celry"]}}
    assert errors(*valid, **parts | {"django_volumes": volumes}) == [
        "media in django_volumes is only for celry, which does not exist. Write celery."
    ]
    # Its letters would be names of pods.
    assert errors(*valid, **parts | {"django_writable": {"/cache": {"only": "web"}}}) == [
        "/cache in django_writable is only for web, which is not a list. Write for instance [web]."
    ]


@pytest.mark.parametrize(
    ("only", "values", "words"),
    [
        (
            "celery",
            {},
            "so the new pod of worker celery could not start in a rollout. Set single: true for",
        ),
        ("nightly", {}, "but schedule nightly has the overlap Allow. Set it to Forbid, or use ReadWriteMany."),
        (
            "web",
            {"web_after": [["manage", "check"]]},
            "so the Job of web_after would wait for the web pod. Remove web_after, or",
        ),
        ("beat", {}, ""),
        ("daily", {}, ""),
        ("web", {}, ""),
    ],
)
def test_volume_of_one_pod_is_refused_where_two_need_it(only: str, values: Obj, words: str) -> None:
    workers = {"celery": WORKER, "beat": {"command": ["celery", "-A", "shop", "beat"], "single": True}, "old": None}
    schedules = {"nightly": SCHEDULE | {"overlap": "Allow"}, "daily": SCHEDULE, "gone": None}
    volume = {"path": "/data", "size": "1Gi", "access": "ReadWriteOncePod", "only": [only]}
    found = errors(workers, schedules, **{"web_after": []} | values, django_volumes={"data": volume, "none": None})
    start = "Volume data in django_volumes is ReadWriteOncePod, "
    assert [error.startswith(start + words) for error in found] == ([True] if words else [])


def errors_of_volume(worker: Obj | None, **volume: Any) -> list[str]:
    volume = {"path": "/data", "size": "1Gi", "access": "ReadWriteOncePod", "only": ["celery"]} | volume
    given: Obj = {f"django_{name}": {} for name in ("containers", "egress", "files", "init_containers", "writable")}
    workers = {"celery": worker, "other": WORKER | {"replicas": 3}}
    return errors(
        workers, django_volumes={"data": volume}, web_replicas=3, web_replicas_maximum=0, web_after=[], **given
    )


@pytest.mark.parametrize("settings", [{"replicas": "3"}, {"replicas": 1, "replicas_maximum": 3}])
def test_a_worker_with_several_pods_and_a_volume_of_one_pod_is_refused(settings: Obj) -> None:
    assert errors_of_volume(WORKER | settings) == [
        "Volume data in django_volumes is ReadWriteOncePod, and worker celery has 3 replicas. Use 1 replica with "
        "single: true, or ReadWriteMany."
    ]


def test_a_rollout_of_a_worker_with_a_volume_of_one_pod_needs_single() -> None:
    assert errors_of_volume(WORKER) == [
        "Volume data in django_volumes is ReadWriteOncePod, so the new pod of worker celery could not start in a "
        "rollout. Set single: true for the worker, or use ReadWriteMany."
    ]
    assert errors_of_volume(WORKER | {"single": True}) == []


def test_other_errors_of_a_worker_and_its_volume_are_reported_once() -> None:
    assert len(errors_of_volume(WORKER | {"single": True, "replicas": 2})) == 1
    assert len(errors_of_volume(WORKER | {"replicas": "two"})) == 1
    assert len(errors_of_volume(WORKER, only=["celery", "other"])) == 1
    assert len(errors_of_volume(None)) == 1


@pytest.mark.parametrize("volume", [{"access": "ReadWriteMany"}, {"access": "ReadWriteOnce"}])
def test_a_worker_with_several_pods_can_share_other_volumes(volume: Obj) -> None:
    assert errors_of_volume(WORKER | {"replicas": 3}, **volume) == []


# --- Schedulers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["celery", "-A", "shop", "beat"], "celery beat"),
        (["nautobot-server", "celery", "beat"], "celery beat"),
        (["/venv/bin/celery", "-A", "shop", "worker", "-B"], "celery beat"),
        (["sh", "-c", "exec celery --app shop beat"], "celery beat"),
        (["manage", "rqscheduler"], "rqscheduler"),
        (["periodiq", "-v", "shop"], "periodiq"),
        (["manage", "run_huey"], "huey"),
        (["manage", "run_huey", "--no-periodic"], ""),
        (["celery", "-A", "beat", "worker", "-Q", "beat"], ""),
        (["celery", "-A", "shop", "worker"], ""),
        (["manage", "qcluster"], ""),
        ([], ""),
    ],
)
def test_schedulers_are_recognized(command: list[str], program: str) -> None:
    assert processes.scheduler({"command": command}) == program
    assert processes.scheduler({"command": command[:1], "arguments": command[1:]}) == program


def test_a_scheduler_that_is_not_single_is_refused() -> None:
    beat = {"command": ["celery", "-A", "shop", "beat"]}
    assert errors({"beat": beat}) == [
        "Worker beat runs a scheduler (celery beat), and a rollout would run two at once. Set single: true."
    ]
    assert errors({"beat": beat | {"single": True}}) == []
    assert len(errors({"beat": beat, "timer": {"command": ["rqscheduler"]}})) == 2


def test_two_schedulers_of_one_kind_are_refused() -> None:
    beat = {"command": ["celery", "-A", "shop", "beat"], "single": True}
    assert errors({"beat": beat, "other": beat}) == [
        "Workers beat and other run celery beat, so each task would be enqueued twice. Remove one."
    ]
    assert errors({"beat": beat, "timer": {"command": ["rqscheduler"], "single": True}, "gone": None}) == []


# --- Schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"schedule": "61 3 * * *"}, 'Schedule nightly has "61 3 * * *", but minute 61 does not exist. Correct it.'),
        ({"schedule": ""}, 'Schedule nightly has no schedule. Set one, for instance "15 3 * * *".'),
        ({"command": []}, "Schedule nightly has no command."),
        ({"overlap": "forbid"}, "Schedule nightly has the overlap forbid, which does not exist. Write Forbid."),
        ({"deadline": 5}, "processes_schedules.nightly.deadline is 5. Set a number of 10 or more."),
        ({"timeout": 0}, "processes_schedules.nightly.timeout is 0. Set a number of 1 or more."),
        ({"replicas": 1}, "processes_schedules.nightly has replicas, which does not exist."),
        ({"schedule": 5}, "processes_schedules.nightly.schedule is 5, a number, not a string."),
    ],
)
def test_settings_of_a_schedule_are_refused(settings: Obj, sentence: str) -> None:
    [error] = errors_of_schedule(**settings)
    assert error.startswith(sentence)


@pytest.mark.parametrize(
    "schedule",
    [
        *("* * * * *", "0 0 29 2 *", "*/15 8-18/2 1,15 jan-mar MON-FRI", "5/10 * ? * ?", "59 23 31 12 6"),
        *("@daily", "@every 1h30m", "0 0 31 2 mon", "0  4 * * 0"),
    ],
)
def test_schedules_are_accepted(schedule: str) -> None:
    assert cron.problem(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("60 * * * *", "minute 60 does not exist"),
        ("0 24 * * *", "hour 24 does not exist"),
        ("0 0 0 * *", "day 0 does not exist"),
        ("0 0 1 13 *", "month 13 does not exist"),
        ("0 0 * * 7", "day of the week 7 does not exist, and Sunday is 0"),
        ("0 0 31 4,6 *", "day 31 of month 4 does not exist"),
        ("0 0 * * montag", "montag is not a day of the week"),
        ("30-10 * * * *", "the range 30-10 ends before it begins"),
        ("*/0 * * * *", "0 is not a step"),
        ("1, * * * *", "an empty value is not a minute"),
        ("-5 * * * *", "an empty value is not a minute"),
        ("0 3 * *", "it has 4 fields instead of 5 (minute, hour, day, month, day of the week)"),
        ("0 0 3 * * *", "it has 6 fields instead of 5 (minute, hour, day, month, day of the week)"),
        ("@dayly", "@dayly does not exist"),
        ("@reboot", "@reboot does not exist"),
        ("CRON_TZ=Europe/Berlin 0 3 * * *", "a time zone belongs in time_zone"),
        ("0 0 L * *", "L is not a day"),
    ],
)
def test_schedules_are_refused(schedule: str, problem: str) -> None:
    assert cron.problem(schedule) == problem


@pytest.mark.parametrize("zone", ["Europe/Berlim", "Europe", "", "/etc/passwd", "../UTC", "Mars/Olympus"])
def test_time_zones_are_refused(zone: str) -> None:
    assert zoneinfo.available_timezones()
    [error] = errors_of_schedule(time_zone=zone)
    assert error.startswith(f"Schedule nightly has the time zone {zone or 'empty'}, which does not exist. ")
    assert zone != "Europe/Berlim" or error.endswith("Write Europe/Berlin.")


def test_time_zones_are_not_checked_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.zoneinfo, "available_timezones", set)
    assert errors_of_schedule(time_zone="Mars/Olympus") == []
