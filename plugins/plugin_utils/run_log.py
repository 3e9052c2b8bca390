# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The log of a run: Ansible's own output in a file that only its owner can read."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

# How many logs are kept.
LOGS = 20


class RunLog:
    """A file that takes texts until it can't be written."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        # As a user types it; empty without a file.
        self.path = ""

    def open(self, name: str) -> str:
        """Create the file, and remove the oldest logs beside it. Return the problem, if there is one."""
        path = Path(name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            return f"Log {path} can't be created: {error.strerror}."
        self.path = str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
        logs = []
        for each in path.parent.glob("*.log"):
            # Another run can remove it at the same time.
            with suppress(OSError):
                logs.append((each.stat().st_mtime_ns, each))
        for _, old in sorted(logs)[:-LOGS]:
            with suppress(OSError):
                old.unlink()
        return ""

    def write(self, text: str) -> str:
        """Write a text and a line end, without a buffer that a forked process would inherit. Return the problem."""
        if self.descriptor is None:
            return ""
        try:
            os.write(self.descriptor, f"{text}\n".encode(errors="replace"))
        except OSError as error:
            self.descriptor = None
            return f"Log {self.path} is incomplete: {error.strerror}."
        return ""


class LogDisplay:
    """Ansible's display for the default callback, whose output goes to the log."""

    def __init__(self, display: Display, record: Callable[[str, str | None], None]) -> None:
        self._display, self._record = display, record
        # Whether the text comes from the error of a task.
        self.is_recording_error = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._display, name)

    def display(self, msg: str, color: str | None = None, screen_only: bool = False, **_: Any) -> None:
        """Write a text to the log."""
        if not screen_only:
            self._record(msg, color)

    def banner(self, msg: str, color: str | None = None, cows: bool = True) -> None:
        """Write a heading to the log."""
        self._record(f"\n{msg.strip()} ".ljust(80, "*"), color)

    def _error(self, error: Any, stderr: bool = True) -> None:
        """Write the error of a task, which the report shows in its own words."""
        self.is_recording_error = True
        try:
            self._display._error(error, stderr=stderr)
        finally:
            self.is_recording_error = False
