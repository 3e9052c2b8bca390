"""The tag of an image: the inventories and the role image compute the same value, which is stable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.lookup.image_tag import hash_image
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.build_context import hash_context


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    return tmp_path


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
