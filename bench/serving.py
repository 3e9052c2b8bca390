"""Parts of `make bench` about serving: requests per second, latency, and memory of the pods in variants.py.

All pods have the same CPU limit, and get the same requests in turns. The load, the database, and the cache use the
remaining CPUs of the machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import turns
import without_cache
from comparison import GRACE, WARM_UP_SECONDS, Serving, serving
from ground import Ground
from plays import Failed, say
from questions import filled, remove_questions
from report import Result
from turns import Run, Runs
from variants import ALONE, BASELINE, COMPARED, OURS, UNCACHED, UNCACHED_ALONE

PAGES = ("list", "question", "results", "vote")
ROUNDS, RUN_SECONDS = 5, 1.4
# At half of the maximum rate.
HALVED = (OURS, UNCACHED, BASELINE)
HALF_ROUNDS, HALF_SECONDS = 3, 1.9
# Of each number of pods.
SHORT_ROUNDS, SHORT_SECONDS = 3, 1.0
REPLICAS = (1, 2, 3)
SCALED_PAGES = ("list", "vote")
# The first number again at the end, because the machine's speed drifts meanwhile.
QUESTIONS = (10, 1_000, 100_000, 10)
LISTED = (OURS, UNCACHED)
LISTED_SECONDS = 1.6
# Seconds until the kubelet has measured the memory of an idle front.
IDLE_SECONDS = 12.0
# Seconds of requests for the check of page caching. A session of PostgreSQL reports its transactions each second.
CHECK_SECONDS = 4.0
# Seconds until a cached page must show a new question.
FRESH_SECONDS = 30.0
# Seconds to start the pods of a part, and to add or remove questions.
START_SECONDS, FILL_SECONDS = 15.0, 6.0

Details = dict[str, Any]
type Part = Callable[[Serving], tuple[dict[str, float], Details]]


# ---- Pages -----------------------------------------------------------------------------------------------------------


def compare(bench: Serving) -> tuple[dict[str, float], Details]:
    """Compare pods on each page: at the maximum rate, and at half of it."""
    say("Starting the pods to compare")
    bench.pods.start(dict.fromkeys((*COMPARED, UNCACHED_ALONE), 1))
    check_page_caching(bench)
    # Our pod is idle since its start.
    time.sleep(IDLE_SECONDS)
    idle = bench.pods.memory()
    full: dict[str, Runs] = {}
    half: dict[str, Runs] = {}
    memory: list[dict[str, dict[str, float]]] = []
    for page in PAGES:
        say(f"Comparing page {page}")
        targets = bench.pods.endpoints(*COMPARED, *([UNCACHED_ALONE] if page == "list" else []))
        bench.warm_up(page, targets)
        full[page] = bench.checked(page, targets, ROUNDS, RUN_SECONDS)
        memory.append(bench.pods.memory())
        rates = {name: turns.medians(full[page][name])["rate"] / 2 for name in HALVED}
        halved = {name: targets[name] for name in HALVED}
        half[page] = bench.checked(page, halved, HALF_ROUNDS, HALF_SECONDS, rates=rates)
    memory.append(bench.pods.memory())
    loaded = largest(memory)
    details = {
        "pages": {page: {name: row(runs, half[page].get(name)) for name, runs in full[page].items()} for page in PAGES},
        "memory": {
            name: {one: round(size, 1) for one, size in containers.items()} for name, containers in loaded.items()
        },
    }
    figures = compared(full, half) | {
        "front_idle_mebibytes": idle[OURS]["front"],
        "front_loaded_mebibytes": loaded[OURS]["front"],
        "project_loaded_mebibytes": loaded[OURS]["web"],
        "baseline_loaded_mebibytes": loaded[BASELINE]["web"],
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


def row(full: Sequence[Run], half: Sequence[Run] | None) -> dict[str, float | None]:
    """Return the figures of a variant on a page."""
    found = turns.medians(full)
    if half:
        at_half = turns.medians(half)
        found |= {"half_p50": at_half["p50"], "half_p99": at_half["p99"]}
    return found


def compared(full: Mapping[str, Runs], half: Mapping[str, Runs]) -> dict[str, float]:
    """Return the figures with goals of alternating runs, by page."""
    lists = full["list"]
    return {
        "front_pages_per_second": turns.medians(lists[OURS])["rate"],
        # A cached page takes so little time that the front would seem expensive.
        "front_throughput_ratio": turns.ratio(lists, UNCACHED, UNCACHED_ALONE),
        "front_p99_ratio": turns.p99_ratio(lists, UNCACHED, UNCACHED_ALONE),
        "front_cached_throughput_ratio": turns.ratio(lists, OURS, ALONE),
        "front_cached_p99_ratio": turns.p99_ratio(lists, OURS, ALONE),
        "front_page_milliseconds": added_milliseconds(lists),
        **{f"serving_{page}_ratio": turns.ratio(full[page], OURS, BASELINE) for page in PAGES},
        **{f"uncached_{page}_ratio": turns.ratio(full[page], UNCACHED, BASELINE) for page in PAGES},
        "half_rate_p99_ratio": max(turns.spread(half[page][OURS]) for page in PAGES),
        "half_rate_p99_milliseconds": max(turns.p99(half[page][OURS]) for page in PAGES),
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
                kept[name] = max(kept.get(name, 0.0), size)
    return found


# ---- Pods and questions ----------------------------------------------------------------------------------------------


def replicas(bench: Serving) -> tuple[dict[str, float], Details]:
    """Measure 1, 2, and 3 pods on two pages."""
    say("Starting more pods")
    # The pod without page caching stays for the next part.
    bench.pods.start({OURS: max(REPLICAS), BASELINE: max(REPLICAS), UNCACHED: 1})
    found: Details = {page: {OURS: {}, BASELINE: {}} for page in SCALED_PAGES}
    bench.warm_up("list", bench.pods.endpoints(OURS, BASELINE, number=max(REPLICAS)))
    for number in REPLICAS:
        targets = bench.pods.endpoints(OURS, BASELINE, number=number)
        say(f"Measuring {number} of {max(REPLICAS)} pods")
        for page in SCALED_PAGES:
            runs = bench.checked(page, targets, SHORT_ROUNDS, SHORT_SECONDS)
            for name in targets:
                found[page][name][str(number)] = turns.medians(runs[name])
    return {}, found


def questions(bench: Serving) -> tuple[dict[str, float], Details]:
    """Measure the list with 10, 1,000, and 100,000 questions."""
    bench.pods.start(dict.fromkeys((*LISTED, BASELINE), 1))
    ours, baseline = bench.pods.endpoints(*LISTED), bench.pods.endpoints(BASELINE)
    targets = ours | baseline
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
            compared = bench.checked("list", ours, ROUNDS, LISTED_SECONDS)
            # Fewer runs, because no figure with a goal needs them.
            found.append(compared | bench.checked("list", baseline, SHORT_ROUNDS, SHORT_SECONDS))
    finally:
        remove_questions(bench.ground)
    details = {
        name: {str(number): turns.medians(runs[name]) for number, runs in zip(QUESTIONS[:-1], found, strict=False)}
        for name in targets
    }
    return {"questions_ratio": growth(found, OURS), "questions_uncached_ratio": growth(found, UNCACHED)}, details


def growth(found: Sequence[Runs], variant: str) -> float:
    """Return the time of a page with most questions, as a multiple of the time with fewest before and after it."""
    first, *_, most, last = [1 / statistics.median(run["rate"] for run in runs[variant]) for runs in found]
    return most / ((first + last) / 2)


# ---- All -------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Part] = {
    "serving": compare,
    "replicas": replicas,
    "questions": questions,
    "cache": without_cache.cache_down,
}


def measure(ground: Ground, parts: Sequence[str], attempt: Callable[[str, Callable[[], Result]], bool]) -> None:
    """Measure these parts, each with `attempt`. The site has its usual pods afterwards."""
    with serving(ground) as bench:
        for part in parts:
            attempt(part, lambda part=part: measured(bench, part))


def measured(bench: Serving, part: str) -> Result:
    """Return the figures and the details of a part, and the votes and failed requests in it."""
    before = bench.ground.votes()
    bench.start_counting()
    figures, details = PARTS[part](bench)
    return Result(figures | counted(bench, part, bench.ground.votes() - before), details)


def counted(bench: Serving, part: str, votes: int) -> dict[str, float]:
    """Return the figures about failed requests and votes. Raises Failed if the database has unexpected votes."""
    if votes > bench.acknowledged + bench.in_doubt:
        raise Failed(f"{votes - bench.acknowledged - bench.in_doubt} unexpected votes were found.")
    found: dict[str, float] = {}
    if part != "cache":
        # Sync workers are only compared.
        found[f"{part}_failed_requests"] = float(sum(bench.failed.values()) - bench.failed[BASELINE])
    if bench.acknowledged:
        name = "" if part == "serving" else f"{part}_"
        found[f"{name}votes_acknowledged"] = float(bench.acknowledged)
        found[f"{name}votes_lost"] = float(max(0, bench.acknowledged - votes))
    return found


def planned_seconds() -> dict[str, float]:
    """Return the seconds of each part."""
    pages, variants = len(PAGES), len(COMPARED)
    full = WARM_UP_SECONDS + ROUNDS * RUN_SECONDS
    comparing = (pages * variants + 1) * full + pages * len(HALVED) * HALF_ROUNDS * HALF_SECONDS
    scaling = 2 * WARM_UP_SECONDS + len(REPLICAS) * len(SCALED_PAGES) * 2 * SHORT_ROUNDS * SHORT_SECONDS
    listing = len(LISTED) * (WARM_UP_SECONDS + ROUNDS * LISTED_SECONDS)
    listing += WARM_UP_SECONDS + SHORT_ROUNDS * SHORT_SECONDS
    return {
        "serving": START_SECONDS + CHECK_SECONDS + IDLE_SECONDS + comparing,
        "replicas": START_SECONDS + scaling,
        "questions": len(QUESTIONS) * (FILL_SECONDS + listing) + FILL_SECONDS,
        "cache": without_cache.planned_seconds(),
    }
