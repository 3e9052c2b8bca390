# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Adoption of a project: its inventory, and a report about it."""

import re
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import inventory as inventories
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import project as projects
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.errors import AdoptError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.inherited import inherited
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.report import report

SITE = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")
AGAIN = "then rerun the command"


def adopt(project: str, site: str, directory: Path, other: Path | None) -> dict[str, Any]:
    """Return the files of a new inventory, and the report. Raises AdoptError.

    Args:
        project: directory of the project.
        site: name of the site; empty for that of the project's directory.
        directory: directory of all inventories.
        other: another inventory, whose cluster the new one has.
    """
    if not project.strip():
        raise AdoptError(
            "PROJECT", "is empty", f"Set it to the directory of a Django project, for instance ~/shop, {AGAIN}"
        )
    root = _resolved(Path(project))
    name = site or inventories.default_site(root.name)
    if not SITE.fullmatch(name):
        raise AdoptError(
            f"SITE is {name!r},which is not 1 to 30 lowercase letters, digits, and hyphens, beginning with a letter",
            f"Choose another name, {AGAIN}",
        )
    target = directory / name
    if target.exists() or target.is_symlink():
        raise AdoptError(
            f"Inventory {target}", "already exists", f"Choose another SITE, or remove the directory, {AGAIN}"
        )
    found = projects.read(root, name, inherited(other))
    written = inventories.write(found, _short(other, directory) if other else "")
    return {
        "path": str(target),
        "files": [{"path": path, "content": content} for path, content in written.files.items()],
        "names": list(found.names),
        "needed": [entry.name for entry in written.open],
        "report": report(found, written, _short(target, directory)),
    }


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise AdoptError(str(path), f"can't be read: {error}", f"Set PROJECT to a directory, {AGAIN}") from error


def _short(path: Path, directory: Path) -> str:
    """Return a path as `make` takes it: relative to the repository for one below it."""
    return str(path.relative_to(directory.parent)) if path.is_relative_to(directory.parent) else str(path)
