"""The documentation: its links, commands, variables, environment names, messages, and tables."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pages import FENCE, PAGES, PROJECT, RUN, blocks, session

MOST_WORDS_IN_A_CELL = 30
NAME = r"[A-Z][A-Z0-9_]{2,}"
# Names in capital letters on the page of environment variables that are values or words.
NO_NAMES = {
    "DEBUG",
    "INFO",
    "WARNING",
    "ERROR",
    "SIGTERM",
    "HTTPS",
    "HTTP",
    "HSTS",
    "JSON",
    "CSRF",
    "TLS",
    "URL",
    "UTC",
    "SSH",
}


# A command that writes an inventory.
ADOPT = re.compile(r"make adopt PROJECT=\S+")
BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [(block.page, command) for block in BLOCKS for line in block.lines for command in line.split(" && ")]


@cache
def specifications() -> dict[str, dict[str, Any]]:
    """Return the argument specifications of each role."""
    files = sorted(PROJECT.glob("roles/*/meta/argument_specs.yml"))
    return {path.parts[-3]: yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"] for path in files}


def options() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield role, name, and specification of each option of the entry point main, with those inside of options."""
    for role, specs in specifications().items():
        pending = list(specs["main"].get("options", {}).items())
        while pending:
            name, option = pending.pop()
            yield role, name, option
            pending += [(f"{name}.{inner}", value) for inner, value in (option.get("options") or {}).items()]


