"""Scenario `cache` of `make prove`: the cache fails in several ways under load, and no visitor notices it."""

from __future__ import annotations

import json
import re
import secrets
import string
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ground import CACHE, REPLICAS, Ground, eventually
from plays import Failed
from rows import Row

# Seconds of a failure. Longer than a worker remembers the number of questions, and longer than the pause after which it
# tries the cache again.
FAILURE = 12.0
# With several pages, the list needs the number of questions, which the project stores in the cache.
SEVERAL_PAGES = {"POLLS_PAGE_SIZE": "1"}
# Seconds until the project uses the cache again after a failure. A changed password reaches the pods with a delay.
RECOVERY = 180.0
# Seconds until each worker has noticed that, and reports the next failure.
CALM = 12.0
# Seconds during which the server answers late, and the turns in which it is frozen, which are shorter than the timeout
# of the project.
SLOW, TURN = 10.0, 0.3
# Seconds until the logs of the pods contain a warning.
NOTICE = 10.0
LOG_LINES = 5_000
# A file system in memory, because no secret may be on a disk of this machine.
MEMORY = "/dev/shm"
WARNINGS = {"WARNING", "ERROR", "CRITICAL"}
# Most values that fill the cache, each of 200 kB. The project refuses larger ones.
MOST_VALUES = 8_192

# Programs that run in a web pod, with the project's own cache, so that they need no password.
DJANGO = "import django, sys; django.setup(); from django.core.cache import cache\n"
WORKS = DJANGO + "cache.set('prove', sys.argv[1], 60); sys.exit(cache.get('prove') != sys.argv[1])\n"
# Looks at keys without reading their values, because a cache keeps values that were read recently.
FILL = (
    DJANGO
    + """
import time
until, most, key, value = time.monotonic() + 240, int(sys.argv[1]), "prove-{}".format, "x" * 200_000
number, removed, check = 0, False, 10
while number < most and not removed and time.monotonic() < until:
    cache.set(key(number), value, 600)
    number += 1
    if number == check:
        check += 10 + number // 5
        if not all(cache.has_key(key(place)) for place in range(number)):
            # A cache that does not answer looks empty.
            cache.set("prove-answers", 1, 60)
            removed = cache.has_key("prove-answers")
            time.sleep(0 if removed else 1)
for place in range(number):
    cache.delete(key(place))
print("removed after" if removed else "kept all of", number)
"""
)
# Runs in the pod of the cache, and goes on in the background. The arguments are the seconds, the turns, and the name of
# the process, which runs in the end.
SLOW_DOWN = """
for process in /proc/[0-9]*; do
  [ "$(cat "$process/comm" 2> /dev/null)" != "$3" ] || server=${process#/proc/}
done
kill -CONT "$server" || exit 1
end=$(($(date +%s) + $1))
while [ "$(date +%s)" -lt "$end" ]; do
  kill -STOP "$server"; sleep "$2"; kill -CONT "$server"; sleep "$2"
done > /dev/null 2>&1 &
"""
# Prints the duration of the slowest response, in seconds.
SLOWEST = (
    DJANGO
    + """
import time
until, slowest = time.monotonic() + float(sys.argv[1]), 0.0
while time.monotonic() < until:
    began = time.monotonic()
    cache.get("prove")
    slowest = max(slowest, time.monotonic() - began)
    time.sleep(0.05)
print(slowest)
"""
)


def cache_failures(ground: Ground) -> Row:
    """Kill, freeze, slow down, fill, and block the cache, and change its password. No visitor may notice it."""
    use_cache(ground)
    problems: list[str] = []
    actions: dict[str, Callable[[Ground], list[str]]] = {
        "killed": killed,
        "frozen": frozen,
        "slow": slowed,
        "filled": filled,
        "blocked": blocked,
        "password changed": password_changed,
    }
    with ground.load() as load:
        for name, action in actions.items():
            problems += [f"{name}: {problem}" for problem in [*action(ground), *recovered(ground)]]
            # Nothing has to notice a slow cache.
            time.sleep(CALM if action is not slowed else 0)
        ground.wait_for_old_pods()
    slowest = max((request["ended"] - request["started"] for request in load.requests), default=0)
    note = f"the slowest request took {slowest:.1f} s"
    title = "Cache killed, frozen, slow, filled, blocked, and its password changed"
    return load.row(title, problems=problems, note=note)


def use_cache(ground: Ground) -> None:
    """Change the site so that its visitors need the cache. Raises Failed without a cache."""
    ground.cache_workload()
    ground.deploy("--tags=web", django_environment=SEVERAL_PAGES)
    ground.wait_until_whole(REPLICAS)
    ground.wait_for_old_pods()


# ---- Warnings of the project -----------------------------------------------------------------------------------------


def warnings_in(lines: Sequence[str]) -> int:
    """Return how many lines of a log are warnings or errors about the cache."""
    return sum(is_warning(line) for line in lines)


