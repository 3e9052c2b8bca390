"""The README and the argument specification of each role are complete, and their examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())
MOST_LINES = 25
# It has the requirements for a project too.
LONG = {"image", "web"}
# The role django has no tasks. These roles depend on it.
DEPENDENT = {"django": ["migrations", "processes", "superuser", "web"]}
ENTRY_POINTS = [
    (role, name, content)
    for role in ROLES
    for name, content in yaml.safe_load((PROJECT / "roles" / role / "meta" / "argument_specs.yml").read_text())[
        "argument_specs"
    ].items()
]


def plays_of(example: str) -> list[dict[str, Any]]:
    """Return the plays, or the tasks, of an example."""
    content = yaml.safe_load(example)
    assert isinstance(content, list)
    return content


def uses(role: str, example: str) -> bool:
    """Return whether an example runs the role, or one that depends on it."""
    return bool({role, *DEPENDENT.get(role, ())} & set(re.findall(r"cloud_django\.kubernetes\.(\w+)", example)))


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_a_short_readme_with_an_example(role: str) -> None:
    text = (PROJECT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES or role in LONG
    [example, *_] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert plays_of(example)
    assert uses(role, example)
    assert f"docs/variables.md#{role})" in text


@pytest.mark.parametrize(
    ("role", "name", "content"), ENTRY_POINTS, ids=[f"{role}-{name}" for role, name, _ in ENTRY_POINTS]
)
def test_each_entry_point_has_version_attributes_and_examples(role: str, name: str, content: dict[str, Any]) -> None:
    assert content["version_added"] == "0.1.0"
    assert content["short_description"]
    # YAML makes a dictionary of an unquoted sentence with a colon.
    paragraphs = content["description"]
    assert all(isinstance(text, str) for text in ([paragraphs] if isinstance(paragraphs, str) else paragraphs))
    assert content["attributes"].keys() >= {"check_mode", "diff_mode"}
    assert plays_of(content["examples"])
    assert uses(role, content["examples"])
