"""Run a script inside of the management command of a Django project.

    python launch.py SCRIPT [--] MANAGE...

MANAGE is how the project starts its commands: `python manage.py`, `python -m package`, or a console script. It starts
as usual and configures Django, but at the point where Django would run a command, it runs the script. The command
`shell` is no replacement, because some projects refuse or replace it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

# For the scripts: `from cloud_django_launch import Refusal`.
sys.modules["cloud_django_launch"] = sys.modules[__name__]

# Names of commands in sys.argv, because settings and apps of some projects read them, for instance to skip queries.
COMMANDS = {"migrate": "migrate", "superuser": "createsuperuser"}

PYTHON = re.compile(r"(python|pypy)[\d.]*t?$")
# Second line of a console script whose interpreter has a path that is too long or relative to the script.
EXEC = re.compile(r"""'''exec' (.+) "\$0" "\$@"$""")
OPTIONS_WITH_VALUE = ("-W", "-X")

# The kubelet copies it to the status of the container, and the run reports it.
TERMINATION_LOG = Path("/dev/termination-log")

# Seconds to repeat a failed connection, because a Service needs a moment to route to a new server.
CONNECT_TIMEOUT = 15


class Refusal(Exception):
    """Reason why a script cannot go on, and the next step, both without a final dot."""

    def __init__(self, reason: str, step: str) -> None:
        super().__init__(f"{reason}. {step}.")
        self.reason, self.step = reason, step


def connect(connection: Any) -> None:
    """Connect to the database, and repeat for CONNECT_TIMEOUT seconds unless the server rejects the connection."""
    from django.db import OperationalError

    last = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            rejected = "FATAL:" in str(error) and "the database system is" not in str(error)
            if rejected or time.monotonic() > last:
                raise
            print(f"The database does not answer yet: {first_line(error)}", flush=True)
            time.sleep(0.5)
        else:
            return


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


# ---- The program that MANAGE starts ----------------------------------------------------------------------------------


def is_python(word: str) -> bool:
    return bool(PYTHON.match(Path(word).name))


def shebang(path: str) -> str:
    """Return the interpreter of a Python script, or an empty string for another program."""
    with Path(path).open("rb") as file:
        first, _, second = file.read(4096).partition(b"\n")
    words = first.decode(errors="replace").removeprefix("#!").split() if first.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words and Path(words[0]).name == "sh":
        found = EXEC.match(second.partition(b"\n")[0].decode(errors="replace"))
        text = re.sub(r'^"\$\(dirname .*\)"', str(Path(path).resolve().parent), found[1]) if found else ""
        words = [text.replace('"', "").replace("'", "")]
    return (shutil.which(words[0]) or words[0]) if words and is_python(words[0]) else ""


def split_python(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the options of a Python command, and the rest, which begins with -m or the path of a file."""
    for index, word in enumerate(words):
        is_value = index > 0 and words[index - 1] in OPTIONS_WITH_VALUE
        if word == "-m" or not (word.startswith("-") or is_value):
            return words[:index], words[index:]
    return words, []


def find(manage: list[str]) -> tuple[list[str], list[str]]:
    """Return the command that must run this launcher, and the Python program that the launcher must run.

    The program is -m and a module, or a file, followed by its arguments.
    """
    if not manage:
        raise Refusal(
            "django_manage is empty", "Set it to the command of the project, for instance [python, manage.py]"
        )
    word = manage[0]
    if is_python(word):
        options, program = split_python(manage[1:])
        if not program:
            raise Refusal(f"django_manage ({' '.join(manage)}) names no program", "Add manage.py or -m with a module")
        return [shutil.which(word) or word, *options], program
    path = shutil.which(word)
    if path is None and word.endswith(".py") and Path(word).is_file():
        return [sys.executable], manage
    if path is None:
        raise Refusal(f"The program {word} of django_manage is not in the image", "Correct django_manage")
    if interpreter := shebang(path):
        return [interpreter], [path, *manage[1:]]
    # A program that starts another one, for instance `uv run python manage.py`.
    for index, inner in enumerate(manage[1:], 1):
        if is_python(inner):
            options, program = split_python(manage[index + 1 :])
            if program:
                return [*manage[: index + 1], *options], program
        elif inner.endswith(".py"):
            return [*manage[:index], "python"], manage[index:]
    step = "Set it to the Python program that it starts, for instance [python, manage.py]"
    raise Refusal(f"The program {word} of django_manage is not written in Python", step)


def is_this_python(command: list[str]) -> bool:
    """Return whether a command starts the Python that runs this launcher, in the same environment."""
    path, own = Path(command[0]).absolute(), Path(sys.executable)
    return len(command) == 1 and path.parent == own.parent and path.resolve() == own.resolve()


def start(program: list[str], command: str) -> None:
    """Run a Python program in this process as Python would, with one more argument."""
    is_module = program[0] == "-m"
    name, *arguments = program[1:] if is_module else program
    sys.argv = [name, *arguments, command]
    if not getattr(sys.flags, "safe_path", False):
        # Until now it is the directory of this file.
        sys.path[0] = str(Path.cwd() if is_module else Path(name).resolve().parent)
    if is_module and importlib.util.find_spec(name.partition(".")[0]) is None:
        raise Refusal(f"The module {name} of django_manage is not in the image", step_for(Path.cwd()))
    if is_module:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    elif Path(name).exists():
        runpy.run_path(name, run_name="__main__")
    else:
        file = Path.cwd() / name
        reason = f"{file.name} of django_manage is not in the directory {file.parent} of the image"
        raise Refusal(reason, step_for(file.parent))


def step_for(directory: Path) -> str:
    """Return the next step if the project is not in a directory, which a mount can hide."""
    mount = next((each for each in (directory, *directory.parents) if os.path.ismount(each)), Path("/"))
    if mount == Path("/"):
        return "Correct django_manage"
    step = f"remove {mount} from django_writable or django_volumes, because it hides files of the image"
    return f"Correct django_manage, or {step}"


# ---- The script ------------------------------------------------------------------------------------------------------


class Script:
    """Script that replaces the execution of a management command."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Not set until Django has started.
        self.status: int | None = None

    def replace_commands(self) -> None:
        """Let Django run the script in place of any command."""
        try:
            from django.core.management import ManagementUtility
        except ImportError as error:
            step = "Begin django_manage with the Python of the project, for instance [/app/.venv/bin/python, manage.py]"
            raise Refusal(f"Django is not installed for {sys.executable}", step) from error

        def execute(utility: Any) -> NoReturn:
            self.status = 1
            try:
                set_up(utility.argv)
                self.run()
                self.status = 0
            except SystemExit as end:
                self.status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException as error:
                report(error)
            # Some projects handle exceptions of a command, so the status is kept.
            sys.exit(self.status)

        ManagementUtility.execute = execute

    def run(self) -> None:
        code = compile(Path(self.path).read_text(encoding="utf-8"), self.path, "exec")
        exec(code, {"__name__": "__main__", "__file__": self.path})


def set_up(arguments: list[str]) -> None:
    """Load the settings and the apps, as Django does before a command."""
    import django
    from django.core.management.base import CommandError, CommandParser, handle_default_options

    parser = CommandParser(usage="", add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    # The project's own options can have other meanings.
    with contextlib.suppress(CommandError):
        handle_default_options(parser.parse_known_args(arguments[1:])[0])
    django.setup()


def report(error: BaseException) -> None:
    """Print an error, and let the run report it in one sentence."""
    if not isinstance(error, Refusal) or error.__cause__:
        traceback.print_exception(type(error), error, error.__traceback__)
    refusal = error if isinstance(error, Refusal) else as_refusal(error)
    print(refusal, file=sys.stderr, flush=True)
    entry = {"level": "error", "msg": refusal.reason, "advice": refusal.step}
    # The log has the sentence too.
    with contextlib.suppress(OSError):
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(json.dumps(entry) + "\n", encoding="utf-8")


def as_refusal(error: BaseException) -> Refusal:
    """Return any other error in one sentence. Only messages that are made for readers are part of it."""
    # By name, because Django may be what cannot be imported.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = f"{type(error).__name__}: {first_line(error).rstrip('.')}"
    if kinds & {"ImproperlyConfigured", "ImportError"}:
        step = "Correct the settings of the project, or what django_environment and django_files give them"
        return Refusal(f"The project does not start: {text}", step)
    text = text if kinds & {"CommandError", "DatabaseError"} else type(error).__name__
    return Refusal(f"The command ended with {text}", "Read its log and fix the cause")


def main(arguments: list[str]) -> int:
    # As PID 1, a process ignores a signal without a handler. A database then rolls back at once.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    is_again = arguments[:1] == ["--again"]
    path, *manage = arguments[is_again:]
    manage = manage[1:] if manage[:1] == ["--"] else manage
    script = Script(path)
    try:
        command, program = ([sys.executable], manage) if is_again else find(manage)
        if not is_again and not is_this_python(command):
            again = [*command, __file__, "--again", path, "--", *program]
            try:
                os.execvp(again[0], again)
            except OSError as error:
                step = "Correct django_manage"
                raise Refusal(f"The Python {again[0]} of django_manage cannot start: {error.strerror}", step) from None
        script.replace_commands()
        start(program, COMMANDS.get(Path(path).stem, "check"))
    except SystemExit as end:
        if script.status is None and end.code not in (None, 0):
            report(
                Refusal(f"django_manage ({' '.join(manage)}) exited with {end.code}", "Read its log and fix the cause")
            )
            return 1
    except BaseException as error:
        if script.status is None:
            report(error)
            return 1
    if script.status is None:
        text = f"django_manage ({' '.join(manage)}) ended before Django ran a command"
        report(Refusal(text, "Set it to the command that starts management commands of the project"))
        return 1
    return script.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
