"""Module rollout on a real cluster, with real controllers and kubelets instead of recorded objects.

The tests also measure the durations that the module promises. The best of several attempts counts, because other
programs on the machine can delay single attempts.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kubernetes import config as kubernetes_config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from support import Cluster, docker, run_play, the_cluster, wait_for

pytestmark = pytest.mark.alone

NAMESPACE = "test-rollout"
PAUSE = "localhost/cloud-django/pause:3.10.2"
SHELL = "localhost/cloud-django/debian:trixie"
MODULE = "ansible_collections.cloud_django.kubernetes.plugins.modules.rollout"
# It has characters that URLs quote, and occurs in no other string.
PASSWORD = "s3nt!nel/p@ss word"

NOTICED_WITHIN = 0.5
HOPELESS_WITHIN = 10.0
TRIES = 4

API_VERSIONS = {
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
}

type Manifest = dict[str, Any]


class Namespace:
    """Namespace of these tests, and its client."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = DynamicClient(
            kubernetes_config.new_client_from_config(str(cluster.kubeconfig), context=cluster.context)
        )

    def api(self, kind: str) -> Any:
        return self.client.resources.get(api_version=API_VERSIONS.get(kind, "v1"), kind=kind)

    def get(self, kind: str, name: str) -> Manifest | None:
        try:
            return self.api(kind).get(name=name, namespace=NAMESPACE).to_dict()
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def create(self) -> None:
        """Recreate the namespace, also after an interrupted run."""
        self.remove()
        self.api("Namespace").create(body={"metadata": {"name": NAMESPACE}})
        # Without the service account, pods are refused at first.
        wait_for(lambda: self.get("ServiceAccount", "default"), 60, "the namespace's service account")

    def remove(self) -> None:
        with contextlib.suppress(ApiException):
            self.api("Namespace").delete(name=NAMESPACE)
        wait_for(lambda: not self.get("Namespace", NAMESPACE), 180, "the end of the namespace")

    def apply(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            body = {"apiVersion": API_VERSIONS.get(manifest["kind"], "v1")} | manifest
            self.api(manifest["kind"]).server_side_apply(
                body=body, namespace=NAMESPACE, field_manager="cloud-django", force_conflicts=True
            )

    def delete(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            with contextlib.suppress(ApiException):
                self.api(manifest["kind"]).delete(
                    name=manifest["metadata"]["name"],
                    namespace=NAMESPACE,
                    body={"propagationPolicy": "Background", "gracePeriodSeconds": 1},
                )


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return the_cluster()


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    namespace = Namespace(cluster)
    load_shell(cluster)
    namespace.create()
    yield namespace
    namespace.remove()


def load_shell(cluster: Cluster) -> None:
    """Load an image with a shell into each node, because a new cluster has none."""
    for node in cluster.nodes():
        there = docker("exec", node, "ctr", "--namespace=k8s.io", "images", "ls", "--quiet").split()
        if SHELL not in there:
            save = subprocess.Popen(["docker", "image", "save", SHELL], stdout=subprocess.PIPE)
            load = ["docker", "exec", "--interactive", node, "ctr", "--namespace=k8s.io", "images", "import", "-"]
            subprocess.run(load, stdin=save.stdout, check=True, stdout=subprocess.DEVNULL, timeout=300)
            assert save.wait() == 0


# --- Manifests --------------------------------------------------------------------------------------------------------


def pod(script: str = "", **container: Any) -> Manifest:
    """Return the spec of a pod that runs a shell script, or does nothing without one."""
    command = {"image": SHELL, "command": ["sh", "-c", script]} if script else {"image": PAUSE}
    # With a resource request, so that the quota on pods without requests does not apply.
    main = {"name": "main", "resources": {"requests": {"cpu": "1m"}}} | command | container
    return {"containers": [main], "terminationGracePeriodSeconds": 1, "enableServiceLinks": False}


def workload(kind: str, name: str, pod_spec: Manifest, **spec: Any) -> Manifest:
    labels = {"app.kubernetes.io/name": name}
    selected = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    template = {"metadata": {"labels": labels}, "spec": pod_spec}
    return {
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"template": template} | selected | spec,
    }


def deployment(name: str, pod_spec: Manifest, **spec: Any) -> Manifest:
    return workload("Deployment", name, pod_spec, **spec)


def job(name: str, pod_spec: Manifest, **spec: Any) -> Manifest:
    return workload("Job", name, pod_spec | {"restartPolicy": "Never"}, backoffLimit=0, **spec)


def claim(name: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def secret(name: str, **values: str) -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"kind": "Secret", "metadata": {"name": name}, "data": data}


# --- Runs of the module -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """Result of the module, and the time of its return by the monotonic clock."""

    result: dict[str, Any]
    at: float

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))

    @property
    def sentence(self) -> str:
        """Return the first line of the error."""
        return self.result["msg"].splitlines()[0]


