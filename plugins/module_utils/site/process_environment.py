# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rule for the environment variables of single workers and schedules."""

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import entries

# Groups of values that are keys of Secrets, or fields of a pod. Those of the inventory have no object of their own.
GROUPS = ("database", "cache", "django", "superuser", "pod")
# Only django_environment has templates.
STEP = "Set it in django_environment, with a template"
FORMS = "Use from, or secret with key, or set it in django_environment"


def environments(
    processes_workers: Mapping[str, Any],
    processes_schedules: Mapping[str, Any],
    django_generated: Mapping[str, Any],
    django_cache_secret: str,
) -> Iterator[str]:
    """A value that does not exist would block the pods of a worker, and no run waits for those of a schedule."""
    keys = entries.keys_of(django_generated, {}, bool(django_cache_secret))
    for variable, processes in (
        ("processes_workers", processes_workers),
        ("processes_schedules", processes_schedules),
    ):
        for process, given in processes.items():
            environment = given.get("environment") if isinstance(given, Mapping) else None
            for name, value in environment.items() if isinstance(environment, Mapping) else ():
                if problem := _name_problem(name) or next(_problems(value, keys), ""):
                    yield f"{name} in {variable}.{process}.environment {problem}."


def _name_problem(name: Any) -> str:
    """Return why Kubernetes refuses the name of a variable, with the next step; empty if it does not."""
    if isinstance(name, str) and entries.VARIABLE.fullmatch(name):
        return ""
    return "is not a valid name of an environment variable. Use letters, digits, and underscores"


def _problems(value: Any, keys: entries.Keys) -> Iterator[str]:
    """Yield why a variable has no value, each with the next step."""
    if value is None:
        return
    if isinstance(value, str):
        for problem in entries.text_problems(value, keys):
            yield problem.replace("Write it as {template: ...}", STEP)
    elif not isinstance(value, Mapping):
        yield "is not a string. Quote it"
    elif set(value) == {"secret", "key"}:
        yield from entries.source_problems(value, keys)
    elif set(value) != {"from"}:
        yield f"names no source. {FORMS}"
    elif problem := _reference_problem(value["from"], keys):
        yield problem


def _reference_problem(reference: Any, keys: entries.Keys) -> str:
    group = str(reference).partition(".")[0]
    if group in keys and group not in GROUPS:
        return f"asks for {reference}, which only django_environment can have. Set it there"
    return entries.reference_problem(reference, keys)
