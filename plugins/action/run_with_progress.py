"""Action plugin that runs a long command on the controller and says how far it is."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self, TextIO

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.process import die_with_parent

display = Display()

_LAST_LINES = 20
# As kind, minikube, docker, buildx, apt, mmdebstrap and git begin the line that says why they end.
_ERROR = re.compile(r"(?:#\d+ )?(?:E:|(?i:error|fatal|panic)\b|[*X] Exiting due to )")
_LONGEST_ERROR = 300
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long a signal may go unnoticed, in seconds.
_LONGEST_DEAFNESS = 0.2


class ActionModule(ActionBase):
    """The controller's side of :mod:`run_with_progress`; its documentation stands in the module of that name."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the command, print a line every `interval` seconds, and return its result."""
        result = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(
            argument_spec={
                "argv": {"type": "list", "elements": "str", "required": True},
                "creates": {"type": "path"},
                "chdir": {"type": "path"},
                "environment": {"type": "dict", "default": {}},
                "stdin": {"type": "str"},
                "log": {"type": "path"},
                "label": {"type": "str", "required": True},
                "count": {"type": "str"},
                "total": {"type": "int"},
                "interval": {"type": "float", "default": 10.0},
            },
        )
        if options["creates"] and Path(options["creates"]).exists():
            return result | {"changed": False, "rc": 0, "msg": f"{options['creates']} exists"}
        if self._task.check_mode:
            return result | {"changed": True, "msg": f"{options['label']}: would run {options['argv'][0]}"}

        started = time.monotonic()
        code, progress = _run(options)
        if code:
            raise AnsibleActionFail(_failure(options, code, progress))
        return result | {"changed": True, "rc": 0, "seconds": round(time.monotonic() - started, 1)}


def _failure(options: dict[str, Any], code: int, progress: Progress) -> str:
    """Return the error for a command that failed: its own first word of it, where the log is, and the last lines."""
    why = f": {progress.first_error}" if progress.first_error else ""
    where = f" The whole log is in {options['log']}." if options["log"] else ""
    return "\n".join(
        [f"{options['label']} failed with exit code {code}{why}.{where} It ended with:", *progress.last_lines]
    )


def _run(options: dict[str, Any]) -> tuple[int, Progress]:
    """Run the command of `options`; return its exit code and what was kept of its output."""
    die_with_parent()
    # A file, because a command that prints before it has read everything would block pipes at both ends.
    progress = Progress(options)
    with contextlib.ExitStack() as stack:
        stdin = stack.enter_context(tempfile.TemporaryFile(mode="w+", encoding="utf-8"))
        stdin.write(options["stdin"] or "")
        stdin.seek(0)
        write = stack.enter_context(_log(options))
        ends_with_worker = stack.enter_context(_signals_passed_on())
        process = _start(options, stdin)
        stack.callback(_end, process)
        lines = stack.enter_context(_lines(process.stdout))
        ends_with_worker(process)
        stack.enter_context(progress)
        for line in lines:
            write(line)
            progress.feed(line.rstrip())
        return _wait(process), progress


@contextlib.contextmanager
def _log(options: dict[str, Any]) -> Iterator[Callable[[str], object]]:
    """Give what writes a line to the log at once; it does nothing if none is wanted."""

    def write(line: str) -> None:
        try:
            left = line.encode()
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise _cannot_log(options, error) from None

    if not options["log"]:
        yield lambda line: None
        return
    with contextlib.ExitStack() as stack:
        try:
            Path(options["log"]).parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(Path(options["log"]).open("wb", buffering=0))
        except OSError as error:
            raise _cannot_log(options, error) from None
        yield write


def _cannot_log(options: dict[str, Any], error: OSError) -> AnsibleActionFail:
    return AnsibleActionFail(
        f"{options['label']} has no log: {error.filename or options['log']}: {error.strerror}. "
        "Make it possible to write there, then run the playbook again."
    )


