# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Starts a command that ends with the process that started it, passes signals on to it, and waits for its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any

from ansible.errors import AnsibleActionFail

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long a signal may go unnoticed, in seconds.
_LONGEST_DEAFNESS = 0.2
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
            env=os.environ | {name: str(value) for name, value in options["environment"].items()},
            start_new_session=True,
            preexec_fn=before_the_command,
        )
    except OSError as error:
        advice = "Create it." if error.filename == options["chdir"] else "Install it, or put it on PATH."
        raise AnsibleActionFail(
            f"{options['label']} cannot start: {error.filename}: {error.strerror}. {advice}"
        ) from None


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
