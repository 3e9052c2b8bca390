"""Plots and tables of the stored figures: they are current, readable, and the same in light and dark."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import documents
import figures
import plots
import pytest
from plots import Bar, Plot

RESULTS, PROOF = (json.loads(path.read_text(encoding="utf-8")) for path in (documents.RESULTS, documents.PROOF))
NAMESPACE = "{http://www.w3.org/2000/svg}"
ROW = {"rate": 100.5, "p50": 9.5, "p99": 30, "half_p50": 4, "half_p99": 12.25}
VARIANTS = ("ours", "alone", "uncached", "baseline")
# One kind of pod is measured on the list only, and some have no half rate or too few requests.
LISTED = dict.fromkeys(VARIANTS, ROW) | {"uncached-alone": {"rate": 100, "p50": 9.5, "p99": None}}
# Details as the parts of `make bench` return them.
DETAILS = {
    "serving": {
        "pages": {page: dict.fromkeys(VARIANTS, ROW) for page in figures.PAGES} | {"list": LISTED},
        "memory": {"ours": {"web": 101.5, "front": 21}, "baseline": {"web": 180}},
    },
    "replicas": {page: {name: {"1": ROW, "3": ROW} for name in ("ours", "baseline")} for page in ("list", "vote")},
    "questions": {name: {"10": ROW, "100000": ROW} for name in ("ours", "uncached", "baseline")},
    "cache": {page: {"with-cache": ROW, "without-cache": ROW} for page in figures.PAGES_WITHOUT_CACHE},
    "sites": {"1": {"seconds": 2.5, "ratio": 6}, "10": {"seconds": 9, "ratio": 14.5}},
}
ALL = plots.all_plots(RESULTS | {"details": DETAILS}, PROOF)


# ---- Current ---------------------------------------------------------------------------------------------------------


def test_the_plots_are_those_of_the_stored_figures() -> None:
    drawn = {f"{name}.svg": plots.svg(plot) for name, plot in plots.all_plots(RESULTS, PROOF).items()}
    stored = {path.name: path.read_text(encoding="utf-8") for path in documents.PLOTS.iterdir()}
    assert stored == drawn, "Run `.venv/bin/python bench/documents.py`."


def test_the_tables_are_those_of_the_stored_figures() -> None:
    text = documents.PAGE.read_text(encoding="utf-8")
    for name, lines in documents.blocks(RESULTS, PROOF).items():
        _, block, _ = text.split(documents.mark(name))
        assert block.split("\n")[1:-1] == lines, "Run `.venv/bin/python bench/documents.py`."


def test_the_readme_has_the_headlines_of_the_stored_figures() -> None:
    _, table, _ = documents.README.read_text(encoding="utf-8").split(documents.HEADLINES)
    assert table.split("\n")[1:-1] == documents.headlines(RESULTS["figures"], PROOF["rows"])


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages and figures of a test."""
    for name in ("README", "PAGE", "RESULTS", "PROOF"):
        path = getattr(documents, name)
        (tmp_path / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(documents, name, tmp_path / path.name)
    monkeypatch.setattr(documents, "PLOTS", tmp_path / "plots")
    return tmp_path


def test_new_figures_replace_all_earlier_ones(copies: Path) -> None:
    headline = {
        "site_first_seconds": 34.32,
        "site_rerun_seconds": 3.52,
        "site_rerun_ratio": 7.83,
        "serving_list_ratio": 13.04,
    }
    found = RESULTS["figures"] | headline
    documents.RESULTS.write_text(json.dumps({"figures": found, "details": DETAILS}), encoding="utf-8")
    rows = [entry | {"name": entry["kind"], "requests": 67506, "failed": 0} for entry in PROOF["rows"]]
    documents.PROOF.write_text(json.dumps({"rows": rows}), encoding="utf-8")
    (copies / "plots").mkdir()
    (copies / "plots" / "outdated.svg").touch()
    documents.publish()
    readme = documents.README.read_text(encoding="utf-8")
    for part in ("| 34 s |", "| 7.8 \u00d7, 3.5 s |", "| 0 of 67,506 |", "| 13.0 \u00d7 | \u2265 12 \u00d7 |"):
        assert part in readme
    page = documents.PAGE.read_text(encoding="utf-8")
    assert documents.NONE_YET[0] not in page
    assert "| Question | Sync workers | 100.5 | 9.5 ms | 30 ms | 4 ms | 12.25 ms |" in page
    assert "| List | Without caching and front | 100 | 9.5 ms |  |  |  |" in page
    assert "| Administration, signed in | 100.5/s | 100.5/s |" in page
    assert "| Front and project | 101.5 MiB | 21 MiB |" in page
    assert "| 10 | 9 s | 14.5 \u00d7 |" in page
    assert {path.stem for path in (copies / "plots").iterdir()} == set(ALL)
    assert set(re.findall(r"\(plots/(\w+)\.svg\)", page)) == set(ALL)
    # Again without a difference.
    documents.publish()
    assert documents.PAGE.read_text(encoding="utf-8") == page


def test_missing_figures_are_named_as_missing(copies: Path) -> None:
    documents.RESULTS.write_text(json.dumps({"figures": RESULTS["figures"]}), encoding="utf-8")
    documents.publish()
    assert documents.PAGE.read_text(encoding="utf-8").count(documents.NONE_YET[0]) == len(figures.TABLES)


@pytest.mark.parametrize("found", [{}, {"serving_list_ratio": 13.0}])
def test_figures_of_one_part_are_published_without_the_others(found: dict[str, float], copies: Path) -> None:
    documents.RESULTS.write_text(json.dumps({"figures": found}), encoding="utf-8")
    documents.publish()
    readme = documents.README.read_text(encoding="utf-8")
    assert "First deployment until" not in readme
    assert ("| 13.0 \u00d7 |" in readme) == bool(found)
    assert not (copies / "plots" / "playbooks.svg").exists()


def test_stored_figures_of_another_machine_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    monkeypatch.setattr(documents, "machine", lambda: {"cpus": 2})
    nothing = {"figures": {}}
    assert documents.stored(file, nothing) == {"machine": {"cpus": 2}, "figures": {}}
    documents.write(file, {"machine": {"cpus": 2}, "figures": {"x": 1}})
    assert documents.stored(file, nothing)["figures"] == {"x": 1}
    monkeypatch.setattr(documents, "machine", lambda: {"cpus": 99})
    assert documents.stored(file, nothing) == {"machine": {"cpus": 99}, "figures": {}}


# ---- Readable --------------------------------------------------------------------------------------------------------


def test_there_is_a_plot_for_each_part() -> None:
    assert set(ALL) == {plot for names in documents.BLOCKS.values() for plot in names}


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_bar_has_its_name_and_value_within_the_plot(name: str) -> None:
    plot = ALL[name]
    root = ElementTree.fromstring(plots.svg(plot))
    width, height = float(root.get("width")), float(root.get("height"))
    texts = [element.text for element in root.iter(f"{NAMESPACE}text")]
    bars = [bar for several in plot.groups.values() for bar in several]
    assert bars
    assert texts[0] == plot.title
    for bar in bars:
        assert bar.name in texts
        assert bar.text in texts
    drawn = [element for element in root.iter(f"{NAMESPACE}rect") if element.get("class").startswith("bar")]
    assert len(drawn) == len(bars)
    for element in root.iter():
        if element.tag in (f"{NAMESPACE}rect", f"{NAMESPACE}text"):
            assert 0 <= float(element.get("x", 0)) <= width
            assert 0 <= float(element.get("y", 0)) <= height
    # Names fit left of the bars, and values right of them. A character is less than eight pixels wide.
    assert max(len(bar.name) for bar in bars) * 7 <= plots.LABELS
    for element, bar in zip(drawn, bars, strict=True):
        assert float(element.get("x")) + float(element.get("width")) + 8 + 8 * len(bar.text) <= width
    assert len(plot.title) * 9 <= width - 2 * plots.MARGIN
    tops = [float(element.get("y")) for element in drawn]
    assert all(after - before >= plots.ROW for before, after in pairwise(tops))


def test_bars_are_proportional_and_end_at_the_largest() -> None:
    plot = Plot("x", "title", "description", {"": [Bar("a", 10, "10"), Bar("b", 5, "5"), Bar("c", 0, "0")]}, goal=20)
    root = ElementTree.fromstring(plots.svg(plot))
    widths = [float(element.get("width")) for element in root.iter(f"{NAMESPACE}rect")][1:]
    assert widths == [plots.LONGEST / 2, plots.LONGEST / 4, 0]
    [line] = root.iter(f"{NAMESPACE}line")
    assert float(line.get("x1")) == plots.MARGIN + plots.LABELS + plots.LONGEST


def test_readers_without_the_plot_get_its_description() -> None:
    plot = Plot("x", "1 < 2", "a & b", {"": [Bar("<", 1, ">")]})
    root = ElementTree.fromstring(plots.svg(plot))
    assert root.get("role") == "img"
    labels = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert labels == {"title": "1 < 2", "description": "a & b"}
    assert root.get("aria-labelledby").split() == list(labels)
    assert plots.image(plot) == "![a & b](plots/x.svg)"


def luminance(color: str) -> float:
    """Return the relative luminance of a color, as in WCAG."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted([luminance(one), luminance(other)])
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("colors", "bars"), [(plots.LIGHT, plots.LIGHT_BARS), (plots.DARK, plots.DARK_BARS)])
def test_colors_have_enough_contrast(colors: dict[str, str], bars: tuple[str, ...]) -> None:
    assert contrast(colors["text"], colors["background"]) >= 7
    assert min(contrast(color, colors["background"]) for color in (*bars, colors["goal"])) >= 3
    assert len(set(bars)) == len(bars) == len(plots.SERIES)


def test_the_file_has_both_color_schemes() -> None:
    text: Any = plots.svg(next(iter(ALL.values())))
    light, _, dark = text.partition("@media (prefers-color-scheme: dark)")
    assert plots.LIGHT["background"] in light
    assert plots.DARK["background"] in dark
