"""What `ansible-doc` shows of each of our modules can be read, and says the same as the module."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGE = "ansible_collections.cloud_django.kubernetes.plugins.modules"
MODULES = sorted(path.stem for path in Path(import_module(PACKAGE).__path__[0]).glob("[a-z]*.py"))


def sentences(entry: dict[str, Any]) -> list[Any]:
    """Return the sentences of an entry and of what is below it."""
    description = entry.get("description", [])
    found = list(description) if isinstance(description, list) else [description]
    for part in ("options", "suboptions", "contains", "attributes"):
        for below in entry.get(part, {}).values():
            found += sentences(below)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_every_description_is_a_text_and_none_stands_twice(name: str) -> None:
    module = import_module(f"{PACKAGE}.{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == name
    assert yaml.safe_load(module.EXAMPLES)
    said = documented["description"]
    texts = sentences(documented) + sentences({"options": yaml.safe_load(module.RETURN)})
    assert [text for text in texts if not isinstance(text, str)] == []
    # By their beginnings, since what is written twice by mistake differs at the end.
    beginnings = [" ".join(text.split()[:8]) for text in said]
    assert len(set(beginnings)) == len(beginnings)
