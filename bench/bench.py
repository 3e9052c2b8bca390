"""Measure the site's playbooks on the cluster of the inventory that is given, in a namespace of their own.

Prints a table, writes bench/results.json, and puts the figures into README.md.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plays import PROJECT, Failed, Plays, copied_context, kubectl, machine, put_into_readme, replace, say

RESULTS = PROJECT / "bench" / "results.json"
NAMESPACE = "cloud-django-bench"
REPEATS = 5
# name: (what it is, its limit in its own unit or None)
FIGURES: dict[str, tuple[str, float | None]] = {
    "site_first_seconds": ("First deployment to the first counted vote; cluster there, images built", 60),
    "site_rerun_seconds": ("The same again, with nothing to change", 8),
    "kubectl_apply_seconds": ("`kubectl apply --server-side` of the same objects, for comparison", None),
    "site_rerun_ratio": ("Ratio of the two", None),
    "site_rerun_api_tasks": ("Tasks of it that touch the API", None),
    "image_change_seconds": ("One word changed in a template until the page shows it", 40),
    "teardown_seconds": ("The site and its data removed, the cluster stays", 20),
}


@contextmanager
def stopwatch(seconds: list[float]) -> Iterator[None]:
    """Append how long the block took."""
    started = time.monotonic()
    yield
    seconds.append(time.monotonic() - started)


def vote(site: str) -> None:
    """Vote once, from outside."""
    done = subprocess.run(
        [sys.executable, "tests/visitor.py", site], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    if told["after"] != told["before"] + 1:
        raise Failed(f"The vote was not counted: {told}")


class Kubectl:
    """The objects of the site, and kubectl to apply them."""

    def __init__(self, plays: Plays) -> None:
        self.command = [*kubectl(plays), f"--namespace={NAMESPACE}"]

    def run(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"kubectl {arguments[0]} failed: {done.stderr[:500]}")
        return done.stdout

    def objects(self) -> str:
        """Return what the roles applied, as a list for kubectl: each object with the fields that are theirs."""
        kinds = self.run("api-resources", "--namespaced", "--verbs=list,patch", "--output=name").split()
        # A Job is made once and cannot be applied again.
        kinds = [kind for kind in kinds if kind not in {"events", "events.events.k8s.io", "jobs.batch"}]
        selector = "--selector=app.kubernetes.io/managed-by=cloud-django"
        found = json.loads(self.run("get", ",".join(kinds), selector, "--show-managed-fields", "--output=json"))
        items = [ours for item in found["items"] if (ours := applied(item))]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    def apply(self, objects: str) -> None:
        self.run("apply", "--server-side", "--field-manager=cloud-django", "--filename=-", stdin=objects)


def applied(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fields of an object that the field manager cloud-django applied; None if it applied none."""
    for entry in item["metadata"].get("managedFields", []):
        if entry["manager"] == "cloud-django" and entry["operation"] == "Apply" and "subresource" not in entry:
            ours = owned(item, entry["fieldsV1"])
            name = {key: item["metadata"][key] for key in ("name", "namespace")}
            return ours | {
                "apiVersion": item["apiVersion"],
                "kind": item["kind"],
                "metadata": ours.get("metadata", {}) | name,
            }
    return None


def owned(value: Any, fields: dict[str, Any]) -> Any:
    """Return the part of `value` that `fields`, a set of fields in Kubernetes' notation, names."""
    inner = {key: set_ for key, set_ in fields.items() if key != "."}
    if not inner:
        return value
    if isinstance(value, dict):
        return {key[2:]: owned(value[key[2:]], set_) for key, set_ in inner.items() if key[2:] in value}
    # In the order of the list, which the set does not know.
    kept = []
    for element in value:
        for key, set_ in inner.items():
            wanted = json.loads(key[2:])
            if key.startswith("v:") and element == wanted:
                kept.append(element)
            elif key.startswith("k:") and all(element.get(name) == part for name, part in wanted.items()):
                kept.append(wanted | owned(element, set_))
    return kept


def changed_copy(folder: Path) -> Path:
    """Copy the build context with one word changed in a template."""
    copy = copied_context(folder / "context")
    # A word of its own, so that no earlier run has left an image with it.
    page = copy / "django_polls" / "polls" / "templates" / "polls" / "index.html"
    replace(page, "What do you think?", f"What do you think, {folder.name}?")
    return copy


def measure(inventory: str) -> dict[str, float]:
    """Return the figures."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        api_tasks = Path(name, "api_tasks")
        environment = {
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "bench" / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "api_tasks",
            "API_TASKS_FILE": str(api_tasks),
        }
        plays = Plays([inventory], {"app_namespace": NAMESPACE, "app_public_url": ""}, environment)
        say("Preparing the cluster and the image")
        plays("site", "--tags=container_engine,mirror_builds,cluster,namespace,image")
        plays("teardown", teardown_data="purge", teardown_cluster=False)

        say("Deploying for the first time")
        seconds: list[float] = []
        with stopwatch(seconds):
            plays("site")
            vote(plays.address())
        figures["site_first_seconds"] = seconds[0]

        kubectl = Kubectl(plays)
        objects = kubectl.objects()
        reruns: list[float] = []
        applies: list[float] = []
        for number in range(REPEATS):
            say(f"Deploying again, {number + 1} of {REPEATS}")
            with stopwatch(reruns):
                changed = plays("site")
            if changed:
                raise Failed(f"{changed} tasks changed something although nothing was to change:\n{plays.output}")
            with stopwatch(applies):
                kubectl.apply(objects)
        figures["site_rerun_seconds"] = statistics.median(reruns)
        figures["kubectl_apply_seconds"] = statistics.median(applies)
        figures["site_rerun_ratio"] = statistics.median(a / b for a, b in zip(reruns, applies, strict=True))
        figures["site_rerun_api_tasks"] = int(api_tasks.read_text())

        say("Changing a template")
        copy = changed_copy(Path(name))
        seconds = []
        with stopwatch(seconds):
            plays("site", image_context=str(copy))
            with urllib.request.urlopen(plays.address() + "/", timeout=10) as answer:
                page = answer.read().decode()
        if f"What do you think, {Path(name).name}?" not in page:
            raise Failed("The page does not show the change.")
        figures["image_change_seconds"] = seconds[0]

        say("Removing the site")
        seconds = []
        with stopwatch(seconds):
            plays("teardown", teardown_data="purge", teardown_cluster=False)
        figures["teardown_seconds"] = seconds[0]
    return {key: round(value, 2) for key, value in figures.items()}


def shown(figures: dict[str, float]) -> list[str]:
    """Return the figures as lines of a table in Markdown."""
    lines = ["| What | Measured | Goal |", "|---|---|---|"]
    for key, (what, limit) in FIGURES.items():
        unit = " s" if key.endswith("_seconds") else ""
        lines.append(f"| {what} | {figures[key]:g}{unit} | {f'≤ {limit:g}{unit}' if limit else ''} |")
    return lines


def main() -> None:
    """Measure, show and keep the figures; end with 1 if one is beyond its goal."""
    try:
        figures = measure(sys.argv[1])
    except Failed as failure:
        sys.exit(str(failure))
    RESULTS.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n", encoding="utf-8")
    lines = shown(figures)
    put_into_readme("make bench", lines)
    print("\n".join(lines))
    missed = [key for key, (_, limit) in FIGURES.items() if limit and figures[key] > limit]
    if missed:
        sys.exit(f"Beyond the goal: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