def rollout(cluster: Cluster, *manifests: Manifest, **options: Any) -> Verdict:
    """Run the module's file as Ansible does, but without the start of Ansible."""
    workloads = [{"kind": m["kind"], "name": m["metadata"]["name"]} for m in manifests]
    connection = {"kubeconfig": str(cluster.kubeconfig), "context": cluster.context}
    arguments = connection | {"namespace": NAMESPACE, "workloads": workloads, "timeout": 120} | options
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        process.stdin.close()
        # The module prints nothing before the result.
        first = process.stdout.read(1)
        at = time.monotonic()
        output = first + process.stdout.read()
        errors = process.stderr.read()
    assert output.strip(), errors
    return Verdict(json.loads(output), at)


# --- Permanent problems -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hopeless:
    """Objects that a test creates, the workload last, and the expected message; `{name}` is its name."""

    make: Callable[[str], list[Manifest]]
    reasons: tuple[str, ...]
    sentence: str
    log: tuple[str, ...] = ()
    log_may_be_gone: bool = False


NOTHING = {"kind": "ResourceQuota", "metadata": {"name": "nothing"}, "spec": {"hard": {"pods": "0"}}}
BEST_EFFORT = NOTHING | {"spec": {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}}

HOPELESS = {
    "image that cannot be pulled": Hopeless(
        make=lambda name: [deployment(name, pod(image="localhost/nothing:1"))],
        reasons=("ErrImagePull", "ImagePullBackOff"),
        sentence=r"Deployment {name} is stuck: pod {name}-\S+ cannot pull localhost/nothing:1: .*\. "
        r"Check that the image is loaded, then rerun the playbook\.",
    ),
    "crash loop": Hopeless(
        # Without minReadySeconds or a probe, the pod would be available for a moment before it crashes.
        make=lambda name: [deployment(name, pod("echo connecting; echo no database; exit 3"), minReadySeconds=20)],
        reasons=("CrashLoopBackOff",),
        sentence=r"Deployment {name} is stuck: container main of pod {name}-\S+ keeps crashing \(exit code 3\)\. "
        r"Read its log and fix the cause, then rerun the playbook\.",
        log=("connecting", "no database"),
    ),
    "crash loop of a StatefulSet": Hopeless(
        make=lambda name: [
            workload("StatefulSet", name, pod("echo no data >&2; exit 4"), serviceName=name, minReadySeconds=20)
        ],
        reasons=("CrashLoopBackOff",),
        sentence=r"StatefulSet {name} is stuck: container main of pod {name}-0 keeps crashing \(exit code 4\)\. .*",
        log=("no data",),
    ),
    "program that is not in the image": Hopeless(
        make=lambda name: [deployment(name, pod(command=["no-such-program"]))],
        reasons=("RunContainerError", "CrashLoopBackOff"),
        sentence=r"Deployment {name} is stuck: container main of pod {name}-\S+ cannot (be )?start(ed)?: "
        r".*no-such-program.*not found.*\. Correct the (command|settings) of the container, "
        r"then rerun the playbook\.",
    ),
    "quota of no pods": Hopeless(
        make=lambda name: [BEST_EFFORT, deployment(name, pod(resources={}))],
        reasons=("FailedCreate",),
        sentence=r"Deployment {name} is stuck: quota nothing rejects its pods: "
        r"requested: pods=1, used: pods=0, limited: pods=0\. .*",
    ),
    # The claim has no volume until a pod uses it, so it must not be reported, and above all not be deleted.
    "quota of no pods, for a StatefulSet with a claim": Hopeless(
        make=lambda name: [
            BEST_EFFORT,
            claim(name),
            workload(
                "StatefulSet",
                name,
                pod(resources={}) | {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]},
                serviceName=name,
            ),
        ],
        reasons=("FailedCreate",),
        sentence=r"(?!.*claim)StatefulSet {name} is stuck: quota nothing rejects its pods: "
        r"requested: pods=1, used: pods=0, limited: pods=0\. .*",
    ),
    "Secret that a volume needs": Hopeless(
        make=lambda name: [
            deployment(
                name,
                pod(volumeMounts=[{"name": "keys", "mountPath": "/keys"}])
                | {"volumes": [{"name": "keys", "secret": {"secretName": "missing-keys"}}]},
            )
        ],
        reasons=("FailedMount",),
        sentence=r"Deployment {name} is stuck: pod {name}-\S+ needs Secret missing-keys, which does not exist\. "
        r"Create it, then rerun the playbook\.",
    ),
    "Secret that the environment needs": Hopeless(
        make=lambda name: [
            deployment(name, pod(envFrom=[{"secretRef": {"name": "missing-settings"}}])),
        ],
        reasons=("CreateContainerConfigError",),
        sentence=r"Deployment {name} is stuck: pod {name}-\S+ needs Secret missing-settings, which does not exist\. .*",
    ),
    "pod that is never ready": Hopeless(
        make=lambda name: [
            deployment(
                name,
                pod("echo warming up; sleep 600", readinessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1}),
                progressDeadlineSeconds=4,
            )
        ],
        reasons=("ProgressDeadlineExceeded",),
        sentence=r"Deployment {name} is stuck: no progress for 4 s \(ProgressDeadlineExceeded\), "
        r"and pod {name}-\S+ runs but is not ready.*",
        log=("warming up",),
    ),
    "failed Job": Hopeless(
        make=lambda name: [job(name, pod("echo migrating; echo no such table; exit 1"))],
        reasons=("BackoffLimitExceeded",),
        sentence=r"Job {name} has failed: BackoffLimitExceeded: .*\. Read its log .*",
        log=("migrating", "no such table"),
    ),
    "Job that hangs": Hopeless(
        make=lambda name: [job(name, pod("echo waiting for a lock; sleep 600"), activeDeadlineSeconds=4)],
        reasons=("DeadlineExceeded",),
        sentence=r"Job {name} has failed: DeadlineExceeded: .*\. Find in its log .*",
        log=("waiting for a lock",),
        # Its pod is terminating while the module queries it.
        log_may_be_gone=True,
    ),
    "workload that does not exist": Hopeless(
        make=lambda name: [],
        reasons=("NotFound",),
        sentence=rf"Deployment {{name}} does not exist in namespace {NAMESPACE}\. "
        r"Apply it, then rerun the playbook\.",
    ),
}


