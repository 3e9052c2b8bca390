"""Workers, schedules, pages, and packages of a project, for `make adopt`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from adopt_cases import SETTINGS, adopted, found, uv_lock
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import locks

CELERY = 'from celery import Celery\napp = Celery("shop")\n'
WITH_CELERY = {"shop/celery.py": CELERY}


def workers(directory: Path, changes: dict[str, str | None]) -> dict[str, tuple[tuple[str, ...], bool]]:
    return {each.name: (each.command, each.is_single) for each in found(directory, changes).workers}


def test_the_procfile_has_the_workers(tmp_path: Path) -> None:
    text = "web: gunicorn shop.wsgi\nrelease: python manage.py migrate\nworker: celery -A shop worker -c 4\n"
    text += "q: python manage.py qcluster\n"
    assert workers(tmp_path, WITH_CELERY | {"Procfile": text}) == {
        "worker": (("celery", "-A", "shop", "worker", "-c", "4"), False),
        "q": (("manage", "qcluster"), False),
    }


def test_services_of_compose_on_the_same_build_are_workers(tmp_path: Path) -> None:
    compose = """
services:
  app: {build: ., command: python manage.py runserver}
  worker: {build: ., command: [uv, run, celery, -A, shop, worker, --pidfile=/x]}
  beat: {build: ., command: celery -A shop beat -S x}
  docs: {build: ., command: mkdocs serve, profiles: [docs]}
  redis: {image: redis, command: celery -A shop worker}
  odd: !reset null
