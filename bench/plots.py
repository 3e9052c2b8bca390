"""Plots of the stored figures, as SVG files for light and dark pages.

Each bar has its name and its value as text, so that no color is needed to read a plot. A plotting library would be
installed with the tools of each user, and its files would be larger and change with its version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from figures import FIGURES, PAGES, unit, variant

WIDTH, MARGIN, LABELS, ROW, BAR = 760, 16, 190, 22, 14
# Width of the longest bar. The rest is for its value.
LONGEST = WIDTH - 2 * MARGIN - LABELS - 180
# Colors of background, text, and goal line, then of the bars by series. They differ in brightness, too.
LIGHT = {"background": "#ffffff", "text": "#1f2328", "goal": "#1f2328"}
DARK = {"background": "#0d1117", "text": "#e6edf3", "goal": "#e6edf3"}
LIGHT_BARS = ("#0b5cad", "#b35900", "#177a5b", "#8a5a9e", "#59636e")
DARK_BARS = ("#58a6ff", "#f0a04b", "#3fbf8f", "#c9a0dc", "#9198a1")
# Color of each kind of pod.
SERIES = {"ours": 0, "alone": 1, "uncached": 2, "baseline": 3, "uncached-alone": 4}


@dataclass(frozen=True)
class Bar:
    """Bar with its name, its value, the value as text, and the number of its color."""

    name: str
    value: float
    text: str
    series: int = 0


@dataclass(frozen=True)
class Plot:
    """Groups of bars with one scale, and an optional line at a goal."""

    name: str
    title: str
    # Text for readers who do not see the plot.
    description: str
    groups: Mapping[str, Sequence[Bar]] = field(default_factory=dict)
    goal: float | None = None

    @property
    def largest(self) -> float:
        values = [bar.value for bars in self.groups.values() for bar in bars]
        return max([*values, self.goal or 0.0]) or 1.0


# ---- SVG -------------------------------------------------------------------------------------------------------------


def svg(plot: Plot) -> str:
    """Return a plot as the text of an SVG file."""
    body, height = rows(plot)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(plot.title)}</title>',
            f'<desc id="description">{escape(plot.description)}</desc>',
            f"<style>{style(LIGHT, LIGHT_BARS)}",
            f"@media (prefers-color-scheme: dark) {{{style(DARK, DARK_BARS)}}}</style>",
            f'<rect class="background" width="{WIDTH}" height="{height}" rx="6"/>',
            text(MARGIN, MARGIN + 12, plot.title, "head"),
            *body,
            "</svg>",
            "",
        ]
    )


def style(colors: Mapping[str, str], bars: Sequence[str]) -> str:
    """Return the rules of one color scheme."""
    rules = [
        f".background {{fill: {colors['background']}}}",
        f"text {{fill: {colors['text']}; font: 13px system-ui, sans-serif}}",
        ".head {font-weight: 600; font-size: 15px}",
        ".group {font-weight: 600}",
        ".name {text-anchor: end}",
        f".goal {{stroke: {colors['goal']}; stroke-width: 1.5; stroke-dasharray: 4 3}}",
        *(f".bar{number} {{fill: {color}}}" for number, color in enumerate(bars)),
    ]
    return " ".join(rules)


def rows(plot: Plot) -> tuple[list[str], int]:
    """Return the elements of all bars, and the height of the plot."""
    lines: list[str] = []
    left, top = MARGIN + LABELS, MARGIN + 34
    first = top
    for group, bars in plot.groups.items():
        if group:
            lines.append(text(MARGIN, top + 13, group, "group"))
            top += ROW
        for bar in bars:
            width = round(LONGEST * bar.value / plot.largest, 1)
            lines.append(text(left - 8, top + 12, bar.name, "name"))
            lines.append(f'<rect class="bar{bar.series}" x="{left}" y="{top + 1}" width="{width}" height="{BAR}"/>')
            lines.append(text(left + width + 8, top + 12, bar.text))
            top += ROW
        top += 6
    if plot.goal is not None:
        place = round(left + LONGEST * plot.goal / plot.largest, 1)
        lines.append(f'<line class="goal" x1="{place}" y1="{first - 4}" x2="{place}" y2="{top - 4}"/>')
    return lines, top + MARGIN - 6


def text(left: float, top: float, content: str, kind: str = "") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{round(left, 1)}" y="{top}">{escape(content)}</text>'


def image(plot: Plot) -> str:
    """Return the line of Markdown that shows a plot on a page in docs/."""
    return f"![{plot.description}](plots/{plot.name}.svg)"


# ---- Plots -----------------------------------------------------------------------------------------------------------


def all_plots(results: Mapping[str, Any], proof: Mapping[str, Any]) -> dict[str, Plot]:
    """Return the plots for which there are figures, by name."""
    details = results.get("details") or {}
    found = [*playbooks(results["figures"]), *failures(proof["rows"])]
    for name, make in (("serving", serving), ("replicas", replicas), ("questions", questions), ("sites", sites)):
        if details.get(name):
            found += make(details[name])
    return {plot.name: plot for plot in found}


def playbooks(figures: Mapping[str, float]) -> Iterator[Plot]:
    """Yield the figures of playbooks as a part of their limits."""
    names = {
        "site_first_seconds": "First deployment",
        "site_rerun_ratio": "Nothing to change",
        "site_rerun_tasks": "Tasks of such a run",
        "image_change_ratio": "Changed template",
        "teardown_ratio": "Removal",
    }
    bars = []
    for key, name in names.items():
        if key not in figures:
            continue
        goal = FIGURES[key].goal
        value = f"{figures[key]:g}{unit(key)} of {goal:g}"
        bars.append(Bar(name, figures[key] / goal, value))
    description = "Runs of playbooks, each as a part of its limit, which is the dashed line"
    if bars:
        yield Plot("playbooks", "Playbooks: measured, as a part of the limit (dashed)", description, {"": bars}, 1.0)


def serving(details: Mapping[str, Any]) -> Iterator[Plot]:
    """Yield the rates, the latencies, and the memory."""
    pages = details["pages"]
    rates = {
        PAGES[page]: [
            Bar(variant(name), row["rate"], f"{row['rate']:g}/s", SERIES[name]) for name, row in variants.items()
        ]
        for page, variants in pages.items()
    }
    description = "Requests per second of each page: pods with a front, without one, without page caching, sync workers"
    yield Plot("serving", "Requests per second of a pod with one CPU", description, rates)
    times = {
        PAGES[page]: [
            Bar(variant(name), row["half_p99"], f"{row['half_p99']:g} ms", SERIES[name])
            for name, row in variants.items()
            if row.get("half_p99") is not None
        ]
        for page, variants in pages.items()
    }
    description = "99th percentile of the milliseconds of each page at half of the maximum rate"
    yield Plot("half_rate", "Milliseconds at half of the maximum rate, 99th percentile", description, times)
    sizes = {
        title: [
            Bar(variant(name), containers[container], f"{containers[container]:g} MiB", SERIES[name])
            for name, containers in details["memory"].items()
            if container in containers
        ]
        for title, container in (("Project", "web"), ("Front", "front"))
    }
    yield Plot("memory", "Memory of a pod under load, in MiB", "Largest working set of each kind of pod", sizes)


def replicas(details: Mapping[str, Any]) -> Iterator[Plot]:
    """Yield the rates by number of pods."""
    groups = {
        PAGES[page]: [
            Bar(f"{number}: {variant(name).lower()}", row["rate"], f"{row['rate']:g}/s", SERIES[name])
            for name, by_number in variants.items()
            for number, row in by_number.items()
        ]
        for page, variants in details.items()
    }
    description = "Requests per second of each page with one, two, and three pods"
    yield Plot("replicas", "Requests per second by number of pods, on one machine", description, groups)


def questions(details: Mapping[str, Any]) -> Iterator[Plot]:
    """Yield the CPU time of the list by number of questions. The pods use their whole CPU."""
    groups = {
        variant(name): [
            Bar(f"{int(number):,} questions", 1000 / row["rate"], f"{1000 / row['rate']:.2f} ms", SERIES[name])
            for number, row in by_number.items()
        ]
        for name, by_number in details.items()
    }
    description = "CPU time of a list page with 10, 1,000, and 100,000 questions, in milliseconds"
    yield Plot("questions", "CPU time per page of the list, by number of questions", description, groups)


def sites(details: Mapping[str, Any]) -> Iterator[Plot]:
    """Yield the seconds of a run by number of sites."""
    bars = [
        Bar("1 site" if number == "1" else f"{number} sites", row["seconds"], f"{row['seconds']:g} s")
        for number, row in details.items()
    ]
    description = "Seconds of a run with nothing to change, for one, three, and ten sites"
    yield Plot("sites", "Seconds of a run with nothing to change, by number of sites", description, {"": bars})


def failures(entries: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    """Yield the failed requests of each scenario of `make prove`."""
    bars = []
    for entry in entries:
        percent = 100 * entry["failed"] / max(entry["requests"], 1)
        expected = ", expected" if 0 < entry["failed"] <= entry["failures_expected"] else ""
        share = f" ({percent:.2g} %)" if entry["failed"] else ""
        bars.append(Bar(entry["kind"], percent, f"{entry['failed']}{share}{expected}", 1 if entry["failed"] else 0))
    description = "Failed requests of each scenario of make prove, in percent of all requests"
    if bars:
        yield Plot("failures", "Failed requests by scenario, and their part of all requests", description, {"": bars})
