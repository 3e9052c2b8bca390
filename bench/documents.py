"""Tables and plots of the stored figures in docs/figures.md, and the headlines in README.md.

Both commands write all of them. The program itself renders them again from the stored figures, for example after a
merge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import plots
import rows
from plays import PROJECT, machine

README = PROJECT / "README.md"
PAGE = PROJECT / "docs" / "figures.md"
PLOTS = PROJECT / "docs" / "plots"
RESULTS, PROOF = PROJECT / "bench" / "results.json", PROJECT / "bench" / "prove.json"
HEADLINES = "<!-- figures: headlines, written by `make bench` and `make prove` -->"
# Marks around the blocks of docs/figures.md, and the plots at the start of each block.
BLOCKS: dict[str, tuple[str, ...]] = {
    "written by `make bench`": ("playbooks",),
    "serving, written by `make bench`": ("serving", "half_rate", "memory"),
    "replicas, written by `make bench`": ("replicas",),
    "questions, written by `make bench`": ("questions",),
    "cache, written by `make bench`": (),
    "sites, written by `make bench`": ("sites",),
    "written by `make prove`": ("failures",),
}
NONE_YET = ["Not measured yet."]


def stored(file: Path, nothing: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored figures of this machine. Those of another machine count as `nothing`."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    here = machine()
    return {"machine": here} | dict(nothing) | (kept if kept.get("machine") == here else {})


def write(file: Path, results: Mapping[str, Any]) -> None:
    """Store figures."""
    file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def mark(name: str) -> str:
    return f"<!-- figures: {name} -->"


def put_between(page: Path, mark: str, lines: Sequence[str]) -> None:
    """Replace the lines of a page between two marks."""
    before, _, after = page.read_text(encoding="utf-8").split(mark)
    page.write_text(mark.join([before, "\n" + "\n".join(lines) + "\n", after]), encoding="utf-8")


def blocks(results: Mapping[str, Any], proof: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the lines of each block of docs/figures.md."""
    details = results.get("details") or {}
    tables = {f"{part}, written by `make bench`": show(details.get(part)) for part, show in figures.TABLES.items()}
    tables["written by `make bench`"] = figures.shown(results["figures"])
    tables["written by `make prove`"] = rows.shown(rows.loaded(proof["rows"]))
    drawn = plots.all_plots(results, proof)
    found: dict[str, list[str]] = {}
    for name, wanted in BLOCKS.items():
        images = [line for plot in wanted if plot in drawn for line in (plots.image(drawn[plot]), "")]
        found[name] = images + (tables[name] or NONE_YET)
    return found


def headlines(results: Mapping[str, float], proof: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the most important figures as lines of a table, without rows that this machine has not measured."""
    lines = ["| Figure | Measured | Goal |", "|---|---|---|"]
    if "site_first_seconds" in results:
        lines += [
            "| First deployment until the first counted vote, with a cluster and images | "
            f"{results['site_first_seconds']:.0f} s | ≤ 60 s |",
            "| Run with nothing to change, as a multiple of an empty play | "
            f"{results['site_rerun_ratio']:.1f} \u00d7, {results['site_rerun_seconds']:.1f} s | ≤ 8 \u00d7 |",
        ]
    for page, goal in (("list", 12), ("vote", 6)):
        if f"serving_{page}_ratio" in results:
            lines.append(
                f"| Requests per second of page {page}, as a multiple of sync workers without a cache | "
                f"{results[f'serving_{page}_ratio']:.1f} \u00d7 | \u2265 {goal} \u00d7 |"
            )
    for row in proof:
        if row["kind"] == "rollouts":
            lines.append(f"| {row['name']}, under load: failed requests | {row['failed']} of {row['requests']:,} | 0 |")
    return lines


def publish() -> None:
    """Write all tables, plots, and headlines from the stored figures."""
    results, proof = (json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS, PROOF))
    for name, lines in blocks(results, proof).items():
        put_between(PAGE, mark(name), lines)
    PLOTS.mkdir(exist_ok=True)
    drawn = {f"{name}.svg": plots.svg(plot) for name, plot in plots.all_plots(results, proof).items()}
    for outdated in {path.name for path in PLOTS.glob("*.svg")} - drawn.keys():
        (PLOTS / outdated).unlink()
    for name, text in drawn.items():
        (PLOTS / name).write_text(text, encoding="utf-8")
    put_between(README, HEADLINES, headlines(results["figures"], proof["rows"]))


if __name__ == "__main__":
    publish()
