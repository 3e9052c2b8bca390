# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""How far a command is, told from the lines that it prints."""

from __future__ import annotations

import re
import time
from collections import deque
from typing import Any

from ansible.utils.display import Display

display = Display()

_LAST_LINES = 20
# As kind, minikube, docker, buildx, apt, mmdebstrap and git begin the line that says why they end.
_ERROR = re.compile(r"(?:#\d+ )?(?:E:|(?i:error|fatal|panic)\b|[*X] Exiting due to )")
_LONGEST_ERROR = 300


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
