# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Keeps a Lease for a process: a process in the background renews it, and removes it when the first one ends."""

import gc
import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import lease
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

# How often a Lease is renewed, and how often it may be time for a line while it is waited for, in seconds.
RENEWAL = 5.0
LOOK = 1.0


def hold(connect: Callable[[], Client], wanted: lease.Wanted, process: int, patience: float) -> str:
    """Take the Lease for another process, and leave one in the background that keeps it until that ends.

    Returns and raises what `take` does. All is done by the process in the background: its connection is then its own,
    and so are the files that the client keeps certificates in.
    """
    reader, writer = os.pipe()
    if not os.fork():
        # Nothing may come back to the caller from here, since its work is the first process's.
        try:
            detach(writer)
            keep(connect, wanted, process, patience, writer)
        finally:
            remove_files()
            os._exit(0)
    os.close(writer)
    # The process in the background has no screen.
    pace = Pace()
    while not select.select([reader], [], [], LOOK)[0]:
        pace.tell(f"Lease {wanted.name} is not free yet: another run may be changing the site")
    with os.fdopen(reader, encoding="utf-8") as answer:
        told = json.loads(answer.read() or '{"trouble": "The process that keeps the Lease broke off."}')
    if "trouble" in told:
        raise ApiError(told["trouble"])
    return told["outcome"]


def keep(connect: Callable[[], Client], wanted: lease.Wanted, process: int, patience: float, writer: int) -> None:
    """Take the Lease, tell so, renew it until a process ends, and remove it. End the process if it is lost."""
    descriptor = os.pidfd_open(process)
    ending = select.poll()
    ending.register(descriptor, select.POLLIN)

    def sleep(seconds: float) -> None:
        if ending.poll(seconds * 1000):
            raise InterruptedError

    try:
        client = connect()
        told = {"outcome": lease.take(client, wanted, patience, sleep)}
    except ApiError as error:
        told = {"trouble": str(error)}
    with os.fdopen(writer, "w", encoding="utf-8") as answer:
        json.dump(told, answer)
    if told.get("outcome") not in lease.TAKEN:
        return
    while not ending.poll(RENEWAL * 1000):
        with suppress(ApiError):
            if not lease.renew(client, wanted):
                # One that is gone went with its namespace, which the run itself may be removing.
                if client.get("Lease", wanted.name) is not None:
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                return
    until = time.monotonic() + lease.DURATION
    while time.monotonic() < until:
        try:
            lease.release(client, wanted)
        except ApiError:
            time.sleep(1)
        else:
            return


def detach(*kept: int) -> None:
    """Leave the terminal and everything that is open, but for some descriptors."""
    os.setsid()
    # What Python still knows of the first process must not be closed once more when it is cleared away.
    gc.freeze()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)
    while os.open(os.devnull, os.O_RDWR) < 2:
        pass


def remove_files() -> None:
    """Remove the files that the client has written certificates to, which it does itself only where Python ends."""
    from kubernetes.config import kube_config

    getattr(kube_config, "_cleanup_temp_files", lambda: None)()
