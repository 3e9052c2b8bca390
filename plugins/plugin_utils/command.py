# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Start a command that terminates with its parent process, forward signals to it, and wait until it exits.

The command writes to a file, which is read at the same time for the progress. With a pipe, a background process of the
command would delay the end of the task.
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
# Seconds until a signal is handled, at most.
_SIGNAL_DELAY = 0.2
_PR_SET_PDEATHSIG = 1
# Bytes per read.
_PIECE = 1 << 20
_LAST_LINES = 20
# Beginnings of the lines in which kind, minikube, docker, buildx, apt, mmdebstrap, and git report the error.
_ERROR = re.compile(r"(?:#\d+ )?(?:E:|(?i:error|fatal|panic)\b|[*X] Exiting due to )")
_LONGEST_ERROR = 300
# Debug output of the libraries of minikube and kind.
_NOISE = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d|[\W_]*$")
# Variables that change how docker, buildx, kind, or Python interpret their arguments.
_FOREIGN = re.compile(
    "DOCKER_DEFAULT_PLATFORM|BUILDX_BUILDER|KIND_CLUSTER_NAME|KIND_EXPERIMENTAL_PROVIDER|PYTHON(PATH|HOME|OPTIMIZE)"
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

display = Display()


def die_with_parent(parent: int | None = None) -> None:
    """Make the kernel terminate this process when its parent terminates, even by SIGKILL.

    Otherwise the process would make changes during the next run. On systems other than Linux, this has no effect. With
    the PID of the parent, the process also terminates if the parent terminated before this call.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def start(options: dict[str, Any], stdin: IO[Any], output: IO[Any]) -> subprocess.Popen[bytes]:
    """Start the command of `options` in a separate session."""
    worker = os.getpid()

    def before_the_command() -> None:
        # Until the command replaces this process, Ansible's handlers would ignore the signal of the kernel.
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
        advice = "Create it" if error.filename == options["chdir"] else "Install it, or add it to PATH"
        raise AnsibleActionFail(
            f"{options['label']} cannot start: {error.filename}: {error.strerror}. {advice}, then rerun the playbook."
        ) from None


def environment_of(options: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a command, without variables that change the meaning of its arguments."""
    present = {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
    return present | {name: str(value) for name, value in options["environment"].items()}


@contextlib.contextmanager
def forwarded_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Forward signals that terminate Ansible's worker to the command and its children, in their separate session.

    The kernel signals only the command itself when the worker terminates, and a shell would leave its children running.
    Signals are delayed until the yielded function gets the started command.
    """
    commands: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if not commands and not early:
            early.append(number)
            return
        for process in commands:
            _terminate(process)
        former[number](number, frame)

    def started(process: subprocess.Popen[bytes]) -> None:
        commands.append(process)
        for number in early:
            forward(number, None)

    former = {number: signal.signal(number, forward) for number in _SIGNALS}
    try:
        yield started
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        # Signals that arrived before a command that did not start.
        for number in () if commands else early:
            signal.raise_signal(number)


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the command and its children if it still runs, for instance after Ctrl-C."""
    if process.poll() is None:
        _terminate(process)
        while wait(process) is None:
            pass


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the command and its children, unless its exit code is known."""
    if process.returncode is None:
        # ProcessLookupError if it has exited meanwhile; PermissionError if it runs as another user now.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)


def wait(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code of a command that has exited, or None after a short timeout.

    Python handles signals between two instructions. A signal just before a long system call doesn't interrupt the call,
    so calls must be short.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(timeout=_SIGNAL_DELAY)
    return None


# --- Output -----------------------------------------------------------------------------------------------------------


class Output:
    """Output of a command, which is read while the command runs."""

    def __init__(self, file: IO[bytes], directory: str, name: str) -> None:
        self.file, self.directory, self.name = file, directory, name
        self.position = 0
        self.incomplete = ""
        self.decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)

    def lines(self, final: bool = False) -> Iterator[str]:
        """Yield new complete lines; with `final`, also the last incomplete one.

        Later output is ignored, because it may never end.
        """
        size = os.fstat(self.file.fileno()).st_size
        if size < self.position:
            # The command has truncated the file, as a shell does when it writes to /dev/stdout by name.
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
        """Raise OSError if the file system of the output is full, because many commands don't report that error."""
        try:
            with tempfile.TemporaryFile(dir=self.directory) as file:
                file.write(bytes(4096))
                file.flush()
        except OSError as error:
            if error.errno in _FULL:
                raise OSError(error.errno, error.strerror, self.name) from None


@contextlib.contextmanager
def open_output(log: str | None) -> Iterator[Output]:
    """Yield the output in a new log, or in a temporary file. Raises OSError if the log cannot be written."""
    if not log:
        with tempfile.TemporaryFile() as file:
            yield Output(file, tempfile.gettempdir(), tempfile.gettempdir())
        return
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Devices and full file systems accept the file, but fail at the first byte.
    path.write_bytes(b"\n")
    path.write_bytes(b"")
    with path.open("a+b", buffering=0) as file:
        yield Output(file, str(path.parent), log)


class Progress:
    """Counter of a command's output lines, which prints the progress every `interval` seconds."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.label = options["label"]
        self.interval = options["interval"]
        self.total = options["total"]
        self.pattern = re.compile(options["count"]) if options["count"] else None
        self.patterns = [(re.compile(each["pattern"]), each["text"]) for each in options.get("hints") or []]
        # Texts of the matching hints, each with its last matching line.
        self.hints: dict[str, str] = {}
        self.count = 0
        # Many commands print the reason of a failure first, and then pages of details.
        self.first_error = ""
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.started = time.monotonic()
        self.next_print = self.started + self.interval

    def show(self) -> None:
        """Print a line if one is due, even if the command has printed nothing since the last one."""
        now = time.monotonic()
        if now >= self.next_print:
            self.next_print = now + self.interval
            display.display(f"  {self.label}: {self.describe(now - self.started)}")

    def feed(self, line: str) -> None:
        """Process one line of output."""
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
        """Return the progress after `seconds` as text."""
        if self.pattern and self.total:
            return f"{seconds:.0f} s, {min(self.count, self.total)} of about {self.total}"
        if self.pattern:
            return f"{seconds:.0f} s, {self.count} steps"
        last = next((line[:100] for line in reversed(self.last_lines) if not _NOISE.match(line)), "no output yet")
        return f"{seconds:.0f} s, {last}"


def shortened(line: str) -> str:
    """Return a line without its middle if it is long, because the reason is often at the end."""
    if len(line) <= _LONGEST_ERROR:
        return line
    return f"{line[: _LONGEST_ERROR // 3]} ... {line[-(_LONGEST_ERROR - _LONGEST_ERROR // 3 - 5) :]}"
