"""Module apply on a real cluster, run by ansible-playbook.

The cluster is that of TEST_KUBECONFIG and TEST_CONTEXT, by default Molecule's. Each test creates and removes its own
namespace test-apply-<number>, so that no test waits for the removal of the former one. They change nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

PROJECT = Path(__file__).resolve().parents[2]
IMAGE = "localhost/cloud-django/pause:3.10.2"
SENTINEL = "sent1nel/Passw0rd+é"
OWNER = {"app.kubernetes.io/managed-by": "cloud-django", "app.kubernetes.io/instance": "polls"}
COMPONENT = {"app.kubernetes.io/component": "web"}
SELECTOR = {"app.kubernetes.io/instance": "polls", **COMPONENT}
# Seconds to wait for controllers.
LIMIT = 60

type Obj = dict[str, Any]


def cluster_kubeconfig() -> Path:
    return Path(os.environ.get("TEST_KUBECONFIG") or PROJECT / ".state/cloud-django-test/kubeconfig")


def cluster_context() -> str:
    return os.environ.get("TEST_CONTEXT") or "kind-cloud-django-test"


class Api:
    """Client of the cluster that is independent of the module."""

    def __init__(self) -> None:
        self.namespace = ""
        self.client = DynamicClient(config.new_client_from_config(str(cluster_kubeconfig()), cluster_context()))

    def request(self, method: str, path: str, **params: Any) -> Obj:
        answer = self.client.request(method, path, serialize=False, _request_timeout=(5, 30), **params)
        return json.loads(answer.data)

    def path(self, kind: str, name: str = "") -> str:
        roots = {
            "api/v1": "configmaps secrets services serviceaccounts pods resourcequotas",
            "apis/apps/v1": "deployments statefulsets replicasets",
            "apis/batch/v1": "jobs cronjobs",
            "apis/autoscaling/v2": "horizontalpodautoscalers",
            "apis/policy/v1": "poddisruptionbudgets",
            "apis/networking.k8s.io/v1": "networkpolicies ingresses",
        }
        root = next(root for root, kinds in roots.items() if kind in kinds.split())
        return f"/{root}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> Obj | None:
        try:
            return self.request("get", self.path(kind, name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def names(self, kind: str) -> set[str]:
        return {item["metadata"]["name"] for item in self.request("get", self.path(kind))["items"]}

    def create(self, kind: str, obj: Obj) -> Obj:
        return self.request("post", self.path(kind), body=obj)

    def patch(self, kind: str, name: str, body: Obj, part: str = "") -> Obj:
        path = self.path(kind, name) + part
        return self.request("patch", path, body=body, content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str) -> None:
        self.request("delete", self.path(kind, name), body={"propagationPolicy": "Foreground"})

    def everything(self) -> dict[str, Obj]:
        """Return all objects of the namespace except events, by kind and name."""
        found = {}
        groups = self.request("get", "/apis")["groups"]
        roots = ["/api/v1"] + [f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups]
        for root in roots:
            for kind in self.request("get", root)["resources"]:
                if kind["namespaced"] and "list" in kind["verbs"] and kind["name"] != "events":
                    for item in self.request("get", f"{root}/namespaces/{self.namespace}/{kind['name']}")["items"]:
                        found[f"{kind['name']}/{item['metadata']['name']}"] = item
        return found


def eventually[T](look: Callable[[], T], what: str) -> T:
    """Wait until a condition is true. Fails after LIMIT seconds."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    pytest.fail(f"{what}: not within {LIMIT} s")


@pytest.fixture(scope="module")
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def names(api: Api) -> Iterator[list[str]]:
    """Return a list of the namespaces of these tests, which are all gone at the end."""
    names: list[str] = []
    yield names
    for name in names:
        remove_namespace(api, name)


@pytest.fixture(autouse=True)
def namespace(api: Api, names: list[str]) -> Iterator[None]:
    """Create a namespace for the test, and delete it afterwards without waiting."""
    api.namespace = f"test-apply-{len(names)}"
    names.append(api.namespace)
    remove_namespace(api, api.namespace)
    make_namespace(api)
    yield
    with contextlib.suppress(ApiException):
        api.request("delete", f"/api/v1/namespaces/{api.namespace}")


