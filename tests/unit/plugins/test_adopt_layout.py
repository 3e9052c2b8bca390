"""Layouts of projects, their commands, and their images, for `make adopt`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from adopt_cases import MANAGE, SETTINGS, WSGI, adopted, found, make
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import commands, containers
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.adoption import adopt
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.errors import AdoptError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree

# ---- Layout ----------------------------------------------------------------------------------------------------------


def test_a_plain_project_has_all_parts(tmp_path: Path) -> None:
    layout = found(tmp_path).layout
    assert (layout.manage, layout.wsgi, layout.settings) == (("python", "manage.py"), "shop.wsgi", "shop.settings")


def test_a_project_below_src_is_found(tmp_path: Path) -> None:
    variables, _ = adopted(
        tmp_path,
        {
            "manage.py": None,
            "shop/settings.py": None,
            "shop/wsgi.py": None,
            "src/manage.py": MANAGE,
            "src/shop/settings.py": SETTINGS,
            "src/shop/wsgi.py": WSGI,
        },
    )
    assert variables["django_manage"] == ["python", "src/manage.py"]
    assert variables["django_python_path"] == ["/app/src"]
    assert variables["web_command"] == ["gunicorn", "shop.wsgi"]


def test_the_search_path_of_an_image_is_kept(tmp_path: Path) -> None:
    variables, _ = adopted(
        tmp_path, {"Dockerfile": "FROM python\nENV PYTHONPATH=/code/:$PYTHONPATH:/lib/x\nWORKDIR /code\n"}
    )
    assert variables["django_python_path"] == ["/code", "/lib/x"]


def test_a_package_and_a_console_script_are_management_commands(tmp_path: Path) -> None:
    main = "from django.core.management import execute_from_command_line\nexecute_from_command_line()\n"
    package = found(tmp_path, {"manage.py": None, "shop/__main__.py": main})
    assert package.layout.manage == ("python", "-m", "shop")
    script = {"pyproject.toml": '[project.scripts]\nshopctl = "shop.cli:main"\n', "shop/cli.py": main}
    assert found(tmp_path / "b", {"manage.py": None, **script}).layout.manage == ("shopctl",)


def test_the_server_module_alone_is_a_project(tmp_path: Path) -> None:
    project = found(tmp_path, {"manage.py": None})
    assert (project.layout.manage, project.layout.settings) == ((), "shop.settings")
    assert any("No management command" in note for note in project.notes)


def test_settings_for_servers_win_over_those_for_developers(tmp_path: Path) -> None:
    changes = {
        "manage.py": MANAGE.replace("shop.settings", "shop.settings.local"),
        "shop/wsgi.py": WSGI.replace("shop.settings", "shop.settings.local"),
        "shop/settings.py": None,
        "shop/settings/local.py": SETTINGS,
        "shop/settings/prod.py": "from .local import *\nDEBUG = False\n",
    }
    assert found(tmp_path, changes).layout.settings == "shop.settings.prod"


def test_another_management_command_is_reported(tmp_path: Path) -> None:
    project = found(tmp_path, {"examples/manage.py": MANAGE})
    assert project.layout.manage == ("python", "manage.py")
    assert any("examples/manage.py" in note for note in project.notes)


# ---- Errors ----------------------------------------------------------------------------------------------------------


def test_a_directory_without_django_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "manage.py").write_text("import flask\n")
    with pytest.raises(AdoptError, match=r"has no manage.py, no console script, and no wsgi.py\. Set PROJECT"):
        adopt(str(tmp_path / "shop"), "", tmp_path / "inventory", None)


def test_an_existing_inventory_is_not_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "shop")
    (tmp_path / "inventory" / "shop").mkdir(parents=True)
    with pytest.raises(AdoptError, match=r"inventory/shop already exists\. Choose another SITE"):
        adopt(str(tmp_path / "shop"), "", tmp_path / "inventory", None)
    assert adopt(str(tmp_path / "shop"), "other", tmp_path / "inventory", None)["path"].endswith("/other")


@pytest.mark.parametrize("site", ["Shop", "../shop", "1shop", "a" * 31, "shop-", "a b"])
def test_a_name_of_a_site_that_fits_no_object_is_refused(tmp_path: Path, site: str) -> None:
    with pytest.raises(AdoptError, match="SITE is"):
        adopt(str(make(tmp_path / "shop")), site, tmp_path / "inventory", None)


@pytest.mark.parametrize(
    ("name", "site"), [("My Shop_2", "my-shop-2"), ("2024", "site"), ("é", "site"), ("x" * 40, "x" * 20)]
)
def test_the_name_of_the_directory_becomes_that_of_the_site(tmp_path: Path, name: str, site: str) -> None:
    result = adopt(str(make(tmp_path / name)), "", tmp_path / "inventory", None)
    assert Path(result["path"]).name == site


@pytest.mark.parametrize(
    ("project", "problem"), [("", "is empty"), ("none", "does not exist"), ("file", "is not a directory")]
)
def test_what_is_no_directory_is_refused(tmp_path: Path, project: str, problem: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AdoptError, match=problem):
        adopt(str(tmp_path / project) if project else "", "", tmp_path / "inventory", None)


def test_files_that_cannot_be_read_are_skipped_and_reported(tmp_path: Path) -> None:
    root = make(tmp_path / "shop", {"shop/old.py": 'print "environ"\n', "shop/views.py": "environ\n"})
    (root / "shop" / "latin.py").write_bytes("# environ é\n".encode("latin-1"))
    (root / "shop" / "big.py").write_text("#environ\n" * 200_000)
    os.mkfifo(root / "shop" / "pipe.py")
    (root / "loop").symlink_to(root)
    (root / "gone.py").symlink_to(root / "none")
    notes = "\n".join(adopt(str(root), "", tmp_path / "inventory", None)["report"])
    assert "shop/old.py has no syntax of Python 3" in notes
    assert "shop/latin.py is not UTF-8" in notes
    assert "shop/big.py is larger" in notes


def test_environments_and_tools_of_a_project_are_not_read(tmp_path: Path) -> None:
    changes = {
        ".venv/lib/manage.py": MANAGE,
        "py/pyvenv.cfg": "",
        "py/lib/manage.py": MANAGE,
        "node_modules/manage.py": MANAGE,
    }
    root = make(tmp_path / "shop", changes)
    assert [str(path) for path in Tree(root).named("manage.py")] == ["manage.py"]


# ---- Commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gunicorn shop.wsgi -b 0.0.0.0:$PORT --workers 3 -w2 --reload", ["gunicorn", "shop.wsgi"]),
        ("exec uv run gunicorn shop.wsgi --threads 4", ["gunicorn", "shop.wsgi", "--threads", "4"]),
        ("python -m gunicorn --bind=:80 shop.wsgi:application", ["gunicorn", "shop.wsgi:application"]),
        ("A=1 newrelic=2 /venv/bin/gunicorn shop.wsgi", ["gunicorn", "shop.wsgi"]),
        ("dumb-init -- gunicorn -c $CONF shop.wsgi", ["gunicorn", "shop.wsgi"]),
        ("python manage.py migrate && gunicorn shop.wsgi", ["gunicorn", "shop.wsgi"]),
        ("uv run --no-dev -m gunicorn shop.wsgi", ["gunicorn", "shop.wsgi"]),
        (
            "uvicorn shop.asgi:application --host 0.0.0.0 --port 80",
            ["uvicorn", "shop.asgi:application", "--timeout-graceful-shutdown=25"],
        ),
        (
            "daphne -b 0.0.0.0 -p 80 shop.asgi:application",
            ["daphne", "shop.asgi:application", "--bind=127.0.0.1", "--port=8000"],
        ),
    ],
)
def test_the_command_of_a_server_is_found_without_what_the_roles_decide(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    begun = commands.start(Tree(make(tmp_path / "shop")), ("python", "manage.py"), ["sh", "-c", text])
    assert commands.configured(begun.server) == expected


def test_shell_files_of_the_image_are_read(tmp_path: Path) -> None:
    script = (
        '#!/bin/sh\nset -e\npython manage.py migrate --noinput\nexec gunicorn shop.wsgi \\\n  --bind 0.0.0.0:80 "$@"\n'
    )
    project = found(
        tmp_path,
        {
            "deploy/start.sh": script,
            "Dockerfile": 'FROM python:3.13\nWORKDIR /code\nUSER 1000\nCMD ["/code/deploy/start.sh"]\n',
        },
    )
    assert project.server == ["gunicorn", "shop.wsgi"]
    assert any("migrates when it starts (deploy/start.sh)" in note for note in project.notes)


def test_programs_that_uv_installs_are_on_the_path(tmp_path: Path) -> None:
    changes = {"Dockerfile": "FROM python:3.13\nWORKDIR /code\nCMD uv run gunicorn shop.wsgi\n"}
    variables, result = adopted(tmp_path, changes)
    assert variables["django_environment"]["PATH"].startswith("/code/.venv/bin:/usr/local/sbin:")
    assert any("`uv run`" in line for line in result["report"])
    changes = {
        "Dockerfile": 'FROM python\nENV PATH="/code/.venv/bin:$PATH"\nWORKDIR /code\nCMD uv run gunicorn shop.wsgi\n'
    }
    assert "django_environment" not in adopted(tmp_path / "b", changes)[0]


# ---- Dockerfile ------------------------------------------------------------------------------------------------------


def parsed(text: str) -> containers.Dockerfile:
    file = containers.parse(Path("Dockerfile"), text)  # type: ignore[arg-type]  # A path of the machine works as well.
    assert file
    return file


def test_a_stage_has_what_the_stage_before_it_has() -> None:
    file = parsed(
        "ARG VERSION=3.13\nFROM --platform=linux/amd64 python:${VERSION} AS base\n"
        "ENV A=1 B='x y'\nENV C d e\nWORKDIR /srv\n"
        "USER app\nRUN useradd --uid 1234 app\nFROM base\nWORKDIR code\nCOPY --from=ghcr.io/astral-sh/uv:1 /uv /bin\n"
        'EXPOSE 80/tcp 8000\nCMD ["gunicorn", "x"]\n'
    )
    assert (file.stage.workdir, file.stage.user, file.user_id) == ("/srv/code", "app", 1234)
    assert file.stage.environment == {"A": "1", "B": "x y", "C": "d e"}
    assert file.images == ["python:3.13", "ghcr.io/astral-sh/uv:1"]
    assert (file.low_ports, file.stage.command) == ([80], ["gunicorn", "x"])


def test_continued_lines_comments_and_heredocs_are_read() -> None:
    file = parsed(
        "# a comment\nFROM python\nRUN apt-get update \\\n # a comment\n && apt-get install -y libpq5 $MORE\n"
        "RUN <<EOF\npython manage.py collectstatic\nEOF\nCMD gunicorn x\n"
    )
    assert (file.debian, file.collects) == (["libpq5"], True)
    assert file.stage.command == ["sh", "-c", "gunicorn x"]


def test_traps_of_an_image_are_reported(tmp_path: Path) -> None:
    text = "FROM python:3.13\nEXPOSE 80\nCMD python manage.py migrate; gunicorn shop.wsgi -b :80\n"
    variables, result = adopted(tmp_path, {"Dockerfile": text})
    report = "\n".join(result["report"])
    assert (variables["image_file"], variables["image_build_arguments"]) == ("Dockerfile", {})
    for trap in ("migrates when it starts", "has no USER", "exposes port 80", "No requirement connects to PostgreSQL"):
        assert trap in report
    assert variables["web_command"] == ["gunicorn", "shop.wsgi"]


def test_a_dockerfile_for_production_wins_over_one_for_developers(tmp_path: Path) -> None:
    texts = {
        name: "FROM python\n" for name in ("compose/local/django/Dockerfile", "compose/production/django/Dockerfile")
    }
    variables, _ = adopted(tmp_path, texts | {"compose/production/postgres/Dockerfile": "FROM postgres\n# python\n"})
    assert variables["image_file"] == "compose/production/django/Dockerfile"


def test_the_user_of_an_image_is_kept_if_it_is_a_number(tmp_path: Path) -> None:
    assert adopted(tmp_path, {"Dockerfile": "FROM python\nUSER 1000:1000\n"})[0]["django_user_id"] == 1000
    variables, result = adopted(tmp_path / "b", {"Dockerfile": "FROM python\nUSER django\n"})
    assert "django_user_id" not in variables
    assert any("runs as django, a name" in line for line in result["report"])
