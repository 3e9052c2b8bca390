"""Variables of roles, rendered by Ansible itself, alone or with all other variables of their roles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from forked_ansible import ansible_playbook

PROJECT = Path(__file__).parents[3]
# Ansible's plugins, and with them its import of collections, are set up in a process of their own.
PROGRAM = """\
import json, sys
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
init_plugin_loader([])
files, names, cases = json.load(sys.stdin)
loader, known = DataLoader(), {}
for file in files:
    known |= loader.load_from_file(file, trusted_as_template=True) or {}
wanted = trust_as_template("{{ [" + ", ".join(names) + "] }}")
print(json.dumps([Templar(loader=loader, variables=known | given).template(wanted) for given in cases]))
"""


def rendered(
    file: str | list[str], names: list[str], cases: list[dict[str, Any]], **environment: str
) -> list[list[Any]]:
    """Return the values of variables in files of the project, for each case of given variables."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([[file] if isinstance(file, str) else file, names, cases]),
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def files_of(*roles: str) -> list[str]:
    """Return the files with the variables of roles: first their defaults, then the internal variables."""
    folders = [PROJECT / "roles" / role / part for part in ("defaults", "vars") for role in roles]
    return [str(path.relative_to(PROJECT)) for folder in folders for path in sorted(folder.rglob("*.yml"))]


def rendered_in_play(
    folder: Path, names: dict[str, str], entry_points: dict[str, str], variables: dict[str, Any]
) -> dict[str, Any]:
    """Return the values of expressions, by name, in a play with these roles; each role has a file of its tasks."""
    return rendered_cases(folder, names, entry_points, variables, {"out": {}})["out"]


def rendered_cases(
    folder: Path,
    names: dict[str, str],
    entry_points: dict[str, str],
    variables: dict[str, Any],
    cases: dict[str, dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return the values of expressions, by case and name, in one play. A case replaces defaults of roles."""
    content = "{{ {" + ", ".join(f"'{key}': {name}" for key, name in names.items()) + "} | to_json }}"
    tasks: list[dict[str, Any]] = [
        {"import_role": {"name": f"cloud_django.kubernetes.{role}", "tasks_from": file}, "when": False}
        for role, file in entry_points.items()
    ]
    # For the files of the first role.
    role = {"role_path": str(PROJECT / "roles" / next(iter(entry_points)))}
    for case, given in cases.items():
        copy = {"dest": str(folder / case), "content": content, "mode": "0600"}
        tasks.append({"ansible.builtin.copy": copy, "vars": role | given})
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    play["vars"] = {"__django_component": "migrations", "__django_login": "app"}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    given = json.dumps({"ansible_python_interpreter": sys.executable} | variables)
    done = ansible_playbook("--inventory=localhost,", "play.yml", f"--extra-vars={given}", directory=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {case: json.loads((folder / case).read_text()) for case in cases}
