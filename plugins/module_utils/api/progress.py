# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lines that a long wait prints, so that no run is silent for more than ten seconds."""

import time
from collections.abc import Callable

# Seconds between two lines of one wait.
INTERVAL = 8.0


class Screen:
    """Where the lines of this process go: to no place, unless the module runs in the process of its task."""

    show: Callable[[str], None] | None = None


class Pace:
    """Prints what a wait is waiting for, once in each interval."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.started = self.printed = monotonic()

    @property
    def seconds(self) -> float:
        """How long the wait has lasted, in seconds."""
        return self.monotonic() - self.started

    @property
    def is_due(self) -> bool:
        """Whether it is time for a line, and there is a place for it."""
        return Screen.show is not None and self.monotonic() - self.printed >= INTERVAL

    def tell(self, text: str) -> None:
        """Print a line if it is time for one."""
        if Screen.show and self.is_due:
            self.printed = self.monotonic()
            Screen.show(f"  {self.seconds:.0f} s: {text}")