def _start(options: dict[str, Any], stdin: TextIO) -> subprocess.Popen[str]:
    """Start the command of `options`, in a session of its own."""
    worker = os.getpid()

    def before_the_command() -> None:
        # Until the command itself is there, a handler of ours would swallow what the kernel sends.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(worker)

    try:
        return subprocess.Popen(
            options["argv"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=options["chdir"],
            env=os.environ | {name: str(value) for name, value in options["environment"].items()},
            start_new_session=True,
            preexec_fn=before_the_command,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        advice = "Create it." if error.filename == options["chdir"] else "Install it, or put it on PATH."
        raise AnsibleActionFail(
            f"{options['label']} cannot start: {error.filename}: {error.strerror}. {advice}"
        ) from None


@contextlib.contextmanager
def _lines(output: TextIO) -> Iterator[Iterator[str]]:
    """Give the lines of a command's output as they come, and let signals be noticed while there are none.

    Python handles a signal between two steps of its own. One that comes just before a read begins does not interrupt
    it, and would wait for the next line, which may never come. So a thread reads, and here nothing waits for long.
    """
    lines: queue.Queue[str | Exception | None] = queue.Queue(maxsize=1000)
    over = threading.Event()

    def put(line: str | Exception | None) -> None:
        # When nobody wants them any more, the command shall nevertheless find somebody who takes its last words.
        while not over.is_set():
            with contextlib.suppress(queue.Full):
                lines.put(line, timeout=_LONGEST_DEAFNESS)
                return

    def read() -> None:
        trouble = None
        with output:
            try:
                for line in output:
                    put(line)
            except Exception as error:
                trouble = error
        put(trouble)

    def come() -> Iterator[str]:
        while True:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=_LONGEST_DEAFNESS)
                if line is None:
                    return
                if isinstance(line, Exception):
                    raise line
                yield line

    threading.Thread(target=read, daemon=True).start()
    try:
        yield come()
    finally:
        over.set()


class Progress:
    """Counts a command's lines of output and prints, every `interval` seconds, how far it is."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.label = options["label"]
        self.interval = options["interval"]
        self.total = options["total"]
        self.pattern = re.compile(options["count"]) if options["count"] else None
        self.count = 0
        # Many commands say early why they fail, and then print pages of what they know about it.
        self.first_error = ""
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.started = time.monotonic()
        self.ended = threading.Event()

    def __enter__(self) -> Self:
        # A thread, because some commands print nothing in their longest steps.
        threading.Thread(target=self._print, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()

    def _print(self) -> None:
        while not self.ended.wait(self.interval):
            display.display(f"  {self.label}: {self.describe(time.monotonic() - self.started)}")

    def feed(self, line: str) -> None:
        """Take in one line of output."""
        if line:
            self.last_lines.append(line)
            if not self.first_error and _ERROR.match(line.lstrip()):
                self.first_error = line.strip().lstrip("*X ").rstrip(".")[:_LONGEST_ERROR]
            if self.pattern and self.pattern.search(line):
                self.count += 1

    def describe(self, seconds: float) -> str:
        """Return the progress after `seconds` in words."""
        if self.pattern and self.total:
            return f"{seconds:.0f} s, {min(self.count, self.total)} of about {self.total}"
        if self.pattern:
            return f"{seconds:.0f} s, {self.count} steps"
        last = self.last_lines[-1][:100] if self.last_lines else "no output yet"
        return f"{seconds:.0f} s, {last}"


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[Callable[[subprocess.Popen[str]], None]]:
    """Pass on what ends Ansible's worker to the command and its children, which have a session of their own.

    The kernel tells only the command itself when the worker is gone, and a shell would leave its children behind.
    Signals wait until the command that this gives a function for has started.
    """
    commands: list[subprocess.Popen[str]] = []
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not commands and not early:
            early.append(number)
            return
        for process in commands:
            _terminate(process)
        former[number](number, frame)

    def started(process: subprocess.Popen[str]) -> None:
        commands.append(process)
        for number in early:
            pass_on(number, None)

    former = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    try:
        yield started
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        # Those that waited for a command that could not start.
        for number in () if commands else early:
            signal.raise_signal(number)


def _end(process: subprocess.Popen[str]) -> None:
    """End the command and its children if it still runs, as after Ctrl-C."""
    if process.poll() is None:
        _terminate(process)
        _wait(process)


def _terminate(process: subprocess.Popen[str]) -> None:
    """Ask the command and its children to end, if nobody knows yet that it has ended."""
    if process.returncode is None:
        # The one has ended meanwhile; the other has become somebody whom we have nothing to say to.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)


def _wait(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a command, and let signals be noticed meanwhile."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_LONGEST_DEAFNESS)
