"""Figures of `make bench` with their goals, and the tables that show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Names of pages and of what served them, for users.
PAGES = {"list": "List", "question": "Question", "results": "Results", "vote": "Vote"}
# Pages of the part `cache`.
PAGES_WITHOUT_CACHE = {"list": "List of several pages", "admin": "Administration, signed in"}
# Seconds of an empty play up to which the goals for milliseconds are valid.
FAST = 0.7
EMPTY = "empty_play_seconds"


@dataclass(frozen=True)
class Figure:
    """Description of a figure, and its goal in the figure's unit, or None."""

    text: str
    goal: float | None = None
    # Whether the goal is a minimum.
    at_least: bool = False
    # Whether the goal is valid only on a machine where an empty play takes at most FAST seconds.
    fast_only: bool = False

    def sign(self) -> str:
        return "\u2265" if self.at_least else "≤"

    def is_missed(self, value: float, empty_play: float | None) -> bool:
        """Return whether a value misses the goal."""
        if self.goal is None or (self.fast_only and (empty_play is None or empty_play > FAST)):
            return False
        return value < self.goal if self.at_least else value > self.goal


BASELINE = "as a multiple of sync workers"
FIGURES: dict[str, Figure] = {
    "site_first_seconds": Figure("First deployment to the first counted vote; cluster there, images built", 60),
    EMPTY: Figure("An empty play with the same inventory, for comparison"),
    "site_rerun_seconds": Figure("The site again, with nothing to change"),
    "site_rerun_ratio": Figure("The same as a multiple of an empty play", 8),
    "site_rerun_tasks": Figure("Tasks that it runs or skips", 50),
    "site_rerun_api_tasks": Figure("Tasks of it that touch the API"),
    "kubectl_apply_seconds": Figure("`kubectl apply --server-side` of the same objects, for comparison"),
    "site_rerun_kubectl_ratio": Figure("The site again, as a multiple of `kubectl apply`"),
    "image_change_seconds": Figure("One word changed in a template until the page shows it"),
    "image_change_ratio": Figure("The same as a multiple of an empty play", 60),
    "teardown_seconds": Figure("The site and its data removed, the cluster stays"),
    "teardown_ratio": Figure("The same as a multiple of an empty play", 30),
    "serving_list_ratio": Figure(f"Requests per second of the list, {BASELINE}", 12, at_least=True),
    "serving_question_ratio": Figure(f"Requests per second of a question, {BASELINE}", 8, at_least=True),
    "serving_results_ratio": Figure(f"Requests per second of its results, {BASELINE}", 8, at_least=True),
    "serving_vote_ratio": Figure(f"Votes per second, {BASELINE}", 6, at_least=True),
    "uncached_list_ratio": Figure(f"The list without page caching, {BASELINE}"),
    "uncached_question_ratio": Figure(f"A question without page caching, {BASELINE}"),
    "uncached_results_ratio": Figure(f"Results without page caching, {BASELINE}"),
    "uncached_vote_ratio": Figure(f"Votes without page caching, {BASELINE}"),
    "half_rate_p99_ratio": Figure("99th percentile as a multiple of the median, at half of the maximum rate", 4),
    "half_rate_p99_milliseconds": Figure(
        f"The same percentile; the goal is for an empty play of at most {FAST:g} s", 60, fast_only=True
    ),
    "front_pages_per_second": Figure("List pages per second of a pod with one CPU and its front"),
    "front_cached_throughput_ratio": Figure("The same as a multiple of such a pod without a front"),
    "front_cached_p99_ratio": Figure("99th percentile of their seconds, as a multiple of a pod without a front"),
    "front_page_milliseconds": Figure("CPU time that the front adds to a list page"),
    "front_throughput_ratio": Figure(
        "List pages per second without page caching, as a multiple of such a pod without a front", 0.88, at_least=True
    ),
    "front_p99_ratio": Figure("99th percentile of their seconds, as a multiple of such a pod without a front", 1.3),
    "front_idle_mebibytes": Figure("Working set of a front without load", 40),
    "front_loaded_mebibytes": Figure("Working set of the front under this load; its limit is 384 MiB"),
    "project_loaded_mebibytes": Figure("Working set of the project's container under this load", 120),
    "baseline_loaded_mebibytes": Figure("The same of the sync workers"),
    "image_mebibytes": Figure("Size of the project's image on a node"),
    "serving_failed_requests": Figure("Failed requests of this measurement, without those to sync workers", 0),
    "votes_acknowledged": Figure("Votes of this measurement with a successful response"),
    "votes_lost": Figure("Votes of them that the database lacks", 0),
    "replicas_failed_requests": Figure("Failed requests to one, two, and three pods", 0),
    "replicas_votes_acknowledged": Figure("Votes for one, two, and three pods with a successful response"),
    "replicas_votes_lost": Figure("Votes of them that the database lacks", 0),
    "questions_ratio": Figure("Time of the list with 100,000 questions, as a multiple of 10 questions", 1.2),
    "questions_uncached_ratio": Figure("The same without page caching"),
    "questions_failed_requests": Figure("Failed requests of these lists, without those to sync workers", 0),
    "cache_down_failed_requests": Figure("Failed requests while the cache is down", 0),
    "cache_down_ratio": Figure(
        "Requests per second then, as a multiple of pods that have no cache", 0.95, at_least=True
    ),
    "sites_1_rerun_seconds": Figure("The smallest site again, with nothing to change"),
    "sites_1_rerun_ratio": Figure("The same as a multiple of an empty play for its host"),
    "sites_3_rerun_seconds": Figure("Three such sites of one inventory again"),
    "sites_3_rerun_ratio": Figure("The same as a multiple of an empty play for their hosts"),
    "sites_10_rerun_seconds": Figure("Ten such sites of one inventory again"),
    "sites_10_rerun_ratio": Figure("The same as a multiple of an empty play for their hosts"),
    "processes_rerun_seconds": Figure("A worker and a schedule added to the smallest site, which runs again"),
    "processes_rerun_ratio": Figure("The same as a multiple of an empty play", 0.3),
}
UNITS = {"seconds": " s", "milliseconds": " ms", "ratio": " \u00d7", "second": "/s", "mebibytes": " MiB"}


