"""Prove that the site loses no request and no vote during rollouts, failures, and other events.

In each scenario, visitors send requests at a fixed rate and never retry. The program prints a table row per scenario
and writes it to bench/prove.json and README.md. Arguments select scenarios; the rows of the others are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import running_containers
from beside import gateway_before
from ground import DATABASE, RATE, REPLICAS, ROUND_SECONDS, Ground, Load, Row, Usage, docker, eventually
from plays import (
    PROJECT,
    Failed,
    Plays,
    copied_context,
    kubectl,
    machine,
    measured_commit,
    put_into_readme,
    replace,
    say,
)
from upgrade import commit_before, upgrade

RESULTS = PROJECT / "bench" / "prove.json"
# Seconds until the site has recovered after the database or the node is back.
BACK = 15.0
# Seconds by which the reported time of a kill may be too early. A node reports it in hundredths of a second, and its
# kernel accepts connections for a killed process until it has cleaned up.
MOMENT = 0.1
# The same for whole pods, whose processes the kernel stops one after the other.
POD_MOMENT = 1.0


# ---- Planned changes: no request may fail ----------------------------------------------------------------------------


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
            if not ground.deploy("--tags=web", django_settings=settings, **variables):
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


# ---- Failures without warning ----------------------------------------------------------------------------------------


def gunicorn_killed(ground: Ground, pods: int = REPLICAS) -> Row:
    """Kill all processes of gunicorn in each pod in turn, like the kernel does when memory runs out.

    The front of the pod responds meanwhile. Only active requests that must not be repeated may fail.
    """
    ground.replace_killed_pods()
    fronts = ground.front_restarts()
    moments = []
    with ground.load() as load:
        for pod in [pod["metadata"]["name"] for pod in ground.pods()][:pods]:
            moments.append(killed(ground, [pod], ["web"]))
            time.sleep(3)
    problems = broken_connections(load)
    if ground.front_restarts() != fronts:
        problems.append("a front was restarted")
    slowest = max((request["ended"] - request["started"] for request in load.requests), default=0)
    note = f"the slowest request took {slowest:.1f} s"
    return load.row("gunicorn killed in one pod after the other", unrepeatable(load, moments), problems, note)


def killed(ground: Ground, pods: Sequence[str], containers: Sequence[str] = ()) -> float:
    """Kill all processes of these pods or of their given containers; return the time after they are ready again."""
    before = ground.restarts()
    expected = len(containers or running_containers(ground.template()["spec"]))
    moment = ground.kill(*pods, containers=containers)

    def restarted() -> bool:
        now = ground.restarts()
        return all(now.get(pod, 0) >= before[pod] + expected for pod in pods)

    eventually(lambda: restarted() and ground.ready() == len(before), 300, "the pods that were killed")
    return moment


def unrepeatable(load: Load, moments: Sequence[float], early: float = MOMENT) -> int:
    """Return how many votes failed that were active at one of these moments, because a vote must not be repeated."""
    return sum(
        failure["is_vote"] and any(failure["started"] - early <= moment < failure["ended"] for moment in moments)
        for failure in load.failures
    )


def broken_connections(load: Load) -> list[str]:
    """Return a message if requests failed without the page of the front: refused, reset, or without an end."""
    outcomes = Counter(failure["outcome"] for failure in load.failures if failure["outcome"] != "unavailable")
    return [f"not the page of the front: {dict(outcomes)}"] if outcomes else []


def pods_killed(ground: Ground, each: bool, address: str = "") -> tuple[Load, list[float]]:
    """Kill all processes of each pod in turn, then of all but one; return the load and the times."""
    moments = []
    with ground.load(address=address) as load:
        pods = [pod["metadata"]["name"] for pod in ground.pods()]
        for victims in [[pod] for pod in (pods if each else pods[:1])] + [pods[1:]]:
            moments.append(killed(ground, victims))
            time.sleep(3)
    return load, moments


def whole_again(load: Load, moments: Sequence[float]) -> list[float]:
    """Return the seconds from each kill to the last failed request before the next kill."""
    ends = [*moments[1:], float("inf")]
    return [load.last_failure(moment, end) for moment, end in zip(moments, ends, strict=True)]


def kills(ground: Ground, each: bool = True) -> Row:
    """Kill whole pods. No part of a dead pod can respond, so requests may fail, but no vote may be lost."""
    ground.replace_killed_pods()
    load, moments = pods_killed(ground, each)
    expected = sum(failure["ended"] >= moments[0] for failure in load.failures)
    in_flight = sum(load.in_flight(moment) for moment in moments)
    seconds = ", ".join(f"{whole:.1f}" for whole in whole_again(load, moments))
    note = f"{in_flight} in flight at the kills; whole after {seconds} s"
    return load.row("Pods killed one by one, then all but one", expected, note=note)


def kills_behind_gateway(ground: Ground, each: bool = True) -> Row:
    """Kill whole pods behind a gateway that tries the next pod. No GET may fail."""
    ground.replace_killed_pods()
    with gateway_before(ground) as address:
        load, moments = pods_killed(ground, each, address)
    gets = sum(not failure["is_vote"] for failure in load.failures)
    expected = unrepeatable(load, moments, POD_MOMENT)
    return load.row("The same behind a gateway that tries the next pod", expected, note=f"{gets} failed GETs")


def database_killed(ground: Ground, seconds: float = 20) -> Row:
    """Kill all processes of the database, then stop it for a while. The site shows the outage page and recovers."""
    restarts = ground.restarts()
    name = f"{ground.app}-postgresql"
    backs: list[tuple[float, float]] = []
    with ground.load() as load:
        before = sum(ground.restarts(DATABASE).values())
        ground.kill(f"{name}-0", component=DATABASE)
        eventually(lambda: sum(ground.restarts(DATABASE).values()) > before, 60, "the restart of the database")
        backs.append(observed(ground))
        ground.patch("StatefulSet", name, {"op": "replace", "path": "/spec/replicas", "value": 0})
        eventually(lambda: not ground.pods(DATABASE), 60, "the removal of the database pod")
        time.sleep(seconds)
        ground.patch("StatefulSet", name, {"op": "replace", "path": "/spec/replicas", "value": 1})
        backs.append(observed(ground))
    polite = sum(failure["outcome"] == "unavailable" for failure in load.failures)
    problems = [] if ground.restarts() == restarts else ["web pods were restarted or replaced"]
    note = back_again(load, backs, problems)
    return load.row("Database killed, then away for a while", polite, problems, note)


def observed(ground: Ground) -> tuple[float, float]:
    """Wait until the database and the site are ready, then observe for a while; return the start and the end."""
    eventually(lambda: ground.ready(DATABASE) == 1, 300, "the database")
    eventually(lambda: ground.ready() == REPLICAS, 300, "the site")
    ready = time.monotonic()
    time.sleep(BACK + 2)
    return ready, time.monotonic() - 1


def back_again(load: Load, backs: list[tuple[float, float]], problems: list[str]) -> str:
    """Return a note on the last failed request after each recovery, and add a problem if it is too late."""
    late = [load.last_failure(since, until) for since, until in backs]
    if max(late) > BACK:
        problems.append(f"back only {max(late):.1f} s after the pods were ready")
    return f"back {', '.join(f'{seconds:.1f}' for seconds in late)} s after the pods were ready"


def node_restarted(ground: Ground) -> Row:
    """Kill the only node and start it again, like a power failure."""
    [node] = ground.nodes()
    with ground.load() as load:
        before = ground.restarts() | ground.restarts(DATABASE)
        killed = time.monotonic()
        docker("kill", node)
        docker("start", node)
        # Until the kubelet has reported, the API returns the old state.
        eventually(lambda: answers(lambda: all_restarted(ground, before)), 300, "the node")
        back = observed(ground)
    problems: list[str] = []
    note = f"{back_again(load, [back], problems)}, {back[0] - killed:.0f} s after the node was killed"
    # A request that was sent shortly before has failed too.
    expected = sum(killed - 1 <= failure["ended"] <= back[0] + BACK for failure in load.failures)
    return load.row("The only node killed, and started again", expected, problems, note)


def all_restarted(ground: Ground, before: Mapping[str, int]) -> bool:
    """Return whether each of these pods has restarted since."""
    now = ground.restarts() | ground.restarts(DATABASE)
    return all(now.get(name, 0) > restarts for name, restarts in before.items())


def answers(query: Callable[[], Any]) -> Any:
    """Return the result of a query, or None while the API does not respond."""
    try:
        return query()
    except (CloudDjangoError, Failed):
        return None


# ---- Playbooks -------------------------------------------------------------------------------------------------------


def controllers_killed(ground: Ground, times: int = 10) -> Row:
    """Kill site.yml at random times, first without a site and then with one, and run it again."""
    problems: list[str] = []
    dice = random.Random(times)
    ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
    # Times are fractions of a full run, so that the run is still active.
    first = seconds_of_run(ground)
    for number in range(times - times // 2):
        ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
        problems += killed_run(ground, first * dice.uniform(0.05, 0.8), together=number % 2 == 0)
    with ground.load() as load:
        change = seconds_of_run(ground, django_settings={"POLLS_PAGE_SIZE": "29"})
        for number in range(times // 2):
            settings = {"POLLS_PAGE_SIZE": str(30 + number)}
            moment = change * dice.uniform(0.1, 0.8)
            problems += killed_run(ground, moment, together=number % 2 == 0, django_settings=settings)
        ground.wait_for_old_pods()
    return load.row(f"site.yml killed {times} times, and run again", problems=problems)


def seconds_of_run(ground: Ground, **variables: Any) -> float:
    """Return the seconds of a run."""
    started = time.monotonic()
    ground.deploy(**variables)
    return time.monotonic() - started


def killed_run(ground: Ground, seconds: float, together: bool, **variables: Any) -> list[str]:
    """Kill a run after some seconds, with or without its children, and run it again; return the problems."""
    process = ground.plays.start("site", **variables)
    reader = threading.Thread(target=process.communicate, daemon=True)
    reader.start()
    time.sleep(seconds)
    problems = [] if process.poll() is None else [f"the run had finished after {seconds:.1f} s, before it was killed"]
    handles = []
    for number in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(number))
    kill_processes(handles if together else handles[:1])
    reader.join()
    ground.deploy(**variables)
    if changed := ground.deploy(**variables):
        problems.append(f"killed after {seconds:.1f} s, the third run reported {changed} changes")
    # A worker of Ansible with much output would wait indefinitely for a reader.
    kill_processes(handles)
    for handle in handles:
        os.close(handle)
    return problems


def kill_processes(handles: Sequence[int]) -> None:
    """Kill processes by file descriptors, because PIDs can be reused."""
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """Return the PIDs of all descendants of a process."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found = [process]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def two_at_once(ground: Ground) -> Row:
    """Start site.yml twice at the same time, with different settings. One run waits for the other, or fails."""
    problems = []
    ends: dict[int, float] = {}
    holders: dict[str, float] = {}
    outputs: dict[int, str] = {}

    def run(size: str) -> None:
        process = ground.plays.start("site", django_settings={"POLLS_PAGE_SIZE": size})
        outputs[process.pid] = process.communicate()[0]
        ends[process.pid] = time.monotonic()
        codes[process.pid] = process.returncode

    codes: dict[int, int] = {}
    with ground.load() as load:
        runs = [threading.Thread(target=run, args=[size]) for size in ("41", "42")]
        for thread in runs:
            thread.start()
        while any(thread.is_alive() for thread in runs):
            lease = ground.cluster.get("Lease", f"{ground.app}-run")
            if lease is not None:
                holders.setdefault(lease["spec"]["holderIdentity"], time.monotonic())
            time.sleep(0.1)
        ground.wait_until_whole(REPLICAS)
        ground.deploy()
        if changed := ground.deploy():
            problems.append(f"the second run after them reported {changed} changes")
        ground.wait_for_old_pods()
    for process, code in codes.items():
        held = [since for holder, since in holders.items() if f"(process {process}," in holder]
        others = [end for other, end in ends.items() if other != process and end < ends[process]]
        if code and "is locked by another run" not in " ".join(outputs[process].split()):
            problems.append(f"one of them failed: {outputs[process][-1500:]}")
        if not code and not held:
            problems.append("one run changed the site without the Lease")
        # The run that finished last must have started after the other one.
        if not code and held and any(held[0] < end - 1 for end in others):
            problems.append("one run acquired the Lease before the other had finished")
    if all(codes.values()):
        problems.append("both failed")
    results = ["refused" if code else "done" for code in codes.values()]
    return load.row("Two site.yml at once", problems=problems, note=f"one {results[0]}, then the other {results[1]}")


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


