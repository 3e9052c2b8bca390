"""A site on a cluster whose nodes are containers of this machine, visitors for it, and ways to break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import (
    container_statuses,
    running_containers,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import is_pod_ready
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from plays import PROJECT, Failed, Plays

# Nodes are containers of this machine, whatever proxies the environment has.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
VISITORS = PROJECT / "tests" / "load" / "visitors.py"
VISIT = 6  # Requests of a visitor.
VISIT_SECONDS = 2.4  # How long they take at least.
VISITORS_START = 60.0  # Seconds until the first of them has come, at most.
RATE = 140.0  # Requests per second, of all visitors together.
REPLICAS = 3  # Web pods of the site.
WEB, DATABASE = "web", "database"  # Components, as in the label of that name.
# The containers whose processes are a pod's own. A site without a front has no container of that name.
CONTAINERS = {WEB: ("web", "front"), DATABASE: ("postgresql",)}
ROUND_SECONDS = 4.0  # Seconds of a round of forms, at most.
# For each pod: seconds of CPU, and bytes of memory.
type Usage = dict[str, tuple[float, int]]


@dataclass
class Row:
    """What became of the requests and votes while something was done to the site."""

    name: str
    requests: int
    failed: int
    # How many may have failed: those that nobody could have answered.
    failures_expected: int
    votes_acknowledged: int
    votes_found: int
    seconds: float
    # Votes that were sent and not answered with success, which may have been counted or not.
    votes_in_doubt: int = 0
    # What happened to the failed ones, and how often; and what else is wrong.
    outcomes: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    note: str = ""
    # Requests per second that were sent.
    rate: float = RATE
    # The commit that was measured.
    commit: str = ""

    @property
    def wrong(self) -> list[str]:
        """Everything that is not as it has to be, in words."""
        wrong = list(self.problems)
        if self.failed > self.failures_expected:
            wrong.append(f"{self.failed} requests failed and {self.failures_expected} may: {self.outcomes}")
        if self.votes_found < self.votes_acknowledged:
            wrong.append(f"{self.votes_acknowledged - self.votes_found} acknowledged votes are lost")
        if self.votes_found > self.votes_acknowledged + self.votes_in_doubt:
            wrong.append(f"{self.votes_found - self.votes_acknowledged - self.votes_in_doubt} votes too many")
        return wrong


@dataclass
class Load:
    """Visitors, and what they wrote down once they have left."""

    rate: float
    votes_before: int
    started: float
    requests: list[dict[str, Any]] = field(default_factory=list)
    # When nobody new came any more, and when the last had left.
    closed: float = 0.0
    ended: float = 0.0
    votes_after: int = 0
    # What the visitors write, a line for each request.
    outputs: list[Path] = field(default_factory=list)

    def made(self) -> int:
        """How many requests have been made so far."""
        return sum(output.read_bytes().count(b"\n") for output in self.outputs)

    def failed(self) -> bool:
        """Whether a request has failed so far."""
        lines = [line for output in self.outputs for line in output.read_bytes().splitlines(keepends=True)]
        return any(json.loads(line)["outcome"] != "ok" for line in lines if line.endswith(b"\n"))

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["outcome"] != "ok"]

    def in_flight(self, when: float) -> int:
        """How many requests were under way at a moment."""
        return sum(request["started"] <= when < request["ended"] for request in self.requests)

    def last_failure(self, since: float, until: float = float("inf")) -> float:
        """Seconds from a moment to the end of the last failed request that began in a time; 0 if none failed."""
        ends = [failure["ended"] for failure in self.failures if since <= failure["started"] < until]
        return max(ends, default=since) - since

    def row(self, name: str, expected: int = 0, problems: Sequence[str] = (), note: str = "") -> Row:
        votes = [request for request in self.requests if request["is_vote"]]
        acknowledged = sum(vote["outcome"] == "ok" for vote in votes)
        seconds = self.ended - self.started
        problems = list(problems)
        # Each visitor begins here, however long those before have to wait.
        visits = [request for request in self.requests if request["path"] == "/"]
        open_for = self.closed - min((visit["started"] for visit in visits), default=self.started)
        if len(visits) < 0.9 * self.rate / VISIT * (open_for - 2):
            problems.append(f"only {len(visits)} visitors came in {open_for:.0f} s")
        # Whoever gets a list, the form and an answer has voted.
        if len(votes) < 0.8 * sum(visit["outcome"] == "ok" for visit in visits) - self.rate:
            problems.append(f"only {len(votes)} of {len(visits)} visitors tried to vote")
        return Row(
            name,
            len(self.requests),
            len(self.failures),
            expected,
            acknowledged,
            self.votes_after - self.votes_before,
            round(seconds, 1),
            len(votes) - acknowledged,
            dict(Counter(failure["outcome"] for failure in self.failures)),
            problems,
            note,
            self.rate,
        )


class Ground:
    """The site that things are done to."""

    def __init__(self, plays: Plays, rate: float = RATE) -> None:
        self.rate = rate
        self.plays = plays
        self.namespace = plays.variable("app_namespace")
        self.app = plays.variable("app_name")
        self.address = ""
        # The commit that deploys the site that the row `upgrade` upgrades.
        self.upgrade_from = ""

    @cached_property
    def cluster(self) -> Client:
        """The cluster, once it is there."""
        kubeconfig, context = (self.plays.variable(f"cluster_{name}") for name in ("kubeconfig", "context"))
        return Client(get_api_client(kubeconfig=kubeconfig, context=context).client, self.namespace, context)

    def deploy(self, *arguments: str, **variables: Any) -> int:
        """Run site.yml; return how many tasks changed something."""
        changed = self.plays("site", *arguments, **variables)
        if "Site: " in self.plays.output:
            self.address = self.plays.address()
        return changed

    # ---- Visitors ----------------------------------------------------------------------------------------------------

    @contextmanager
    def load(self, places: int = 1, address: str = "", forms: int = 0) -> Iterator[Load]:
        """Have visitors while the block runs.

        Args:
            places: parts of the visitors, each with an address of its own.
            address: the address that they visit instead of the site's, for instance that of a gateway.
            forms: if it is not 0, so many visitors at a time send a form around the keep-alive limit of a server.
        """
        rate = forms * VISIT / ROUND_SECONDS if forms else self.rate
        load = Load(rate, self.votes(), time.monotonic())
        kind = f"--forms={forms}" if forms else f"--rate={rate / places}"
        with tempfile.TemporaryDirectory() as folder:
            load.outputs = outputs = [Path(folder, str(number)) for number in range(places)]
            running = [self.visitors(output, kind, address or self.address, places > 1) for output in outputs]
            try:
                eventually(lambda: all(output.stat().st_size for output in outputs), VISITORS_START, "the visitors")
                # Only then is a request under way for each that is sent.
                time.sleep(VISIT_SECONDS)
                yield load
                time.sleep(1)
            finally:
                load.closed = time.monotonic()
                for process in running:
                    process.stdin.close()
                codes = [process.wait(120) for process in running]
            load.ended = time.monotonic()
            if any(codes):
                raise Failed("The visitors broke off; what they said stands above.")
            lines = [line for output in outputs for line in output.read_text(encoding="utf-8").splitlines()]
        load.requests = sorted((json.loads(line) for line in lines), key=lambda request: request["started"])
        load.votes_after = self.votes()

    def visitors(self, output: Path, kind: str, address: str, elsewhere: bool) -> subprocess.Popen[bytes]:
        place = urlsplit(address)
        arguments = [place.hostname, str(place.port), kind]
        command = [sys.executable, str(VISITORS), *arguments]
        if elsewhere:
            networks = json.loads(docker("inspect", "--format={{json .NetworkSettings.Networks}}", self.nodes()[0]))
            network = f"--network={next(iter(networks))}"
            command = ["docker", "run", "--rm", "--interactive", network, "--user=0", "--env=PYTHONUNBUFFERED=1"]
            command += [f"--volume={VISITORS}:/visitors.py:ro", self.image(), "python", "/visitors.py", *arguments]
        with output.open("wb") as file:
            # Each line is there at once, so that it can be seen when they have come.
            environment = os.environ | {"PYTHONUNBUFFERED": "1"}
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, env=environment)

    def template(self) -> dict[str, Any]:
        """The template of the site's pods."""
        return self.get("Deployment", f"{self.app}-web")["spec"]["template"]

    def image(self, container: str = "web") -> str:
        """The image of a container, by default that of the site, which has Python and is on this machine."""
        containers = running_containers(self.template()["spec"])
        found = next((one["image"] for one in containers if one["name"] == container), None)
        if found is None:
            raise Failed(f"The pods of the site have no container {container}.")
        return found

    def votes(self) -> int:
        """All votes that the database has."""
        statement = f"SELECT coalesce(sum(votes), 0) FROM {self.app.replace('-', '_')}.polls_choice"
        return int(self.sql(statement))

    def sql(self, statement: str) -> str:
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.app.replace("-", "_"), "-c", statement]
        ended = self.cluster.exec(f"{self.app}-postgresql-0", "postgresql", command)
        if ended.code:
            raise Failed(f"The database does not answer: {ended.err}")
        return ended.out.strip()

    # ---- The cluster -------------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.cluster.get(kind, name)
        if found is None:
            raise Failed(f"{kind} {name} is missing in namespace {self.namespace}.")
        return found

    def nodes(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.cluster.list("Node")]

    def all_pods(self, component: str = WEB) -> list[dict[str, Any]]:
        """The pods of a component, those on their way out as well."""
        selector = f"app.kubernetes.io/instance={self.app},app.kubernetes.io/component={component}"
        return self.cluster.list("Pod", label_selector=selector)

    def pods(self, component: str = WEB) -> list[dict[str, Any]]:
        """The pods of a component that are not on their way out."""
        return [pod for pod in self.all_pods(component) if not pod["metadata"].get("deletionTimestamp")]

    def ready(self, component: str = WEB) -> int:
        return sum(is_pod_ready(pod) for pod in self.pods(component))

    def restarts(self, component: str = WEB) -> dict[str, int]:
        """For each pod of a component: how often its containers were started again, all of them together."""
        return {
            pod["metadata"]["name"]: sum(status["restartCount"] for status in container_statuses(pod))
            for pod in self.pods(component)
        }

    def front_restarts(self) -> int:
        """How often the fronts of all pods were started again."""
        statuses = [status for pod in self.pods() for status in container_statuses(pod)]
        return sum(status["restartCount"] for status in statuses if status["name"] == "front")

    def wait_until_whole(self, pods: int, seconds: float = 120) -> None:
        """Wait until so many pods of the site are ready, and no other is left."""
        eventually(lambda: self.ready() == pods == len(self.pods()), seconds, f"{pods} ready pods of the site")

    def settle(self) -> None:
        """Wait until no pod is on its way out any more."""
        eventually(lambda: len(self.all_pods()) == len(self.pods()), 120, "the end of the old pods")

    def patch(self, kind: str, name: str, *operations: dict[str, Any]) -> None:
        """Change an object without a playbook."""
        self.cluster.patch(kind, name, list(operations), "application/json-patch+json")

    def path(self, container: str) -> str:
        """The path of a container in the Deployment, for a patch."""
        for group in ("initContainers", "containers"):
            for number, one in enumerate(self.template()["spec"].get(group) or []):
                if one["name"] == container:
                    return f"/spec/template/spec/{group}/{number}"
        raise Failed(f"The pods of the site have no container {container}.")

    def await_rollout(self) -> None:
        """Wait until a change that no playbook made is rolled out."""
        name = f"{self.app}-web"
        generation = self.get("Deployment", name)["metadata"]["generation"]

        def status(key: str) -> int:
            return self.get("Deployment", name)["status"].get(key, 0)

        eventually(lambda: status("observedGeneration") >= generation, 30, "the controller of the Deployment")
        eventually(lambda: status("updatedReplicas") == REPLICAS, 120, "new pods")
        self.wait_until_whole(REPLICAS)
        self.settle()

    def replace_pods(self) -> None:
        """Replace all pods, as `kubectl rollout restart` does."""
        path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
        self.patch("Deployment", f"{self.app}-web", {"op": "add", "path": path, "value": f"{time.time():.0f}"})
        self.await_rollout()

    def replace_killed_pods(self) -> None:
        """Replace all pods if a container was started again, since the kubelet waits before it does so once more."""
        if any(self.restarts().values()):
            self.replace_pods()

    def evict(self, pod: str) -> None:
        """Do to one pod what a drain does to all of a node. Raises ApiError while a budget forbids it."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        self.cluster.request("post", f"{self.cluster.path('Pod', pod)}/eviction", body=body)

    def statistics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For each web pod: what the kubelet counts, by the names of its containers."""
        found = {}
        names = {pod["metadata"]["name"] for pod in self.pods()}
        for node in self.nodes():
            summary = self.cluster.request("get", f"/api/v1/nodes/{node}/proxy/stats/summary")
            for pod in summary["pods"]:
                if pod["podRef"]["namespace"] == self.namespace and pod["podRef"]["name"] in names:
                    containers = {one["name"]: one for one in pod["containers"] if one["name"] in CONTAINERS[WEB]}
                    found[pod["podRef"]["name"]] = containers
        return found

    def usage(self) -> Usage:
        """For each web pod: seconds of CPU since its start, and bytes of memory that are its own, as kubelet counts."""
        return {
            name: (
                sum(one["cpu"]["usageCoreNanoSeconds"] for one in containers.values()) / 1e9,
                sum(one["memory"]["rssBytes"] for one in containers.values()),
            )
            for name, containers in self.statistics().items()
        }

    def front_memory(self) -> float:
        """The working set of the front that has the largest, in MiB; 0 without a front."""
        fronts = [containers["front"] for containers in self.statistics().values() if "front" in containers]
        return max((front["memory"]["workingSetBytes"] for front in fronts), default=0) / 2**20

    # ---- Without a warning -------------------------------------------------------------------------------------------

    def kill(self, *names: str, component: str = WEB, containers: Sequence[str] = ()) -> float:
        """Kill all processes of the pods' own containers, or of those named, from the node and at once; return when.

        The node tells, since the way to it takes a while: its time since the start of the kernel is this machine's too.
        """
        wanted = containers or CONTAINERS[component]
        identifiers: dict[str, list[str]] = {}
        for pod in [self.get("Pod", name) for name in names]:
            found = [
                status["containerID"].partition("://")[2]
                for status in container_statuses(pod)
                if status["name"] in wanted and status.get("containerID")
            ]
            if not found:
                raise Failed(f"Pod {pod['metadata']['name']} has no container {' or '.join(wanted)} that was started.")
            identifiers.setdefault(pod["spec"]["nodeName"], []).extend(f"-e {identifier}" for identifier in found)
        moments = []
        for node, patterns in identifiers.items():
            # What ends by itself meanwhile is no error, but there has to be something.
            script = f"""
                processes=$(grep -ls {" ".join(patterns)} /proc/[0-9]*/cgroup | cut -d/ -f3)
                [ -n "$processes" ] || {{ echo "There is no process to kill." >&2; exit 1; }}
                read moment rest < /proc/uptime
                kill -9 $processes 2> /dev/null
                echo $moment
            """
            moments.append(float(docker("exec", node, "sh", "-c", script)))
        return min(moments) - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Failed(
            f"docker {' '.join(arguments[:2])} failed: {done.stderr.strip()} "
            "The nodes have to be containers of this machine, as those of kind and of minikube's Docker driver are."
        )
    return done.stdout


def answered(url: str) -> bool:
    """Tell whether a URL is answered with success."""
    try:
        with DIRECT.open(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def eventually(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true answer. Raises Failed after some seconds without."""
    until = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > until:
            raise Failed(f"There is no end of waiting for {what}: {seconds:g} s have passed.")
        time.sleep(0.1)
    return answer
