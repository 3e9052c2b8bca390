"""Names that a project reads from its environment, and the sources of their values."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from adopt_cases import found
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.names import Name, Reader, merged, wrappers

READERS = "import os, environ\nfrom decouple import config, Csv\nenv = environ.Env(PAGES=(int, 5))\n"


def names(source: str) -> dict[str, Name]:
    tree = ast.parse(READERS + source)
    return merged(Reader("settings.py", tree, wrappers([tree])).names())


@pytest.mark.parametrize(
    ("source", "name", "is_needed", "kind", "default"),
    [
        ('os.environ["A"]', "A", True, "str", None),
        ('os.environ.get("A")', "A", False, "str", None),
        ('os.environ.get("A", "x")', "A", False, "str", "x"),
        ('os.getenv("A", default="x")', "A", False, "str", "x"),
        ('os.getenv("A", "True") == "True"', "A", False, "flag", "True"),
        ('bool(os.getenv("A"))', "A", False, "truth", None),
        ('int(os.environ["A"])', "A", True, "int", None),
        ('json = __import__("json"); json.loads(os.environ["A"])', "A", True, "json", None),
        ('os.environ["A"].split(" ")', "A", True, "list", None),
        ('e = os.environ.copy()\ne["A"]', "A", True, "str", None),
        ('"A" in os.environ', "A", False, "str", None),
        ('env("A")', "A", True, "str", None),
        ('env.bool("A", False)', "A", False, "bool", False),
        ('env.list("A", default=[])', "A", False, "list", []),
        ('env.db("A")', "A", True, "db", None),
        ("env.db()", "DATABASE_URL", True, "db", None),
        ('env("PAGES")', "PAGES", False, "int", 5),
        ('with env.prefixed("SHOP_"):\n    X = env("A")', "SHOP_A", True, "str", None),
        ('config("A", default=True, cast=bool)', "A", False, "bool", True),
        ('config("A", cast=Csv())', "A", True, "list", None),
        ("dj_database_url.config(conn_max_age=500)", "DATABASE_URL", False, "db", None),
        ('def need(name):\n    return os.environ[name]\nneed("A")', "A", True, "str", None),
        ('def get_env(n, default=None):\n    return os.environ.get("P_" + n)\nget_env("A", 1)', "A", False, "str", 1),
        ('def get_bool_env(n):\n    return get_env(n)\ndef get_env(k):\n    return os.getenv(k)\nget_bool_env("A")',
         "A", False, "bool", None),
        ('try:\n    X = os.environ["A"]\nexcept KeyError:\n    X = 1', "A", False, "str", None),
        ('if "A" in os.environ:\n    X = os.environ["A"]', "A", False, "str", None),
        ('if "A" in os.environ and os.environ["A"] != "":\n    pass', "A", False, "flag", None),
        ('if "A" not in os.environ:\n    X = os.environ["B"]', "B", True, "str", None),
        ('X = os.environ["A"] if os.getenv("USE_A") else ""', "A", False, "str", None),
        ('def later():\n    return os.environ["A"]', "A", False, "str", None),
    ],
)  # fmt: skip
def test_a_name_is_found(source: str, name: str, is_needed: bool, kind: str, default: Any) -> None:
    read = names(source)[name]
    assert (read.is_needed, read.kind, read.default) == (is_needed, kind, default)


@pytest.mark.parametrize(
    "source",
    [
        'os.environ["A"] = "1"',
        'os.environ.setdefault("A", "1")',
        '{"A": 1}.get("A")',
        'cache.get("A")',
        "os.environ[name]",
    ],
)
def test_what_does_not_read_the_environment_is_no_name(source: str) -> None:
    assert names(source) == {}


def test_a_name_that_only_another_one_switches_on_is_optional_and_names_it() -> None:
    read = names('BUCKET = os.getenv("BUCKET")\nif BUCKET:\n    KEY = os.environ["AWS_KEY"]\n')
    assert (read["AWS_KEY"].is_needed, read["AWS_KEY"].condition) == (False, "BUCKET")


def test_a_name_in_two_places_is_needed_if_one_needs_it() -> None:
    assert names('os.getenv("A")\nos.environ["A"]')["A"].is_needed


@pytest.mark.parametrize("use", ['U + "/0"', 'f"{U}/0"'])
def test_the_database_that_a_project_appends_is_found(use: str) -> None:
    assert names(f'U = os.environ["REDIS_URL"]\nX = {use}\n')["REDIS_URL"].suffixes == ["/0"]


@pytest.mark.parametrize(
    ("expression", "name", "expected"),
    [
        ('env.db("DATABASE_URL")', "DATABASE_URL", {"from": "database.address"}),
        ('os.environ["SQLALCHEMY_DATABASE_URI"]', "SQLALCHEMY_DATABASE_URI", {"from": "database.uri"}),
        ('os.environ["POSTGRES_HOST"]', "POSTGRES_HOST", {"from": "database.host"}),
        ('os.environ["DB_PORT"]', "DB_PORT", {"from": "database.port"}),
        ('os.environ["POSTGRES_DB"]', "POSTGRES_DB", {"from": "database.name"}),
        ('os.environ["PGDATABASE"]', "PGDATABASE", {"from": "database.name"}),
        ('os.environ["SHOP_DB_USER"]', "SHOP_DB_USER", {"from": "database.user"}),
        ('os.environ["DB_PASSWORD"]', "DB_PASSWORD", ""),
        ('os.environ["DB_PASSWORD_FILE"]', "DB_PASSWORD_FILE", {"file": "database.password"}),
        ('os.environ["DB_ENGINE"]', "DB_ENGINE", "django.db.backends.postgresql"),
        ('os.environ.get("DB_TYPE", "sqlite3")', "DB_TYPE", "postgresql"),
        ('os.environ["DJANGO_SECRET_KEY"]', "DJANGO_SECRET_KEY", {"from": "django.secret_key"}),
        ('env.bool("DJANGO_DEBUG", True)', "DJANGO_DEBUG", "False"),
        ('bool(os.getenv("DEBUG"))', "DEBUG", ""),
        ('int(os.getenv("DEBUG", "1"))', "DEBUG", "0"),
        ('os.environ["CELERY_BROKER_URL"]', "CELERY_BROKER_URL", {"template": "${cache.url}/0"}),
        ('os.environ["REDIS_HOST"]', "REDIS_HOST", {"from": "cache.host"}),
        ('os.environ["ALLOWED_HOSTS"].split(",")', "ALLOWED_HOSTS", {"from": "site.hosts"}),
        ('os.environ["ALLOWED_HOSTS"].split(" ")', "ALLOWED_HOSTS", {"from": "site.hosts", "separator": " "}),
        ('env.json("ALLOWED_HOSTS")', "ALLOWED_HOSTS", {"template": "${site.hosts|json}"}),
        ('os.environ["CSRF_TRUSTED_ORIGINS"].split(",")', "CSRF_TRUSTED_ORIGINS", {"from": "site.origins"}),
        ('os.environ["SITE_URL"]', "SITE_URL", {"from": "site.url"}),
        ('os.environ.get("SECURE_SSL_REDIRECT", "True") == "True"', "SECURE_SSL_REDIRECT", "False"),
        ('os.environ["POD_IP"]', "POD_IP", {"from": "pod.ip"}),
    ],
)  # fmt: skip
def test_a_known_name_gets_its_source(tmp_path: Path, expression: str, name: str, expected: Any) -> None:
    project = found(tmp_path, {"shop/settings.py": f"{READERS}X = {expression}\n"})
    answer = project.answers[name]
    assert (answer.value, answer.is_active) == (expected, True)
    assert project.open == []


@pytest.mark.parametrize(
    "name", ["STRIPE_KEY", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "CAPTCHA_SECRET_KEY", "PAGE_TITLE"]
)
def test_a_needed_name_without_a_source_stays_open(tmp_path: Path, name: str) -> None:
    project = found(tmp_path, {"shop/settings.py": f'{READERS}X = os.environ["{name}"]\n'})
    assert [each.name for each in project.open] == [name]


@pytest.mark.parametrize(
    "name",
    ["AWS_S3_CUSTOM_DOMAIN", "MAILGUN_SENDER_DOMAIN", "CSP_BASE_URI", "WEBHOOK_ALLOWED_HOSTS", "PORT", "REDIS_TLS_URL"],
)
def test_a_name_that_only_resembles_a_known_one_gets_no_value(tmp_path: Path, name: str) -> None:
    project = found(tmp_path, {"shop/settings.py": f'{READERS}X = os.getenv("{name}")\n'})
    assert not project.answers[name].is_active


def test_a_name_of_the_mail_server_stays_open_because_only_a_person_knows_it(tmp_path: Path) -> None:
    project = found(tmp_path, {"shop/settings.py": f'{READERS}X = os.environ["EMAIL_HOST"]\n'})
    assert [project.suggestion(name) for name in project.open] == [{"from": "email.host"}]
    assert any("Set app_email" in note for note in project.notes)


def test_each_url_of_the_cache_gets_its_own_database(tmp_path: Path) -> None:
    source = 'A, B = os.environ["CACHE_URL"], os.environ["BROKER_URL"]\n'
    answers = found(tmp_path, {"shop/settings.py": READERS + source}).answers
    assert answers["BROKER_URL"].value == {"template": "${cache.url}/0"}
    assert answers["CACHE_URL"].value == {"template": "${cache.url}/1"}


def test_a_value_that_needs_another_name_is_a_comment(tmp_path: Path) -> None:
    source = 'if os.getenv("USE_MIRROR"):\n    X = os.environ["MIRROR_REDIS_URL"]\n'
    project = found(tmp_path, {"shop/settings.py": READERS + source})
    assert not project.answers["MIRROR_REDIS_URL"].is_active
    assert not project.uses_cache


def test_settings_of_developers_and_tests_are_not_read(tmp_path: Path) -> None:
    project = found(
        tmp_path,
        {
            "shop/settings.py": None,
            "shop/settings/__init__.py": "",
            "shop/settings/base.py": 'import os\nA = os.environ["A"]\n',
            "shop/settings/dev.py": 'import os\nfrom .base import *\nB = os.environ["B"]\n',
            "shop/settings/production.py": 'import os\nfrom .base import *\nC = os.environ["C"]\n',
            "shop/tests/test_x.py": 'import os\nD = os.environ["D"]\n',
            "shop/mail.py": 'import os\nE = os.environ["E"]\n',
            "manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.dev")  # django\n',
            "shop/wsgi.py": None,
        },
    )
    assert project.layout.settings == "shop.settings.production"
    assert set(project.names) == {"A", "C", "E"}
