"""Parts of `make bench` about serving: requests per second, latency, and memory of the pods in variants.py.

All pods have the same CPU limit, and get the same requests in turns. The load, the database, and the cache use the
remaining CPUs of the machine.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import turns
from beside import FILES, pod_beside
from ground import Ground, eventually
from plays import PROJECT, Failed, say
from questions import filled, remove_questions
from turns import Run, Runs
from variants import ALONE, BASELINE, COMPARED, OURS, UNCACHED, WITH_CACHE, WITHOUT_CACHE, Pods, pods_of_variants

GENERATOR = PROJECT / "bench" / "generator.py"
# More weight than the pods on a busy node, because the generator's own waits would count as latency.
GENERATOR_RESOURCES = {"requests": {"cpu": "200m"}}
PAGES = ("list", "question", "results", "vote")
CONNECTIONS = 16
ROUNDS, RUN_SECONDS, WARM_UP_SECONDS = 5, 1.6, 1.0
# At half of the maximum rate.
HALF_ROUNDS, HALF_SECONDS = 3, 2.0
# Of each number of pods, and of each number of questions.
SHORT_ROUNDS, SHORT_SECONDS = 3, 1.2
REPLICAS = (1, 2, 3)
# The first number again at the end, because the machine's speed drifts meanwhile.
QUESTIONS = (10, 1_000, 100_000, 10)
LISTED = (OURS, UNCACHED, BASELINE)
# Seconds until the kubelet has measured the memory of an idle front.
IDLE_SECONDS = 15.0
# Seconds of requests for the check of page caching. A session of PostgreSQL reports its transactions each second.
CHECK_SECONDS = 4.0
# Seconds until a cached page must show a new question.
FRESH_SECONDS = 30.0
# Seconds that a command of the generator may take in addition to its runs.
GRACE = 60.0

Details = dict[str, Any]
type Part = Callable[["Serving"], tuple[dict[str, float], Details]]


class Serving:
    """Pods of the variants, and a generator of requests."""

    def __init__(self, ground: Ground, pods: Pods, execute: Callable[[list[dict[str, Any]], float], list[Run]]) -> None:
        self.ground, self.pods, self.execute = ground, pods, execute
        self.acknowledged = self.in_doubt = 0

    def run(
        self,
        page: str,
        targets: Mapping[str, Sequence[str]],
        rounds: int,
        seconds: float,
        rates: Mapping[str, float] | None = None,
    ) -> Runs:
        """Return the results of alternating runs. `rates` is in requests per second; without it, the maximum."""
        order = turns.turns(list(targets), rounds)
        plan = [
            {"targets": targets[name], "page": page, "connections": CONNECTIONS, "seconds": seconds}
            | ({"rate": rates[name]} if rates else {})
            for name in order
        ]
        results = self.execute(plan, len(plan) * seconds + GRACE)
        if page == "vote":
            self.acknowledged += sum(result["requests"] for result in results)
            self.in_doubt += sum(sum(result["failed"].values()) for result in results)
        return turns.by_name(order, results)

    def checked(self, *arguments: Any, **options: Any) -> Runs:
        """Return the results like `run`. Raises Failed if a request failed."""
        runs = self.run(*arguments, **options)
        if failed := turns.failures(runs):
            raise Failed(f"Requests of page {arguments[0]} failed: {failed}")
        return runs

    def warm_up(self, page: str, targets: Mapping[str, Sequence[str]]) -> None:
        self.checked(page, targets, 1, WARM_UP_SECONDS)


@contextmanager
def serving(ground: Ground) -> Iterator[Serving]:
    """Yield the pods of the variants with a generator beside them."""
    say("Deploying the pods to compare")
    files = {"generator.py": GENERATOR.read_text(encoding="utf-8")}
    wait = ["python", "-c", "import time; time.sleep(7200)"]
    with (
        pods_of_variants(ground) as pods,
        pod_beside(ground, "generator", ground.image(), wait, files, resources=GENERATOR_RESOURCES) as (where, pod),
    ):

        def execute(plan: list[dict[str, Any]], seconds: float) -> list[Run]:
            command = ["python", f"{FILES}/generator.py"]
            ended = where.exec(pod["metadata"]["name"], "main", command, f"{json.dumps(plan)}\n", seconds)
            if ended.code:
                raise Failed(f"The generator of requests failed: {ended.err.strip().splitlines()[-1:]}")
            return json.loads(ended.out)

        pods.start(dict.fromkeys(COMPARED, 1))
        yield Serving(ground, pods, execute)


# ---- Pages -----------------------------------------------------------------------------------------------------------


def compare(bench: Serving) -> tuple[dict[str, float], Details]:
    """Compare pods on each page: at the maximum rate, and at half of it."""
    time.sleep(IDLE_SECONDS)
    idle = bench.pods.memory()
    check_page_caching(bench)
    targets = bench.pods.endpoints(*COMPARED)
    full: dict[str, Runs] = {}
    half: dict[str, Runs] = {}
    memory: list[dict[str, dict[str, float]]] = []
    for page in PAGES:
        say(f"Comparing page {page}")
        bench.warm_up(page, targets)
        full[page] = bench.checked(page, targets, ROUNDS, RUN_SECONDS)
        memory.append(bench.pods.memory())
        rates = {name: turns.medians(runs)["rate"] / 2 for name, runs in full[page].items()}
        half[page] = bench.checked(page, targets, HALF_ROUNDS, HALF_SECONDS, rates=rates)
        memory.append(bench.pods.memory())
    details = {
        "pages": {page: {name: row(full[page][name], half[page][name]) for name in COMPARED} for page in PAGES},
        "memory": largest(memory),
    }
    figures = compared(full, half) | {
        "front_idle_mebibytes": idle[OURS].get("front", 0.0),
        "front_loaded_mebibytes": details["memory"][OURS]["front"],
        "project_loaded_mebibytes": details["memory"][OURS]["web"],
        "baseline_loaded_mebibytes": details["memory"][BASELINE]["web"],
        "image_mebibytes": bench.ground.image_size(),
    }
    return figures, details


def check_page_caching(bench: Serving) -> None:
    """Raise Failed if pages without caching reach the database in less than half of their requests."""
    before = transactions(bench.ground)
    runs = bench.checked("list", bench.pods.endpoints(UNCACHED), 1, CHECK_SECONDS)
    requests = runs[UNCACHED][0]["requests"]
    if (queries := transactions(bench.ground) - before) < requests / 2:
        raise Failed(
            f"Page caching is on in the pods without it: {requests} pages made {queries} database transactions. "
            "Correct NO_PAGE_CACHE in bench/variants.py."
        )


def transactions(ground: Ground) -> int:
    """Return the number of transactions of the database so far."""
    return int(ground.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"))


def row(full: Sequence[Run], half: Sequence[Run]) -> dict[str, float]:
    """Return the medians of a variant on a page."""
    at_half = turns.medians(half)
    return turns.medians(full) | {"half_p50": at_half["p50"], "half_p99": at_half["p99"]}


def compared(full: Mapping[str, Runs], half: Mapping[str, Runs]) -> dict[str, float]:
    """Return the figures with goals of alternating runs, by page."""
    lists = full["list"]
    spreads = [turns.spread(half[page][OURS]) for page in PAGES]
    return {
        "front_pages_per_second": turns.medians(lists[OURS])["rate"],
        "front_throughput_ratio": turns.ratio(lists, OURS, ALONE),
        "front_p99_ratio": turns.ratio(lists, OURS, ALONE, "p99"),
        "front_page_milliseconds": added_milliseconds(lists),
        **{f"serving_{page}_ratio": turns.ratio(full[page], OURS, BASELINE) for page in PAGES},
        **{f"uncached_{page}_ratio": turns.ratio(full[page], UNCACHED, BASELINE) for page in PAGES},
        "half_rate_p99_ratio": max(spreads),
        "half_rate_p99_milliseconds": max(turns.medians(half[page][OURS])["p99"] for page in PAGES),
    }


def added_milliseconds(runs: Runs) -> float:
    """Return the CPU time that the front adds to a page. The pods use their whole CPU, so it follows from the rates."""
    pairs = zip(runs[OURS], runs[ALONE], strict=True)
    return statistics.median(1000 / with_front["rate"] - 1000 / alone["rate"] for with_front, alone in pairs)


def largest(samples: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the largest working set of each container of each variant."""
    found: dict[str, dict[str, float]] = {}
    for sample in samples:
        for variant, containers in sample.items():
            for name, size in containers.items():
                kept = found.setdefault(variant, {})
                kept[name] = round(max(kept.get(name, 0.0), size), 1)
    return found


