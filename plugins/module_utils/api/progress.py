# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Progress lines of long waits, so that no run is silent for more than ten seconds."""

import time
from collections.abc import Callable

# Seconds between two lines of a wait.
INTERVAL = 8.0


class Screen:
    """Output of this process for progress lines; None unless the module runs in the process of its task."""

    show: Callable[[str], None] | None = None


class Pace:
    """Timer of a wait that prints a progress line in each interval."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.started = self.printed = monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start of the wait."""
        return self.monotonic() - self.started

    @property
    def is_due(self) -> bool:
        """Whether a line is due and can be printed."""
        return Screen.show is not None and self.monotonic() - self.printed >= INTERVAL

    def tell(self, text: str) -> None:
        """Print a line if one is due."""
        if Screen.show and self.is_due:
            self.printed = self.monotonic()
            Screen.show(f"  {self.seconds:.0f} s: {text}")
