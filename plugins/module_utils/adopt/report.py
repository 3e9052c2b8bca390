# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Report about an adopted project."""

from collections.abc import Iterator

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.inventory import (
    MAIN,
    Inventory,
    make_command,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.project import Project
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.writing import plain


def report(project: Project, inventory: Inventory, directory: str) -> list[str]:
    """Return the lines that end the command: findings, lines to fill in, notes, and the next step."""
    return [plain(line) for line in _report(project, inventory, directory)]


def _report(project: Project, inventory: Inventory, directory: str) -> Iterator[str]:
    names, needed = len(project.names), len(inventory.open)
    yield f"Found {names} names in the environment, {needed} needed and not answered."
    for entry in inventory.open:
        yield f"Fill in {entry.name} ({entry.place}): line {entry.line} of {directory}/{MAIN}."
    if project.workers:
        yield f"Workers: {', '.join(worker.name for worker in project.workers if worker.is_known) or 'none'}."
    if project.schedules:
        yield f"Schedules, as comments: {', '.join(schedule.name for schedule in project.schedules)}."
    yield from project.notes
    for name in dict.fromkeys(project.inherited.secrets):
        yield f"Not taken from the other inventory, because it may be secret: {name}."
    yield f"Next: check {directory}/{MAIN}, then run: {make_command(directory)}"