# ---- Pods and questions ----------------------------------------------------------------------------------------------


def replicas(bench: Serving) -> tuple[dict[str, float], Details]:
    """Measure 1, 2, and 3 pods on all pages."""
    say("Starting more pods")
    bench.pods.start({OURS: max(REPLICAS), BASELINE: max(REPLICAS)})
    found: Details = {page: {OURS: {}, BASELINE: {}} for page in PAGES}
    for number in REPLICAS:
        targets = bench.pods.endpoints(OURS, BASELINE, number=number)
        say(f"Measuring {number} pods")
        for page in PAGES:
            runs = bench.checked(page, targets, SHORT_ROUNDS, SHORT_SECONDS)
            for name in targets:
                found[page][name][str(number)] = turns.medians(runs[name])
    return {}, found


def questions(bench: Serving) -> tuple[dict[str, float], Details]:
    """Measure the list with 10, 1,000, and 100,000 questions."""
    targets = bench.pods.endpoints(*LISTED)
    found: list[Runs] = []
    try:
        for number in QUESTIONS:
            say(f"Measuring the list of {number:,} questions")
            newest = filled(bench.ground, number)
            everywhere = [target for several in targets.values() for target in several]
            bench.execute(
                [{"targets": everywhere, "page": "list", "seconds": FRESH_SECONDS, "text": newest}],
                FRESH_SECONDS + GRACE,
            )
            bench.warm_up("list", targets)
            found.append(bench.checked("list", targets, SHORT_ROUNDS, SHORT_SECONDS))
    finally:
        remove_questions(bench.ground)
    details = {
        name: {str(number): turns.medians(runs[name]) for number, runs in zip(QUESTIONS[:-1], found, strict=False)}
        for name in LISTED
    }
    return {"questions_ratio": growth(found, OURS), "questions_uncached_ratio": growth(found, UNCACHED)}, details


