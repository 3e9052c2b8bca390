"""Scenarios of `make prove` in which no request may fail: rollouts, scaling, evictions, connections, and time."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ground import DATABASE, REPLICAS, ROUND_SECONDS, Ground, Usage, eventually
from plays import Failed, copied_context, kubectl, replace
from rows import RATE, Row

# ---- Planned changes -------------------------------------------------------------------------------------------------


def rollouts(ground: Ground, times: int = 20, requests: int = 0, places: int = 1, **variables: Any) -> Row:
    """Roll out one changed setting after the other, at least `times` times and until `requests` requests were sent.

    The number of requests shrinks with the rate. With several places, each client is bound to one pod.
    """
    if places > 1:
        variables["web_session_affinity_seconds"] = 10800
        ground.deploy("--tags=web", **variables)
    with ground.load(places=places) as load:
        number = 0
        while number < times or load.made() < requests * min(1, load.rate / RATE):
            settings = {"POLLS_PAGE_SIZE": str(20 + number % 2)}
            if not ground.deploy("--tags=web", django_environment=settings, **variables):
                raise Failed(f"The rollout changed nothing:\n{ground.plays.output}")
            number += 1
        ground.wait_for_old_pods()
    bound = ", each client bound to one pod" if places > 1 else ""
    return load.row(f"{number} rollouts in a row{bound}")


def scaling(ground: Ground) -> Row:
    """Scale the pods up, down, and back."""
    with ground.load() as load:
        for replicas in (6, 2, REPLICAS):
            ground.plays("scale", web_replicas=replicas)
        ground.wait_for_old_pods()
    return load.row(f"Scaled {REPLICAS} → 6 → 2 → {REPLICAS}")


def autoscaling(ground: Ground) -> Row:
    """Scale down by an autoscaler, because the pods have too little load."""
    at_once = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    autoscaler = {
        "web_replicas": 2,
        "web_replicas_maximum": 6,
        "web_replicas_cpu_target": 1000,
        "web_overrides": {"HorizontalPodAutoscaler": {"spec": at_once}},
    }
    ground.plays("scale", web_replicas=5)
    ground.wait_until_whole(5)
    with ground.load() as load:
        ground.deploy("--tags=database,web", **autoscaler)
        eventually(lambda: len(ground.pods()) == 2, 240, "the autoscaler")
        ground.wait_for_old_pods()
    ground.deploy("--tags=database,web")
    ground.wait_until_whole(REPLICAS)
    return load.row("Scaled 5 → 2 by an autoscaler")


def drain(ground: Ground) -> Row:
    """Drain a node that has pods of the site, but not the only database pod."""
    [database] = ground.pods(DATABASE)
    occupied = Counter(pod["spec"]["nodeName"] for pod in ground.pods())
    occupied.pop(database["spec"]["nodeName"], None)
    if not occupied:
        raise Failed(f"All pods of the site are on the node of the database: {database['spec']['nodeName']}.")
    [(node, pods)] = occupied.most_common(1)
    command = kubectl(ground.plays)
    try:
        with ground.load() as load:
            arguments = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"]
            done = subprocess.run([*command, *arguments], capture_output=True, text=True)
            if done.returncode:
                raise Failed(f"kubectl drain failed: {done.stderr}")
            ground.wait_until_whole(REPLICAS)
            ground.wait_for_old_pods()
    finally:
        subprocess.run([*command, "uncordon", node], stdout=subprocess.DEVNULL, check=True)
    return load.row("A node drained", note=f"{pods} pods of the site were on it")


def evictions(ground: Ground) -> Row:
    """Evict each pod in turn, like a drain without another node."""
    with ground.load() as load:
        for pod in ground.pods():
            ground.wait_until_whole(REPLICAS)
            ground.evict(pod["metadata"]["name"])
        ground.wait_until_whole(REPLICAS)
        ground.wait_for_old_pods()
    return load.row("Each pod evicted")


def broken_releases(ground: Ground) -> Row:
    """Deploy releases that fail. The previous one keeps serving, and the next good one replaces it."""
    problems = []
    with tempfile.TemporaryDirectory() as folder, ground.load() as load:
        for name, break_it, message in (
            ("start", cannot_start, "gunicorn.conf.py"),
            ("migrate", cannot_migrate, "division by zero"),
        ):
            context = copied_context(Path(folder, name))
            break_it(context)
            problems += refused(ground, message, image_context=str(context))
        problems += refused(ground, "not ready", web_ready_path="/polls/never/", web_timeout=15)
        ground.deploy()
        ground.wait_until_whole(REPLICAS)
        ground.wait_for_old_pods()
    return load.row("Releases that cannot start, get ready or migrate", problems=problems)


def refused(ground: Ground, message: str, **variables: Any) -> list[str]:
    """Deploy a release that has to fail; return the differences from the expected failure."""
    try:
        ground.deploy("--tags=image,migrations,superuser,web", **variables)
    except Failed as failure:
        return [] if message in str(failure) else [f"the error lacks {message!r}: {str(failure)[-1500:]}"]
    return [f"{variables} was rolled out"]


def cannot_start(context: Path) -> None:
    replace(context / "django_polls/gunicorn.conf.py", "workers = ", "workers = 1 / 0  # ")


def cannot_migrate(context: Path) -> None:
    migrations = context / "django_polls/polls/migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / "0999_cannot.py").write_text(
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        f'    dependencies = [("polls", "{last}")]\n    operations = [migrations.RunSQL("SELECT 1 / 0")]\n',
        encoding="utf-8",
    )


# ---- Connections -----------------------------------------------------------------------------------------------------


def forms(ground: Ground, posts: int = 500, together: int = 20) -> Row:
    """Send forms around the time after which a server closes an idle connection."""
    with ground.load(forms=together) as load:
        # A vote is the third request of these visitors.
        eventually(lambda: load.made() >= 3 * posts, 20 + 2 * ROUND_SECONDS * posts / together, "the forms")
    votes = sum(request["is_vote"] for request in load.requests)
    row = load.row(f"{votes} forms sent around the keep-alive limit")
    row.rate = round(row.requests / row.seconds)
    return row


# ---- Time ------------------------------------------------------------------------------------------------------------


def endurance(ground: Ground, minutes: int = 10) -> Row:
    """Only visitors. The memory of the pods must not grow."""
    before = ground.usage()
    time.sleep(60)
    idle = used_cores(before, ground.usage(), 60)
    memory = []
    with ground.load() as load:
        for _ in range(minutes):
            time.sleep(60)
            memory.append(max(size for _, size in ground.usage().values()) / 2**20)
    # After two minutes, a pod has allocated its usual memory.
    begun = memory[min(1, minutes - 1)]
    problems = [f"memory grew from {begun:.0f} to {memory[-1]:.0f} MiB"] if memory[-1] > 1.05 * begun else []
    sizes = f"{memory[0]:.0f} MiB after a minute, {memory[-1]:.0f} MiB at the end"
    note = f"a pod takes {100 * idle:.1f} % of a core when idle; {sizes}"
    return load.row(f"{minutes} minutes of load", problems=problems, note=note)


def used_cores(before: Usage, after: Usage, seconds: float) -> float:
    """Return the average number of cores that a pod used between two measurements."""
    used = [after[name][0] - before[name][0] for name in after.keys() & before.keys()]
    return sum(used) / len(used) / seconds
