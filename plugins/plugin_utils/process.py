# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What the work of a task has to do with the process of the play that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to end this process when its parent ends, even by SIGKILL.

    Otherwise it would work on behind the back of the next run. Only Linux has this; elsewhere it is left out. With the
    number of the parent, a process whose parent has ended before the kernel was asked ends at once.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
