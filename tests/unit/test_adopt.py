"""Inventories that `make adopt` writes: a run accepts their variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent / "plugins"))
from adopt_cases import FROM_ENVIRONMENT, SETTINGS, adopted, uv_lock
from test_inventories import known

PROJECT = Path(__file__).parents[2]
# Roles of a site, in the order of the playbook site.
ROLES = ["cluster", "namespace", "lease", "image", "postgresql", "database", "cache", "migrations", "superuser"]
ROLES += ["processes", "web"]
CELERY = 'from celery import Celery\napp = Celery("shop")\n'
# A project with all that the inventory can have.
EVERYTHING = {
    "shop/celery.py": CELERY,
    "uv.lock": uv_lock('{ name = "django" }, { name = "psycopg", extra = ["c"] }', {"django": "6.0", "psycopg": "3.2"}),
    "shop/settings.py": SETTINGS
    + """
import os
CELERY_BEAT_SCHEDULE = {}
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
DATABASE_URL = os.environ["DATABASE_URL"]
SITE = os.environ["SITE_URL"], os.environ["ALLOWED_HOSTS"].split(" ")
POD = os.environ["POD_IP"], os.environ["DB_PASSWORD_FILE"]
MEDIA_ROOT = BASE_DIR / "media"
LOGGING = {"handlers": {"file": {"filename": BASE_DIR / "logs" / "shop.log"}}}
AUTH_USER_MODEL = "accounts.User"
""",
    "accounts/models.py": 'class User:\n    USERNAME_FIELD = "email"\n',
    "shop/migrations/0001.py": "operations = [TrigramExtension()]\n",
}
PROJECTS: dict[str, dict[str, str | None]] = {
    "plain": {},
    "environment": {"shop/settings.py": FROM_ENVIRONMENT},
    "everything": dict(EVERYTHING),
    "dockerfile": {"Dockerfile": "FROM python\nUSER 1000\nEXPOSE 80\nCMD uv run gunicorn shop.wsgi\n"},
    "lowest": {"manage.py": None, "shop/settings.py": None},
}


@pytest.mark.parametrize("other", ["kind", "mirrors", ""])
@pytest.mark.parametrize("name", PROJECTS)
def test_all_variables_are_known(tmp_path: Path, name: str, other: str) -> None:
    variables, _ = adopted(tmp_path, PROJECTS[name], PROJECT / "inventory" / other if other else None)
    assert variables.keys() <= known()


@pytest.mark.parametrize("name", PROJECTS)
def test_a_run_accepts_the_inventory(tmp_path: Path, name: str) -> None:
    _, result = adopted(tmp_path, PROJECTS[name], PROJECT / "inventory" / "mirrors")
    inventory = tmp_path / "inventory" / "shop"
    for file in result["files"]:
        path = inventory / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"], encoding="utf-8")
    play = {
        "hosts": "cloud_django",
        "gather_facts": False,
        "roles": [{"role": f"cloud_django.kubernetes.{role}", "tags": ["never"]} for role in ROLES],
        "tasks": [
            {"name": "Validate", "cloud_django.kubernetes.validate_arguments": {"roles": ROLES}},
            {
                "name": "Compute",
                "ansible.builtin.debug": {"msg": ["{{ app_image }}", "{{ image_python | default({}) }}"]},
            },
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    ended = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), f"--inventory={inventory}", tmp_path / "play.yml"],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))["cloud_django"]["hosts"].keys() == {
        "shop"
    }
    assert "localhost/cloud-django-shop/shop:" in ended.stdout