def growth(found: Sequence[Runs], variant: str) -> float:
    """Return the time of a page with most questions, as a multiple of the time with fewest before and after it."""
    first, *_, most, last = [1 / turns.medians(runs[variant])["rate"] for runs in found]
    return most / ((first + last) / 2)


# ---- Without the cache -----------------------------------------------------------------------------------------------


@contextmanager
def cache_stopped(ground: Ground) -> Iterator[None]:
    """Stop the pods of the cache while the block runs."""
    kind, name = ground.cache_workload()
    number = ground.get(kind, name)["spec"]["replicas"]
    path = "/spec/replicas"
    ground.patch(kind, name, {"op": "replace", "path": path, "value": 0})
    try:
        eventually(lambda: not ground.all_pods("cache"), 120, "the removal of the cache")
        yield
    finally:
        ground.patch(kind, name, {"op": "replace", "path": path, "value": number})
        eventually(lambda: ground.ready("cache") == number, 120, "the cache")


def cache_down(bench: Serving) -> tuple[dict[str, float], Details]:
    """Measure all pages while the cache is down, and compare pods that lost it with pods that have none."""
    bench.pods.start({WITH_CACHE: 1, WITHOUT_CACHE: 1})
    targets = bench.pods.endpoints(WITH_CACHE, WITHOUT_CACHE)
    found: dict[str, Runs] = {}
    say("Stopping the cache")
    # Without a warm-up, because the first requests notice that the cache is down.
    with cache_stopped(bench.ground):
        for page in PAGES:
            say(f"Measuring page {page} without the cache")
            found[page] = bench.run(page, targets, ROUNDS, SHORT_SECONDS)
    figures = {
        "cache_down_failed_requests": float(sum(sum(turns.failures(runs).values()) for runs in found.values())),
        "cache_down_ratio": min(turns.ratio(runs, WITH_CACHE, WITHOUT_CACHE) for runs in found.values()),
    }
    details = {page: {name: turns.medians(several) for name, several in runs.items()} for page, runs in found.items()}
    return figures, details


# ---- All -------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Part] = {"serving": compare, "replicas": replicas, "questions": questions, "cache": cache_down}


def measure(ground: Ground, parts: Sequence[str]) -> tuple[dict[str, float], dict[str, Details]]:
    """Return the figures and the details of these parts. The site has its usual pods afterwards."""
    figures: dict[str, float] = {}
    details: dict[str, Details] = {}
    with serving(ground) as bench:
        before = ground.votes()
        for part in parts:
            measured, details[part] = PARTS[part](bench)
            figures |= measured
        found = ground.votes() - before
    figures["votes_acknowledged"] = float(bench.acknowledged)
    figures["votes_lost"] = float(max(0, bench.acknowledged - found))
    if found > bench.acknowledged + bench.in_doubt:
        raise Failed(f"{found - bench.acknowledged - bench.in_doubt} unexpected votes were found.")
    return figures, details


def planned_seconds() -> float:
    """Return the seconds of all runs of the generator."""
    pages, variants = len(PAGES), len(COMPARED)
    comparing = pages * variants * (WARM_UP_SECONDS + ROUNDS * RUN_SECONDS + HALF_ROUNDS * HALF_SECONDS)
    scaling = len(REPLICAS) * pages * 2 * SHORT_ROUNDS * SHORT_SECONDS
    listing = len(QUESTIONS) * len(LISTED) * (WARM_UP_SECONDS + SHORT_ROUNDS * SHORT_SECONDS)
    without = pages * 2 * ROUNDS * SHORT_SECONDS
    return CHECK_SECONDS + comparing + scaling + listing + without
