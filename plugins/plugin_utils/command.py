# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Starts a command that ends with the process that started it, passes signals on to it, and waits for its end.

It prints to a file, which is read while it grows, to say how far it is. A process that the command leaves in the
background has this file too, and doesn't delay the end of the task.
"""

import codecs
import contextlib
import ctypes
import errno
import io
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long a signal may go unnoticed, in seconds.
_LONGEST_DEAFNESS = 0.2
_PR_SET_PDEATHSIG = 1
# How many bytes are read at once.
_PIECE = 1 << 20
_LAST_LINES = 20
# As kind, minikube, docker, buildx, apt, mmdebstrap and git begin the line that says why they end.
_ERROR = re.compile(r"(?:#\d+ )?(?:E:|(?i:error|fatal|panic)\b|[*X] Exiting due to )")
_LONGEST_ERROR = 300
# Lines of the libraries of minikube and kind about themselves.
_NOISE = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d|[\W_]*$")
# What would make docker, buildx, kind or a Python do something else than their arguments say.
_FOREIGN = re.compile(
    "DOCKER_DEFAULT_PLATFORM|BUILDX_BUILDER|KIND_CLUSTER_NAME|KIND_EXPERIMENTAL_PROVIDER|PYTHON(PATH|HOME|OPTIMIZE)"
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

display = Display()


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to end this process when its parent ends, even by SIGKILL.

    Otherwise it would work on behind the back of the next run. Only Linux has this; elsewhere it is left out. With the
    number of the parent, a process whose parent has ended before the kernel was asked ends at once.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def start(options: dict[str, Any], stdin: IO[Any], output: IO[Any]) -> subprocess.Popen[bytes]:
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
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=options["chdir"],
            env=environment_of(options),
            start_new_session=True,
            preexec_fn=before_the_command,
        )
    except OSError as error:
        advice = "Create it." if error.filename == options["chdir"] else "Install it, or put it on PATH."
        raise AnsibleActionFail(
            f"{options['label']} cannot start: {error.filename}: {error.strerror}. {advice}"
        ) from None


def environment_of(options: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a command: what changes its meaning comes from its options only."""
    present = {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
    return present | {name: str(value) for name, value in options["environment"].items()}


@contextlib.contextmanager
def signals_passed_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass on what ends Ansible's worker to the command and its children, which have a session of their own.

    The kernel tells only the command itself when the worker is gone, and a shell would leave its children behind.
    Signals wait until the command that this gives a function for has started.
    """
    commands: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not commands and not early:
            early.append(number)
            return
        for process in commands:
            _terminate(process)
        former[number](number, frame)

    def started(process: subprocess.Popen[bytes]) -> None:
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


def end(process: subprocess.Popen[bytes]) -> None:
    """End the command and its children if it still runs, as after Ctrl-C."""
    if process.poll() is None:
        _terminate(process)
        while wait(process) is None:
            pass


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask the command and its children to end, if nobody knows yet that it has ended."""
    if process.returncode is None:
        # The one has ended meanwhile; the other has become somebody whom we have nothing to say to.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)


def wait(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code of a command that has ended, or None after a moment.

    Python handles a signal between two steps of its own. One that comes just before a long system call begins does not
    interrupt it, so no call may be long.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(timeout=_LONGEST_DEAFNESS)
    return None


# --- Output -----------------------------------------------------------------------------------------------------------


class Output:
    """What a command has printed so far."""

    def __init__(self, file: IO[bytes], directory: str, name: str) -> None:
        self.file, self.directory, self.name = file, directory, name
        self.position = 0
        self.incomplete = ""
        self.decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)

    def lines(self, final: bool = False) -> Iterator[str]:
        """Give the lines that are complete and new; at the end, also one that is incomplete.

        What is printed from now on is not waited for, since that may have no end.
        """
        size = os.fstat(self.file.fileno()).st_size
        if size < self.position:
            # The command has emptied it, as a shell does that writes to /dev/stdout by name.
            self.position = 0
        while self.position < size:
            piece = os.pread(self.file.fileno(), min(_PIECE, size - self.position), self.position)
            if not piece:
                break
            self.position += len(piece)
            *complete, self.incomplete = (self.incomplete + self.decoder.decode(piece)).split("\n")
            yield from complete
        if final:
            last, self.incomplete = self.incomplete + self.decoder.decode(b"", True), ""
            yield from last.split("\n")

    def check(self) -> None:
        """Raise OSError if the file system of the output is full: many commands don't say so, or go on without it."""
        try:
            with tempfile.TemporaryFile(dir=self.directory) as file:
                file.write(bytes(4096))
                file.flush()
        except OSError as error:
            if error.errno in _FULL:
                raise OSError(error.errno, error.strerror, self.name) from None


@contextlib.contextmanager
def open_output(log: str | None) -> Iterator[Output]:
    """Give the output to a new log, or to a temporary file. Raises OSError if the log cannot be written."""
    if not log:
        with tempfile.TemporaryFile() as file:
            yield Output(file, tempfile.gettempdir(), tempfile.gettempdir())
        return
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Devices and full file systems refuse the first byte, not the opening.
    path.write_bytes(b"\n")
    path.write_bytes(b"")
    with path.open("a+b", buffering=0) as file:
        yield Output(file, str(path.parent), log)


class Progress:
    """Counts a command's lines of output and prints, every `interval` seconds, how far it is."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.label = options["label"]
        self.interval = options["interval"]
        self.total = options["total"]
        self.pattern = re.compile(options["count"]) if options["count"] else None
        self.patterns = [(re.compile(each["pattern"]), each["text"]) for each in options.get("hints") or []]
        # The texts of those that were found, each with the last line that it is about.
        self.hints: dict[str, str] = {}
        self.count = 0
        # Many commands say early why they fail, and then print pages of what they know about it.
        self.first_error = ""
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.started = time.monotonic()
        self.next_print = self.started + self.interval

    def show(self) -> None:
        """Print a line if it is time for one, also for a command that prints nothing in its longest steps."""
        now = time.monotonic()
        if now >= self.next_print:
            self.next_print = now + self.interval
            display.display(f"  {self.label}: {self.describe(now - self.started)}")

    def feed(self, line: str) -> None:
        """Take in one line of output."""
        if line:
            self.last_lines.append(line)
            if not self.first_error and _ERROR.match(line.lstrip()):
                self.first_error = shortened(line.strip().lstrip("*X ").rstrip("."))
            if self.pattern and self.pattern.search(line):
                self.count += 1
            for pattern, text in self.patterns:
                if text and pattern.search(line):
                    self.hints[text] = shortened(line.strip())

    def describe(self, seconds: float) -> str:
        """Return the progress after `seconds` in words."""
        if self.pattern and self.total:
            return f"{seconds:.0f} s, {min(self.count, self.total)} of about {self.total}"
        if self.pattern:
            return f"{seconds:.0f} s, {self.count} steps"
        last = next((line[:100] for line in reversed(self.last_lines) if not _NOISE.match(line)), "no output yet")
        return f"{seconds:.0f} s, {last}"


def shortened(line: str) -> str:
    """Return a line without its middle if it is long, because the reason is at its end."""
    if len(line) <= _LONGEST_ERROR:
        return line
    return f"{line[: _LONGEST_ERROR // 3]} ... {line[-(_LONGEST_ERROR - _LONGEST_ERROR // 3 - 5) :]}"
