"""Build contexts of the five projects: the two that a command creates, and files with the versions of all packages."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = PROJECT / ".venv" / "projects" / "bin"
CONSTRAINTS = Path(__file__).parent / "constraints"
QUICK = ("plain", "bakery")
NAMES = (*QUICK, "pretalx", "nautobot", "netbox")
# Commands that create a project in an existing directory, and the file that then has a random key.
CREATED = {
    "plain": (["django-admin", "startproject", "mysite"], "mysite/settings.py"),
    "bakery": (["wagtail", "start", "bakery"], "bakery/settings/dev.py"),
}
KEY = re.compile(r"^SECRET_KEY = .*$", re.MULTILINE)


def make_contexts(folder: Path) -> Path:
    """Create a build context for each project below a directory; return the directory."""
    for name in NAMES:
        context = folder / name
        context.mkdir(parents=True)
        if name in CREATED:
            create(name, context)
        shutil.copy(CONSTRAINTS / f"{name}.txt", context / "constraints.txt")
    return folder


def create(name: str, context: Path) -> None:
    """Run the command that creates a project."""
    (program, *arguments), file = CREATED[name]
    subprocess.run([PROGRAMS / program, *arguments, context], check=True, stdout=subprocess.DEVNULL)
    without_random_key(context / file)


def without_random_key(file: Path) -> None:
    """Replace the random key of a project, so that each run has the same build context and needs no other image."""
    text, number = KEY.subn('SECRET_KEY = "replaced by the inventory"', file.read_text(encoding="utf-8"))
    assert number == 1, f"{file} has {number} lines with a SECRET_KEY."
    file.write_text(text, encoding="utf-8")
