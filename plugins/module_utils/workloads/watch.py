# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Watch workloads until all are rolled out or one of them has failed."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, Expired
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import ApiException, cause_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.endpoints import plural_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

from .model import Clock, Done, Failed, Memory, Missing, Obj, Problem, Verdict, Waiting, kinds_to_watch
from .readiness import gets_room, is_complete
from .verdict import judge

# What is listed and watched of a kind, where that is not all.
SELECTORS = {"Event": {"field_selector": "type=Warning"}}
OPTIONAL = ("Event", "ResourceQuota", "ControllerRevision", "PersistentVolumeClaim")

# All in seconds.
TICK = 0.5
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0

# What a watcher reports besides the changes of the API: all objects of its kind, or why it cannot follow them.
LISTED, LOST = "LISTED", "LOST"


class Watcher(threading.Thread):
    """Follows one kind of objects until it is stopped, through refused, dropped and expired watches."""

    def __init__(self, client: Client, kind: str, version: str, news: queue.Queue, stop: threading.Event) -> None:
        super().__init__(daemon=True, name=f"watch {kind}")
        self.client, self.kind, self.version, self.news, self.stop = client, kind, version, news, stop

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self.stop.is_set():
            try:
                if not self.version:
                    listing = self.client.listing(self.kind, **SELECTORS.get(self.kind, {}))
                    self.version, pause = listing.version, FIRST_PAUSE
                    self.news.put((self.kind, LISTED, listing.items))
                self.follow()
                self.stop.wait(FIRST_PAUSE)
            except Expired:
                self.version = ""
            except Exception as error:
                # A watcher that died would leave the module waiting for news that never come: whatever it is, go on.
                self.version = ""
                self.news.put((self.kind, LOST, cause_of(error)))
                self.stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def follow(self) -> None:
        for change, item in self.client.watch(self.kind, self.version, **SELECTORS.get(self.kind, {})):
            self.version = item["metadata"]["resourceVersion"]
            if self.stop.is_set():
                return
            if change != "BOOKMARK":
                self.news.put((self.kind, change, item))


def exists(client: Client, missing: Missing) -> bool | None:
    """Tell whether a Secret or ConfigMap, or its key, exists; None if that may not be read or cannot be asked."""
    try:
        found = client.get(missing.kind, missing.name)
    except ApiError:
        return None
    if found is None:
        return False
    return not missing.key or missing.key in {**(found.get("data") or {}), **(found.get("binaryData") or {})}


type Workload = tuple[str, str]


class Rollout:
    """The workloads of one call, what is known about them, and the wait for them."""

    def __init__(
        self,
        client: Client,
        workloads: Sequence[Workload],
        grace: float,
        volume: float = 60.0,
        warn: Callable[[str], None] = lambda text: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client, self.grace, self.volume, self.warn, self.monotonic = client, grace, volume, warn, monotonic
        self.workloads = list(dict.fromkeys(workloads))
        self.known: dict[str, dict[str, Obj]] = {}
        self.versions: dict[str, str] = {}
        self.lost: dict[str, str] = {}
        self.memories = {workload: Memory() for workload in self.workloads}
        self.verdicts: dict[Workload, Verdict] = {}
        self.news: queue.Queue[tuple[str, str, Any]] = queue.Queue()
        self.started = self.monotonic()
        self.since = 0.0

    @property
    def seconds(self) -> float:
        """How long the wait has lasted, in seconds."""
        return self.monotonic() - self.started

    @property
    def objects(self) -> dict[str, list[Obj]]:
        return {kind: list(items.values()) for kind, items in self.known.items()}

    def load(self) -> None:
        """Learn the present state. Raises ApiException, HTTPError or OSError if the API cannot be asked."""
        for kind in kinds_to_watch(kind for kind, _name in self.workloads):
            try:
                listing = self.client.listing(kind, **SELECTORS.get(kind, {}))
            except ApiException as error:
                if error.status != 403:
                    raise
                if kind in OPTIONAL:
                    self.warn(f"{plural_of(kind)} may not be read, so that some problems show only at the timeout.")
                    continue
                thing = f"The {plural_of(kind)} in namespace {self.client.namespace} may not be listed:"
                step = "Grant list and watch on them, then run the playbook again"
                raise ApiError(thing, cause_of(error), step, error.status) from error
            self.receive(kind, LISTED, listing.items)
            self.versions[kind] = listing.version
            self.since = self.since or listing.server_time - self.seconds

    def receive(self, kind: str, change: str, value: Any) -> None:
        """Take in what a watcher reports."""
        if change == LOST:
            self.lost[kind] = value
        elif change == LISTED:
            self.known[kind] = {item["metadata"]["uid"]: item for item in value}
            self.lost.pop(kind, None)
        elif change == "DELETED" and not is_complete(kind, value):
            self.known[kind].pop(value["metadata"]["uid"], None)
        else:
            self.known[kind][value["metadata"]["uid"]] = value

    def judge(self) -> None:
        """Judge every workload anew. A complete Job stays done, even if its time to live ends meanwhile."""
        clock = Clock(now=self.since + self.seconds, since=self.since, grace=self.grace, volume=self.volume)
        objects = self.objects
        for workload in self.workloads:
            kind, name = workload
            if kind == "Job" and isinstance(self.verdicts.get(workload), Done):
                continue
            verdict, memory = judge(kind, name, objects, clock, self.memories[workload])
            if isinstance(verdict, Failed) and not self.is_confirmed(verdict.problem):
                # The kubelet tries again only every ten seconds or so: what it missed may be there by now.
                memory = memory.forget(verdict.problem.key)
                verdict = Waiting(verdict.problem)
            self.memories[workload], self.verdicts[workload] = memory, verdict

    def is_confirmed(self, problem: Problem) -> bool:
        """Tell whether a problem is real, by looking for what it says is missing: a Secret, a ConfigMap, or room."""
        if problem.code == "Unschedulable":
            return not gets_room(self.client, problem.pod)
        if problem.missing is None:
            return True
        found = exists(self.client, problem.missing)
        return problem.fresh if found is None else not found

    def of(self, verdict: type) -> list[Workload]:
        return [w for w in self.workloads if isinstance(self.verdicts[w], verdict)]

    def is_settled(self) -> bool:
        return bool(self.of(Failed)) or not self.of(Waiting)

    def wait(self, timeout: float, describe: Callable[[], str] = lambda: "") -> bool:
        """Wait until all workloads are done or one has failed; False if the timeout, in seconds, comes first.

        Args:
            describe: says what is waited for, in a line that is printed now and then.
        """
        pace = Pace(self.monotonic)
        self.judge()
        if self.is_settled():
            return True
        stop = threading.Event()
        for kind, version in self.versions.items():
            Watcher(self.client, kind, version, self.news, stop).start()
        try:
            while (left := timeout - self.seconds) > 0:
                with contextlib.suppress(queue.Empty):
                    self.receive(*self.news.get(timeout=min(TICK, left)))
                    while True:
                        self.receive(*self.news.get_nowait())
                if pace.is_due:
                    pace.tell(describe())
                # What is known grows old while a watch is lost: neither success nor failure is read from it.
                if self.lost:
                    continue
                self.judge()
                if self.is_settled():
                    return True
            return False
        finally:
            stop.set()
