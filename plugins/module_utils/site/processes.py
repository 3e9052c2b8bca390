# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for workers and schedules, and their settings with defaults."""

import difflib
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import volumes
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import (
    addresses,
    bounds,
    cron,
    process_environment,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown, type_errors

_TEXT, _INTEGER, _BOOLEAN, _DICTIONARY = ({"type": name} for name in ("str", "int", "bool", "dict"))
_WORDS = {"type": "list"}
_COMMON: dict[str, dict[str, Any]] = {
    "command": _WORDS,
    "arguments": _WORDS,
    "resources": _DICTIONARY,
    "connections": _INTEGER,
    "login": _TEXT,
    "environment": _DICTIONARY,
    "labels": _DICTIONARY,
    "annotations": _DICTIONARY,
    "stop_seconds": _INTEGER,
}
# Settings and types of a worker, a schedule, and a probe.
WORKER = _COMMON | {
    **dict.fromkeys(("replicas", "replicas_maximum", "cpu_target"), _INTEGER),
    "probes": _DICTIONARY,
    "single": _BOOLEAN,
}
SCHEDULE = _COMMON | {
    **dict.fromkeys(("schedule", "time_zone", "overlap"), _TEXT),
    **dict.fromkeys(("timeout", "retries", "keep", "deadline"), _INTEGER),
    "suspended": _BOOLEAN,
}
PROBE = {
    **{"exec": _WORDS, "tcp": _INTEGER, "http": _TEXT, "port": _INTEGER, "headers": _DICTIONARY},
    **dict.fromkeys(("delay", "period", "timeout", "failures"), _INTEGER),
}
PROBES = ("live", "ready", "startup")
HANDLERS = ("exec", "tcp", "http")

RESOURCES = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
_COMMON_DEFAULTS: dict[str, Any] = {
    **{"command": [], "arguments": [], "resources": RESOURCES, "login": "app"},
    **{"environment": {}, "labels": {}, "annotations": {}},
}
WORKER_DEFAULTS = _COMMON_DEFAULTS | {
    **{"replicas": 1, "replicas_maximum": 0, "cpu_target": 75, "single": False},
    **{"connections": 4, "probes": {}, "stop_seconds": 60},
}
SCHEDULE_DEFAULTS = _COMMON_DEFAULTS | {
    **{"schedule": "", "time_zone": "Etc/UTC", "overlap": "Forbid", "suspended": False, "stop_seconds": 30},
    **{"timeout": 3600, "retries": 0, "keep": 3, "deadline": 3600, "connections": 1},
}
# Bounds other than the minimum 0.
LIMITS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("cpu_target", "timeout", "period", "failures"), (1, None)),
    **dict.fromkeys(("tcp", "port"), (1, 65535)),
    # The controller looks at a CronJob every 10 s.
    "deadline": (10, None),
}
OVERLAPS = ("Forbid", "Allow", "Replace")
LOGINS = ("app", "migrate")
KINDS = (
    *("Deployment", "StatefulSet", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget"),
    *("NetworkPolicy", "ServiceAccount"),
)

# Kinds of pods that each site has.
RELEASE = ("web", "migrations", "superuser")
# The name of a Job is that of its CronJob, a hyphen, and ten digits.
LONGEST_NAME = 52
# Names of objects and components of other roles.
TAKEN = frozenset(
    {"web", "web-front", "after", "postgresql", "database", "database-client", "cache", "cache-check"}
    | {"migrations", "superuser", "django", "processes", "values", "project", "registry", "run"}
)

# Programs that enqueue tasks by time, as words of a command: all of a group, and none of those after it.
SCHEDULERS: dict[str, tuple[tuple[frozenset[str], frozenset[str]], ...]] = {
    "celery beat": (
        (frozenset({"celery", "beat"}), frozenset()),
        (frozenset({"celery", "worker", "-B"}), frozenset()),
        (frozenset({"celery", "worker", "--beat"}), frozenset()),
    ),
    "rqscheduler": ((frozenset({"rqscheduler"}), frozenset()),),
    "periodiq": ((frozenset({"periodiq"}), frozenset()),),
    "runapscheduler": ((frozenset({"runapscheduler"}), frozenset()),),
    "huey": (
        (frozenset({"run_huey"}), frozenset({"-n", "--no-periodic"})),
        (frozenset({"huey_consumer"}), frozenset({"-n", "--no-periodic"})),
        (frozenset({"huey_consumer.py"}), frozenset({"-n", "--no-periodic"})),
    ),
}
# Options of these programs whose value may have any name.
VALUES = frozenset({"-A", "--app", "-Q", "--queues", "-n", "--hostname"})
ZONES_STEP = "Set a name of the IANA database, for instance Europe/Berlin"


def present(processes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the processes that are not removed with null."""
    return {str(name): given for name, given in processes.items() if given is not None}


def is_single(worker: Mapping[str, Any]) -> bool:
    """Return whether a worker never has two pods."""
    return boolean(worker.get("single", False))


def scheduler(process: Mapping[str, Any]) -> str:
    """Return the program that enqueues tasks by time in the command of a worker; empty if there is none."""
    # A shell has the command in one word, and a program may have a path.
    words = " ".join(str(word) for key in ("command", "arguments") for word in process.get(key) or ()).split()
    words = [word for before, word in zip(["", *words], words, strict=False) if before not in VALUES]
    found = {part for word in words for part in (word, word.rpartition("/")[2])}
    for name, groups in SCHEDULERS.items():
        if any(needed <= found and not without & found for needed, without in groups):
            return name
    return ""


def workers(app_name: str, processes_workers: Mapping[str, Any]) -> Iterator[str]:
    """Settings that Kubernetes or the filter of the role refuses later."""
    for name, given in present(processes_workers).items():
        about = f"processes_workers.{name}"
        yield from _name("Worker", name, app_name)
        if errors := list(_settings(about, WORKER, given)):
            yield from errors
            continue
        yield from _command("Worker", name, given)
        yield from _replicas(name, WORKER_DEFAULTS | given)
        for probe, content in (given.get("probes") or {}).items():
            yield from _probe(f"{about}.probes", probe, content)


def schedules(app_name: str, processes_schedules: Mapping[str, Any]) -> Iterator[str]:
    """Settings that Kubernetes refuses, or that would never start a Job."""
    for name, given in present(processes_schedules).items():
        yield from _name("Schedule", name, app_name)
        if errors := list(_settings(f"processes_schedules.{name}", SCHEDULE, given)):
            yield from errors
            continue
        yield from _command("Schedule", name, given)
        yield from _time(name, given)
        yield from _choice(f"Schedule {name} has the overlap", given.get("overlap", OVERLAPS[0]), OVERLAPS)


def twins(processes_workers: Mapping[str, Any], processes_schedules: Mapping[str, Any]) -> Iterator[str]:
    """Their pods would have the same labels."""
    for name in sorted(present(processes_workers).keys() & present(processes_schedules).keys()):
        yield f"processes_workers and processes_schedules both have {shown(name)}. Rename one."


def schedulers(processes_workers: Mapping[str, Any]) -> Iterator[str]:
    """Two of them would enqueue each task twice, and a rollout of one without `single` runs two."""
    found: dict[str, list[str]] = {}
    for name, given in present(processes_workers).items():
        if isinstance(given, Mapping) and (program := _scheduler_of(given)):
            found.setdefault(program, []).append(name)
            if not given.get("single"):
                yield (
                    f"Worker {shown(name)} runs a scheduler ({program}), and a rollout would run two at once. Set "
                    "single: true."
                )
    for program, names in found.items():
        if len(names) > 1:
            yield f"Workers {' and '.join(names)} run {program}, so each task would be enqueued twice. Remove one."


def overrides(processes_overrides: Mapping[str, Any]) -> Iterator[str]:
    """An unknown kind would have no effect."""
    for kind in processes_overrides:
        yield from _choice("processes_overrides has", str(kind), KINDS)


def selections(
    processes_workers: Mapping[str, Any],
    processes_schedules: Mapping[str, Any],
    django_containers: Mapping[str, Any],
    django_egress: Mapping[str, Any],
    django_files: Mapping[str, Any],
    django_init_containers: Mapping[str, Any],
    django_volumes: Mapping[str, Any],
    django_writable: Mapping[str, Any],
) -> Iterator[str]:
    """A part for pods that do not exist would have no effect."""
    known = [*RELEASE, *present(processes_workers), *present(processes_schedules)]
    parts = {"django_containers": django_containers, "django_egress": django_egress, "django_files": django_files}
    parts |= {"django_init_containers": django_init_containers, "django_volumes": django_volumes}
    for variable, entries in (parts | {"django_writable": django_writable}).items():
        for name, entry in entries.items():
            only = entry.get("only") if isinstance(entry, Mapping) else None
            about = f"{shown(name)} in {variable} is only for"
            if only is not None and not isinstance(only, list | tuple):
                yield f"{about} {shown(only)}, which is not a list. Write for instance [web]."
                continue
            for process in only or []:
                yield from _choice(about, str(process), known)


def exclusive_volumes(
    processes_workers: Mapping[str, Any],
    processes_schedules: Mapping[str, Any],
    django_volumes: Mapping[str, Any],
) -> Iterator[str]:
    """Only one pod can mount such a volume, and only a worker with `single` stops the old pod before the new one.

    The role django has the rule for several pods of the site.
    """
    known = present(processes_workers)
    for name, volume in django_volumes.items():
        only = volume.get("only") if isinstance(volume, Mapping) else None
        # Several kinds of pods are an error already.
        if not isinstance(only, list | tuple) or len(only) != 1 or volumes.access(volume) != volumes.ONE_POD:
            continue
        about, process = f"Volume {name} in django_volumes is {volumes.ONE_POD}", str(only[0])
        worker, schedule = known.get(process), processes_schedules.get(process)
        if isinstance(worker, Mapping) and not list(_settings("", WORKER, worker)) and not is_single(worker):
            replicas = max(int(worker.get(key, WORKER_DEFAULTS[key])) for key in ("replicas", "replicas_maximum"))
            yield f"{about}, {_two_pods(process, replicas)}."
        if isinstance(schedule, Mapping) and schedule.get("overlap") == "Allow":
            yield f"{about}, but schedule {process} has the overlap Allow. Set it to Forbid, or use {volumes.SHARED}."


def _two_pods(worker: str, replicas: int) -> str:
    """Return when a worker has two pods at the same time, with the next step."""
    if replicas > 1:
        return f"and worker {worker} has {replicas} replicas. Use 1 replica with single: true, or {volumes.SHARED}"
    reason = f"so the new pod of worker {worker} could not start in a rollout"
    return f"{reason}. Set single: true for the worker, or use {volumes.SHARED}"


RULES: list[Callable[..., Iterator[str]]] = [
    workers,
    schedules,
    twins,
    schedulers,
    overrides,
    selections,
    exclusive_volumes,
    process_environment.environments,
]


def _scheduler_of(given: Mapping[str, Any]) -> str:
    is_valid = all(isinstance(given.get(key) or [], list | tuple) for key in ("command", "arguments"))
    return scheduler(given) if is_valid else ""


def _name(kind: str, name: str, app_name: str) -> Iterator[str]:
    longest = LONGEST_NAME - len(app_name) - 1
    because = f"the longest name with {shown(app_name)} can have {LONGEST_NAME}"
    if problem := addresses.name_problem(name, longest, False, because):
        yield f"{kind} {shown(name)} has a name that {problem}."
    elif name in TAKEN:
        yield f"{kind} {name} has the name of another part of the site. Rename it."


def _settings(about: str, options: Mapping[str, Any], given: Any) -> Iterator[str]:
    """Yield the errors in the names, types, and values of settings that workers and schedules share."""
    if not isinstance(given, Mapping):
        yield from type_errors(about, _DICTIONARY, given)
        return
    for name in given:
        yield from _choice(f"{about} has", str(name), options)
    if errors := list(type_errors(about, {"type": "dict", "options": options}, given)):
        yield from errors
        return
    for name, value in given.items():
        if options.get(name) == _INTEGER:
            yield from _number(f"{about}.{name}", int(value), name)
    yield from bounds.resources(f"{about}.resources", given.get("resources") or {})
    yield from _choice(f"{about}.login is", given.get("login", LOGINS[0]), LOGINS)
    for setting in ("labels", "annotations"):
        for key, value in (given.get(setting) or {}).items():
            yield from type_errors(f"{about}.{setting}.{key}", _TEXT, value)


def _number(about: str, value: int, name: str) -> Iterator[str]:
    least, most = LIMITS.get(name, (0, None))
    if value < least or (most is not None and value > most):
        limits = f"from {least} to {most}" if most is not None else f"of {least} or more"
        yield f"{about} is {value}. Set a number {limits}."


def _choice(about: str, value: str, known: Iterable[str]) -> Iterator[str]:
    """Yield an error with the most similar known value if a value is not known."""
    names = list(known)
    if value not in names:
        lower = {name.lower(): name for name in names}
        near = difflib.get_close_matches(value.lower(), list(lower), 1)
        step = f"Write {lower[near[0]]}." if near else f"Use {', '.join(names[:-1])}, or {names[-1]}."
        yield f"{about} {shown(value)}, which does not exist. {step}"


def _command(kind: str, name: str, given: Mapping[str, Any]) -> Iterator[str]:
    for setting in ("command", "arguments"):
        words = given.get(setting) or []
        if wrong := [word for word in words if isinstance(word, bool) or not isinstance(word, str | int | float)]:
            yield f"{kind} {name} has {shown(wrong[0])} in its {setting}, which is not a string. Quote it."
        elif setting == "command" and (words[:1] == [""] or not (words or given.get("arguments"))):
            yield f"{kind} {name} has no command. Set one, for instance [manage, clearsessions]."


def _replicas(name: str, worker: Mapping[str, Any]) -> Iterator[str]:
    replicas, maximum = int(worker["replicas"]), int(worker["replicas_maximum"])
    if is_single(worker) and replicas > 1:
        yield f"Worker {name} is single and has {replicas} replicas. Set replicas to 1."
    elif is_single(worker) and maximum > 1:
        yield f"Worker {name} is single and has up to {maximum} replicas. Set replicas_maximum to 0."
    elif 0 < maximum < replicas:
        yield f"Worker {name} has {replicas} replicas and a maximum of {maximum}. Raise it, or set it to 0."


def _probe(about: str, name: str, given: Any) -> Iterator[str]:
    yield from _choice(f"{about} has", str(name), PROBES)
    if not isinstance(given, Mapping):
        yield from type_errors(f"{about}.{name}", _DICTIONARY, given)
        return
    for key in given:
        yield from _choice(f"{about}.{name} has", str(key), PROBE)
    if errors := list(type_errors(f"{about}.{name}", {"type": "dict", "options": PROBE}, given)):
        yield from errors
        return
    for key, value in given.items():
        if PROBE.get(key) == _INTEGER:
            yield from _number(f"{about}.{name}.{key}", int(value), key)
    handlers = [key for key in HANDLERS if given.get(key)]
    if len(handlers) != 1:
        yield f"{about}.{name} has {' and '.join(handlers) or 'no check'}. Set exactly one of exec, tcp, and http."
    elif handlers == ["http"] and not given.get("port"):
        yield f"{about}.{name} has no port. Set the port on which the worker answers."


def _time(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    schedule = given.get("schedule", "")
    if not schedule:
        yield f'Schedule {name} has no schedule. Set one, for instance "15 3 * * *".'
    elif problem := cron.problem(schedule):
        yield f'Schedule {name} has "{shown(schedule)}", but {problem}. Correct it.'
    if problem := zone_problem(given.get("time_zone", "Etc/UTC")):
        yield f"Schedule {name} has the time zone {shown(given['time_zone'])}, which does not exist. {problem}."


def zone_problem(name: str) -> str:
    """Return the next step if a time zone does not exist; empty if it does, or if this machine has no time zones."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        known = zoneinfo.available_timezones()
        near = difflib.get_close_matches(name, known, 1)
        return "" if not known or name in known else f"Write {near[0]}" if near else ZONES_STEP
    return ""
