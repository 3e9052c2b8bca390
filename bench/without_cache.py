"""Part `cache` of `make bench`: requests while the cache is down, which need it each time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import turns
from comparison import Serving
from ground import CACHE, Ground, eventually
from plays import PROJECT, Failed, Plays, say
from turns import Runs
from variants import WITH_CACHE, WITHOUT_CACHE

ROUNDS, RUN_SECONDS = 5, 2.0
# Seconds to start the pods, and to stop and start the cache.
OTHER_SECONDS = 40.0
# Pages without page caching. The second one loads the session of a signed-in user, which is in the cache and in the
# database.
PAGES = ("list", "admin")

SIGN_IN = PROJECT / "bench" / "sign_in.py"


def check_cache(plays: Plays) -> None:
    """Raise Failed before any change if the site has no cache that can be stopped."""
    state, backend = (plays.variable(f"cache_{name}") for name in ("state", "backend"))
    if (state, backend) != ("present", "builtin"):
        raise Failed(
            f"The site has no cache that can be stopped: cache_state is {state}, and cache_backend is {backend}. "
            "No changes were made. Choose other parts, or set them to present and builtin."
        )


def sign_in(bench: Serving) -> dict[str, str]:
    """Sign in a user; return the path of a page for this user, and the cookies. The site's removal removes both."""
    pod = bench.pods.names[WITH_CACHE][0]
    ended = bench.ground.cluster.exec(pod, "web", ["python", "-c", SIGN_IN.read_text(encoding="utf-8")])
    if ended.code:
        raise Failed(f"A user cannot be signed in: {ended.err.strip().splitlines()[-1:]}")
    # Earlier lines can be from the log.
    return json.loads(ended.out.strip().splitlines()[-1])


@contextmanager
def cache_stopped(ground: Ground) -> Iterator[None]:
    """Stop the pods of the cache while the block runs."""
    kind, name = ground.cache_workload()
    number = ground.get(kind, name)["spec"]["replicas"]
    path = "/spec/replicas"
    ground.patch(kind, name, {"op": "replace", "path": path, "value": 0})
    try:
        eventually(lambda: not ground.all_pods(CACHE), 120, "the removal of the cache")
        yield
    finally:
        ground.patch(kind, name, {"op": "replace", "path": path, "value": number})
        eventually(lambda: ground.ready(CACHE) == number, 120, "the cache")


def cache_down(bench: Serving) -> tuple[dict[str, float], dict[str, Any]]:
    """Measure pages while the cache is down, and compare pods that lost it with pods that have none."""
    bench.pods.start({WITH_CACHE: 1, WITHOUT_CACHE: 1})
    targets = bench.pods.endpoints(WITH_CACHE, WITHOUT_CACHE)
    options = {"list": {}, "admin": sign_in(bench)}
    for page in PAGES:
        bench.warm_up(page, targets, **options[page])
    found: dict[str, Runs] = {}
    say("Stopping the cache")
    with cache_stopped(bench.ground):
        # Without another warm-up, because the first requests notice that the cache is down.
        for page in PAGES:
            say(f"Measuring page {page} without the cache")
            found[page] = bench.run(page, targets, ROUNDS, RUN_SECONDS, **options[page])
    details = {page: {name: turns.medians(several) for name, several in runs.items()} for page, runs in found.items()}
    return compared(found), details


def compared(found: Mapping[str, Runs]) -> dict[str, float]:
    """Return the figures with goals. They count all requests of all rounds, also of the first one."""
    lost, none = (
        turns.total_rate([run for runs in found.values() for run in runs[name]]) for name in (WITH_CACHE, WITHOUT_CACHE)
    )
    if not none:
        raise Failed("No request to the pod without a cache succeeded.")
    return {
        "cache_down_failed_requests": float(sum(sum(turns.failures(runs).values()) for runs in found.values())),
        "cache_down_ratio": lost / none,
    }


def planned_seconds() -> float:
    """Return the seconds of this part."""
    return OTHER_SECONDS + len(PAGES) * 2 * ROUNDS * RUN_SECONDS