# ---- All scenarios ---------------------------------------------------------------------------------------------------

ROWS: dict[str, Callable[[Ground], Row]] = {
    # Together with the other scenarios without allowed failures, these are 100,000 requests on any machine.
    "rollouts": lambda ground: rollouts(ground, requests=65_000),
    "affinity": lambda ground: rollouts(ground, 10, 25_000, places=4),
    "scaling": scaling,
    "autoscaling": autoscaling,
    "gunicorn": gunicorn_killed,
    "kills": kills,
    "gateway": kills_behind_gateway,
    "forms": forms,
    "evictions": evictions,
    "releases": broken_releases,
    "database": database_killed,
    "node": node_restarted,
    "endurance": endurance,
    "controllers": controllers_killed,
    "two": two_at_once,
    "upgrade": upgrade,
}
# Scenarios that need several nodes.
ROWS_OF_NODES: dict[str, Callable[[Ground], Row]] = {"drain": drain}


@contextmanager
def ground_of(inventory: str, name: str, rate: float = RATE, **variables: Any) -> Iterator[Ground]:
    """Yield a site on a separate cluster, which is removed at the end; `rate` is in requests per second.

    Raises Failed before any change if the inventory leads to another cluster.
    """
    cluster = f"cloud-django-{name}"
    plays = Plays([inventory], {"cluster_name": cluster, "app_public_url": ""} | variables)
    values = {key: plays.variable(f"cluster_{key}") for key in ("provider", "kubeconfig", "context")}
    if values["provider"] == "existing" or any(cluster not in values[key] for key in ("kubeconfig", "context")):
        raise Failed(
            f"Inventory {inventory} leads to context {values['context']} instead of a separate cluster. "
            "The test would break and remove that cluster. Choose an inventory whose provider is kind or minikube."
        )
    ground = Ground(plays, rate)
    say(f"Deploying to cluster {cluster}")
    try:
        ground.deploy()
        yield ground
    finally:
        plays.end()
        plays("teardown", teardown_data="purge", teardown_cluster=True)