def make_namespace(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": api.namespace}}
    api.request("post", "/api/v1/namespaces", body=body)
    eventually(lambda: api.get("serviceaccounts", "default"), "the service account of the namespace")


def remove_namespace(api: Api, name: str) -> None:
    path = f"/api/v1/namespaces/{name}"

    def gone() -> bool:
        try:
            api.request("delete", path)
        except ApiException as error:
            return error.status == 404
        return False

    eventually(gone, "the end of the namespace")


@dataclass
class Ran:
    """A run of ansible-playbook with one task."""

    code: int
    text: str
    result: Obj

    @property
    def changed(self) -> bool:
        return self.result["changed"]

    @property
    def actions(self) -> dict[str, str]:
        return {f"{item['kind']}/{item['name']}": item["action"] for item in self.result["objects"]}


class Playbook:
    """Run the module as a play does, with the collection of this checkout."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = folder, namespace
        self.count = 0

    def __call__(self, *arguments: str, fails: bool = False, kubeconfig: Path | None = None, **options: Any) -> Ran:
        self.count += 1
        book = self.folder / f"play-{self.count}.yml"
        connection = {"kubeconfig": str(kubeconfig or cluster_kubeconfig()), "context": cluster_context()}
        apply = {"namespace": self.namespace, "owner": OWNER, **options}
        tasks = [
            {"name": "Apply", "cloud_django.kubernetes.apply": apply, "register": "applied", "ignore_errors": True},
            # Roles use the registered result.
            {"name": "Tell", "ansible.builtin.debug": {"msg": "RESULT:{{ applied | to_json | b64encode }}"}},
        ]
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
        play["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        play["module_defaults"] = {"group/cloud_django.kubernetes.k8s": connection}
        book.write_text(json.dumps([play]), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
        command += [*arguments, str(book)]
        environment = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
        # The output contains the options as the module got them.
        environment["ANSIBLE_INJECT_INVOCATION"] = "1"
        done = subprocess.run(
            command,
            env=os.environ | environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        told = re.search(r"RESULT:([\w+/=]+)", done.stdout)
        assert told, done.stdout
        ran = Ran(done.returncode, done.stdout, json.loads(base64.b64decode(told[1])))
        assert "Traceback" not in ran.text
        assert ran.result.get("failed", False) is fails, ran.text
        if fails:
            assert "\n" not in ran.result["msg"]
            # Except for messages of Ansible itself about an option.
            assert re.search(r"\.$|^argument|^Unsupported", ran.result["msg"]), ran.result["msg"]
        return ran


@pytest.fixture
def apply(tmp_path: Path, api: Api, namespace: None) -> Playbook:
    return Playbook(tmp_path, api.namespace)


def manifest(api_version: str, kind: str, name: str, **content: Any) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": dict(COMPONENT)}, **content}


def pod(**content: Any) -> Obj:
    container = {
        "name": "web",
        "image": IMAGE,
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container | content.pop("container", {})],
        **content,
    }


def template(**content: Any) -> Obj:
    return {"metadata": {"labels": OWNER | SELECTOR}, "spec": pod(**content)}


def config_map(name: str = "polls-web", **data: str) -> Obj:
    return manifest("v1", "ConfigMap", name, data=data or {"LOG_LEVEL": "INFO"})


def secret(name: str = "polls-web") -> Obj:
    return manifest("v1", "Secret", name, type="Opaque")


def deployment(replicas: int | None = 1, **content: Any) -> Obj:
    spec = {"selector": {"matchLabels": SELECTOR}, "template": template(**content)}
    return manifest(
        "apps/v1", "Deployment", "polls-web", spec=spec | ({} if replicas is None else {"replicas": replicas})
    )


def job(command: str = "migrate", **content: Any) -> Obj:
    # The image has one program that runs indefinitely. The deadline ends the Job.
    spec = {"backoffLimit": 0, "template": template(restartPolicy="Never", container={"args": [command]})}
    return manifest("batch/v1", "Job", "polls-migrations", spec=spec | content)


def autoscaler(minimum: int = 1) -> Obj:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "polls-web"}
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    spec = {
        "minReplicas": minimum,
        "maxReplicas": 6,
        "scaleTargetRef": target,
        "metrics": [{"type": "Resource", "resource": metric}],
    }
    return manifest("autoscaling/v2", "HorizontalPodAutoscaler", "polls-web", spec=spec)


def route() -> Obj:
    return manifest("gateway.networking.k8s.io/v1", "HTTPRoute", "polls-web", spec={"hostnames": ["a.example"]})


def each_kind() -> list[Obj]:
    """Return one object of each kind that the roles create, in the same order."""
    service = {
        "type": "NodePort",
        "selector": SELECTOR,
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
    }
    policy = {
        "podSelector": {"matchLabels": SELECTOR},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
        # Empty lists are not stored.
        "egress": [],
    }
    budget = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": SELECTOR}}
    backend = {"service": {"name": "polls-web", "port": {"name": "http"}}}
    ingress = {
        "ingressClassName": "none",
        "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    stateful = {
        "serviceName": "polls-postgresql",
        "replicas": 0,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod()},
        "volumeClaimTemplates": [claim],
    }
    cron = {"schedule": "0 3 * * *", "suspend": True, "jobTemplate": {"spec": job()["spec"]}}
    reads = [{"configMapRef": {"name": "polls-web-1"}}, {"secretRef": {"name": "polls-web"}}]
    settings = {"A": "yes", "B": "0123", "C": "", "D": "null"}
    return [
        manifest("v1", "ServiceAccount", "polls-web", automountServiceAccountToken=False),
        secret(),
        manifest("v1", "ConfigMap", "polls-web-1", immutable=True, data=settings),
        manifest("networking.k8s.io/v1", "NetworkPolicy", "polls-web", spec=policy),
        manifest("v1", "Service", "polls-web", spec=service),
        deployment(container={"envFrom": reads, "env": []}),
        manifest("apps/v1", "StatefulSet", "polls-postgresql", spec=stateful),
        job(),
        manifest("batch/v1", "CronJob", "polls-backup", spec=cron),
        manifest("policy/v1", "PodDisruptionBudget", "polls-web", spec=budget),
        autoscaler(),
        manifest("networking.k8s.io/v1", "Ingress", "polls-web", spec=ingress),
    ]


def test_every_kind_is_applied_idempotently(apply: Playbook, api: Api) -> None:
    """Check, run, run again, check: the plan is right, the second run changes nothing, and drift is reverted."""
    options = {"objects": each_kind(), "unwanted": [route()], "generate": {"polls-web": {"secret-key": "50"}}}
    before = set(api.everything())
    plan = apply("--check", "--diff", **options)
    assert plan.changed
    assert set(plan.actions.values()) == {"created"}
    assert set(api.everything()) == before, "a dry run makes nothing"
    assert plan.result["unfinished"] == []

    first = apply(**options)
    assert first.changed
    assert list(first.actions.values()) == ["created"] * len(options["objects"])
    assert {item["kind"] for item in first.result["unfinished"]} == {"Deployment", "StatefulSet", "Job"}
    key = api.get("secrets", "polls-web")["data"]["secret-key"]
    assert len(base64.b64decode(key)) == 50

    second = apply("--diff", **options)
    assert set(second.actions.values()) == {"unchanged"}, second.text
    assert not second.changed
    after = apply("--check", "--diff", **options)
    assert set(after.actions.values()) == {"unchanged"}, after.text
    assert not after.changed

    eventually(lambda: api.get("deployments", "polls-web")["status"].get("availableReplicas"), "a pod")
    third = apply(**options)
    assert not third.changed, third.text
    assert {item["kind"] for item in third.result["unfinished"]} <= {"Job"}
    assert api.get("secrets", "polls-web")["data"]["secret-key"] == key

    api.patch("services", "polls-web", {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}})
    api.patch("poddisruptionbudgets", "polls-web", {"spec": {"maxUnavailable": 2}})
    drift = {"Service/polls-web": "changed", "PodDisruptionBudget/polls-web": "changed"}
    plan = apply("--check", "--diff", **options)
    assert {name: action for name, action in plan.actions.items() if action != "unchanged"} == drift
    assert '"maxUnavailable": 2' in plan.text
    assert api.get("poddisruptionbudgets", "polls-web")["spec"]["maxUnavailable"] == 2
    back = apply(**options)
    assert back.actions == plan.actions
    assert api.get("poddisruptionbudgets", "polls-web")["spec"]["maxUnavailable"] == 1
    assert not apply(**options).changed

    gone = apply(state="absent", objects=options["objects"], unwanted=[route()])
    assert gone.changed
    assert set(gone.actions.values()) == {"removed"}
    assert {name for name in set(api.everything()) - before if not name.startswith("persistentvolumeclaims/")} == set()
    again = apply(state="absent", objects=[*options["objects"], route()])
    assert not again.changed
    assert set(again.actions.values()) == {"absent"}


def annotation(api: Api) -> str:
    found = api.get("deployments", "polls-web")["spec"]["template"]["metadata"]["annotations"]
    return found["cloud-django/configuration-hash"]


def test_pods_are_replaced_when_and_only_when_what_they_read_changes(apply: Playbook, api: Api) -> None:
    """One ConfigMap is applied in the same task. The other one and the Secret have another manager."""
    api.create("configmaps", {"metadata": {"name": "elsewhere"}, "data": {"A": "1"}})
    api.create("secrets", {"metadata": {"name": "elsewhere"}, "data": {"password": "b25l"}})
    reads = [{"configMapRef": {"name": name}} for name in ("polls-web", "elsewhere")]
    reads += [{"secretRef": {"name": "elsewhere"}}]
    workload = deployment(container={"envFrom": reads})
    apply(objects=[config_map(), workload])
    seen = [annotation(api)]
    assert not apply(objects=[config_map(), workload]).changed

    def is_replaced(changed: list[Obj]) -> None:
        assert apply(objects=changed).actions["Deployment/polls-web"] == "changed"
        assert annotation(api) not in seen
        seen.append(annotation(api))
        assert not apply(objects=changed).changed

    other = config_map(LOG_LEVEL="DEBUG")
    is_replaced([other, workload])
    api.patch("configmaps", "elsewhere", {"data": {"A": "2"}})
    is_replaced([other, workload])
    api.patch("secrets", "elsewhere", {"data": {"password": "dHdv"}})
    is_replaced([other, workload])
    api.patch("secrets", "elsewhere", {"metadata": {"labels": {"a": "b"}}})
    assert not apply(objects=[other, workload]).changed


def test_autoscaler_takes_over_the_current_replicas(apply: Playbook, api: Api) -> None:
    def running() -> set[str]:
        return {item["metadata"]["uid"] for item in api.request("get", api.path("pods"))["items"]}

    def replicas() -> int:
        return api.get("deployments", "polls-web")["spec"]["replicas"]

    apply(objects=[deployment(replicas=4)])
    eventually(lambda: len(running()) == 4, "four pods")
    pods, generation = running(), api.get("deployments", "polls-web")["metadata"]["generation"]

    scaled = {"objects": [deployment(replicas=None), autoscaler()]}
    plan = apply("--check", "--diff", **scaled)
    assert list(plan.actions.values()) == ["unchanged", "created"]
    assert '"replicas": 1' not in plan.text
    assert apply(**scaled).actions == plan.actions
    assert replicas() == 4
    assert running() == pods, "no pod was ended"
    assert api.get("deployments", "polls-web")["metadata"]["generation"] == generation, "not even for a moment"
    assert not apply(**scaled).changed

    api.patch("deployments", "polls-web", {"spec": {"replicas": 5}}, part="/scale")
    assert not apply(**scaled).changed
    assert replicas() == 5

    back = apply(objects=[deployment(replicas=2)], unwanted=[autoscaler(), route()])
    assert back.actions == {"Deployment/polls-web": "changed", "HorizontalPodAutoscaler/polls-web": "removed"}
    assert replicas() == 2
    assert not apply(objects=[deployment(replicas=2)], unwanted=[autoscaler(), route()]).changed
    assert apply(**scaled).actions == plan.actions
    assert replicas() == 2


def test_object_of_another_manager_fails_before_any_change(apply: Playbook, api: Api) -> None:
    theirs = {"metadata": {"name": "polls-web", "labels": {"app.kubernetes.io/managed-by": "Helm"}}, "data": {"A": "1"}}
    api.create("configmaps", theirs)
    before = {name: item["metadata"]["resourceVersion"] for name, item in api.everything().items()}
    objects = [secret(), config_map(), deployment()]
    for arguments in ([], ["--check"]):
        refused = apply(*arguments, fails=True, objects=objects, generate={"polls-web": {"secret-key": 50}})
        assert refused.result["msg"].startswith(
            f"ConfigMap polls-web in namespace {api.namespace} exists and is not managed by"
        )
    kept = apply(state="absent", objects=objects)
    assert not kept.changed
    pruned = [{"api_version": "v1", "kind": "ConfigMap", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "keep": 0}]
    assert not apply(objects=[], unwanted=[config_map()], prune=pruned).changed
    assert {name: item["metadata"]["resourceVersion"] for name, item in api.everything().items()} == before


def test_job_is_created_once_for_each_content(apply: Playbook, api: Api) -> None:
    rule = {"api_version": "batch/v1", "kind": "Job", "labels": COMPONENT, "keep": 2}
    made = []
    for command in ("one", "two", "three"):
        options = {"objects": [job(command)], "prune": [rule]}
        plan = apply("--check", **options)
        ran = apply(**options)
        assert ran.actions == plan.actions, "the plan of what is pruned is right, too"
        made.append(next(name.removeprefix("Job/") for name, action in ran.actions.items() if action == "created"))
        assert ran.result["unfinished"] == [{"kind": "Job", "name": made[-1]}]
        assert not apply(**options).changed
        # Their age has a resolution of one second.
        time.sleep(1.1)
    assert len(set(made)) == 3
    assert all(name.startswith("polls-migrations-") and len(name) == len("polls-migrations-") + 10 for name in made)
    eventually(lambda: api.names("jobs") == set(made[1:]), "the end of the oldest Job")

    kept = apply(objects=[job("two")], prune=[{**rule, "keep": 0}])
    assert kept.actions == {f"Job/{made[1]}": "unchanged", f"Job/{made[2]}": "removed"}
    gone = apply(state="absent", objects=[manifest("batch/v1", "Job", "polls-migrations")])
    assert gone.actions == {f"Job/{made[1]}": "removed"}
    assert not api.names("jobs")
    assert not api.names("pods")


def test_failed_job_is_recreated(apply: Playbook, api: Api) -> None:
    objects = [job(activeDeadlineSeconds=2)]
    first = apply(objects=objects)
    (name,) = api.names("jobs")
    uid = api.get("jobs", name)["metadata"]["uid"]

    def failed() -> bool:
        conditions = api.get("jobs", name)["status"].get("conditions") or []
        return any(condition["type"] == "Failed" for condition in conditions)

    eventually(failed, "the failure of the Job")
    plan = apply("--check", "--diff", objects=objects)
    assert plan.actions == {f"Job/{name}": "changed"}
    assert api.get("jobs", name)["metadata"]["uid"] == uid
    second = apply("--diff", objects=objects)
    assert second.actions == {f"Job/{name}": "changed"}
    assert second.result["unfinished"] == first.result["unfinished"]
    assert api.get("jobs", name)["metadata"]["uid"] != uid


def hold(api: Api, kind: str, name: str, held: bool = True) -> None:
    """Add a finalizer that blocks the removal of an object, or remove it."""
    api.patch(kind, name, {"metadata": {"finalizers": ["cloud-django.test/hold"] if held else None}})


def test_terminating_object_is_recreated_after_its_removal(apply: Playbook, api: Api) -> None:
    options = {"objects": [config_map(), secret()], "generate": {"polls-web": {"secret-key": 50}}}
    apply(**options)
    old = {kind: api.get(kind, "polls-web") for kind in ("configmaps", "secrets")}
    for kind in old:
        hold(api, kind, "polls-web")
        api.delete(kind, "polls-web")

    plan = apply("--check", **options)
    assert set(plan.actions.values()) == {"created"}
    stuck = apply(fails=True, **options, timeout="1")
    assert stuck.result["msg"] == (
        f"ConfigMap polls-web in namespace {api.namespace} still exists after 1 s: "
        "its finalizer cloud-django.test/hold is still set. "
        "Check why the controller that owns the finalizer does not remove it, then rerun the playbook."
    )
    unchanged = apply(objects=[], unwanted=[config_map()])
    assert not unchanged.changed, "it is on its way out already"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(apply, **options)
        time.sleep(3)
        assert not running.done()
        for kind in old:
            hold(api, kind, "polls-web", held=False)
        ran = running.result()
    assert set(ran.actions.values()) == {"created"}
    for kind, obj in old.items():
        assert api.get(kind, "polls-web")["metadata"]["uid"] != obj["metadata"]["uid"]
    assert api.get("secrets", "polls-web")["data"] != old["secrets"]["data"]
    assert not apply(**options).changed


def test_interrupted_removal_is_waited_for(apply: Playbook, api: Api) -> None:
    slow = deployment(terminationGracePeriodSeconds=20, container={"lifecycle": {"preStop": {"sleep": {"seconds": 4}}}})
    apply(objects=[slow])
    eventually(lambda: api.get("deployments", "polls-web")["status"].get("availableReplicas"), "a pod")
    uid = api.get("deployments", "polls-web")["metadata"]["uid"]
    old = api.names("pods")
    api.delete("deployments", "polls-web")
    ran = apply(objects=[slow])
    assert ran.actions == {"Deployment/polls-web": "created"}
    assert api.get("deployments", "polls-web")["metadata"]["uid"] != uid
    assert not api.names("pods") & old
    eventually(lambda: api.get("deployments", "polls-web")["status"].get("availableReplicas"), "a pod")
    begun = apply(state="absent", objects=[slow], wait=False)
    assert begun.actions == {"Deployment/polls-web": "removed"}
    assert api.names("pods"), "no pod is left to wait for"
    # The removal is in progress, so this run changes nothing and waits.
    assert not apply(state="absent", objects=[slow]).changed
    assert not api.names("pods"), "the run did not wait for the pods"
    assert not apply(state="absent", objects=[slow]).changed


def test_interrupted_absent_continues(apply: Playbook, api: Api) -> None:
    apply(objects=[config_map()])
    hold(api, "configmaps", "polls-web")
    stuck = apply(fails=True, state="absent", objects=[config_map()], timeout=1)
    assert "still exists after 1 s" in stuck.result["msg"]
    hold(api, "configmaps", "polls-web", held=False)
    again = apply(state="absent", objects=[config_map()])
    assert not again.changed
    assert api.get("configmaps", "polls-web") is None


def test_missing_or_terminating_namespace(apply: Playbook, api: Api) -> None:
    apply(objects=[config_map()])
    hold(api, "configmaps", "polls-web")
    api.request("delete", f"/api/v1/namespaces/{api.namespace}")
    options = {"objects": [secret(), config_map(), deployment(), job()], "generate": {"polls-web": {"key": 20}}}

    def is_planned_and_refused(reason: str) -> None:
        plan = apply("--check", "--diff", **options)
        assert plan.changed
        assert list(plan.actions.values()) == ["created"] * 4
        assert (plan.result["exists"], plan.result["unfinished"]) == (False, [])
        assert reason in apply(fails=True, **options).result["msg"]

    is_planned_and_refused(f"Namespace {api.namespace} is being deleted. Wait until it is deleted")
    hold(api, "configmaps", "polls-web", held=False)
    remove_namespace(api, api.namespace)
    is_planned_and_refused(f"Namespace {api.namespace} does not exist. Create it with")
    nothing = apply(objects=[])
    assert (nothing.changed, nothing.result["exists"]) == (False, False)
    for arguments in ([], ["--check"]):
        gone = apply(*arguments, state="absent", **options, prune=[])
        assert (gone.changed, set(gone.actions.values())) == (False, {"absent"})
    make_namespace(api)


def test_cluster_objects_and_a_new_namespace_in_one_task(apply: Playbook, api: Api) -> None:
    inside = config_map()
    inside["metadata"]["namespace"] = f"{api.namespace}-new"
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{api.namespace}-new"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": api.namespace}},
        inside,
    ]
    options = {"namespace": "", "objects": objects}
    try:
        assert list(apply("--check", "--diff", **options).actions.values()) == ["created"] * 3
        assert list(apply(**options).actions.values()) == ["created"] * 3
        assert not apply("--diff", **options).changed
        assert not apply("--check", "--diff", **options).changed
        stranger = {**OWNER, "app.kubernetes.io/instance": "other"}
        refused = apply(fails=True, **options | {"owner": stranger}).result["msg"]
        assert refused.startswith(
            f"Namespace {api.namespace}-new, ClusterRole {api.namespace}, ConfigMap polls-web in namespace"
        )
        left = apply(**options | {"owner": stranger, "objects": objects[:1]}, leave_foreign=["Namespace"])
        assert left.actions == {f"Namespace/{api.namespace}-new": "left"}
        assert not apply(state="absent", **options | {"owner": stranger}).changed
    finally:
        gone = apply(state="absent", **options)
    assert gone.actions[f"Namespace/{api.namespace}-new"] == gone.actions[f"ClusterRole/{api.namespace}"] == "removed"
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    for path in (f"/api/v1/namespaces/{api.namespace}-new", f"{roles}/{api.namespace}"):
        with pytest.raises(ApiException, match="404"):
            api.request("get", path)


def test_configuration_hash_is_optional(apply: Playbook, api: Api) -> None:
    objects = [config_map(), deployment(container={"envFrom": [{"configMapRef": {"name": "polls-web"}}]})]
    apply(objects=objects, configuration_hash=False)
    before = api.get("deployments", "polls-web")["spec"]["template"]
    assert "annotations" not in before["metadata"]
    objects[0] = config_map(LOG_LEVEL="DEBUG")
    assert apply(objects=objects, configuration_hash=False).actions["Deployment/polls-web"] == "unchanged"
    assert apply(objects=objects).actions["Deployment/polls-web"] == "changed"


def test_unknown_kind_fails_before_any_change(apply: Playbook, api: Api) -> None:
    refused = apply(fails=True, objects=[config_map(), route()])
    assert refused.result["msg"] == (
        "The cluster has no kind HTTPRoute of gateway.networking.k8s.io/v1. "
        "Install its API, or disable the option that needs it, then rerun the playbook."
    )
    assert api.get("configmaps", "polls-web") is None
    cluster_wide = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"}}
    assert "is cluster-scoped" in apply(fails=True, objects=[cluster_wide]).result["msg"]


def test_api_errors_are_one_message(apply: Playbook, api: Api, tmp_path: Path) -> None:
    said = apply(fails=True, objects=[deployment(replicas="5")]).result["msg"]  # type: ignore[arg-type]
    assert said.startswith(f"Deployment polls-web in namespace {api.namespace} cannot be applied: ")
    assert ".spec.replicas: expected numeric (int or float), got string. Write it without quotes" in said

    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "1"}}}
    api.create("resourcequotas", quota)
    eventually(lambda: api.get("resourcequotas", "few").get("status", {}).get("used"), "the quota")
    said = apply(fails=True, objects=[config_map()]).result["msg"]
    assert "exceeded quota: few" in said
    assert said.endswith("Request fewer resources, or raise the quota, then rerun the playbook.")
    assert said == apply("--check", fails=True, objects=[config_map()]).result["msg"], "a dry run asks the quota, too"

    token = api.request("post", api.path("serviceaccounts", "default") + "/token", body={"spec": {}})["status"]["token"]
    mine = yaml.safe_load(cluster_kubeconfig().read_text(encoding="utf-8"))
    for entry in mine["users"]:
        entry["user"] = {"token": token}
    stranger = tmp_path / "stranger config é"
    stranger.write_text(json.dumps(mine), encoding="utf-8")
    said = apply(fails=True, kubeconfig=stranger, objects=[config_map()]).result["msg"]
    assert said.startswith(f"Namespace {api.namespace} cannot be read: 403 ")
    assert said.endswith("Grant this permission to the user of the kubeconfig, then rerun the playbook.")

    for entry in mine["clusters"]:
        entry["cluster"]["server"] = "https://127.0.0.1:1"
    stranger.write_text(json.dumps(mine), encoding="utf-8")
    said = apply(fails=True, kubeconfig=stranger, objects=[config_map()]).result["msg"]
    assert "cannot be reached: Connection refused. Check that the cluster runs" in said
    said = apply(fails=True, kubeconfig=tmp_path / "none", objects=[]).result["msg"]
    assert said.endswith("does not exist. Set up the cluster first, then rerun the playbook.")


def forms(text: str) -> set[str]:
    plain = text.encode()
    return {text, base64.b64encode(plain).decode(), json.dumps(text)[1:-1], text.encode("unicode_escape").decode()}


def test_password_is_only_in_its_secret(apply: Playbook, api: Api) -> None:
    loud = ("-vvv", "--diff")
    given = {"polls-web": {"password": SENTINEL, "username": "polls"}}
    options: Obj = {"objects": [secret(), deployment(container={"envFrom": [{"secretRef": {"name": "polls-web"}}]})]}
    options["secret_values"] = given
    texts = [apply(*loud, "--check", **options).text, apply(*loud, **options).text, apply(*loud, **options).text]
    encoded = base64.b64encode(SENTINEL.encode()).decode()
    assert api.get("secrets", "polls-web")["data"]["password"] == encoded
    # kubectl apply stores all values in an annotation.
    copies = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": {"password": encoded}})}
    api.patch("secrets", "polls-web", {"metadata": {"annotations": copies}, "data": {"password": "b2xk"}})
    texts.append(apply(*loud, **options).text)
    assert '"password": "(hidden, new)"' in texts[-1]

    other = copy.deepcopy(options)
    other["objects"][0]["type"] = "example.org/other"
    wrong = [other]
    for values in ({"password": [SENTINEL]}, {"password": {"a": SENTINEL}}, SENTINEL):
        wrong.append({**options, "secret_values": {"polls-web": values}})
    for field, value in (("data", {"password": encoded}), ("stringData", {"password": SENTINEL})):
        wrong.append({"objects": [secret() | {field: value, "type": "example.org/other"}]})
    wrong.append({"objects": [secret() | {"data": {"password": SENTINEL}}]})
    wrong.append({"objects": [secret() | {"data": {"bad key": encoded}}]})
    wrong.append({**options, "timeout": "soon"})
    wrong.append({**options, "mistyped": True})
    for bad in wrong:
        texts.append(apply(*loud, fails=True, **bad).text)
    # The same for an API error that quotes values of the Secret.
    quoting = config_map() | {"data": {"key": [f"x{encoded}x"]}}
    said = apply(fails=True, objects=[*options["objects"], quoting], secret_values=given).result["msg"]
    assert ".data.key: expected string, got" in said
    texts.append(said)
    api.delete("secrets", "polls-web")
    eventually(lambda: not api.get("secrets", "polls-web"), "the end of the Secret")
    api.create("secrets", {"metadata": {"name": "polls-web"}, "data": {"password": encoded}})
    texts.append(apply(*loud, fails=True, **options).text)
    api.delete("secrets", "polls-web")
    apply(**options)
    for name, obj in api.everything().items():
        if name != "secrets/polls-web":
            texts.append(f"{name} {json.dumps(obj, ensure_ascii=False)}")
    texts.append(apply(*loud, state="absent", **options).text)
    for number, text in enumerate(texts):
        assert not [form for form in forms(SENTINEL) if form in text], (number, text)


def composing(template: str = "${database.url|json} ${django.key}", **options: Any) -> Obj:
    """Return options for a Secret composed of an existing one and of a generated value, and for pods that read it."""
    names = ("polls-values", "polls-django")
    reads = {"envFrom": [{"secretRef": {"name": "polls-values"}}]}
    return {
        "objects": [*map(secret, names), deployment(container=reads)],
        "generate": {"polls-django": {"key": 50}},
        "compose": {"polls-values": {"A": template, "B": f"{SENTINEL} inside", "C": "${site.hosts} $HOME ${x.y}"}},
        "sources": {
            "database": {"secret": "polls-database-app", "keys": {"url": "url"}},
            "django": {"secret": "polls-django", "keys": {"key": "key"}},
            "site": {"values": {"hosts": ["a.example", f"{SENTINEL}.example"]}},
        },
    } | options


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_composed_values_are_only_in_their_secret(apply: Playbook, api: Api) -> None:
    loud = ("-vvv", "--diff")
    first = apply(*loud, "--check", **composing())
    assert first.actions["Secret/polls-values"] == "created"
    texts = [first.text, apply(*loud, fails=True, **composing()).text]
    assert api.names("secrets") == set()
    labels = {"app.kubernetes.io/managed-by": "cloud-django"}
    source = {"metadata": {"name": "polls-database-app", "labels": labels}, "data": {"url": encoded(f"u:{SENTINEL}@h")}}
    api.create("secrets", source)
    ran = apply(*loud, **composing())
    texts.append(ran.text)
    assert set(ran.actions.values()) == {"created"}

    def data(name: str) -> dict[str, str]:
        return {key: base64.b64decode(value).decode() for key, value in api.get("secrets", name)["data"].items()}

    values = data("polls-values")
    assert values["A"] == f'"u:{SENTINEL}@h" {data("polls-django")["key"]}'
    assert values["C"] == f"a.example,{SENTINEL}.example $HOME ${{x.y}}"
    assert not apply(**composing()).changed
    before = api.get("deployments", "polls-web")["spec"]["template"]["metadata"]["annotations"]
    api.patch("secrets", "polls-database-app", {"data": {"url": encoded(f"other:{SENTINEL}@h")}})
    assert apply("--check", **composing()).actions["Deployment/polls-web"] == "changed"
    ran = apply(*loud, **composing())
    texts.append(ran.text)
    assert ran.actions["Deployment/polls-web"] == "changed"
    assert api.get("deployments", "polls-web")["spec"]["template"]["metadata"]["annotations"] != before
    for bad in (
        composing("${database.pasword}"),
        composing("${cache.url}"),
        composing("${database.url|yaml}"),
        composing(required=[{"secret": "polls-database-app", "key": "api-key", "reason": "STRIPE_KEY"}]),
        composing(compose=SENTINEL),
        composing(compose={"polls-values": SENTINEL}),
        composing(sources={"database": SENTINEL}),
        composing(timeout="soon"),
    ):
        texts.append(apply(*loud, fails=True, **bad).text)
    for name, obj in api.everything().items():
        if name not in ("secrets/polls-values", "secrets/polls-database-app"):
            texts.append(f"{name} {json.dumps(obj, ensure_ascii=False)}")
    for number, text in enumerate(texts):
        assert not [form for form in forms(SENTINEL) if form in text], (number, text)


def test_missing_keys_are_named_before_the_first_change(apply: Playbook, api: Api) -> None:
    api.create("secrets", {"metadata": {"name": "shop-stripe"}, "data": {"id": encoded("x")}})
    required = [{"secret": "shop-stripe", "key": "api-key", "reason": "STRIPE_KEY"}]
    for mode in ((), ("--check",)):
        said = apply(*mode, fails=True, objects=[config_map()], required=required).result["msg"]
        assert said == (
            f"Secret shop-stripe in namespace {api.namespace} has no key api-key, which STRIPE_KEY needs. Add it, or "
            "correct the name, then rerun the playbook."
        )
    assert not api.get("configmaps", "polls-web")
    api.patch("secrets", "shop-stripe", {"data": {"api-key": encoded("y")}})
    assert apply(objects=[config_map()], required=required).changed


def test_password_that_is_part_of_a_name(apply: Playbook, api: Api) -> None:
    ran = apply(
        "-vvv", objects=[secret(), deployment()], secret_values={"polls-web": {"password": "web", "user": "polls"}}
    )
    assert ran.actions == {"Secret/polls-web": "created", "Deployment/polls-web": "created"}
    assert ran.result["unfinished"] == [{"kind": "Deployment", "name": "polls-web"}]


def test_secret_keeps_generated_values_and_takes_given_ones(apply: Playbook, api: Api) -> None:
    def data() -> dict[str, str]:
        found = api.get("secrets", "polls-web")["data"]
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    apply(objects=[secret()], generate={"polls-web": {"key": 50, "password": 20}})
    made = data()
    assert {key: len(value) for key, value in made.items()} == {"key": 50, "password": 20}
    apply(objects=[secret()], generate={"polls-web": {"key": 64}}, secret_values={"polls-web": {"password": SENTINEL}})
    assert data() == {"key": made["key"], "password": SENTINEL}
    assert not apply(objects=[secret()], generate={"polls-web": {"key": 64, "password": 20}}).changed
    # Change it manually, then lose a value of the Secret.
    api.patch("secrets", "polls-web", {"data": {"key": None}})
    assert apply(objects=[secret()], generate={"polls-web": {"key": 64, "password": 20}}).changed
    assert len(data()["key"]) == 64
    assert data()["password"] == SENTINEL
