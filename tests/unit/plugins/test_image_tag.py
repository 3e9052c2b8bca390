"""The tag of an image: the inventories and the role image compute the same value, which is stable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.lookup import image_tag
from ansible_collections.cloud_django.kubernetes.plugins.lookup.image_tag import hash_image
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.build_context import hash_context


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    path.mkdir()
    (path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("arguments", [{}, {"B": "x", "A": 1}, {"é": "ü€", "n": None, "t": True}, {"l": [1, "2"]}])
def test_the_hash_is_stable(context: Path, arguments: dict[str, Any]) -> None:
    """Another hash would rebuild all images and replace all pods."""
    text = json.dumps([hash_context(context), arguments], sort_keys=True)
    assert hash_image(context, arguments) == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_depends_on_content_and_arguments(context: Path) -> None:
    first = hash_image(context, {})
    assert hash_image(context, {"A": "1"}) != first
    (context / "Dockerfile").write_text("FROM other\n", encoding="utf-8")
    assert hash_image(context, {}) != first


def test_the_hash_does_not_depend_on_the_order_of_arguments(context: Path) -> None:
    assert hash_image(context, {"A": 1, "B": 2}) == hash_image(context, {"B": 2, "A": 1})


# ---- Other Dockerfiles, stages, and platforms ------------------------------------------------------------------------


def test_a_usual_build_has_the_hash_of_its_context_and_arguments(context: Path) -> None:
    """Otherwise, this release would rebuild all images and replace all pods."""
    usual = {"file": "Dockerfile", "target": "", "platforms": [], "python": {}}
    assert hash_image(context, {}, usual) == hash_image(context, {}, {}) == hash_image(context, {}, {"file": None})
    text = json.dumps([hash_context(context), {}], sort_keys=True)
    assert hash_image(context, {}, usual) == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_depends_on_dockerfile_stage_and_platforms(context: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    (inventory / "shop").mkdir(parents=True)
    (inventory / "shop" / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (context / "web.Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    builds: list[dict[str, Any]] = [
        {},
        {"file": "web.Dockerfile"},
        {"file": "shop/Dockerfile"},
        {"target": "web"},
        {"platforms": ["linux/amd64"]},
        {"platforms": ["linux/amd64", "linux/arm64"]},
        {"file": "python", "python": {"requirements": ["django"]}},
        {"file": "python", "python": {"requirements": ["django", "gunicorn"]}},
    ]
    hashes = [hash_image(context, {}, build, inventory) for build in builds]
    assert len(set(hashes)) == len(builds)
    (inventory / "shop" / "Dockerfile").write_text("FROM other\n", encoding="utf-8")
    after = [hash_image(context, {}, build, inventory) for build in builds]
    assert [number for number, (one, other) in enumerate(zip(hashes, after, strict=True)) if one != other] == [2]


def test_the_hash_depends_on_the_ready_made_dockerfile(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = {"file": "python", "python": {"requirements": ["django"]}}
    before = hash_image(context, {}, build)
    other = tmp_path / "other.Dockerfile"
    other.write_text("FROM scratch\n", encoding="utf-8")
    monkeypatch.setattr(image_tag, "PYTHON", other)
    assert hash_image(context, {}, build) != before


def test_files_of_development_do_not_change_the_ready_made_image(context: Path) -> None:
    build = {"file": "python", "python": {"requirements": ["django"]}}
    before = hash_image(context, {}, build)
    for name in (
        ".git/HEAD",
        ".venv/bin/python",
        "shop/.env",
        "db.sqlite3",
        "node_modules/a/b.js",
        "x/__pycache__/y.pyc",
    ):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("x", encoding="utf-8")
    assert hash_image(context, {}, build) == before
    (context / "manage.py").write_text("x", encoding="utf-8")
    assert hash_image(context, {}, build) != before


def test_a_task_reads_the_files_once(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main process runs all tasks, and one of them can change the files."""
    lookup = image_tag.LookupModule()
    monkeypatch.setattr(image_tag, "_tags", {})
    monkeypatch.setattr(lookup, "set_options", lambda direct, **_: lookup._options.update(direct))

    def tag(**arguments: str) -> list[str]:
        return lookup.run([str(context)], {}, arguments=arguments, dockerfile=False, full=False)

    first = tag()
    (context / "Dockerfile").write_text("FROM other\n", encoding="utf-8")
    assert (second := tag()) != first
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    (context / "Dockerfile").write_text("FROM another\n", encoding="utf-8")
    assert tag() == second
    assert tag(VERSION="2") not in (first, second)