def prove(
    inventory: str, names: Sequence[str], rate: float = RATE, upgrade_from: str = ""
) -> Iterator[tuple[str, Row]]:
    """Run the selected scenarios, by default all; yield the name and the row of each."""
    for kinds, name, variables in ((ROWS, "prove", {}), (ROWS_OF_NODES, "prove-nodes", {"cluster_workers": 2})):
        wanted = [kind for kind in kinds if not names or kind in names]
        if not wanted:
            continue
        with ground_of(inventory, name, rate, **variables) as ground:
            ground.upgrade_from = upgrade_from
            for kind in wanted:
                say(f"Scenario {kind}")
                # Reset the changes of the previous scenario.
                ground.deploy()
                ground.wait_until_whole(REPLICAS)
                ground.wait_for_old_pods()
                yield kind, kinds[kind](ground)


def store(kind: str, row: Row) -> list[Row]:
    """Store a row with the rows that were measured on the same machine; return all of them."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if kept.get("machine") != machine():
        kept = {"machine": machine(), "rows": []}
    found = {entry["kind"]: entry for entry in kept["rows"]} | {kind: {"kind": kind} | asdict(row)}
    kept["rows"] = [found[name] for name in [*ROWS, *ROWS_OF_NODES] if name in found]
    RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [Row(**{name: value for name, value in entry.items() if name != "kind"}) for entry in kept["rows"]]


def shown(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines of a Markdown table."""
    lines = [
        "| Scenario | Requests | Failed | Votes acknowledged | Found | Seconds | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        failed = f"{row.failed}, expected" if row.failed and row.failed <= row.failures_expected else f"{row.failed}"
        rate = f"at {row.rate:g} requests per second" if row.rate != RATE else ""
        note = "; ".join([*(text for text in (row.note, rate) if text), *(f"**{problem}**" for problem in row.wrong)])
        votes = f"{row.votes_acknowledged} | {row.votes_found}"
        lines.append(f"| {row.name} | {row.requests} | {failed} | {votes} | {row.seconds:.0f} | {note} |")
    return lines


def ended(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C: stop and remove the cluster, and ignore further SIGTERMs."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit("Terminated. The rows of finished scenarios are stored.")


def main() -> None:
    """Run the scenarios, print and store the rows; exit with status 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inventory")
    parser.add_argument("rows", nargs="*", metavar="row", help="scenario (default: all)")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second (default: %(default)g)")
    parser.add_argument(
        "--upgrade-from",
        default=os.environ.get("UPGRADE_FROM", ""),
        metavar="commit",
        help="commit to upgrade from in the scenario `upgrade` (default: that of the last figures)",
    )
    given = parser.parse_args()
    if not 1 <= given.rate <= 1000:
        sys.exit(f"The rate {given.rate:g} is invalid. Set it to a number from 1 to 1000.")
    unknown = set(given.rows) - ROWS.keys() - ROWS_OF_NODES.keys()
    if unknown:
        sys.exit(f"Unknown scenario {', '.join(sorted(unknown))}. Choose from {', '.join([*ROWS, *ROWS_OF_NODES])}.")
    signal.signal(signal.SIGTERM, ended)
    wrong = []
    try:
        commit = measured_commit()
        # Before the first scenario, so that an unknown commit does not fail a long run.
        upgrade_from = commit_before(given.upgrade_from) if not given.rows or "upgrade" in given.rows else ""
        for kind, row in prove(given.inventory, given.rows, given.rate, upgrade_from):
            row.commit = commit
            put_into_readme("make prove", shown(store(kind, row)))
            print("\n".join(shown([row])[2:]), flush=True)
            wrong += [row.name] if row.wrong else []
    except Failed as failure:
        sys.exit(str(failure))
    if wrong:
        sys.exit(f"Goals missed: {', '.join(wrong)}.")


if __name__ == "__main__":
    main()
