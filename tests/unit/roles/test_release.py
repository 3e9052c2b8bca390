"""Jobs of the roles migrations and superuser, and their ConfigMaps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rendering import rendered_in_play

SITE = {"app_name": "polls", "app_namespace": "polls", "app_public_url": "", "django_image": "none"}
SITE |= {"cache_state": "absent"}
SCRIPTS = {"migrations": "migrate.py", "superuser": "superuser.py"}
LAUNCHER = "/run/cloud-django/launcher"


def objects(folder: Path, role: str, **variables: Any) -> dict[str, dict[str, Any]]:
    """Return the objects of a role by kind, and the Secret of the superuser as `Superuser`."""
    task = {"__django_component": role, "__django_login": "app" if role == "superuser" else "migrate"}
    task |= {"__django_launcher_script": SCRIPTS[role], "__django_launcher_options": f"{{{{ __{role}_options }}}}"}
    found = rendered_in_play(folder, {"all": f"__{role}_objects"}, {role: "main"}, SITE | task | variables)["all"]
    return {
        "Superuser" if o["metadata"]["name"] == "polls-superuser" and o["kind"] == "Secret" else o["kind"]: o
        for o in found
    }


def pod_of(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return found["Job"]["spec"]["template"]["spec"]


def options_of(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return json.loads(found["ConfigMap"]["data"]["options.json"])


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


def expanded(value: str) -> str:
    """Return a value after Kubernetes expands variables in it."""
    return re.sub(r"\$(\$|\(\w+\))", lambda found: "$" if found[1] == "$" else "expanded", value)


@pytest.mark.parametrize("role", SCRIPTS)
def test_the_job_runs_the_script_of_its_role(tmp_path: Path, role: str) -> None:
    found = objects(tmp_path, role)
    pod = pod_of(found)
    [container] = pod["containers"]
    script = SCRIPTS[role]
    assert container["name"] == role
    assert container["command"] == [
        "python",
        f"{LAUNCHER}/launch.py",
        f"{LAUNCHER}/{script}",
        "--",
        "python",
        "manage.py",
    ]
    # Each role has its own ConfigMap, so that a changed script repeats only its Job.
    data = found["ConfigMap"]["data"]
    assert found["ConfigMap"]["metadata"]["name"] == f"polls-{role}"
    assert data.keys() == {"launch.py", script, "options.json"}
    for name, source in {"launch.py": "django", script: role}.items():
        assert data[name] == (Path(__file__).parents[3] / "roles" / source / "files" / name).read_text(encoding="utf-8")
    assert names(pod["volumes"])[:3] == ["temporary", "django", "database"]
    assert {"name": "launcher", "configMap": {"name": f"polls-{role}"}} in pod["volumes"]
    assert {"name": "launcher", "mountPath": LAUNCHER, "readOnly": True} in container["volumeMounts"]
    assert len(container["volumeMounts"]) == len(pod["volumes"])
    assert len(set(names(container["env"]))) == len(container["env"])
    assert ("DATABASE_ROLE" in names(container["env"])) == (role == "migrations")
    assert not [name for name in names(container["env"]) if name.startswith(("MIGRATIONS_", "SUPERUSER_"))]


def test_commands_reach_the_migrations_unchanged(tmp_path: Path) -> None:
    """Kubernetes would expand them in the environment."""
    value = "a$$b$(DATABASE_HOST)c"
    found = objects(
        tmp_path,
        "migrations",
        django_environment={"A": value},
        django_manage=["netbox"],
        migrations_before=[["manage", "check", "--deploy"]],
        migrations_command=["netbox", "upgrade"],
        migrations_commands=[["echo", value, 5]],
        migrations_lock_timeout="1000",
    )
    assert options_of(found) == {
        "manage": ["netbox"],
        "before": [["manage", "check", "--deploy"]],
        "command": ["netbox", "upgrade"],
        "commands": [["echo", value, 5]],
        "lock_timeout": 1000,
        "statement_timeout": 0,
    }
    [container] = pod_of(found)["containers"]
    [setting] = [entry["value"] for entry in container["env"] if entry["name"] == "A"]
    assert expanded(setting) == value


PYTHONS = {
    "/opt/venv/bin/python3.13": ["/opt/venv/bin/python3.13", "-m", "shop"],
    "python3": ["python3", "manage.py"],
    "/opt/netbox/venv/bin/python": ["/opt/netbox/venv/bin/netbox"],
    "python": ["nautobot-server"],
}


def test_the_launcher_starts_with_the_python_of_the_project(tmp_path: Path) -> None:
    """In one play, because each takes seconds."""
    cases = {**{python: manage for python, manage in PYTHONS.items()}, "": ["/app/manage.py"]}
    expression = "lookup('ansible.builtin.template', {!r}, template_vars={{'django_manage': {!r}}})"
    (tmp_path / "python.j2").write_text("{{ __django_launcher_python }}")
    asked = {
        str(index): expression.format(str(tmp_path / "python.j2"), manage)
        for index, manage in enumerate(cases.values())
    }
    found = rendered_in_play(tmp_path, asked, {"migrations": "main"}, SITE)
    assert [text.strip() for text in found.values()] == [python or "python" for python in cases]


def test_the_superuser_of_a_project_with_a_command_of_its_own(tmp_path: Path) -> None:
    found = objects(
        tmp_path,
        "superuser",
        django_contract=False,
        superuser_command=["manage", "create_admin"],
        superuser_email="a@example.org",
        superuser_overrides={"spec": {"template": {"spec": {"containers": [{"name": "superuser", "tty": True}]}}}},
    )
    [container] = pod_of(found)["containers"]
    assert container["command"] == ["python", "manage.py", "create_admin"]
    assert container["tty"] is True
    values = {entry["name"]: entry.get("value") for entry in container["env"]}
    for name in ("username", "password", "email"):
        assert values[f"SUPERUSER_{name.upper()}_FILE"] == f"/run/secrets/superuser/{name}"
    assert not [name for name in values if name.startswith(("DATABASE_", "DJANGO_"))]
    assert found["Superuser"]["kind"] == "Secret"


def test_the_options_of_the_superuser(tmp_path: Path) -> None:
    found = objects(tmp_path, "superuser", superuser_fields={"born": "1990-01-31"}, superuser_password="x")
    assert options_of(found) == {
        "directory": "/run/secrets/superuser",
        "fields": {"born": "1990-01-31"},
        "generated": False,
    }