@cache
def generator() -> ModuleType:
    """Import scripts/document_variables."""
    loader = SourceFileLoader("document_variables", str(PROJECT / "scripts" / "document_variables"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


# ---- Pages -----------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings in a page, as GitHub names them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = [re.sub(r"[`*]", "", title).strip().lower() for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page", [*PAGES, *PROJECT.glob("roles/*/README.md")], ids=lambda page: str(page.relative_to(PROJECT))
)
def test_no_relative_link_is_broken(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_each_page_is_in_the_index() -> None:
    index = (PROJECT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = {page.name for page in PAGES[1:] if f"({page.name})" not in index}
    assert missing == {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_table_cell_is_long(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    cells = [
        cell
        for line in text.splitlines()
        if line.lstrip().startswith("|")
        for cell in line.strip().strip("|").split("|")
    ]
    assert [cell for cell in cells if len(cell.split()) > MOST_WORDS_IN_A_CELL] == []


@pytest.mark.parametrize(
    "path",
    sorted(
        {
            path
            for page in PAGES
            for path in re.findall(
                r"`((?:tests|roles|playbooks|scripts|bench|inventory|django_polls|molecule|plugins)/[\w./-]*)`",
                page.read_text(encoding="utf-8"),
            )
        }
    ),
)
def test_named_paths_exist(path: str) -> None:
    # Examples of the pages: a copy that the reader makes.
    if not path.startswith(("inventory/production", "inventory/myproject", "inventory/shop")):
        assert (PROJECT / path).exists()


# ---- Commands --------------------------------------------------------------------------------------------------------


def words(command: str) -> list[str]:
    """Return the words of a command, with a substituted command as one word."""
    return shlex.split(re.sub(r"\$\([^()]*\)", "SUBSTITUTED", command), comments=True)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def make_variables() -> set[str]:
    """Return the variables that `make` reads and doesn't compute: those of the user."""
    text = re.sub(r"^#.*", "", (PROJECT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    computed = set(re.findall(rf"^(?:export )?({NAME})\s*:?=", text, re.MULTILINE))
    read = set(re.findall(r"\$[({]([A-Z][A-Z0-9_]*)[)}]", text)) | set(
        re.findall(rf"^({NAME})\s*\?=", text, re.MULTILINE)
    )
    return read - computed - {"CURDIR", "MAKE", "MAKECMDGOALS", "MAKEFLAGS", "SHELL"}


def variables() -> set[str]:
    """Return all variables of roles and of inventories."""
    names = {name.partition(".")[0] for _, name, _ in options()}
    return names | set(generator().INVENTORY)


@cache
def playbook_options() -> set[str]:
    """Return the options of ansible-playbook."""
    program = Path(sys.executable).with_name("ansible-playbook")
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", text, re.IGNORECASE))


def tags_of(playbook: str) -> set[str]:
    """Return the tags in a playbook."""
    text = (PROJECT / playbook).read_text(encoding="utf-8")
    return {tag.strip() for tags in re.findall(r"tags: \[(.*?)\]", text) for tag in tags.split(",")}


def wrong_in_make(arguments: list[str]) -> list[str]:
    """Return the wrong words after `make`."""
    wrong = []
    for word in arguments:
        name, is_variable, value = word.partition("=")
        # The Makefile sets ARGS, and the value of the command line replaces it.
        if is_variable and name not in make_variables() | {"ARGS"}:
            wrong.append(word)
        if name == "INVENTORY" and not (PROJECT / value).is_dir() and f" {value}\n" not in copies():
            wrong.append(word)
        if not is_variable and word not in make_targets():
            wrong.append(word)
    return wrong


def copies() -> str:
    """Return the commands that copy or write an inventory with a name of the reader's own."""
    copied = [command for _, command in COMMANDS if command.startswith("cp -r inventory/")]
    # The one that `make adopt` writes has the name of the project's directory.
    written = [
        f"{command} inventory/{command.rpartition('/')[2]}" for _, command in COMMANDS if ADOPT.fullmatch(command)
    ]
    return "".join(f"{command}\n" for command in [*copied, *written])


def wrong_in_playbook(arguments: list[str]) -> list[str]:
    """Return the wrong words after `ansible-playbook`."""
    playbooks = [word for word in arguments if word.endswith(".yml")]
    wrong = [word for word in playbooks if not (PROJECT / word).is_file()]
    wrong += [] if len(playbooks) == 1 else ["no playbook"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.startswith("-") and word.partition("=")[0] not in playbook_options():
            wrong.append(word)
        if before in ("-i", "--inventory") and not (PROJECT / word).is_dir() and f" {word}\n" not in copies():
            wrong += [] if word in ("SUBSTITUTED", "$inventory") else [word]
        if before in ("-e", "--extra-vars") and not word.startswith("{"):
            wrong += [word for pair in word.split() if pair.partition("=")[0] not in variables()]
        if before in ("--tags", "-t"):
            wrong += [tag for tag in word.split(",") if tag not in tags_of(playbooks[0])]
    return wrong


def wrong_in(command: str) -> list[str]:
    """Return what doesn't exist in a command."""
    command = re.sub(r"^(inventory=)?\"?\$\((.*)\)\"?$", r"\2", command)
    program, *arguments = words(command) or [""]
    if program == "make":
        return wrong_in_make(arguments)
    if program == "ansible-playbook":
        return wrong_in_playbook(arguments)
    if program in ("pytest", "cp", ".venv/bin/python"):
        paths = [word for word in arguments if "/" in word and f" {word}\n" not in copies()]
        return [word for word in paths if not (PROJECT / word).exists()]
    if "/" in program:
        return [] if (PROJECT / program).is_file() else [program]
    return [] if program in ("", "source", "git", "cd", "docker", "export", "molecule") else [program]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 30
    assert any("make scale" in command for _, command in COMMANDS)


@pytest.mark.parametrize(("page", "command"), sorted(set(COMMANDS)))
def test_each_command_exists_with_its_options(page: str, command: str) -> None:
    assert wrong_in(command) == []


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("make upp", ["upp"]),
        ("make scale REPLICA=5", ["REPLICA=5"]),
        ("make up INVENTORY=inventory/none", ["INVENTORY=inventory/none"]),
        ("ansible-playbook -i inventory/kind playbooks/none.yml", ["playbooks/none.yml"]),
        ("ansible-playbook -i inventory/none playbooks/site.yml", ["inventory/none"]),
        ("ansible-playbook -i inventory/kind playbooks/site.yml --chekc", ["--chekc"]),
        ("ansible-playbook -i inventory/kind playbooks/site.yml -e web_replica=5", ["web_replica=5"]),
        ("ansible-playbook -i inventory/kind playbooks/site.yml --tags image,wbe", ["wbe"]),
        ("scripts/none", ["scripts/none"]),
        ("mkae up", ["mkae"]),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, wrong: list[str]) -> None:
    assert wrong_in(command) == wrong


def test_no_command_uses_a_cluster_that_make_may_not_have_chosen() -> None:
    """A fixed inventory is allowed only for a copy that the reader made, which is the only one with that name."""
    fixed = re.compile(r"-i (inventory/\S+)")
    found = {(page, match[1]) for page, command in COMMANDS if (match := fixed.search(command))}
    assert [entry for entry in found if f" {entry[1]}\n" not in copies()] == []


def test_the_first_pages_run_all_of_their_commands() -> None:
    assert [block for block in BLOCKS if block.page in RUN and block.reason] == []
    assert {block.page for block in BLOCKS} >= set(RUN)
    lines = [line for block in BLOCKS if block.page in RUN for line in block.lines]
    assert set(session()) == set(lines)
    assert session().count("make up") == lines.count("make up")
    assert session()[0].startswith("git clone ")
    assert session()[-1] == "make down"
    # Both pages begin with the same clone.
    assert sum(line.startswith("git clone ") for line in session()) == 1


# ---- Variables -------------------------------------------------------------------------------------------------------


def test_the_page_of_variables_is_current() -> None:
    current = generator().page(specifications())
    message = "Run `.venv/bin/python scripts/document_variables`."
    assert (PROJECT / "docs" / "variables.md").read_text(encoding="utf-8") == current, message


def test_the_check_of_the_page_of_variables_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator(), "PROJECT", tmp_path)
    monkeypatch.setattr(generator(), "PAGE", tmp_path / "variables.md")
    assert generator().main(["--check"]) == 1
    assert generator().main([]) == 0
    assert generator().main(["--check"]) == 0
    (tmp_path / "variables.md").write_text("old", encoding="utf-8")
    assert generator().main(["--check"]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C(present) removes O(web_state=absent).", "`present` removes `web_state=absent`."),
        ("Dictionary of V(a(b\\)).", "Dictionary of `a(b)`."),
        ("See L(the guide,https://a.org/b).", "See [the guide](https://a.org/b)."),
        ("Secrets <app>-ca, and `<app>`.", "Secrets \\<app>-ca, and `<app>`."),
    ],
)
def test_marks_of_ansible_become_markdown(text: str, expected: str) -> None:
    assert generator().markdown(text) == expected


@pytest.mark.parametrize("inventory", sorted((PROJECT / "inventory").iterdir()), ids=lambda path: path.name)
def test_each_variable_of_an_inventory_is_documented(inventory: Path) -> None:
    content = yaml.safe_load((inventory / "group_vars" / "all" / "main.yml").read_text(encoding="utf-8"))
    assert set(content) - variables() == set()


def test_each_variable_in_the_pages_exists() -> None:
    roles = "|".join(specifications())
    # Names of roles with an underscore, and of the example project.
    other = {*specifications(), "django_polls"}
    found = {
        name
        for page in PAGES
        for name in re.findall(rf"`((?:{roles}|app)_\w+)(?:: [^`]*)?`", page.read_text(encoding="utf-8"))
    }
    assert found - variables() - other == set()


def examples() -> list[dict[str, Any]]:
    """Return the blocks of variables on the page about the reader's own project."""
    text = (PROJECT / "docs" / "your-own-project.md").read_text(encoding="utf-8")
    return [yaml.safe_load(match["code"]) for match in FENCE.finditer(text) if match["language"] == "yaml"]


def test_each_variable_in_the_examples_exists() -> None:
    found = {name for example in examples() for name in example}
    assert len(found) > 25
    # The group in a file of hosts.
    assert found - variables() == {"cloud_django"}


@pytest.mark.parametrize("role", sorted(specifications()))
def test_no_two_options_of_a_role_share_a_description(role: str) -> None:
    texts = Counter(json.dumps(option["description"]) for name, _, option in options() if name == role)
    assert [text for text, times in texts.items() if times > 1] == []


# ---- Environment variables -------------------------------------------------------------------------------------------

ENVIRONMENT = (PROJECT / "docs" / "environment-variables.md").read_text(encoding="utf-8")
# Names that aren't for users, and why.
INTERNAL = {
    "TASKS_STARTED_FILE": "bench sets it for its own callback plugin.",
    "PATH_INFO": "A key of WSGI.",
    "REQUEST_METHOD": "A key of WSGI.",
    "REMOTE_ADDR": "A key of WSGI.",
    "ANSIBLE_COLLECTIONS_PATH": "One of Ansible, which bench extends.",
    "CLOUD_DJANGO_LOG": "scripts/play sets it for the callback plugin.",
    "CLOUD_DJANGO_TITLE": "scripts/play sets it for the callback plugin.",
    "CLOUD_DJANGO_COMMAND": "scripts/play sets it for the callback plugin.",
    "CLOUD_DJANGO_ANSWER_ONLY": "scripts/play sets it for the callback plugin.",
    "NO_PROXY": "The other spelling of no_proxy.",
    "DATABASE_URL": "A name of a project, in an example.",
}
READERS = (
    rf"environment\.(?:text|required|flag|number|choice|words|secret|optional_secret)\(\s*\"({NAME})\"",
    rf"environ(?:ment)?(?:\.get\(|\.setdefault\(|\[)\"({NAME})\"",
    rf"ansible\.builtin\.env', '({NAME})'",
    rf"\$\{{({NAME}):?-",
    r"- name: (CLOUD_DJANGO_\w+)",
)


def sources() -> Iterator[Path]:
    """Yield the files that read environment variables, without tests."""
    for folder in ("django_polls", "plugins", "roles", "playbooks", "inventory", "scripts", "bench"):
        for path in sorted((PROJECT / folder).rglob("*")):
            is_test = "tests" in path.parts or path.name in ("conftest.py", "testing.py", "pytest_environment.py")
            if path.is_file() and not is_test and path.suffix not in (".pyc", ".png", ".svg", ".json"):
                yield path


def names_read() -> set[str]:
    """Return the names that programs and playbooks read."""
    found: set[str] = set()
    for path in sources():
        text = path.read_text(encoding="utf-8", errors="ignore")
        for pattern in READERS:
            found |= set(re.findall(pattern, text))
    return found


def names_in_pods() -> set[str]:
    """Return the names that roles give to the containers of a site."""
    found: set[str] = set()
    for role in ("cache", "database", "django", "migrations", "postgresql", "superuser", "web"):
        for path in sorted((PROJECT / "roles" / role / "vars").rglob("*.yml")):
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(rf"- (?:\{{)?name: ({NAME})\b", text))
            found |= set(re.findall(rf"^ +({NAME}): ", text, re.MULTILINE))
            found |= set(re.findall(rf"'({NAME})': ", text))
    return found


def test_each_environment_variable_is_documented() -> None:
    names = names_read() | names_in_pods() | make_variables()
    assert len(names) > 60
    documented = set(re.findall(rf"`({NAME}|[A-Z])`", ENVIRONMENT))
    assert sorted(names - documented - INTERNAL.keys()) == []


def documented_variables() -> list[str]:
    """Return the environment variables in the first cells of the tables."""
    cells = [line.partition("|")[2].partition("|")[0] for line in ENVIRONMENT.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(rf"`({NAME})`", cell) if name not in NO_NAMES]


def test_no_environment_variable_is_documented_twice() -> None:
    assert [name for name, number in Counter(documented_variables()).items() if number > 1] == []


def test_each_documented_environment_variable_is_used() -> None:
    documented = set(documented_variables())
    code = "\n".join(
        path.read_text(encoding="utf-8", errors="ignore")
        for path in [*sources(), PROJECT / "Makefile", PROJECT / "Dockerfile"]
    )
    # Three of the superuser, two of the migrations, and two of a connection are put together from parts.
    parts = {"K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT"}
    assert sorted(name for name in documented - parts if name not in code) == []


# ---- Messages --------------------------------------------------------------------------------------------------------

# Parts of messages of Kubernetes, PostgreSQL and Ansible.
FOREIGN_MESSAGES = {
    "OOMKilled",
    "ProgressDeadlineExceeded",
    "DeadlineExceeded",
    "lock timeout",
    "OOM command not allowed",
    "password authentication failed",
    "finalizer",
    "Validation of arguments failed",
}


def symptoms() -> list[str]:
    """Return the parts of messages in the first columns of docs/troubleshooting.md."""
    text = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [part for cell in rows for part in re.findall(r"`([^`]+)`", cell)]


@cache
def message_sources() -> str:
    """Return all texts of messages, on one line each."""
    files = [path for path in sources() if path.suffix in (".py", ".sh", ".yml") or path.parent.name == "scripts"]
    text = "\n".join(path.read_text(encoding="utf-8", errors="ignore") for path in files)
    # Strings of several lines in Python and YAML are one message.
    return re.sub(r"\s+", " ", re.sub(r"\"\s*\n\s*f?\"", "", text))


def test_there_are_enough_symptoms() -> None:
    assert len(symptoms()) > 40


@pytest.mark.parametrize("part", sorted(set(symptoms()) - FOREIGN_MESSAGES))
def test_each_symptom_is_a_part_of_a_message(part: str) -> None:
    assert part in message_sources()