"""
    assert workers(tmp_path, WITH_CELERY | {"docker-compose.yml": compose}) == {
        "worker": (("celery", "-A", "shop", "worker", "--concurrency=2"), False),
        "beat": (("celery", "-A", "shop", "beat", "--schedule=/tmp/beat"), True),
    }


def test_a_module_of_celery_is_a_worker_and_its_schedule_one_beat(tmp_path: Path) -> None:
    settings = f"{SETTINGS}CELERY_BEAT_SCHEDULE = {{}}\n"
    assert workers(tmp_path, WITH_CELERY | {"shop/settings.py": settings}) == {
        "celery": (("celery", "--app=shop", "worker", "--concurrency=2"), False),
        "beat": (("celery", "--app=shop", "beat", "--schedule=/tmp/beat"), True),
    }


def test_a_beat_in_a_worker_becomes_one_of_its_own(tmp_path: Path) -> None:
    settings = SETTINGS.replace('"django.contrib.admin"', '"django_celery_beat"')
    text = "worker: celery --app=shop worker -B --concurrency=1\nworker2: celery --app=shop worker -B -Q slow -c 1\n"
    found_workers = workers(tmp_path, WITH_CELERY | {"Procfile": text, "shop/settings.py": settings})
    beat = ("celery", "--app=shop", "beat", "--scheduler=django_celery_beat.schedulers:DatabaseScheduler")
    assert found_workers["beat"] == (beat, True)
    assert found_workers["worker"][0] == ("celery", "--app=shop", "worker", "--concurrency=1")
    assert len(found_workers) == 3


@pytest.mark.parametrize(
    ("app", "command"),
    [
        ("django_q", ("manage", "qcluster")),
        ("django_rq", ("manage", "rqworker", "default")),
        ("huey.contrib.djhuey", ("manage", "run_huey")),
        ("django_tasks.backends.database", ("manage", "db_worker")),
    ],
)
def test_an_application_for_tasks_is_a_worker(tmp_path: Path, app: str, command: tuple[str, ...]) -> None:
    settings = SETTINGS.replace('"django.contrib.admin"', f'"{app}"')
    assert [each[0] for each in workers(tmp_path, {"shop/settings.py": settings}).values()] == [command]


def test_names_of_workers_fit_into_labels_and_are_unique(tmp_path: Path) -> None:
    names = ("Worker_One", "worker-one", "cache")
    text = "".join(f"{name}: celery -A shop worker -c {index}\n" for index, name in enumerate(names))
    assert sorted(workers(tmp_path, WITH_CELERY | {"Procfile": text})) == ["cache-1", "worker-one", "worker-one-2"]


def test_a_process_that_may_be_no_worker_is_a_comment(tmp_path: Path) -> None:
    variables, result = adopted(tmp_path, {"Procfile": "bot: python manage.py run_bot\nq: python manage.py qcluster\n"})
    assert list(variables["processes_workers"]) == ["q"]
    main = next(file["content"] for file in result["files"] if file["path"].endswith("main.yml"))
    assert "  # bot: {command: [manage, run_bot]}  # Procfile" in main.splitlines()


def test_a_worker_without_the_address_of_its_queue_is_reported(tmp_path: Path) -> None:
    variables, result = adopted(tmp_path, WITH_CELERY)
    assert (variables["cache_state"], variables["cache_purpose"]) == ("present", "queue")
    assert any("needs the address of its queue" in line for line in result["report"])


def test_a_fixed_address_of_a_queue_is_replaced(tmp_path: Path) -> None:
    changes = {"shop/settings.py": f'{SETTINGS}CELERY_BROKER_URL = "redis://localhost:6379/0"\n'}
    variables, result = adopted(tmp_path, WITH_CELERY | changes)
    assert 'CELERY_BROKER_URL = "${cache.url}/0"' in variables["django_local_settings"].splitlines()
    assert not any("needs the address" in line for line in result["report"])


@pytest.mark.parametrize(
    ("file", "text", "schedule"),
    [
        ("deploy/crontab", "# m h\n15 3 * * 1-5 cd /app && python manage.py tidy > /dev/null\n", "15 3 * * 1-5"),
        ("crontab", "@daily root docker compose run --rm app python manage.py tidy\n", "@daily"),
        ("justfile", "# x\n@cron:\n    just run tidy\n\ntest:\n    just run test\n", "0 3 * * *"),
        ("Makefile", "cron-daily: build\n\t@python manage.py tidy\n\ntest:\n\tpython manage.py test\n", "0 3 * * *"),
    ],
)
def test_schedules_are_comments(tmp_path: Path, file: str, text: str, schedule: str) -> None:
    project = found(tmp_path, {file: text})
    assert [(each.name, each.schedule, each.command) for each in project.schedules] == [
        ("tidy", schedule, ("manage", "tidy"))
    ]
    variables, result = adopted(tmp_path / "b", {file: text})
    assert "processes_schedules" not in variables
    assert "Schedules, as comments: tidy." in result["report"]


# ---- Pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urls", "path"),
    [
        ('path("health/", x)', "/health/"),
        ('path("", include("shop.more"))', "/readyz"),
        ('re_path(r"^healthz/?$", x)', "/healthz/"),
        ('path("api/", x), path("up", x), path("status/", x)', "/status/"),
        ('path("ht/", include("health_check.urls")), path("admin/", admin.site.urls)', "/ht/"),
        ('path("manage/", admin.site.urls)', "/manage/login/"),
        ('path("accounts/login/", x)', "/accounts/login/"),
        ('path("<int:pk>/health/", x), path("shop/", x)', "/"),
    ],
)
def test_the_path_of_the_readiness_probe_is_found(tmp_path: Path, urls: str, path: str) -> None:
    more = 'urlpatterns = [path("readyz", x)]\n'
    project = found(tmp_path, {"shop/urls.py": f"urlpatterns = [{urls}]\n", "shop/more.py": more})
    assert project.ready.path == path


# ---- Packages --------------------------------------------------------------------------------------------------------

UV = uv_lock(
    '{ name = "django" }, { name = "psycopg", extra = ["c"] }, '
    """{ name = "pywin32", marker = "sys_platform == 'win32'" }""",
    {"django": "6.0", "sqlparse": "0.5", "psycopg": "3.2", "psycopg-c": "3.2", "pywin32": "1", "pytest": "9"},
    {
        "shop": '[package.dev-dependencies]\ndev = [{ name = "pytest" }]\n',
        "django": 'dependencies = [{ name = "sqlparse" }]\n',
        "psycopg": '[package.optional-dependencies]\nc = [{ name = "psycopg-c" }]\n',
    },
)
POETRY = """
[[package]]
name = "django"
version = "6.0"
groups = ["main"]
[[package]]
name = "pytest"
version = "9"
groups = ["dev"]
[[package]]
name = "tzdata"
version = "1"
groups = ["main"]
markers = "sys_platform == 'win32'"
"""
PIPFILE = {
    "default": {"django": {"version": "==6.0"}, "x": {"git": "https://a/x", "ref": "b"}},
    "develop": {"pytest": {"version": "==9"}},
}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("uv.lock", UV, ["django==6.0", "psycopg-c==3.2", "psycopg[c]==3.2", "sqlparse==0.5"]),
        ("poetry.lock", POETRY, ["django==6.0"]),
        ("Pipfile.lock", json.dumps(PIPFILE), ["django==6.0", "x @ git+https://a/x@b"]),
    ],
)
def test_a_lock_has_the_versions_of_the_site(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    project = found(tmp_path, {name: text})
    assert project.locked == expected
    variables, result = adopted(tmp_path / "b", {name: text})
    assert {file["path"]: file["content"] for file in result["files"]}["requirements.txt"].splitlines() == expected
    assert "requirements.txt" in variables["image_python"]["requirements"]


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "Pipfile.lock", "pyproject.toml"])
def test_a_broken_lock_is_skipped_and_reported(tmp_path: Path, name: str) -> None:
    project = found(tmp_path, {name: "= ="})
    assert project.packages.source == "requirements.txt"
    assert any(note.startswith(f"{name} is no valid") for note in project.notes)


def test_requirements_for_servers_are_preferred_and_completed(tmp_path: Path) -> None:
    files = {
        "requirements/base.txt": "django\n",
        "requirements/production.txt": "-r base.txt\nmysqlclient==2 # x\nlxml\n",
    }
    project = found(tmp_path, files)
    assert project.requirements == ["-r requirements/production.txt", "gunicorn", "psycopg[binary]", "whitenoise"]
    assert project.debian == (
        ["gcc", "libc6-dev", "python3-dev", "pkg-config", "default-libmysqlclient-dev"],
        ["libmariadb3"],
    )


def test_dependencies_of_a_project_without_a_lock_are_used(tmp_path: Path) -> None:
    wanted = '["django>=5", "psycopg[c]", "whitenoise", "gunicorn"]'
    text = f'[project]\nrequires-python = ">=3.10,<3.13"\ndependencies = {wanted}\n'
    project = found(tmp_path, {"requirements.txt": None, "pyproject.toml": text})
    assert project.requirements == ["django>=5", "psycopg[c]", "whitenoise", "gunicorn"]
    assert "libpq-dev" in project.debian[0]
    assert any("asks for Python >=3.10,<3.13" in note for note in project.notes)


@pytest.mark.parametrize(
    ("specifier", "allowed"), [("^3.11", True), ("~3.12", False), (">=3.12", True), ("<3.13", False), ("odd", True)]
)
def test_version_specifiers_of_poetry_are_understood(specifier: str, allowed: bool) -> None:
    assert locks.allows(specifier, "3.13.0") is allowed


def test_extensions_in_migrations_are_found(tmp_path: Path) -> None:
    text = (
        'operations = [TrigramExtension(), CreateExtension("ltree"), RunSQL("CREATE EXTENSION IF NOT EXISTS citext")]\n'
    )
    assert adopted(tmp_path, {"shop/migrations/0001_initial.py": text})[0]["database_extensions"] == [
        "citext",
        "ltree",
        "pg_trgm",
    ]
