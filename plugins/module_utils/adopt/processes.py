# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Background processes and schedules of a project."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.commands import (
    bare,
    management,
    segments,
    start,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.layout import Layout, module_name
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.settings import Settings

# Management commands that run until they are stopped.
WORKERS = frozenset(
    {
        "qcluster",
        "rqworker",
        "rqscheduler",
        "run_huey",
        "rundramatiq",
        "db_worker",
        "process_tasks",
        "runapscheduler",
        "crontab",
    }
)
# Two processes of these would do each task twice.
SINGLE = frozenset({"rqscheduler", "runapscheduler"})
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml", "docker-compose.prod*.y*ml",
           "compose.prod*.y*ml", "docker-compose.production.y*ml")  # fmt: skip
BEAT_FILE = "--schedule=/tmp/beat"
DATABASE_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Celery has one process for each core of the node by default, and each needs the memory of the project.
CONCURRENCY = "--concurrency=2"
FIELD = r"(?:[\d*/,\-]+|[A-Za-z]{3}(?:[-,][A-Za-z]{3})*)"
CRON = re.compile(rf"^\s*((?:{FIELD}\s+){{4}}{FIELD}|@(?:hourly|daily|weekly|monthly|yearly|midnight))\s+(\S.*)$")


@dataclass(frozen=True)
class Process:
    """A worker of the project."""

    name: str
    command: tuple[str, ...]
    source: str
    is_single: bool = False
    # Whether the process is known to be a worker. Others are written as comments.
    is_known: bool = True


@dataclass(frozen=True)
class Schedule:
    """A command of the project that runs at certain times."""

    name: str
    schedule: str
    command: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Started:
    """A command that a file of the project starts."""

    name: str
    text: tuple[str, ...]
    source: str


def started(tree: Tree) -> Iterator[Started]:
    """Yield the commands in the Procfile, and those of the services in Compose files that are built here."""
    for line in tree.text("Procfile").splitlines() if tree.has("Procfile") else []:
        name, mark, command = line.partition(":")
        if mark and command.strip() and re.fullmatch(r"[\w-]+", name.strip()):
            yield Started(name.strip(), ("sh", "-c", command.strip()), "Procfile")
    for path in tree.named(*COMPOSE):
        if len(path.parts) > 2:
            continue
        services = tree.yaml(path).get("services")
        for name, service in services.items() if isinstance(services, dict) else []:
            if isinstance(service, dict) and "build" in service and not service.get("profiles"):
                command = service.get("command") or []
                words = ("sh", "-c", command) if isinstance(command, str) else tuple(map(str, command))
                yield Started(str(name), words, str(path))


def workers(tree: Tree, found: Layout, settings: Settings) -> list[Process]:
    """Return the workers of a project, each command once."""
    begun = {process.command: process for process in reversed([*_started_workers(tree, found)])}
    kinds = {_kind(process) for process in begun.values()}
    implied = [process for process in _implied(tree, found, settings) if _kind(process) not in kinds]
    return _named(_beats([*reversed(begun.values()), *implied], settings))


def _started_workers(tree: Tree, found: Layout) -> Iterator[Process]:
    for entry in started(tree):
        begun = start(tree, found.manage, entry.text)
        if begun.server or entry.name in ("web", "release"):
            continue
        commands = [bare(words)[0] for text in _texts(tree, entry.text) for words in segments(text)]
        for words in commands:
            if words and (process := _worker(entry, words, found.manage)):
                yield process


def _texts(tree: Tree, words: Sequence[str]) -> list[str]:
    begun = start(tree, (), words)
    own = words[2] if len(words) > 2 and words[1] == "-c" else " ".join(words)
    return [own, *(tree.text(script) for script in begun.scripts)]


