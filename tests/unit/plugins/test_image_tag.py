"""The tag of an image: one formula for the inventories and the role image, whose value does not change."""

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
def test_hash_is_that_of_all_releases(context: Path, arguments: dict[str, Any]) -> None:
    """Another formula would rebuild every image and roll every pod."""
    text = json.dumps([hash_context(context), arguments], sort_keys=True)
    assert hash_image(context, arguments) == hashlib.sha256(text.encode()).hexdigest()


def test_content_and_arguments_count(context: Path) -> None:
    first = hash_image(context, {})
    assert hash_image(context, {"A": "1"}) != first
    (context / "Dockerfile").write_text("FROM other\n", encoding="utf-8")
    assert hash_image(context, {}) != first


def test_arguments_count_in_any_order(context: Path) -> None:
    assert hash_image(context, {"A": 1, "B": 2}) == hash_image(context, {"B": 2, "A": 1})
