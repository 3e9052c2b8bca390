"""Messages for users: no unmatched quotes, and no claim that nothing was changed where that may be wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import balanced, shorten
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import Problem
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.report import sentence

PROJECT = Path(__file__).parents[2]
UNCHANGED = re.compile(r"nothing (?:\w+ ){0,2}?was changed|no changes were made(?! to the site)", re.IGNORECASE)
# Places where no change was made before, with the reason.
SURE = {
    "playbooks/shared/inventory.yml": "It is the first play of each playbook.",
    "plugins/lookup/environment_refusal.py": "It is for the first play of each playbook.",
    "plugins/filter/pinned_kubeconfig.py": "No task reaches the cluster without it.",
    "plugins/module_utils/api/target.py": "The target is checked before the first change in it.",
    "roles/web/tasks/check_replicas.yml": "It is the first task of playbooks/scale.yml.",
}
MESSAGE_KEYS = ("msg", "fail_msg", "success_msg")


def text_of(node: ast.AST) -> str:
    """Return the text of a literal, with a placeholder for each value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = (part if isinstance(part, ast.Constant) else ast.Constant("value") for part in node.values)
        return "".join(text_of(part) for part in parts)
    return ""


def python_messages() -> Iterator[tuple[str, str]]:
    """Yield each message or part of a message in the plugins, with its place."""
    for path in sorted((PROJECT / "plugins").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {
            id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
        }
        patterns = {
            id(argument)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
            for argument in ast.walk(node)
        }
        for node in ast.walk(tree):
            text = text_of(node)
            is_short = " " not in text.strip() or "\n" in text.strip()
            if not is_short and id(node) not in inside | patterns:
                yield f"{path.relative_to(PROJECT)}:{node.lineno}", text


def strings(content: Any, wanted: bool) -> Iterator[str]:
    """Yield the strings under keys of messages; with `wanted`, yield all strings."""
    if isinstance(content, str) and wanted:
        yield content
    elif isinstance(content, list):
        for item in content:
            yield from strings(item, wanted)
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from strings(value, wanted or key in MESSAGE_KEYS)


def yaml_messages() -> Iterator[tuple[str, str]]:
    """Yield each message of a task, and each of the variables that hold refusals, without what Jinja puts in."""
    files = [*PROJECT.glob("roles/*/tasks/*.yml"), *PROJECT.glob("playbooks/**/*.yml")]
    files += PROJECT.glob("roles/*/vars/main/refusals.yml")
    for path in sorted(files):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for text in strings(content, path.name == "refusals.yml" or path.parent.name == "shared"):
            bare = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "value", text, flags=re.DOTALL)
            # If parts of an expression are messages, check each literal separately.
            literals = re.findall(r"'((?:[^'\\]|\\.)* (?:[^'\\]|\\.)*)'", text) if bare.strip() == "value" else [bare]
            yield from ((f"{path.relative_to(PROJECT)}", literal) for literal in literals)


MESSAGES = [*python_messages(), *yaml_messages()]


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 300
    assert sum(where.startswith("roles/") for where, _ in MESSAGES) > 50


@pytest.mark.parametrize("mark", ['"', "`"])
def test_no_message_has_an_unmatched_quote(mark: str) -> None:
    assert [(where, text) for where, text in MESSAGES if text.count(mark) % 2] == []


def test_no_message_says_that_nothing_was_changed_where_that_may_be_untrue() -> None:
    said = {where.partition(":")[0] for where, text in MESSAGES if UNCHANGED.search(text)}
    assert said == set(SURE)


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ('pods "polls-web-7d9f… is forbidden', "pods polls-web-7d9f… is forbidden"),
        ('lhost/polls:1": not found', "lhost/polls:1: not found"),
        ('Pod "a" is invalid: "b…', 'Pod "a" is invalid: b…'),
        ('b": is no "c"', 'b: is no "c"'),
        ("run `make up", "run make up"),
        ('all "is" well', 'all "is" well'),
    ],
)
def test_quote_that_was_cut_is_removed(cut: str, whole: str) -> None:
    assert balanced(cut) == whole
    assert str(ApiError("Thing", cut)) == f"Thing {whole}."
    assert whole in sentence("Job", "migrate", "polls", Problem("Failed", cut))


def test_shortened_text_has_no_open_quote() -> None:
    text = 'pods "x" is forbidden: exceeded quota: "' + "a" * 700 + '"'
    assert shorten(text).count('"') == 2
