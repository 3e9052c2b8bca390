"""The documentation of each module is valid, agrees with the module, and has no repeated paragraph."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGE = "ansible_collections.cloud_django.kubernetes.plugins.modules"
MODULES = sorted(path.stem for path in Path(import_module(PACKAGE).__path__[0]).glob("[a-z]*.py"))


def sentences(entry: dict[str, Any]) -> list[Any]:
    """Return the paragraphs of an entry and of the entries in it."""
    description = entry.get("description", [])
    found = list(description) if isinstance(description, list) else [description]
    for part in ("options", "suboptions", "contains", "attributes"):
        for below in entry.get(part, {}).values():
            found += sentences(below)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_descriptions_are_strings_and_not_repeated(name: str) -> None:
    module = import_module(f"{PACKAGE}.{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == name
    assert yaml.safe_load(module.EXAMPLES)
    paragraphs = documented["description"]
    texts = sentences(documented) + sentences({"options": yaml.safe_load(module.RETURN)})
    assert [text for text in texts if not isinstance(text, str)] == []
    # Compare beginnings, because accidental repetitions often differ at the end.
    beginnings = [" ".join(text.split()[:8]) for text in paragraphs]
    assert len(set(beginnings)) == len(beginnings)
