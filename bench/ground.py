"""Site on a cluster whose nodes are containers on this machine, with visitors and ways to break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from rows import RATE, VISIT, Load

# Nodes are containers on this machine, so ignore proxies from the environment.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
VISITORS = PROJECT / "tests" / "load" / "visitors.py"
VISIT_SECONDS = 2.4  # Minimum seconds of a visit.
VISITORS_START = 60.0  # Maximum seconds until the first visitor starts.
REPLICAS = 3  # Web pods of the site.
WEB, DATABASE, CACHE = "web", "database", "cache"  # Components, as in the label of that name.
# Containers of a web pod. A site without a front has no container of that name.
CONTAINERS = ("web", "front")
ROUND_SECONDS = 4.0  # Maximum seconds of a round of forms.
# For each pod: CPU seconds, and bytes of memory.
type Usage = dict[str, tuple[float, int]]


class Ground:
    """Site that scenarios run on."""

    def __init__(self, plays: Plays, rate: float = RATE) -> None:
        self.rate = rate
        self.plays = plays
        self.namespace = plays.variable("app_namespace")
        self.app = plays.variable("app_name")
        self.address = ""
        # Commit that deploys the site for the scenario `upgrade`.
        self.upgrade_from = ""
        # Whether a test removed a protection of the site.
        self.spoiled = False

    @cached_property
    def cluster(self) -> Client:
        """Return the client of the cluster, after the cluster was created."""
        kubeconfig, context = (self.plays.variable(f"cluster_{name}") for name in ("kubeconfig", "context"))
        return Client(get_api_client(kubeconfig=kubeconfig, context=context).client, self.namespace, context)

    def deploy(self, *arguments: str, **variables: Any) -> int:
        """Run site.yml; return the number of changed tasks."""
        changed = self.plays("site", *arguments, **variables)
        if "Site: " in self.plays.output:
            self.address = self.plays.address()
        return changed

    # ---- Visitors ----------------------------------------------------------------------------------------------------

    @contextmanager
    def load(self, places: int = 1, address: str = "", forms: int = 0) -> Iterator[Load]:
        """Run visitors while the block runs.

        Args:
            places: groups of visitors, each with its own address.
            address: URL that they visit instead of the site's, for example that of a gateway.
            forms: unless 0, number of visitors that send forms around the keep-alive limit of a server.
        """
        rate = forms * VISIT / ROUND_SECONDS if forms else self.rate
        load = Load(rate, self.votes(), time.monotonic())
        kind = f"--forms={forms}" if forms else f"--rate={rate / places}"
        with tempfile.TemporaryDirectory() as folder:
            load.outputs = outputs = [Path(folder, str(number)) for number in range(places)]
            running = [self.visitors(output, kind, address or self.address, places > 1) for output in outputs]
            try:
                eventually(lambda: all(output.stat().st_size for output in outputs), VISITORS_START, "the visitors")
                # Wait for one visit, so that a request is active for each one that is sent.
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
                raise Failed("The visitors failed. See their messages above.")
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
            # Without buffers, each line appears at once, so that the start of the visitors is seen.
            environment = os.environ | {"PYTHONUNBUFFERED": "1"}
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, env=environment)

    def template(self) -> dict[str, Any]:
        """Return the pod template of the site."""
        return self.get("Deployment", f"{self.app}-web")["spec"]["template"]

    def image(self, container: str = "web") -> str:
        """Return the image of a container, by default the one of the site, which has Python and is on this machine."""
        containers = running_containers(self.template()["spec"])
        found = next((one["image"] for one in containers if one["name"] == container), None)
        if found is None:
            raise Failed(f"The pods of the site have no container {container}.")
        return found

    def votes(self) -> int:
        """Return the number of all votes in the database."""
        statement = f"SELECT coalesce(sum(votes), 0) FROM {self.app.replace('-', '_')}.polls_choice"
        return int(self.sql(statement))

    def sql(self, statement: str, seconds: float = 60) -> str:
        """Run a statement as the administrator of the database; return its output without formatting."""
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.app.replace("-", "_"), "-c", statement]
        ended = self.cluster.exec(f"{self.app}-postgresql-0", "postgresql", command, timeout=seconds)
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
        """Return all pods of a component, including terminating ones."""
        selector = f"app.kubernetes.io/instance={self.app},app.kubernetes.io/component={component}"
        return self.cluster.list("Pod", label_selector=selector)

    def pods(self, component: str = WEB) -> list[dict[str, Any]]:
        """Return the pods of a component that aren't terminating."""
        return [pod for pod in self.all_pods(component) if not pod["metadata"].get("deletionTimestamp")]

    def ready(self, component: str = WEB) -> int:
        return sum(is_pod_ready(pod) for pod in self.pods(component))

    def restarts(self, component: str = WEB) -> dict[str, int]:
        """Return the restarts of each pod of a component, the sum of its containers."""
        return {
            pod["metadata"]["name"]: sum(status["restartCount"] for status in container_statuses(pod))
            for pod in self.pods(component)
        }

    def front_restarts(self) -> int:
        """Return the restarts of the fronts of all pods."""
        statuses = [status for pod in self.pods() for status in container_statuses(pod)]
        return sum(status["restartCount"] for status in statuses if status["name"] == "front")

    def wait_until_whole(self, pods: int, seconds: float = 120) -> None:
        """Wait until exactly this number of pods is ready and no other pod is left."""
        eventually(lambda: self.ready() == pods == len(self.pods()), seconds, f"{pods} ready pods of the site")

    def wait_for_old_pods(self) -> None:
        """Wait until no pod is terminating."""
        eventually(lambda: len(self.all_pods()) == len(self.pods()), 120, "the old pods to terminate")

    def patch(self, kind: str, name: str, *operations: dict[str, Any]) -> None:
        """Change an object outside the playbooks."""
        self.cluster.patch(kind, name, list(operations), "application/json-patch+json")

    def path(self, container: str) -> str:
        """Return the path of a container in the Deployment, for a patch."""
        for group in ("initContainers", "containers"):
            for number, one in enumerate(self.template()["spec"].get(group) or []):
                if one["name"] == container:
                    return f"/spec/template/spec/{group}/{number}"
        raise Failed(f"The pods of the site have no container {container}.")

    def await_rollout(self) -> None:
        """Wait for the rollout of a change that no playbook made."""
        name = f"{self.app}-web"
        generation = self.get("Deployment", name)["metadata"]["generation"]

        def status(key: str) -> int:
            return self.get("Deployment", name)["status"].get(key, 0)

        eventually(lambda: status("observedGeneration") >= generation, 30, "the controller of the Deployment")
        eventually(lambda: status("updatedReplicas") == REPLICAS, 120, "new pods")
        self.wait_until_whole(REPLICAS)
        self.wait_for_old_pods()

    def replace_pods(self) -> None:
        """Replace all pods, like `kubectl rollout restart`."""
        path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
        self.patch("Deployment", f"{self.app}-web", {"op": "add", "path": path, "value": f"{time.time():.0f}"})
        self.await_rollout()

    def replace_killed_pods(self) -> None:
        """Replace all pods if a container restarted, because the kubelet delays each further restart."""
        if any(self.restarts().values()):
            self.replace_pods()

    def evict(self, pod: str) -> None:
        """Evict a pod, like a drain does. Raises ApiError while a PodDisruptionBudget prevents it."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        self.cluster.request("post", f"{self.cluster.path('Pod', pod)}/eviction", body=body)

    def statistics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the statistics of the kubelet for each web pod, by container name."""
        found = {}
        names = {pod["metadata"]["name"] for pod in self.pods()}
        for node in self.nodes():
            summary = self.cluster.request("get", f"/api/v1/nodes/{node}/proxy/stats/summary")
            for pod in summary["pods"]:
                if pod["podRef"]["namespace"] == self.namespace and pod["podRef"]["name"] in names:
                    containers = {one["name"]: one for one in pod["containers"] if one["name"] in CONTAINERS}
                    found[pod["podRef"]["name"]] = containers
        return found

    def usage(self) -> Usage:
        """Return the CPU seconds since the start and the bytes of own memory of each web pod, from the kubelet."""
        return {
            name: (
                sum(one["cpu"]["usageCoreNanoSeconds"] for one in containers.values()) / 1e9,
                sum(one["memory"]["rssBytes"] for one in containers.values()),
            )
            for name, containers in self.statistics().items()
        }

    def memory(self) -> dict[str, dict[str, float]]:
        """Return the working set of each web pod in MiB, by container name."""
        return {
            pod: {
                name: size / 2**20
                for name, one in containers.items()
                # The kubelet has not measured a new container yet.
                if (size := (one.get("memory") or {}).get("workingSetBytes"))
            }
            for pod, containers in self.statistics().items()
        }

    def front_memory(self) -> float:
        """Return the largest working set of a front in MiB, or 0 without a front."""
        return max((containers.get("front", 0.0) for containers in self.memory().values()), default=0.0)

    def image_size(self) -> float:
        """Return the size of the project's image on a node, in MiB. Raises Failed if no node reports it."""
        for node in self.cluster.list("Node"):
            for image in node["status"].get("images") or []:
                if self.image() in (image.get("names") or []):
                    return image["sizeBytes"] / 2**20
        raise Failed(f"No node reports the size of image {self.image()}.")

    def cache_workload(self) -> tuple[str, str]:
        """Return the kind and the name of the object that runs the cache. Raises Failed without a cache."""
        name = f"{self.app}-cache"
        for kind in ("Deployment", "StatefulSet"):
            if self.cluster.get(kind, name):
                return kind, name
        raise Failed(f"The site has no cache: neither a Deployment nor a StatefulSet {name} exists.")

    # ---- Without warning ---------------------------------------------------------------------------------------------

    def kill(self, *names: str, containers: Sequence[str] = ()) -> float:
        """Kill all processes of these pods' own containers, or of the given containers; return the time."""
        return self.send("KILL", *names, containers=containers)

    def send(self, name_of_signal: str, *names: str, containers: Sequence[str] = ()) -> float:
        """Send a signal to all processes of these pods' own containers, or of the given ones; return the time.

        The node sends it and reports the time, because the command takes a while to reach the node. Its uptime is this
        machine's uptime.
        """
        identifiers: dict[str, list[str]] = {}
        for pod in [self.get("Pod", name) for name in names]:
            wanted = containers or [one["name"] for one in running_containers(pod["spec"])]
            found = [
                status["containerID"].partition("://")[2]
                for status in container_statuses(pod)
                if status["name"] in wanted and status.get("containerID")
            ]
            if not found:
                raise Failed(f"Pod {pod['metadata']['name']} has no container {' or '.join(wanted)} that has started.")
            identifiers.setdefault(pod["spec"]["nodeName"], []).extend(f"-e {identifier}" for identifier in found)
        moments = []
        for node, patterns in identifiers.items():
            # Processes that exit meanwhile are no error, but at least one has to exist.
            script = f"""
                processes=$(grep -ls {" ".join(patterns)} /proc/[0-9]*/cgroup | cut -d/ -f3)
                [ -n "$processes" ] || {{ echo "There is no process to signal." >&2; exit 1; }}
                read moment rest < /proc/uptime
                kill -{name_of_signal} $processes 2> /dev/null
                echo $moment
            """
            moments.append(float(docker("exec", node, "sh", "-c", script)))
        return min(moments) - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Failed(
            f"docker {' '.join(arguments[:2])} failed: {done.stderr.strip()} "
            "The nodes must be containers on this machine, as with kind and minikube's Docker driver."
        )
    return done.stdout


def answered(url: str) -> bool:
    """Return whether a URL responds with status 200."""
    try:
        with DIRECT.open(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def eventually(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true result of a check. Raises Failed after the given seconds."""
    until = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > until:
            raise Failed(f"Timed out after {seconds:g} s while waiting for {what}.")
        time.sleep(0.1)
    return answer
