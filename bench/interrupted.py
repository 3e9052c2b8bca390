"""Scenarios of `make prove` about runs of site.yml: one that is killed, and two at the same time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ground import REPLICAS, Ground
from rows import Row


def controllers_killed(ground: Ground, times: int = 10) -> Row:
    """Kill site.yml at random times, first without a site and then with one, and run it again."""
    problems: list[str] = []
    dice = random.Random(times)
    ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
    # Times are fractions of a full run, so that the run is still active.
    first = seconds_of_run(ground)
    for number in range(times - times // 2):
        ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
        problems += killed_run(ground, first * dice.uniform(0.05, 0.8), together=number % 2 == 0)
    with ground.load() as load:
        change = seconds_of_run(ground, django_environment={"POLLS_PAGE_SIZE": "29"})
        for number in range(times // 2):
            settings = {"POLLS_PAGE_SIZE": str(30 + number)}
            moment = change * dice.uniform(0.1, 0.8)
            problems += killed_run(ground, moment, together=number % 2 == 0, django_environment=settings)
        ground.wait_for_old_pods()
    return load.row(f"site.yml killed {times} times, and run again", problems=problems)


def seconds_of_run(ground: Ground, **variables: Any) -> float:
    """Return the seconds of a run."""
    started = time.monotonic()
    ground.deploy(**variables)
    return time.monotonic() - started


def killed_run(ground: Ground, seconds: float, together: bool, **variables: Any) -> list[str]:
    """Kill a run after some seconds, with or without its children, and run it again; return the problems."""
    process = ground.plays.start("site", **variables)
    reader = threading.Thread(target=process.communicate, daemon=True)
    reader.start()
    time.sleep(seconds)
    problems = [] if process.poll() is None else [f"the run had finished after {seconds:.1f} s, before it was killed"]
    handles = []
    for number in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(number))
    kill_processes(handles if together else handles[:1])
    reader.join()
    ground.deploy(**variables)
    if changed := ground.deploy(**variables):
        problems.append(f"killed after {seconds:.1f} s, the third run reported {changed} changes")
    # A worker of Ansible with much output would wait indefinitely for a reader.
    kill_processes(handles)
    for handle in handles:
        os.close(handle)
    return problems


def kill_processes(handles: Sequence[int]) -> None:
    """Kill processes by file descriptors, because PIDs can be reused."""
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """Return the PIDs of all descendants of a process."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found = [process]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def two_at_once(ground: Ground) -> Row:
    """Start site.yml twice at the same time, with different settings. One run waits for the other, or fails."""
    problems = []
    ends: dict[int, float] = {}
    holders: dict[str, float] = {}
    outputs: dict[int, str] = {}

    def run(size: str) -> None:
        process = ground.plays.start("site", django_environment={"POLLS_PAGE_SIZE": size})
        outputs[process.pid] = process.communicate()[0]
        ends[process.pid] = time.monotonic()
        codes[process.pid] = process.returncode

    codes: dict[int, int] = {}
    with ground.load() as load:
        runs = [threading.Thread(target=run, args=[size]) for size in ("41", "42")]
        for thread in runs:
            thread.start()
        while any(thread.is_alive() for thread in runs):
            lease = ground.cluster.get("Lease", f"{ground.app}-run")
            if lease is not None:
                holders.setdefault(lease["spec"]["holderIdentity"], time.monotonic())
            time.sleep(0.1)
        ground.wait_until_whole(REPLICAS)
        ground.deploy()
        if changed := ground.deploy():
            problems.append(f"the second run after them reported {changed} changes")
        ground.wait_for_old_pods()
    for process, code in codes.items():
        held = [since for holder, since in holders.items() if f"(process {process}," in holder]
        others = [end for other, end in ends.items() if other != process and end < ends[process]]
        if code and "is locked by another run" not in " ".join(outputs[process].split()):
            problems.append(f"one of them failed: {outputs[process][-1500:]}")
        if not code and not held:
            problems.append("one run changed the site without the Lease")
        # The run that finished last must have started after the other one.
        if not code and held and any(held[0] < end - 1 for end in others):
            problems.append("one run acquired the Lease before the other had finished")
    if all(codes.values()):
        problems.append("both failed")
    results = ["refused" if code else "done" for code in codes.values()]
    return load.row("Two site.yml at once", problems=problems, note=f"one {results[0]}, then the other {results[1]}")
