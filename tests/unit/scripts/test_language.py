"""The check of plain English: text that it checks, and text that it ignores."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "language.py"
RULES = tomllib.loads(SCRIPT.with_name("language.toml").read_text())
# Words come from the rules, so that this file passes the check.
ODD = next(iter(RULES["words"])).split(", ")[0]
START = next(iter(RULES["starts"])).split(", ")[0]
VERB = next(iter(RULES["tasks"])).split(", ")[0]
NAME = next(iter(RULES["names"])).split(", ")[0]
TWO_WORDS = next(words for words in RULES["words"] if words.count(" ") == 1 and "," not in words)


@pytest.fixture(scope="module")
def language() -> ModuleType:
    """Return the script as a module."""
    specification = importlib.util.spec_from_file_location("language", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def lines(language: ModuleType, directory: Path, name: str, text: str) -> list[int]:
    """Return the lines of the findings in a file with this text."""
    path = directory / name
    path.write_text(text)
    return sorted(line for line, _ in language.findings(path))


@pytest.mark.parametrize("word", [word for words in RULES["words"] for word in words.split(", ")])
def test_each_word_is_found(language: ModuleType, tmp_path: Path, word: str) -> None:
    assert lines(language, tmp_path, "page.md", f"The run {word} it.\n") == [1]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("page.md", f"# A page\n\nThe {ODD} here.\n", [3]),
        ("page.md", f"The `{ODD}` and [a link](docs/{ODD}.md) to https://example.org/{ODD} here.\n", []),
        ("page.md", f"Run this:\n\n```console\nmake {ODD}\n```\n\nThe {ODD}.\n", [7]),
        ("page.md", f"The start of {TWO_WORDS.replace(' ', chr(10))} here.\n", [1]),
        ("page.md", f"The run works. {START} it does is here.\n", [1]),
        ("page.md", f"{START} does it do?\n\nIt asks {START.lower()} it does.\n", []),
        ("page.md", f"| A | B |\n|---|---|\n| a | {'word ' * 30}|\n| b | {'word ' * 31}|\n", [4]),
        ("page.md", f"The {NAME} here.\n", []),
        ("code.py", f'"""Return a value.\n\nThe {ODD} here.\n"""\n', [3]),
        ("code.py", f"{ODD} = 1  # This is {ODD} code.\n", [1]),
        ("code.py", f"{ODD}('{ODD}', key='a {ODD}')\n", []),
        ("code.py", f"fail('This has to {ODD} it.')\n", [1]),
        ("code.py", f"fail(\n    f'Thing {{{ODD}}} has'\n    ' to {ODD} it'\n)\n", [3]),
        ("code.py", f"fail(f'Thing {{names['{ODD}']}} is broken here')\n", []),
        ("code.py", f"def test_{ODD}_it():\n    pass\n", [1]),
        ("code.py", f"def {ODD}_it():\n    pass\n", []),
        ("tool", f"#!/usr/bin/env bash\n{ODD}  # The {ODD} here.\n", [2]),
        ("Makefile", f"{ODD}: ## The {ODD} here\n\t{ODD}\n\t@echo 'It will {ODD} that'\n", [1, 3]),
        ("Dockerfile", f"# The {ODD} here.\nRUN {ODD}\n", [1]),
        ("page.html", f"<p class='{ODD}'>{{{{ {ODD} }}}}\n<b>The {ODD}</b></p>\n", [2]),
        ("code.js", f"/* The {ODD} here. */\n{ODD}()\n// The {ODD} here.\n", [1, 3]),
        ("tasks.yml", f"- name: {VERB} the site\n", [1]),
        ("tasks.yml", f"- name: main | {VERB} the site\n", [1]),
        ("tasks.yml", f"- name: main | Apply what you {VERB.lower()}\n", []),
        ("tasks.yml", f"# The {ODD} here.\n{ODD}: {ODD}  # The {ODD} here.\n", [1, 2]),
        ("tasks.yml", f"a:\n  name: The {ODD}\n  msg: >-\n    This is text\n    to {ODD} here.\n", [2, 5]),
        ("tasks.yml", f"a:\n  msg: \"{{{{ 'You have to {ODD} it.' if {ODD} else 'It is {ODD}' }}}}\"\n", [2, 2]),
        ("tasks.yml", f"a:\n  when: the.{ODD} is {ODD} and a_b == '{ODD}'\n  loop: '{{{{ {ODD} }}}}'\n", []),
        ("data.json", f'{{"a": "The {ODD} here."}}\n', []),
        ("lock.txt", f"The {ODD} here.\n", []),
    ],
)
def test_prose_is_checked_and_code_is_not(
    language: ModuleType, tmp_path: Path, name: str, text: str, found: list[int]
) -> None:
    assert lines(language, tmp_path, name, text) == found


def check(directory: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    """Run the check in a directory."""
    return subprocess.run([sys.executable, SCRIPT, *paths], cwd=directory, capture_output=True, text=True)


def test_findings_fail_with_their_place_and_a_suggestion(tmp_path: Path) -> None:
    """Without arguments, the check reads all files that Git does not ignore."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("ignored.md\n")
    (tmp_path / "ignored.md").write_text(f"The {ODD} here.\n")
    (tmp_path / "good.md").write_text("The page here.\n")
    assert check(tmp_path).returncode == 0
    (tmp_path / "bad.md").write_text(f"Fine.\nThe {ODD} here.\n")
    result = check(tmp_path)
    assert result.returncode == 1
    assert result.stdout.splitlines()[0].startswith(f'bad.md:2: "{ODD}": ')
    assert RULES["words"][next(iter(RULES["words"]))] in result.stdout
    assert check(tmp_path, "good.md").returncode == 0
    assert check(tmp_path, "bad.md").returncode == 1


def test_lint_runs_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    specification = importlib.util.spec_from_file_location("run_all_tests", SCRIPT.with_name("run.py"))
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "run_all_tests", module)
    specification.loader.exec_module(module)
    commands = []
    monkeypatch.setattr(module, "run", lambda *words: commands.append(words) or subprocess.CompletedProcess(words, 0))
    assert all(step.run().passed == 1 for step in [*module.lint(), module.ansible_lint()])
    assert (sys.executable, "tests/language.py") in commands
