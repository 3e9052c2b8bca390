"""Part `playbooks` of `make bench`: deployments, runs without changes, a changed image, and the removal.

Most figures are multiples of an empty play on the same machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sites
from ground import Ground
from plays import PROJECT, Failed, Plays, copied_context, empty_play, kubectl, replace, say, unchanged
from report import Result, Tasks
from variants import remove_leftovers

NAMESPACE = "cloud-django-bench"
REPEATS = 5
SLOWEST = 5  # Number of slowest tasks to report.
# Changes and removals are repeated twice if the repetitions of both take at most this many seconds.
REPEATS_OF_CHANGES, REPEATS_BUDGET = 3, 120.0


@contextmanager
def stopwatch(seconds: list[float]) -> Iterator[None]:
    """Append the seconds that the block took."""
    started = time.monotonic()
    yield
    seconds.append(time.monotonic() - started)


def vote(site: str) -> None:
    """Vote once, from outside the cluster."""
    done = subprocess.run([sys.executable, "tests/visitor.py", site], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"A vote on {site} failed: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if result["after"] != result["before"] + 1:
        raise Failed(f"The vote was not counted: {result}")


class Kubectl:
    """kubectl in the namespace of the site."""

    def __init__(self, plays: Plays) -> None:
        self.command = [*kubectl(plays), f"--namespace={NAMESPACE}"]

    def run(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"kubectl {arguments[0]} failed: {done.stderr[:500]}")
        return done.stdout

    def objects(self) -> str:
        """Return the objects that the roles applied as a list for kubectl, each with only the applied fields."""
        kinds = self.run("api-resources", "--namespaced", "--verbs=list,patch", "--output=name").split()
        # Jobs are immutable and cannot be applied again.
        kinds = [kind for kind in kinds if kind not in {"events", "events.events.k8s.io", "jobs.batch"}]
        selector = "--selector=app.kubernetes.io/managed-by=cloud-django"
        found = json.loads(self.run("get", ",".join(kinds), selector, "--show-managed-fields", "--output=json"))
        items = [fields for item in found["items"] if (fields := applied(item))]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    def apply(self, objects: str) -> None:
        self.run("apply", "--server-side", "--field-manager=cloud-django", "--filename=-", stdin=objects)


def applied(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fields of an object that the field manager cloud-django applied, or None if it applied none."""
    for entry in item["metadata"].get("managedFields", []):
        if entry["manager"] == "cloud-django" and entry["operation"] == "Apply" and "subresource" not in entry:
            mine = owned(item, entry["fieldsV1"])
            name = {key: item["metadata"][key] for key in ("name", "namespace")}
            return mine | {
                "apiVersion": item["apiVersion"],
                "kind": item["kind"],
                "metadata": mine.get("metadata", {}) | name,
            }
    return None


def owned(value: Any, fields: dict[str, Any]) -> Any:
    """Return the part of `value` that is in `fields`, a set of fields in the notation of Kubernetes."""
    inner = {key: set_ for key, set_ in fields.items() if key != "."}
    if not inner:
        return value
    if isinstance(value, dict):
        return {key[2:]: owned(value[key[2:]], set_) for key, set_ in inner.items() if key[2:] in value}
    # Keep the order of the list, because the set has none.
    kept = []
    for element in value:
        for key, set_ in inner.items():
            wanted = json.loads(key[2:])
            if key.startswith("v:") and element == wanted:
                kept.append(element)
            elif key.startswith("k:") and all(element.get(name) == part for name, part in wanted.items()):
                kept.append(wanted | owned(element, set_))
    return kept


@dataclass
class Ratio:
    """Seconds of an action, and of an empty play next to each measurement."""

    seconds: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)

    def figures(self, name: str) -> dict[str, float]:
        """Return the median of the seconds, and the median of the multiples of the empty plays."""
        ratios = [one / empty for one, empty in zip(self.seconds, self.empty, strict=True)]
        return {f"{name}_seconds": statistics.median(self.seconds), f"{name}_ratio": statistics.median(ratios)}


def timed(do: Callable[[], Any]) -> float:
    """Return the seconds that a function took."""
    seconds: list[float] = []
    with stopwatch(seconds):
        do()
    return seconds[0]


def between(empty: Callable[[], float], do: Callable[[], Any], ratio: Ratio) -> None:
    """Measure an action between two empty plays, whose mean counts, because the machine's speed drifts."""
    before = empty()
    seconds = timed(do)
    ratio.seconds.append(seconds)
    ratio.empty.append((before + empty()) / 2)


def repeats(seconds: float, budget: float) -> int:
    """Return how many times to repeat an action: all or none, because two values have no median."""
    further = REPEATS_OF_CHANGES - 1
    return further if further * seconds <= budget else 0