@pytest.mark.parametrize("case", HOPELESS.values(), ids=HOPELESS.keys())
def test_permanent_problem_is_reported_within_ten_seconds(
    namespace: Namespace, request: pytest.FixtureRequest, case: Hopeless
) -> None:
    tries = []
    while len(tries) < TRIES and min(tries, default=HOPELESS_WITHIN) >= HOPELESS_WITHIN:
        name = f"hopeless-{list(HOPELESS.values()).index(case)}-{len(tries)}"
        manifests = case.make(name)
        if BEST_EFFORT in manifests:
            quota_in_force(namespace)
        try:
            applied = time.monotonic()
            namespace.apply(*manifests)
            waited_for = manifests[-1] if manifests else deployment(name, {})
            verdict = rollout(namespace.cluster, waited_for)
        finally:
            namespace.delete(*manifests)
        tries.append(verdict.at - applied)
        assert verdict.failed
        assert verdict.result["reason"] in case.reasons
        assert re.fullmatch(case.sentence.format(name=re.escape(name)), verdict.sentence), verdict.result["msg"]
        log = tuple(verdict.result["log"])
        assert log == case.log or (case.log_may_be_gone and not log)
        assert verdict.result["workloads"][0]["state"] == ("failed" if manifests else "missing")
    print(f"\nhopeless after {', '.join(f'{t:.1f}' for t in tries)} s: {request.node.callspec.id}")
    assert min(tries) < HOPELESS_WITHIN


def quota_in_force(namespace: Namespace) -> None:
    """Create the quota, and wait until the API server enforces it, because the first pods would pass."""
    namespace.apply(BEST_EFFORT)
    wait_for(
        lambda: ((namespace.get("ResourceQuota", "nothing") or {}).get("status") or {}).get("hard"), 30, "the quota"
    )


# --- Finished rollouts ------------------------------------------------------------------------------------------------


