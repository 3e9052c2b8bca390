"""A project with only Django and this package."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

PROJECT = """
import logging
import django
from django.conf import settings
from cloud_django.environment import Environment
from cloud_django.logs import logging_settings

environment = Environment()
urlpatterns = []
settings.configure(
    ALLOWED_HOSTS=["www.example.org"],
    SECRET_KEY=environment.secret("DJANGO_SECRET_KEY_FILE", "a random text"),
    SECURE_SSL_REDIRECT=True,
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["cloud_django.health"],
    MIDDLEWARE=[
        "cloud_django.middleware.RequestIDMiddleware",
        "cloud_django.health.middleware.HealthCheckMiddleware",
        "django.middleware.security.SecurityMiddleware",
    ],
    LOGGING=logging_settings("json", "INFO"),
)
django.setup()
from django.core import checks
from django.test import Client
assert not checks.run_checks()
for path in ("/livez", "/readyz"):
    response = Client().get(path, headers={"Host": "10.1.2.3:8000"})
    logging.getLogger("project").info(response.text.strip(), extra={"path": path, "status": response.status_code})
"""


IMPORT_ALL = """
import importlib, pkgutil
from django.conf import settings
settings.configure()
import cloud_django
for module in pkgutil.walk_packages(cloud_django.__path__, "cloud_django."):
    print(importlib.import_module(module.name).__name__)
"""


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a directory that has no files of this project."""
    (folder / "key").write_text("a random text")
    (folder / "program.py").write_text(program)
    return subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=folder,
        env={"DJANGO_SECRET_KEY_FILE": "key"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_health_checks_environment_and_logs_work_in_any_project(tmp_path: Path) -> None:
    result = run(tmp_path, PROJECT)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["path"], line["status"], line["message"]) for line in lines] == [
        ("/livez", 200, "ok"),
        ("/readyz", 200, "ok"),
    ]


def test_the_metadata_states_version_and_license() -> None:
    stated = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    found = metadata("cloud-django")
    assert (found["Version"], found["License-Expression"]) == (stated["version"], "MIT")


def test_every_module_is_importable_without_a_project(tmp_path: Path) -> None:
    result = run(tmp_path, IMPORT_ALL)
    assert (result.returncode, result.stderr) == (0, "")
    assert {"cloud_django.environment", "cloud_django.postgresql.base"} <= set(result.stdout.split())
