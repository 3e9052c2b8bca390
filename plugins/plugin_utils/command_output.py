# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The file that a command prints to, which is read while it grows, and how far the command is.

A process that the command leaves in the background has this file too, and doesn't delay the end of the task.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ansible.utils.display import Display

# How many bytes are read at once.
_PIECE = 1 << 20
display = Display()

_LAST_LINES = 20
# As kind, minikube, docker, buildx, apt, mmdebstrap and git begin the line that says why they end.
_ERROR = re.compile(r"(?:#\d+ )?(?:E:|(?i:error|fatal|panic)\b|[*X] Exiting due to )")
_LONGEST_ERROR = 300
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