class Witness:
    """Watch a Deployment and its ReplicaSets beside the module, and record when all of it is finished."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self.selector = f"app.kubernetes.io/name={name}"
        self.seen: dict[tuple[str, str], Manifest] = {}
        self.done_since: float | None = None
        self.lock = threading.Lock()
        for kind in ("Deployment", "ReplicaSet"):
            threading.Thread(target=self.watch, args=(namespace.api(kind), kind), daemon=True).start()

    def watch(self, api: Any, kind: str) -> None:
        for event in api.watch(namespace=NAMESPACE, label_selector=self.selector, timeout=300):
            item, now = event["raw_object"], time.monotonic()
            with self.lock:
                self.seen[kind, item["metadata"]["name"]] = item
                if not self.is_done():
                    self.done_since = None
                elif self.done_since is None:
                    self.done_since = now

    def is_done(self) -> bool:
        groups = {kind: [i for (k, _), i in self.seen.items() if k == kind] for kind in ("Deployment", "ReplicaSet")}
        return bool(groups["Deployment"]) and is_really_done(groups["Deployment"][0], groups["ReplicaSet"])


def is_really_done(deployment: Manifest, replicasets: list[Manifest]) -> bool:
    """Return whether all pods have the new revision and are available, and no other pod is left."""
    want, status = deployment["spec"]["replicas"], deployment["status"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    pods = sorted(replicaset["status"].get("replicas", 0) for replicaset in replicasets)
    observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return observed and counts == [want] * 3 and pods == [0] * (len(pods) - 1) + [want]


def test_end_of_a_rolling_update_is_reported_within_half_a_second(namespace: Namespace) -> None:
    """And not before: this rollout replaces one replica at a time, and each needs 2 s to be available."""

    def revision(number: int) -> Manifest:
        env = [{"name": "REVISION", "value": str(number)}]
        rolling = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        return deployment("rolling", pod(env=env), replicas=2, minReadySeconds=2, strategy=rolling)

    tries: list[float] = []
    witness = Witness(namespace, "rolling")
    try:
        while len(tries) < TRIES and min(tries[1:], default=NOTICED_WITHIN) >= NOTICED_WITHIN:
            namespace.apply(revision(len(tries)))
            verdict = rollout(namespace.cluster, revision(len(tries)))
            found = namespace.get("Deployment", "rolling")
            selected = namespace.api("ReplicaSet").get(namespace=NAMESPACE, label_selector=witness.selector)
            assert not verdict.failed, verdict.result["msg"]
            assert is_really_done(found, [item.to_dict() for item in selected.items])
            assert verdict.result["workloads"][0]["replicas"] == 2
            assert len(verdict.result["workloads"][0]["pods"]) == 2
            tries.append(verdict.at - wait_for(lambda: witness.done_since, 10, "the witness"))
    finally:
        namespace.delete(revision(0))
    print(f"\nnoticed after {', '.join(f'{t:.2f}' for t in tries)} s")
    # Without the wait for availability, the result would be 2 s early.
    assert min(tries) > -1
    assert min(tries[1:]) < NOTICED_WITHIN


def test_finished_rollout_is_reported_at_once(namespace: Namespace) -> None:
    pause = deployment("done", pod())
    namespace.apply(pause)
    try:
        rollout(namespace.cluster, pause)
        waits = [rollout(namespace.cluster, pause).result["seconds"] for _ in range(TRIES)]
    finally:
        namespace.delete(pause)
    assert min(waits) < NOTICED_WITHIN


def test_scaling_to_zero_and_back_takes_seconds(namespace: Namespace) -> None:
    try:
        for replicas in (0, 1, 0):
            scaled = deployment("scaled", pod(), replicas=replicas)
            namespace.apply(scaled)
            verdict = rollout(namespace.cluster, scaled)
            assert not verdict.failed, verdict.result["msg"]
            assert verdict.result["workloads"][0]["replicas"] == replicas
            assert len(verdict.result["workloads"][0]["pods"]) == replicas
            assert verdict.result["seconds"] < 30
    finally:
        namespace.delete(scaled)


def test_one_call_waits_for_every_kind(namespace: Namespace) -> None:
    together = [
        deployment("together-web", pod(), replicas=2),
        workload("StatefulSet", "together-database", pod(), serviceName="together", replicas=2),
        workload("DaemonSet", "together-agent", pod()),
        job("together-migrate", pod("sleep 2; echo migrated")),
    ]
    namespace.apply(*together)
    try:
        verdict = rollout(namespace.cluster, *together)
        found = {m["kind"]: namespace.get(m["kind"], m["metadata"]["name"])["status"] for m in together}
    finally:
        namespace.delete(*together)
    assert not verdict.failed, verdict.result["msg"]
    assert [w["state"] for w in verdict.result["workloads"]] == ["done"] * 4
    assert all(w["image_ids"] for w in verdict.result["workloads"])
    assert found["Deployment"]["availableReplicas"] == 2
    assert found["StatefulSet"]["availableReplicas"] == 2
    assert found["DaemonSet"]["numberAvailable"] == found["DaemonSet"]["desiredNumberScheduled"] >= 1
    assert found["Job"]["succeeded"] == 1


def test_broken_update_is_reported_while_old_pods_serve(namespace: Namespace) -> None:
    whole, broken = deployment("update", pod()), deployment("update", pod(image="localhost/nothing:2"))
    namespace.apply(whole)
    try:
        assert not rollout(namespace.cluster, whole).failed
        namespace.apply(broken)
        refused = rollout(namespace.cluster, broken)
        assert refused.result["reason"] in ("ErrImagePull", "ImagePullBackOff")
        assert namespace.get("Deployment", "update")["status"]["availableReplicas"] == 1
        # After the rollback, the broken revision no longer matters.
        namespace.apply(whole)
        assert not rollout(namespace.cluster, whole).failed
    finally:
        namespace.delete(whole)


# --- Connection -------------------------------------------------------------------------------------------------------


def test_missing_context_is_one_message(namespace: Namespace) -> None:
    verdict = rollout(namespace.cluster, deployment("any", {}), context="nowhere")
    assert verdict.failed
    assert re.fullmatch(
        rf"The context nowhere of {re.escape(str(namespace.cluster.kubeconfig))} cannot be used: .*nowhere.*\. "
        r"Correct kubeconfig or context, then rerun the playbook\. "
        r"If `make up` created the cluster, it also starts the cluster and restores its context\.",
        verdict.result["msg"],
    )


def test_check_mode_neither_waits_nor_fails(namespace: Namespace) -> None:
    stuck = deployment("checked", pod(image="localhost/nothing:1"))
    namespace.apply(stuck)
    try:
        verdict = rollout(namespace.cluster, stuck, _ansible_check_mode=True)
    finally:
        namespace.delete(stuck)
    assert not verdict.failed
    assert verdict.result["msg"].startswith(f"Would wait in namespace {NAMESPACE} for Deployment checked (")
    assert verdict.result["seconds"] == 0


# --- Secrets in plays -------------------------------------------------------------------------------------------------


def test_secrets_are_not_in_the_output_of_a_play(namespace: Namespace, tmp_path: Path) -> None:
    """As a user runs it, with -vvv --diff: a good rollout, then a broken one whose pod prints its password."""
    extra = "an0ther-s3ntinel"
    reference = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "sentinel", "key": "password"}}}]
    script = f"""
        echo "connecting as polls:$PASSWORD"
        printf %s "$PASSWORD" | base64
        echo "token {extra}"
        echo "no route to {quote(PASSWORD, safe="")}@database" >&2
        exit 1
    """
    good = deployment("quiet", pod("sleep 600", env=reference))
    broken = deployment("telltale", pod(script, env=reference), minReadySeconds=20)
    made = [secret("sentinel", password=PASSWORD), good, broken]

    def task(manifest: Manifest) -> Manifest:
        workloads = [{"kind": "Deployment", "name": manifest["metadata"]["name"]}]
        options = {"namespace": NAMESPACE, "workloads": workloads, "mask": [extra]}
        return {"cloud_django.kubernetes.rollout": options}

    connection = {"kubeconfig": str(namespace.cluster.kubeconfig), "context": namespace.cluster.context}
    play = {
        "module_defaults": {"group/cloud_django.kubernetes.k8s": connection},
        "tasks": [task(good), task(broken)],
    }
    namespace.apply(*made)
    try:
        ended = run_play(tmp_path, play, "-vvv", "--diff")
    finally:
        namespace.delete(*made)
    assert ended.code == 2, ended.output
    assert "ok: [localhost]" in ended.output
    assert "Deployment telltale is stuck: container main of pod telltale-" in ended.output
    assert "connecting as polls:********" in ended.output
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    forms = (PASSWORD, extra, encoded, base64.b64encode(encoded.encode()).decode(), quote(PASSWORD, safe=""))
    for form in forms:
        assert form not in ended.output
