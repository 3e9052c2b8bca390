# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""What the work of a task has to do with the process of the play that started it."""

from __future__ import annotations

import contextlib
import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, even by SIGKILL.

    Otherwise it would work on behind the back of the next run. Only Linux has this; elsewhere it is left out.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
