# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Data types of a verdict about workloads, and functions that read API objects.

model, pods, and verdict read no clock, no file, and no network. Objects are plain dictionaries, and times are seconds
since the epoch by the cluster's clock. The rules follow the controllers and the kubelet of Kubernetes 1.36
(pkg/controller/{deployment,replicaset,statefulset,daemon,job}, pkg/kubelet/images, pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

type Obj = Mapping[str, Any]
type Objects = Mapping[str, Sequence[Obj]]


# Kinds to watch besides the workload, its pods, and the kinds of EXPLANATIONS.
COMPANIONS = {
    "Deployment": ("ReplicaSet",),
    "DaemonSet": ("ControllerRevision",),
    "StatefulSet": ("PersistentVolumeClaim",),
    "Job": (),
}
EXPLANATIONS = ("Pod", "Event", "ResourceQuota")


# --- Data types of a verdict ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """The times that a verdict depends on, in seconds since the epoch. `grace` and `volume` are timeouts in seconds."""

    now: float
    since: float
    grace: float = 5.0
    volume: float = 60.0


@dataclass(frozen=True)
class Missing:
    """A Secret or ConfigMap, or one of its keys, that a pod needs and that does not exist."""

    kind: str
    name: str
    key: str = ""


@dataclass(frozen=True)
class Problem:
    """Why a workload is not done. With a `key`, the problem may end by itself, and counts only after the grace period.

    `fresh` is false if all evidence is older than the wait. Then `missing` must be checked before the problem counts.
    """

    code: str
    text: str
    advice: str = ""
    verb: str = "is stuck"
    key: str = ""
    pod: str = ""
    container: str = ""
    previous: bool = False
    missing: Missing | None = None
    fresh: bool = True
    # Seconds that the problem may last, if that is not the grace period.
    timeout: float | None = None
    # The claim whose events explain the problem.
    claim: str = ""


@dataclass(frozen=True)
class Done:
    """Every replica runs the current revision and is available, or the Job is complete."""


@dataclass(frozen=True)
class Waiting:
    """Not done yet, without evidence of a failure. `problem` is what the workload waits for."""

    problem: Problem


@dataclass(frozen=True)
class Failed:
    """The workload cannot recover by itself. `problem` is the reason."""

    problem: Problem


type Verdict = Done | Waiting | Failed


@dataclass(frozen=True)
class Memory:
    """State that one verdict about a workload passes to the next.

    When each problem was first seen, when a pod last terminated, and whether a pod of a Job was ever on a node.
    """

    first_seen: Mapping[str, float] = field(default_factory=dict)
    terminating: float = float("-inf")
    placed: bool = False

    def without(self, key: str) -> Memory:
        """Return the memory without one problem, whose grace period then restarts."""
        return replace(self, first_seen={k: v for k, v in self.first_seen.items() if k != key})


@dataclass(frozen=True)
class View:
    """One workload and the objects that belong to it. `owner` creates its current pods, and is None while unknown.

    `quotas` and `claims` are None without permission to read them, and `sees_events` is false without permission to
    read events. `neighbors` are all pods of the namespace.
    """

    kind: str
    workload: Obj
    owner: Obj | None
    replicasets: Sequence[Obj] = ()
    pods: Sequence[Obj] = ()
    current: Sequence[Obj] = ()
    events: Sequence[Obj] = ()
    quotas: Sequence[Obj] | None = None
    sees_events: bool = False
    claims: Sequence[Obj] | None = None
    neighbors: Sequence[Obj] = ()


# --- Reading API objects ----------------------------------------------------------------------------------------------


def seconds(stamp: str | None) -> float:
    """Return an RFC 3339 time as seconds since the epoch. Minus infinity if there is none."""
    return datetime.fromisoformat(stamp).timestamp() if stamp else float("-inf")


def event_time(event: Obj) -> float:
    """Return when an event last happened, in seconds since the epoch, for both event APIs."""
    series = event.get("series") or {}
    meta = event.get("metadata", {})
    stamps = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return seconds(next((s for s in stamps if s), meta.get("creationTimestamp")))


def uid(obj: Obj) -> str:
    return obj["metadata"].get("uid", "")


def name_of(obj: Obj) -> str:
    return obj["metadata"]["name"]


def is_terminating(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def owned_by(obj: Obj, owner: Obj) -> bool:
    """Return whether `owner` is the controller of `obj`."""
    references = obj["metadata"].get("ownerReferences") or []
    return any(r.get("controller") and r.get("uid") == uid(owner) for r in references)


def is_sidecar(container: Obj) -> bool:
    """Return whether an init container is a sidecar, which runs as long as the regular containers."""
    return container.get("restartPolicy") == "Always"


def running_containers(spec: Obj) -> list[Obj]:
    """Return the containers of a pod's spec that run as long as the pod, sidecars first because they start first."""
    sidecars = [container for container in spec.get("initContainers") or [] if is_sidecar(container)]
    return [*sidecars, *(spec.get("containers") or [])]


def container_statuses(pod: Obj) -> list[Obj]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def condition(obj: Obj, kind: str) -> Obj:
    """Return the condition of that type, or an empty mapping."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def holds(obj: Obj, kind: str) -> bool:
    return condition(obj, kind).get("status") == "True"


def find(objects: Objects, kind: str, name: str) -> Obj | None:
    return next((o for o in objects.get(kind, ()) if name_of(o) == name), None)


def kinds_to_watch(kinds: Iterable[str]) -> list[str]:
    """Return the kinds of objects that verdicts about these kinds of workloads need, each once."""
    wanted = [kind for kind in dict.fromkeys(kinds) for kind in (kind, *COMPANIONS[kind])]
    return [*wanted, *EXPLANATIONS] if wanted else []


def wanted_replicas(workload: Obj) -> int:
    """Return spec.replicas, for which the API assumes 1 if it is absent."""
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else replicas


def same_template(one: Obj, other: Obj, ignore: tuple[str, ...] = ("pod-template-hash",)) -> bool:
    """Return whether two pod templates are equal except for the labels that controllers add."""

    def bare(template: Obj) -> dict[str, Any]:
        meta = dict(template.get("metadata") or {})
        meta["labels"] = {k: v for k, v in (meta.get("labels") or {}).items() if k not in ignore}
        rest = {k: v for k, v in template.items() if k != "$patch"}
        return {**rest, "metadata": {k: v for k, v in meta.items() if v}}

    return bare(one) == bare(other)


def revision(obj: Obj) -> str:
    return (obj["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", "")


def current_replicaset(deployment: Obj, replicasets: Sequence[Obj]) -> Obj | None:
    """Return the ReplicaSet of the Deployment's current template, or None while it is unknown.

    The template decides, as it does for the controller. Right after a rollback, the revision in the annotation of the
    Deployment is still that of the previous ReplicaSet. The revision is used only if no template is equal.
    """
    template = deployment["spec"]["template"]
    equal = [rs for rs in replicasets if same_template(rs["spec"]["template"], template)]
    if equal:
        return min(equal, key=lambda rs: (rs["metadata"].get("creationTimestamp", ""), name_of(rs)))
    wanted = revision(deployment)
    return next((rs for rs in replicasets if wanted and revision(rs) == wanted), None)


def current_daemon_pods(daemonset: Obj, pods: Sequence[Obj], revisions: Sequence[Obj]) -> list[Obj]:
    """Return the pods of the DaemonSet's current template, by its ControllerRevision or else by its generation."""
    template = daemonset["spec"]["template"]
    hashes = {
        r["metadata"].get("labels", {}).get("controller-revision-hash")
        for r in revisions
        if owned_by(r, daemonset) and same_template(r.get("data", {}).get("spec", {}).get("template", {}), template)
    }
    generation = (daemonset["metadata"].get("annotations") or {}).get("deprecated.daemonset.template.generation")

    def is_current(pod: Obj) -> bool:
        labels = pod["metadata"].get("labels") or {}
        by_hash = labels.get("controller-revision-hash") in hashes
        return by_hash or (generation is not None and labels.get("pod-template-generation") == generation)

    return [pod for pod in pods if is_current(pod)]


def update_strategy(workload: Obj) -> str:
    return (workload["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")


def partition(statefulset: Obj) -> int:
    """Return how many of a StatefulSet's first pods its rolling update does not replace."""
    rolling = (statefulset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return rolling.get("partition") or 0


def ordinal(pod: Obj, statefulset: Obj) -> int:
    """Return the position of a StatefulSet's pod, counted from 0."""
    start = (statefulset["spec"].get("ordinals") or {}).get("start") or 0
    return int(name_of(pod).rpartition("-")[2]) - start


def current_stateful_pods(statefulset: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """Return the pods that have to become ready: those of the update revision, and those that the update skips."""
    if update_strategy(statefulset) == "OnDelete":
        return list(pods)
    wanted = statefulset.get("status", {}).get("updateRevision")

    def is_current(pod: Obj) -> bool:
        labels = pod["metadata"].get("labels") or {}
        return labels.get("controller-revision-hash") == wanted or ordinal(pod, statefulset) < partition(statefulset)

    return [pod for pod in pods if is_current(pod)]


def view(kind: str, workload: Obj, objects: Objects) -> View:
    """Return a workload with its pods, those of its current revision, and the events about them."""
    owner: Obj | None = workload
    replicasets: list[Obj] = []
    if kind == "Deployment":
        replicasets = [rs for rs in objects.get("ReplicaSet", ()) if owned_by(rs, workload)]
        owner = current_replicaset(workload, replicasets)
    owners = replicasets if kind == "Deployment" else [workload]
    pods = [pod for pod in objects.get("Pod", ()) if any(owned_by(pod, each) for each in owners)]
    if kind == "Deployment":
        current = [pod for pod in pods if owner is not None and owned_by(pod, owner)]
    elif kind == "StatefulSet":
        current = current_stateful_pods(workload, pods)
    elif kind == "DaemonSet" and update_strategy(workload) != "OnDelete":
        current = current_daemon_pods(workload, pods, objects.get("ControllerRevision", ()))
    else:
        current = pods
    family = {uid(o) for o in (workload, *replicasets, *pods)}
    events = [e for e in objects.get("Event", ()) if is_about(e.get("involvedObject") or {}, kind, workload, family)]
    return View(
        kind=kind,
        workload=workload,
        owner=owner,
        replicasets=replicasets,
        pods=pods,
        current=[pod for pod in current if not is_terminating(pod)],
        events=sorted(events, key=event_time),
        quotas=objects.get("ResourceQuota"),
        sees_events="Event" in objects,
        claims=objects.get("PersistentVolumeClaim"),
        neighbors=objects.get("Pod", ()),
    )


def is_about(about: Obj, kind: str, workload: Obj, family: set[str]) -> bool:
    """Return whether an event is about a workload or one of its pods. Pods of a Job may be deleted by now."""
    if about.get("uid") in family:
        return True
    name, _, random = about.get("name", "").rpartition("-")
    return kind == "Job" and about.get("kind") == "Pod" and name == name_of(workload) and len(random) == 5


def newest_event(events: Sequence[Obj], obj: Obj, *reasons: str) -> Obj | None:
    """Return the last event about an object with one of these reasons."""
    about = [e for e in events if e["involvedObject"]["uid"] == uid(obj) and e.get("reason") in reasons]
    return about[-1] if about else None