def slowest(runs: Sequence[Tasks]) -> Tasks:
    """Return the slowest tasks of several equal runs, with the median of their seconds."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for run in runs:
        # A task that is included several times has the same name each time.
        seen: Counter[str] = Counter()
        for name, taken in run:
            seconds.setdefault((name, seen[name]), []).append(taken)
            seen[name] += 1
    medians = [(name, round(statistics.median(taken), 2)) for (name, _), taken in seconds.items()]
    return sorted(medians, key=lambda task: -task[1])[:SLOWEST]


def changed_copy(folder: Path, word: str) -> Path:
    """Copy the build context and change a word in a template."""
    copy = copied_context(folder / word)
    page = copy / "django_polls" / "polls" / "templates" / "polls" / "index.html"
    replace(page, "What do you think?", f"What do you think, {word}?")
    return copy


def change_image(plays: Plays, copy: Path) -> None:
    """Deploy a changed build context, and check that the page shows the change."""
    plays("site", image_context=str(copy))
    # The node is a container on this machine, so ignore proxies from the environment.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(plays.address() + "/", timeout=10) as answer:
        page = answer.read().decode()
    if f"What do you think, {copy.name}?" not in page:
        raise Failed("The page does not show the change.")


def rerun(plays: Plays, empty: Callable[[], float], started: Path) -> tuple[dict[str, float], Tasks]:
    """Run site.yml repeatedly without changes; return the figures and the slowest tasks."""
    kubectl = Kubectl(plays)
    objects = kubectl.objects()
    sites, applies = Ratio(), Ratio()
    runs: list[dict[str, Any]] = []
    for number in range(REPEATS):
        say(f"Deploying again, {number + 1} of {REPEATS}")
        sites.empty.append(empty())
        sites.seconds.append(timed(lambda: unchanged(plays)))
        runs.append(json.loads(started.read_text(encoding="utf-8")))
        applies.seconds.append(sites.seconds[-1])
        applies.empty.append(timed(lambda: kubectl.apply(objects)))
    figures = {
        "empty_play_seconds": statistics.median(sites.empty),
        "kubectl_apply_seconds": statistics.median(applies.empty),
        "site_rerun_kubectl_ratio": applies.figures("site_rerun")["site_rerun_ratio"],
        "site_rerun_tasks": statistics.median_high(len(run["seconds"]) for run in runs),
        "site_rerun_api_tasks": statistics.median_high(run["api_tasks"] for run in runs),
    }
    return figures | sites.figures("site_rerun"), slowest([run["seconds"] for run in runs])


# ---- The site that is measured ---------------------------------------------------------------------------------------


class Site:
    """Site in a separate namespace of the inventory's cluster. Its temporary files are in `folder`."""

    def __init__(self, inventory: str, folder: Path) -> None:
        self.folder = folder
        self.started = folder / "tasks_started.json"
        environment = {
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "bench" / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "tasks_started",
            "TASKS_STARTED_FILE": str(self.started),
        }
        self.plays = Plays([inventory], {"app_namespace": NAMESPACE, "app_public_url": ""}, environment)
        self.nothing = empty_play(folder)

    def empty(self) -> float:
        """Return the seconds of an empty play."""
        return timed(lambda: self.plays(self.nothing))

    def prepare(self) -> None:
        """Provide the cluster and the image, and remove what an interrupted measurement left."""
        say("Preparing the cluster and the image")
        self.plays("site", "--tags=container_engine,mirror_builds,cluster,namespace,image")
        ground = Ground(self.plays)
        remove_leftovers(ground)
        sites.remove(ground)
        self.remove()

    def deploy(self) -> None:
        self.plays("site")
        vote(self.plays.address())

    def remove(self) -> None:
        self.plays("teardown", teardown_data="purge", teardown_cluster=False)


@dataclass
class Playbooks:
    """Measurement of the playbooks, in two steps with the other parts between them."""

    site: Site
    figures: dict[str, float] = field(default_factory=dict)
    tasks: Tasks = field(default_factory=list)
    # Seconds that are left for repetitions.
    budget: float = REPEATS_BUDGET

    def deployments(self) -> Result:
        """Measure the first deployment, runs without changes, and changes of the image."""
        say("Deploying for the first time")
        self.figures["site_first_seconds"] = timed(self.site.deploy)
        figures, self.tasks = rerun(self.site.plays, self.site.empty, self.site.started)
        changes = Ratio()
        # A unique word, so that no earlier run has built the same image.
        words = [f"{self.site.folder.name}-{number}" for number in range(REPEATS_OF_CHANGES)]
        copies = iter([changed_copy(self.site.folder, word) for word in words])

        def change() -> None:
            change_image(self.site.plays, next(copies))

        say("Changing a template")
        between(self.site.empty, change, changes)
        for _ in range(further := repeats(changes.seconds[0], self.budget)):
            say("Changing a template again")
            between(self.site.empty, change, changes)
        self.budget -= further * changes.seconds[0]
        self.figures |= figures | changes.figures("image_change")
        return Result(dict(self.figures), tasks=self.tasks)

    def removals(self) -> Result:
        """Measure the removal of the site, after which there is none."""
        removals = Ratio()
        say("Removing the site")
        between(self.site.empty, self.site.remove, removals)
        for _ in range(repeats(removals.seconds[0] + self.figures["site_first_seconds"], self.budget)):
            say("Deploying and removing the site again")
            self.site.deploy()
            between(self.site.empty, self.site.remove, removals)
        self.figures |= removals.figures("teardown")
        return Result(removals.figures("teardown"))
