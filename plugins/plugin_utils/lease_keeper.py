# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Holder of a Lease for a process: a background process renews the Lease, and removes it when the first one exits."""

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

# Seconds between two renewals of a Lease, and between two checks whether a progress line is due.
RENEWAL = 5.0
LOOK = 1.0
FAILED = "The background process for the Lease has failed. Rerun the playbook."


def hold(connect: Callable[[], Client], wanted: lease.Wanted, process: int, patience: float) -> str:
    """Acquire the Lease for a process, and start a background process that holds the Lease until that process exits.

    Returns the outcome of `take` and raises its errors. The background process acquires the Lease, so that it has its
    own connection and its own certificate files of the client.
    """
    reader, writer = os.pipe()
    if not os.fork():
        # This branch must not return, because the caller's work belongs to the first process.
        try:
            detach(writer)
            keep(connect, wanted, process, patience, writer)
        finally:
            remove_files()
            os._exit(0)
    os.close(writer)
    # Progress lines are printed here, because the background process has no terminal.
    pace = Pace()
    while not select.select([reader], [], [], LOOK)[0]:
        pace.tell(f"waiting for Lease {wanted.name}, which another run may hold")
    with os.fdopen(reader, encoding="utf-8") as pipe:
        report = json.loads(pipe.read() or json.dumps({"error": FAILED}))
    if "error" in report:
        raise ApiError(report["error"])
    return report["outcome"]


def keep(connect: Callable[[], Client], wanted: lease.Wanted, process: int, patience: float, writer: int) -> None:
    """Acquire the Lease, report the outcome, renew the Lease until a process exits, and remove it.

    Terminates the process if another run has taken over the Lease.
    """
    descriptor = os.pidfd_open(process)
    ending = select.poll()
    ending.register(descriptor, select.POLLIN)

    def sleep(seconds: float) -> None:
        if ending.poll(seconds * 1000):
            raise InterruptedError

    try:
        client = connect()
        report = {"outcome": lease.take(client, wanted, patience, sleep)}
    except ApiError as error:
        report = {"error": str(error)}
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        json.dump(report, pipe)
    if report.get("outcome") not in lease.TAKEN:
        return
    while not ending.poll(RENEWAL * 1000):
        with suppress(ApiError):
            if not lease.renew(client, wanted):
                # A missing Lease was deleted with its namespace, which may be the work of this run.
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
    """Detach from the terminal, and close all file descriptors except some."""
    os.setsid()
    # Otherwise the garbage collector could close descriptors a second time.
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
    """Remove the client's certificate files, which the client removes only when Python exits normally."""
    from kubernetes.config import kube_config

    getattr(kube_config, "_cleanup_temp_files", lambda: None)()
