# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Commands of a project: servers, management commands, and the shell lines that they are in."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree

SERVERS = frozenset({"gunicorn", "uvicorn", "daphne", "hypercorn", "uwsgi", "pyuwsgi", "granian", "waitress-serve"})
# Programs before the command that they run, and how many words each takes at least.
WRAPPERS = {
    "exec": 1,
    "nohup": 1,
    "time": 1,
    "dumb-init": 1,
    "tini": 1,
    "env": 1,
    "sudo": 1,
    "doppler": 1,
    "catchsegv": 1,
}
RUNNERS = frozenset({"uv", "poetry", "pipenv", "pdm", "rye", "hatch"})
PYTHON = re.compile(r"(pypy|python)[0-9.]*")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
# Options of servers that the roles decide, with a value and without: addresses, numbers of processes, and reloading.
DECIDED: dict[str, tuple[list[str], list[str]]] = {
    "gunicorn": (
        ["-b", "--bind", "-w", "--workers", "--pid", "-p", "-u", "--user", "-g", "--group", "--worker-tmp-dir"],
        ["--reload", "-D", "--daemon"],
    ),
    "uvicorn": (["--host", "--port", "--workers", "--uds", "--reload-dir"], ["--reload"]),
    "daphne": (["-b", "--bind", "-p", "--port", "-u", "--unix-socket"], []),
    "hypercorn": (["-b", "--bind", "-w", "--workers"], ["--reload"]),
    "granian": (["--host", "--port", "--workers"], ["--reload"]),
    "waitress-serve": (["--listen", "--host", "--port"], []),
}
ADDRESS = {
    # gunicorn, uvicorn, and granian get their address from the environment.
    "uvicorn": ["--timeout-graceful-shutdown=25"],
    "daphne": ["--bind=127.0.0.1", "--port=8000"],
    "hypercorn": ["--bind=127.0.0.1:8000"],
    "waitress-serve": ["--listen=127.0.0.1:8000"],
}


@dataclass(frozen=True)
class Start:
    """The command with which an image or a Procfile starts the site."""

    # Empty if the server is unknown.
    server: tuple[str, ...]
    # Shell files that were read.
    scripts: tuple[str, ...]
    migrates: bool
    runs_runner: str
    # The management command, if a process has one and no server.
    manage: tuple[str, ...] = ()


def segments(text: str) -> Iterator[list[str]]:
    """Yield the simple commands in a text for a shell."""
    text = re.sub(r"\\\r?\n", " ", text)
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    for part in re.split(r"&&|\|\||[;|\n]", text):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            words = part.split()
        if words:
            yield words


def bare(words: Sequence[str]) -> tuple[list[str], str]:
    """Return a command without the programs before it, and the runner among them."""
    rest, runner = list(words), ""
    while rest:
        program = PurePosixPath(rest[0]).name
        if ASSIGNMENT.fullmatch(rest[0]) or rest[0] == "--":
            rest = rest[1:]
        elif program in WRAPPERS:
            rest = rest[1:]
            while rest and rest[0].startswith("-"):
                rest = rest[1:]
        elif program in RUNNERS and "run" in rest[1:3]:
            runner = f"{program} run"
            rest = _after_options(rest[rest.index("run") + 1 :])
        elif PYTHON.fullmatch(program) and len(rest) > 2 and rest[1] == "-m" and rest[2] in SERVERS | {"celery"}:
            rest = rest[2:]
        else:
            # The image of the inventory can have its programs elsewhere.
            rest[0] = (
                program if program in SERVERS | {"celery", "rq", "dramatiq"} or PYTHON.fullmatch(program) else rest[0]
            )
            break
    if rest and rest[0] == "-m" and runner:
        rest = rest[1:] if len(rest) > 1 and rest[1] in SERVERS | {"celery"} else ["python", *rest]
    return rest, runner