def unit(name: str) -> str:
    return UNITS.get(name.rpartition("_")[2], "")


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures in the order of the table, rounded. Raises KeyError for one without a description."""
    unknown = figures.keys() - FIGURES.keys()
    if unknown:
        raise KeyError(*unknown)
    return {name: round(figures[name], 2) for name in FIGURES if name in figures}


def shown(figures: Mapping[str, float]) -> list[str]:
    """Return the measured figures as lines of a Markdown table."""
    lines = ["| Measurement | Result | Goal |", "|---|---|---|"]
    for name, figure in FIGURES.items():
        if name in figures:
            goal = "" if figure.goal is None else f"{figure.sign()} {figure.goal:g}{unit(name)}"
            lines.append(f"| {figure.text} | {figures[name]:,.10g}{unit(name)} | {goal} |")
    return lines


def missed(figures: Mapping[str, float]) -> list[str]:
    """Return the names of the figures that miss their goals."""
    empty_play = figures.get(EMPTY)
    return [name for name, value in figures.items() if FIGURES[name].is_missed(value, empty_play)]


# ---- Details ---------------------------------------------------------------------------------------------------------


def serving(details: Mapping[str, Any] | None) -> list[str]:
    """Return a table of pages and pods: rates, latencies, and the memory of the pods."""
    if not details:
        return []
    lines = [
        "| Page | Pod | Requests/s | p50 | p99 | p50 at half rate | p99 at half rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for page, variants in details["pages"].items():
        for name, row in variants.items():
            times = " | ".join(milliseconds(row.get(key)) for key in ("p50", "p99", "half_p50", "half_p99"))
            lines.append(f"| {PAGES[page]} | {variant(name)} | {row['rate']:g} | {times} |")
    lines += ["", "| Pod | Working set of the project | Of the front |", "|---|---|---|"]
    for name, containers in details["memory"].items():
        front = f"{containers['front']:g} MiB" if "front" in containers else ""
        lines.append(f"| {variant(name)} | {containers['web']:g} MiB | {front} |")
    return lines


def milliseconds(value: float | None) -> str:
    """Return a cell, which is empty for too few requests or without a measurement."""
    return "" if value is None else f"{value:g} ms"


def variant(name: str) -> str:
    """Return the name of a kind of pod for users."""
    return {
        "ours": "Front and project",
        "alone": "Project without a front",
        "uncached": "Without page caching",
        "uncached-alone": "Without caching and front",
        "baseline": "Sync workers",
    }[name]


def replicas(details: Mapping[str, Any] | None) -> list[str]:
    """Return a table of requests per second by number of pods."""
    if not details:
        return []
    numbers = list(next(iter(details["list"].values())))
    lines = table(["Page", "Pods with", *(f"{number}" for number in numbers)])
    for page, variants in details.items():
        for name, by_number in variants.items():
            rates = " | ".join(f"{by_number[number]['rate']:g}/s" for number in numbers)
            lines.append(f"| {PAGES[page]} | {variant(name)} | {rates} |")
    return lines


def questions(details: Mapping[str, Any] | None) -> list[str]:
    """Return a table of the list by number of questions."""
    if not details:
        return []
    numbers = list(next(iter(details.values())))
    lines = table(["Pod", *(f"{int(number):,} questions" for number in numbers)])
    for name, by_number in details.items():
        cells = [f"{by_number[number]['rate']:g}/s, p50 {milliseconds(by_number[number]['p50'])}" for number in numbers]
        lines.append(f"| {variant(name)} | {' | '.join(cells)} |")
    return lines


def cache(details: Mapping[str, Any] | None) -> list[str]:
    """Return a table of pages while the cache is down."""
    if not details:
        return []
    lines = table(["Page, cache down", "Pod with a cache", "Pod without one"])
    for page, variants in details.items():
        rates = " | ".join(f"{variants[name]['rate']:g}/s" for name in ("with-cache", "without-cache"))
        lines.append(f"| {PAGES_WITHOUT_CACHE[page]} | {rates} |")
    return lines


def sites(details: Mapping[str, Any] | None) -> list[str]:
    """Return a table of runs by number of sites."""
    if not details:
        return []
    lines = table(["Sites", "Seconds", "As a multiple of an empty play"])
    for number, row in details.items():
        title = "A worker and a schedule more" if number == "processes" else number
        lines.append(f"| {title} | {row['seconds']:g} s | {row['ratio']:g} \u00d7 |")
    return lines


def table(heads: Iterable[str]) -> list[str]:
    """Return the first two lines of a Markdown table."""
    cells = list(heads)
    return [f"| {' | '.join(cells)} |", "|" + "---|" * len(cells)]


# By part.
TABLES = {"serving": serving, "replicas": replicas, "questions": questions, "cache": cache, "sites": sites}