def _worker(entry: Started, words: list[str], manage: Sequence[str]) -> Process | None:
    """Return the process of a command; None for one that is no worker."""
    if words[0] == "celery":
        kind = next((word for word in words[1:] if word in ("worker", "beat", "flower")), "")
        command = tuple(_without(words, "--pidfile", "--logfile", "-f", "--detach", "--uid", "--gid"))
        return Process(entry.name, command, entry.source, kind == "beat", True) if kind in ("worker", "beat") else None
    if words[0] in ("rq", "dramatiq", "huey_consumer", "huey_consumer.py", "arq", "procrastinate"):
        return Process(entry.name, tuple(words), entry.source)
    command = management(words, manage)
    if len(command) > 1 and (command[1] in WORKERS or "worker" in command[1]):
        return Process(entry.name, command, entry.source, command[1] in SINGLE)
    one_time = {
        "migrate",
        "collectstatic",
        "runserver",
        "runserver_plus",
        "tailwind",
        "loaddata",
        "test",
        "shell",
        "check",
    }
    if len(command) > 1 and command[1] not in one_time and entry.source == "Procfile":
        return Process(entry.name, command, entry.source, is_known=False)
    return None


def _without(words: Sequence[str], *options: str) -> Iterator[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, has_value, _ = word.partition("=")
        if name in options:
            if not has_value and name != "--detach" and rest and not rest[0].startswith("-"):
                rest.pop(0)
            continue
        yield word


def _kind(process: Process) -> str:
    if process.command[0] == "celery":
        return "beat" if "beat" in process.command else "celery"
    return process.command[1] if process.command[0] == "manage" and len(process.command) > 1 else process.command[0]


def _implied(tree: Tree, found: Layout, settings: Settings) -> Iterator[Process]:
    """Yield the workers that applications and modules of the project need."""
    apps = set(settings.apps)
    if app := celery_app(tree, found):
        yield Process("celery", ("celery", f"--app={app}", "worker", CONCURRENCY), "settings")
        if _has_beat(tree, settings):
            yield Process("beat", ("celery", f"--app={app}", "beat", BEAT_FILE), "settings", is_single=True)
    for name, package, command in (
        ("qcluster", "django_q", ("manage", "qcluster")),
        ("rqworker", "django_rq", ("manage", "rqworker", "default")),
        ("huey", "huey.contrib.djhuey", ("manage", "run_huey")),
        ("dramatiq", "django_dramatiq", ("manage", "rundramatiq", "--processes=1", "--threads=4")),
        ("tasks", "django_tasks.backends.database", ("manage", "db_worker")),
        ("tasks", "django_tasks_db", ("manage", "db_worker")),
    ):
        if package in apps:
            yield Process(name, command, "settings")


def celery_app(tree: Tree, found: Layout) -> str:
    """Return the module with the Celery application; empty for none."""
    for path in tree.named("celery.py", "celery_app.py", "celeryapp.py"):
        if path.is_relative_to(found.directory) and re.search(r"\bCelery\(", tree.text(path)):
            name = module_name(found.directory, path)
            # Celery finds the module `celery` in a package by itself.
            return name.removesuffix(".celery")
    return ""


def _has_beat(tree: Tree, settings: Settings) -> bool:
    names = {"CELERY_BEAT_SCHEDULE", "CELERYBEAT_SCHEDULE"} & settings.evaluated.settings.keys()
    files = tree.named("celery.py", "celery_app.py")
    return (
        bool(names)
        or "django_celery_beat" in settings.apps
        or any("beat_schedule" in tree.text(path) for path in files)
    )


def _beats(processes: list[Process], settings: Settings) -> list[Process]:
    """Return processes with exactly one scheduler of Celery, which is no part of a worker."""
    result: list[Process] = []
    for process in processes:
        command = process.command
        if command[0] == "celery" and {"-B", "--beat"} & set(command):
            command = tuple(word for word in command if word not in ("-B", "--beat"))
            app = [word for word in command[1:] if word.startswith(("-A", "--app"))] or [""]
            after = [command[command.index(app[0]) + 1]] if app[0] in ("-A", "--app") else []
            beat = ("celery", *(word for word in (*app[:1], *after) if word), "beat")
            result.append(Process("beat", beat, process.source, is_single=True))
        if _kind(replace(process, command=command)) == "celery" and not any(
            "concurrency" in w or w == "-c" for w in command
        ):
            command = (*command, CONCURRENCY)
        result.append(replace(process, command=command))
    beats = [process for process in result if _kind(process) == "beat"]
    others = [process for process in result if _kind(process) != "beat"]
    return others + [replace(beat, name="beat", command=_beat_command(beat.command, settings)) for beat in beats[:1]]


def _beat_command(command: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    command = tuple(_without(command, "--schedule", "-s", "-S", "--scheduler"))
    if "django_celery_beat" in settings.apps:
        return (*command, f"--scheduler={DATABASE_SCHEDULER}")
    # The file of the schedule, because the working directory is read-only.
    return (*command, BEAT_FILE)


def _named(processes: list[Process]) -> list[Process]:
    """Return processes with names that fit into a label, each once."""
    result: list[Process] = []
    for process in processes:
        name = re.sub(r"[^a-z0-9]+", "-", process.name.lower()).strip("-")[:20].strip("-") or "worker"
        taken = [each.name for each in result]
        # `web` is the component of the site itself.
        if name in taken or name in ("web", "migrations", "superuser", "cache", "postgresql"):
            name = f"{name}-{sum(each.startswith(name) for each in taken) + 1}"
        result.append(replace(process, name=name))
    return result


def schedules(tree: Tree, found: Layout) -> list[Schedule]:
    """Return the commands in crontabs, and in recipes named cron."""
    result: dict[tuple[str, ...], Schedule] = {}
    for schedule in [*_crontabs(tree, found), *_recipes(tree, found)]:
        result.setdefault(schedule.command, schedule)
    return list(result.values())


def _crontabs(tree: Tree, found: Layout) -> Iterator[Schedule]:
    for path in tree.named("crontab*", "*.cron", "*.crontab", "cron*/*"):
        if path.suffix in (".py", ".md", ".rst", ".html"):
            continue
        for line in tree.text(path).splitlines():
            match = CRON.match(line)
            if match and not line.lstrip().startswith("#"):
                yield from _scheduled(match[2], " ".join(match[1].split()), found.manage, str(path))


def _recipes(tree: Tree, found: Layout) -> Iterator[Schedule]:
    for path in tree.named("justfile", "Justfile", ".justfile", "Makefile"):
        if len(path.parts) > 1:
            continue
        for match in re.finditer(
            r"(?m)^@?(\w*cron\w*)\b[^\n]*:[^\n=]*\n((?:[ \t]+[^\n]*\n|\n)+)", f"{tree.text(path)}\n"
        ):
            body = re.sub(r"(?m)^\s*[@-]", "", match[2])
            yield from _scheduled(body, "0 3 * * *", found.manage, f"{path} ({match[1]})")


def _scheduled(text: str, schedule: str, manage: Sequence[str], source: str) -> Iterator[Schedule]:
    """Yield the management commands in a text for a shell, also behind docker compose run."""
    for whole in segments(text):
        # Without redirections, which only a shell knows.
        words = list(takewhile(lambda word: not re.match(r"\d?[<>]", word), whole)) or [""]
        if words[0] in ("just", "make") and words[1:2] in (["run"], ["manage"], ["django"]):
            words = ["python", "manage.py", *words[2:]]
        for index in range(len(words)):
            command = management(bare(words[index:])[0], manage or ("python", "manage.py"))
            if len(command) > 1 and not any(mark in word for word in command for mark in "{}<>$"):
                name = re.sub(r"[^a-z0-9]+", "-", command[1].lower()).strip("-")[:20].strip("-")
                yield Schedule(name, schedule, command, source)
                break


def remote_queues(workers: list[Process]) -> list[str]:
    """Return the workers whose tasks wait in a server for queues."""
    return [
        worker.name for worker in workers if _kind(worker) in ("celery", "rqworker", "run_huey", "rundramatiq", "rq")
    ]


def keeps_tasks(settings: Settings) -> bool:
    """Return whether tasks wait in the cache, so that it must not lose them."""
    broker = settings.text("CELERY_BROKER_URL") or settings.text("BROKER_URL")
    names = any(re.search(r"BROKER|Q_REDIS|(^|_)RQ_|QUEUE_URL|CELERY_URL|TASKS_REDIS", name) for name in settings.names)
    apps = {"django_rq", "django_dramatiq", "huey.contrib.djhuey"} & set(settings.apps)
    return bool(names or apps or "redis" in broker) and "amqp" not in broker