def _after_options(words: list[str]) -> list[str]:
    """Return the command after the options of `uv run`. `-m` begins a command of Python."""
    while words and words[0].startswith("-") and words[0] != "-m":
        takes_value = words[0] in (
            "--env-file",
            "--group",
            "--extra",
            "--with",
            "--python",
            "-p",
            "--project",
            "--directory",
        )
        words = words[2:] if takes_value else words[1:]
    return words


def management(words: Sequence[str], manage: Sequence[str]) -> tuple[str, ...]:
    """Return a management command after the word manage; empty for another command."""
    if not words:
        return ()
    program = PurePosixPath(words[0]).name
    if program in ("manage.py", "django-admin", "django-admin.py"):
        return ("manage", *words[1:])
    if PYTHON.fullmatch(program):
        after = [word for word in words[1:]]
        while after and after[0] in ("-u", "-O", "-B", "-I"):
            after = after[1:]
        if after and (PurePosixPath(after[0]).name == "manage.py"):
            return ("manage", *after[1:])
        if len(after) > 1 and after[0] == "-m" and (after[1] == "manage" or (*manage[:2], after[1]) == tuple(manage)):
            return ("manage", *after[2:])
    if len(manage) == 1 and program == manage[0]:
        return ("manage", *words[1:])
    return ()


def script(tree: Tree, word: str) -> PurePosixPath | None:
    """Return the shell file of the project that a word names, whatever directory an image has it in."""
    name = PurePosixPath(word).name
    if "/" not in word and not word.endswith(".sh"):
        return None
    found = [path for path in tree.files if path.name == name]
    return next((path for path in found if tree.text(path).startswith("#!") or path.suffix == ".sh"), None)


def start(tree: Tree, manage: Sequence[str], *commands: Sequence[str]) -> Start:
    """Return what commands start, with those in the shell files that they run."""
    pending = [text for command in commands for text in _shell_texts(command)]
    server: list[str] = []
    scripts: list[str] = []
    managed: tuple[str, ...] = ()
    migrates, runner = False, ""
    while pending:
        for words in segments(pending.pop(0)):
            rest, found = bare(words)
            runner = runner or found
            if not rest:
                continue
            file = script(tree, rest[0]) or (
                script(tree, rest[1]) if rest[0] in ("sh", "bash") and len(rest) > 1 else None
            )
            if file and str(file) not in scripts:
                scripts.append(str(file))
                pending.append(tree.text(file))
            command = management(rest, manage)
            migrates = migrates or command[1:2] == ("migrate",)
            if rest[0] in SERVERS and not server:
                server = rest
            elif command and command[1:2] not in (("migrate",), ("collectstatic",), ("runserver",)):
                managed = managed or command
    return Start(tuple(server), tuple(scripts), migrates, runner, managed)


def _shell_texts(command: Sequence[str]) -> Iterator[str]:
    if (
        len(command) > 2
        and PurePosixPath(command[0]).name in ("sh", "bash")
        and command[1].startswith("-")
        and "c" in command[1]
    ):
        yield command[2]
    elif command:
        yield shlex.join(command)


def configured(server: Sequence[str]) -> list[str]:
    """Return the command of a server without the options that the roles decide, on the port that the front uses."""
    if not server:
        return []
    with_value, without_value = DECIDED.get(server[0], ([], []))
    words: list[str] = []
    rest = list(server[1:])
    while rest:
        word = rest.pop(0)
        name, has_value, _ = word.partition("=")
        if name in with_value:
            if not has_value and rest:
                rest.pop(0)
        elif name in without_value or (word[:2] in with_value and not word.startswith("--")):
            # A short option can have its value in the same word.
            continue
        elif "$" in word:
            # A shell would replace it. Without a value, its option is left out as well.
            if words and words[-1].startswith("-") and "=" not in words[-1]:
                words.pop()
        else:
            words.append(word)
    return [server[0], *words, *ADDRESS.get(server[0], [])]