def is_warning(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    if not isinstance(event, dict) or event.get("level") not in WARNINGS:
        return False
    message = f"{event.get('logger', '')} {event.get('message', '')}".lower()
    # The end of a failure is a warning, too.
    return "cache" in message and not re.search(r"\bagain\b", message)


def warnings_of(ground: Ground) -> int:
    """Return how many warnings about the cache the logs of all web pods contain."""
    logs = [ground.cluster.log(pod["metadata"]["name"], "web", False, LOG_LINES) for pod in ground.pods()]
    return sum(warnings_in(lines) for lines in logs)


@contextmanager
def noticed(ground: Ground, problems: list[str]) -> Iterator[None]:
    """Add a problem if the logs have no new warning after the block."""
    before = warnings_of(ground)
    yield
    try:
        eventually(lambda: warnings_of(ground) > before, NOTICE, "a warning")
    except Failed:
        problems.append("no pod logged a warning about the cache")


def in_web_pod(ground: Ground, program: str, *arguments: str, seconds: float = 60) -> tuple[int, str]:
    """Run a program in a web pod; return its exit status and its output."""
    ready = ground.pods()[0]["metadata"]["name"]
    ended = ground.cluster.exec(ready, "web", ["python", "-c", program, *arguments], timeout=seconds)
    return ended.code, ended.out.strip()


def recovered(ground: Ground) -> list[str]:
    """Wait until a web pod uses the cache again; return a problem if it doesn't."""
    try:
        eventually(lambda: not in_web_pod(ground, WORKS, secrets.token_hex(8))[0], RECOVERY, "the cache")
    except Failed:
        return [f"the cache was not used again within {RECOVERY:g} s"]
    return []


# ---- Failures --------------------------------------------------------------------------------------------------------


def cache_pod(ground: Ground) -> str:
    """Return the name of the pod of the cache, as soon as it is ready."""
    eventually(lambda: ground.ready(CACHE) == len(ground.all_pods(CACHE)) == 1, 120, "the pod of the cache")
    return ground.pods(CACHE)[0]["metadata"]["name"]


def killed(ground: Ground) -> list[str]:
    """Kill all processes of the cache twice, because the kubelet restarts them at once only the first time."""
    problems: list[str] = []
    with noticed(ground, problems):
        restart(ground)
        restart(ground)
    return problems


def restart(ground: Ground) -> None:
    """Kill all processes of the cache, and wait until the kubelet has restarted it."""
    pod = cache_pod(ground)
    before = ground.restarts(CACHE)[pod]
    ground.kill(pod)
    eventually(lambda: ground.restarts(CACHE).get(pod, 0) > before, 60, "the restart of the cache")
    cache_pod(ground)


def frozen(ground: Ground) -> list[str]:
    """Stop the processes of the cache for a while, so that connections stay open without any response."""
    problems: list[str] = []
    pod = cache_pod(ground)
    with noticed(ground, problems):
        ground.send("STOP", pod)
        try:
            time.sleep(FAILURE)
        finally:
            ground.send("CONT", pod)
    return problems


def slowed(ground: Ground) -> list[str]:
    """Freeze the server in short turns, so that its responses are late, but not too late for the project."""
    command = ["sh", "-c", SLOW_DOWN, "sh", f"{SLOW:.0f}", f"{TURN:g}", "valkey-server"]
    until = time.monotonic() + SLOW
    ended = ground.cluster.exec(cache_pod(ground), "valkey", command, timeout=30)
    if ended.code:
        return [f"the server was not slowed down: {ended.err.strip()}"]
    code, output = in_web_pod(ground, SLOWEST, f"{SLOW / 2:g}")
    time.sleep(max(until - time.monotonic(), 0))
    # Earlier lines can be from the log.
    last = output.splitlines()[-1] if output else ""
    if code:
        return [f"the program that uses the slow cache failed: {last}"]
    return [] if float(last) > TURN / 2 else [f"each response took at most {last} s"]


def filled(ground: Ground) -> list[str]:
    """Store values of 200 kB until the cache removes one of them."""
    code, output = in_web_pod(ground, FILL, str(MOST_VALUES), seconds=300)
    # Earlier lines can be from the log.
    last = output.splitlines()[-1] if output else ""
    if code:
        return [f"the program that fills the cache failed: {last}"]
    return [] if last.startswith("removed after") else [f"no value removed another one: {last}"]


def blocked(ground: Ground) -> list[str]:
    """Forbid all connections to the cache by its NetworkPolicy, and replace its pod, which ends existing ones."""
    problems: list[str] = []
    name = f"{ground.app}-cache"
    allowed = ground.get("NetworkPolicy", name)["spec"]["ingress"]
    pod = cache_pod(ground)
    with noticed(ground, problems):
        ground.patch("NetworkPolicy", name, {"op": "replace", "path": "/spec/ingress", "value": []})
        try:
            replaced = [one["metadata"]["uid"] for one in ground.pods(CACHE)]
            ground.cluster.delete("Pod", pod, grace=0)
            # A pod of a StatefulSet keeps its name.
            eventually(lambda: not is_one_of(ground, replaced), 60, "the removal of the pod of the cache")
            time.sleep(FAILURE)
        finally:
            ground.patch("NetworkPolicy", name, {"op": "replace", "path": "/spec/ingress", "value": allowed})
        cache_pod(ground)
    return problems


def is_one_of(ground: Ground, identifiers: Sequence[str]) -> bool:
    """Return whether one of these pods of the cache still exists."""
    return any(pod["metadata"]["uid"] in identifiers for pod in ground.all_pods(CACHE))


def password_changed(ground: Ground) -> list[str]:
    """Deploy another password for the cache."""
    password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
    # In a file, because other users of the machine can read arguments.
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        file = Path(folder, "password.json")
        file.write_text(json.dumps({"cache_password": password}), encoding="utf-8")
        changed = ground.deploy(f"--extra-vars=@{file}", django_environment=SEVERAL_PAGES)
    ground.wait_until_whole(REPLICAS)
    return [] if changed else ["the run changed nothing"]
