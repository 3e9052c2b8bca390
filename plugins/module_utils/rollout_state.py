"""Judge from API objects whether a rollout is done, under way or hopeless, and say so in a sentence.

Nothing here reads a clock, a file or the network: objects come as plain dictionaries, times as seconds since the epoch
by the cluster's clock. The rules follow the controllers and the kubelet of Kubernetes 1.36
(pkg/controller/{deployment,replicaset,statefulset,daemon,job}, pkg/kubelet/images, pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.masking import shorten

type Obj = Mapping[str, Any]
type Objects = Mapping[str, Sequence[Obj]]


# What has to be watched besides the workload itself, the pods, and what explains them.
COMPANIONS = {"Deployment": ("ReplicaSet",), "DaemonSet": ("ControllerRevision",), "StatefulSet": (), "Job": ()}
EXPLANATIONS = ("Pod", "Event", "ResourceQuota")


# --- What a judgement consists of -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """The times a judgement depends on, in seconds since the epoch; `grace` is a length in seconds."""

    now: float
    since: float
    grace: float = 5.0


@dataclass(frozen=True)
class Missing:
    """A Secret or ConfigMap, or one key of it, that a pod needs and does not find."""

    kind: str
    name: str
    key: str = ""


@dataclass(frozen=True)
class Problem:
    """Why a workload is not done. With a `key` it may mend itself, and counts only once it lasted for the grace time.

    `fresh` is false if all evidence is older than the wait, so that `missing` has to be looked up before it counts.
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


@dataclass(frozen=True)
class Done:
    """Every replica runs the current revision and is available, or the Job is complete."""


@dataclass(frozen=True)
class Waiting:
    """Not done yet, and nothing says that it will not be; `problem` is what it waits for."""

    problem: Problem


@dataclass(frozen=True)
class Failed:
    """It cannot get better without somebody's help; `problem` is why."""

    problem: Problem


type Verdict = Done | Waiting | Failed


@dataclass(frozen=True)
class Memory:
    """What one workload's judgements must remember: since when each problem lasts, when a pod last terminated."""

    first_seen: Mapping[str, float] = field(default_factory=dict)
    terminating: float = float("-inf")

    def forget(self, key: str) -> Memory:
        """Return the memory without one problem, whose grace time then starts anew."""
        return replace(self, first_seen={k: v for k, v in self.first_seen.items() if k != key})


@dataclass(frozen=True)
class View:
    """One workload and what belongs to it. `owner` makes its current pods; it is None while that is unknown.

    `quotas` is None where they may not be read, and `sees_events` false where events may not.
    """

    kind: str
    workload: Obj
    owner: Obj | None
    replicasets: Sequence[Obj]
    pods: Sequence[Obj]
    current: Sequence[Obj]
    events: Sequence[Obj]
    quotas: Sequence[Obj] | None
    sees_events: bool


# --- Reading API objects ----------------------------------------------------------------------------------------------


def seconds(stamp: str | None) -> float:
    """Return an RFC 3339 time as seconds since the epoch; minus infinity if there is none."""
    return datetime.fromisoformat(stamp).timestamp() if stamp else float("-inf")


def event_time(event: Obj) -> float:
    """Return when an event last happened, in seconds since the epoch, whichever API it was recorded through."""
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
    """Tell whether `owner` is the controller of `obj`."""
    references = obj["metadata"].get("ownerReferences") or []
    return any(r.get("controller") and r.get("uid") == uid(owner) for r in references)


def condition(obj: Obj, kind: str) -> Obj:
    """Return the condition of that type, or an empty mapping."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def holds(obj: Obj, kind: str) -> bool:
    return condition(obj, kind).get("status") == "True"


def find(objects: Objects, kind: str, name: str) -> Obj | None:
    return next((o for o in objects.get(kind, ()) if name_of(o) == name), None)


def kinds_to_watch(kinds: Iterable[str]) -> list[str]:
    """Return the kinds of objects that judging workloads of these kinds takes, each once."""
    wanted = [kind for kind in dict.fromkeys(kinds) for kind in (kind, *COMPANIONS[kind])]
    return [*wanted, *EXPLANATIONS] if wanted else []


def wanted_replicas(workload: Obj) -> int:
    """Return spec.replicas, which the API takes for 1 when it is absent."""
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else replicas


def same_template(one: Obj, other: Obj, ignore: tuple[str, ...] = ("pod-template-hash",)) -> bool:
    """Tell whether two pod templates are equal but for the labels that controllers add."""

    def bare(template: Obj) -> dict[str, Any]:
        meta = dict(template.get("metadata") or {})
        meta["labels"] = {k: v for k, v in (meta.get("labels") or {}).items() if k not in ignore}
        rest = {k: v for k, v in template.items() if k != "$patch"}
        return {**rest, "metadata": {k: v for k, v in meta.items() if v}}

    return bare(one) == bare(other)


def revision(obj: Obj) -> str:
    return (obj["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", "")


def current_replicaset(deployment: Obj, replicasets: Sequence[Obj]) -> Obj | None:
    """Return the ReplicaSet of the Deployment's present template, or None while it is not known.

    The template decides, as it does for the controller: right after a rollback the revision noted on the Deployment is
    still that of the ReplicaSet being left. The revision is only asked where no template is equal.
    """
    template = deployment["spec"]["template"]
    equal = [rs for rs in replicasets if same_template(rs["spec"]["template"], template)]
    if equal:
        return min(equal, key=lambda rs: (rs["metadata"].get("creationTimestamp", ""), name_of(rs)))
    wanted = revision(deployment)
    return next((rs for rs in replicasets if wanted and revision(rs) == wanted), None)


def current_daemon_pods(daemonset: Obj, pods: Sequence[Obj], revisions: Sequence[Obj]) -> list[Obj]:
    """Return the pods of the DaemonSet's present template, by its ControllerRevision or else by its generation."""
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
    """Return how many of a StatefulSet's first pods its rolling update leaves alone."""
    rolling = (statefulset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return rolling.get("partition") or 0


def ordinal(pod: Obj, statefulset: Obj) -> int:
    """Return the position of a StatefulSet's pod, counted from 0."""
    start = (statefulset["spec"].get("ordinals") or {}).get("start") or 0
    return int(name_of(pod).rpartition("-")[2]) - start


def current_stateful_pods(statefulset: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """Return the pods that have to become ready: of the update revision, or left alone by the update."""
    if update_strategy(statefulset) == "OnDelete":
        return list(pods)
    wanted = statefulset.get("status", {}).get("updateRevision")

    def is_current(pod: Obj) -> bool:
        labels = pod["metadata"].get("labels") or {}
        return labels.get("controller-revision-hash") == wanted or ordinal(pod, statefulset) < partition(statefulset)

    return [pod for pod in pods if is_current(pod)]


def view(kind: str, workload: Obj, objects: Objects) -> View:
    """Gather what belongs to a workload: its pods, those of its current revision, and what is told about it."""
    owner: Obj | None = workload
    replicasets: list[Obj] = []
    if kind == "Deployment":
        replicasets = [rs for rs in objects.get("ReplicaSet", ()) if owned_by(rs, workload)]
        owner = current_replicaset(workload, replicasets)
    makers = replicasets if kind == "Deployment" else [workload]
    pods = [pod for pod in objects.get("Pod", ()) if any(owned_by(pod, maker) for maker in makers)]
    if kind == "Deployment":
        current = [pod for pod in pods if owner is not None and owned_by(pod, owner)]
    elif kind == "StatefulSet":
        current = current_stateful_pods(workload, pods)
    elif kind == "DaemonSet" and update_strategy(workload) != "OnDelete":
        current = current_daemon_pods(workload, pods, objects.get("ControllerRevision", ()))
    else:
        current = pods
    family = {uid(o) for o in (workload, *replicasets, *pods)}
    events = [e for e in objects.get("Event", ()) if (e.get("involvedObject") or {}).get("uid") in family]
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
    )


def newest_event(events: Sequence[Obj], obj: Obj, *reasons: str) -> Obj | None:
    """Return the last event about an object that gives one of these reasons."""
    about = [e for e in events if e["involvedObject"]["uid"] == uid(obj) and e.get("reason") in reasons]
    return about[-1] if about else None


# --- Is it done? ------------------------------------------------------------------------------------------------------


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def of_replicas(number: int, want: int, what: str) -> str:
    return f"{number} of {count(want, 'replica')} {'is' if want == 1 else 'are'} {what}"


def leftover(number: int) -> str:
    return f"{count(number, 'replica')} of an earlier revision {'is' if number == 1 else 'are'} still there"


def unmet_deployment(it: View) -> str:
    """Return what a Deployment still lacks, or an empty string when it is really done."""
    want, status = wanted_replicas(it.workload), it.workload.get("status", {})
    total, updated = status.get("replicas") or 0, status.get("updatedReplicas") or 0
    available, unavailable = status.get("availableReplicas") or 0, status.get("unavailableReplicas") or 0
    old = sum(rs.get("status", {}).get("replicas") or 0 for rs in it.replicasets if rs is not it.owner)
    if want and it.owner is None:
        return "its new ReplicaSet has not appeared"
    if updated < want:
        return of_replicas(updated, want, "updated")
    if old or total > updated:
        return leftover(max(old, total - updated))
    if total != want:
        return f"{count(total - want, 'surplus replica')} still to go"
    if available < want or unavailable:
        return of_replicas(available, want, "available")
    return ""


def unmet_statefulset(it: View) -> str:
    """Return what a StatefulSet still lacks, or an empty string when it is really done.

    With the strategy OnDelete the user decides when a pod takes the new revision: only readiness is waited for.
    """
    want, status = wanted_replicas(it.workload), it.workload.get("status", {})
    total, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    rolling = update_strategy(it.workload) != "OnDelete"
    to_update = max(0, want - partition(it.workload)) if rolling else 0
    if total > want:
        return f"{count(total - want, 'surplus replica')} still to go"
    if (status.get("updatedReplicas") or 0) < to_update:
        return of_replicas(status.get("updatedReplicas") or 0, to_update, "updated")
    if min(total, ready, status.get("availableReplicas", ready)) < want:
        return of_replicas(min(total, ready, status.get("availableReplicas", ready)), want, "available")
    moved = status.get("currentRevision") == status.get("updateRevision")
    if want and rolling and not partition(it.workload) and not moved:
        return "its controller has not closed the update"
    return ""


def unmet_daemonset(it: View) -> str:
    """Return what a DaemonSet still lacks, or an empty string when it is really done."""
    status = it.workload.get("status", {})
    want = status.get("desiredNumberScheduled") or 0
    measures = {
        "scheduled": status.get("currentNumberScheduled") or 0,
        "updated": status.get("updatedNumberScheduled") or 0,
        "available": status.get("numberAvailable") or 0,
    }
    if update_strategy(it.workload) == "OnDelete":
        del measures["updated"]
    lacking = next(((what, number) for what, number in measures.items() if number < want), None)
    if lacking:
        return f"{lacking[1]} of {count(want, 'pod')} {'is' if want == 1 else 'are'} {lacking[0]}"
    unavailable = status.get("numberUnavailable") or 0
    return f"{count(unavailable, 'pod')} unavailable" if unavailable else ""


def is_complete(kind: str, workload: Obj) -> bool:
    """Tell whether it is a Job that did its work, and stays so even while it is being deleted for its age."""
    return kind == "Job" and holds(workload, "Complete")


def unmet_job(it: View) -> str:
    """Return what a Job that is not complete still lacks."""
    status, spec = it.workload.get("status", {}), it.workload["spec"]
    completions = spec.get("completions") or 1
    failed = status.get("failed") or 0
    text = f"{status.get('succeeded') or 0} of {count(completions, 'completion')} reached"
    return f"{text} after {count(failed, 'failed attempt')}" if failed else text


UNMET = {
    "Deployment": unmet_deployment,
    "StatefulSet": unmet_statefulset,
    "DaemonSet": unmet_daemonset,
    "Job": unmet_job,
}


def is_observed(kind: str, workload: Obj) -> bool:
    """Tell whether the controller has seen the present spec: before that, status speaks of an earlier one."""
    observed = workload.get("status", {}).get("observedGeneration") or 0
    return kind == "Job" or observed >= workload["metadata"].get("generation", 0)


# --- What keeps a pod from running ------------------------------------------------------------------------------------

PULL_REFUSED = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|no such image|denied|unauthorized|authentication required"
    r"|insufficient_scope|forbidden",
    re.IGNORECASE,
)
PULL_DENIED = re.compile(r"denied|unauthorized|authentication required|insufficient_scope|forbidden", re.IGNORECASE)
PULL_CAUSES = (
    "not found",
    "manifest unknown",
    "pull access denied",
    "unauthorized",
    "access denied",
    "connection refused",
    "no such host",
    "i/o timeout",
    "toomanyrequests",
)
MISSING_OBJECT = re.compile(r'\b(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
MISSING_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) [^/\s]+/(\S+)")
MISSING_VOLUME_KEY = re.compile(r'volume "([^"]+)".*references non-existent (secret|config) key: ([^\s\]]+)', re.DOTALL)
RUNTIME_PREAMBLE = re.compile(r"^.*?unable to start container process: (?:error during container init: )?", re.DOTALL)
KIND_BY_WORD = {"secret": "Secret", "configmap": "ConfigMap", "config": "ConfigMap"}

CONFIG_ERRORS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# In seconds. The kubelet starts a container again at once if that has not crashed for twice as long.
LONGEST_BACK_OFF = 300
MOUNT_REASONS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


def container_statuses(pod: Obj) -> list[Obj]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def image_of(pod: Obj, container: str) -> str:
    """Return the image a container asks for, as its pod's spec spells it."""
    spec = pod.get("spec", {})
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return next((c.get("image", "") for c in containers if c["name"] == container), "")


def pull_cause(message: str) -> str:
    """Return the part of a runtime's message on a failed pull that says why."""
    known = next((cause for cause in PULL_CAUSES if cause in message.lower()), "")
    return known or message.rpartition(": ")[2].strip()


def pull_advice(image: str, message: str) -> str:
    if image.startswith("localhost/"):
        return "Check that the image is loaded"
    if PULL_DENIED.search(message):
        return "Check the image's name and the pull secret"
    if PULL_REFUSED.search(message):
        return "Check the image's name and that it was pushed or loaded"
    return "Check that the node reaches the registry"


def image_problem(pod: Obj, status: Obj, waiting: Obj, events: Sequence[Obj]) -> Problem | None:
    """Judge a container that waits for its image; None if the next try may well succeed."""
    reason, message = waiting.get("reason", ""), waiting.get("message") or ""
    image, name = image_of(pod, status["name"]), name_of(pod)
    told = newest_event(events, pod, "Failed")
    if reason == "ImagePullBackOff" and "ErrImagePull" not in message and told and "pull" in told.get("message", ""):
        message = told["message"]
    common = {"code": reason, "pod": name, "container": status["name"]}
    if reason == "ErrImageNeverPull":
        text = f"pod {name} cannot run {image}: it is not on the node, and the pull policy is Never"
        return Problem(text=text, advice="Load the image into the cluster", **common)
    if reason == "InvalidImageName":
        text = f"pod {name} cannot use the image name {image}: {message.rpartition(': ')[2]}"
        return Problem(text=text, advice="Correct the image's name", **common)
    if reason == "SignatureValidationFailed":
        text = f"pod {name} cannot pull {image}: its signature is not valid"
        return Problem(text=text, advice="Check the image's signature", **common)
    # Nothing answers on the node's own port 443, so an image under localhost/ is either loaded or never there.
    hopeless = PULL_REFUSED.search(message) or (image.startswith("localhost/") and "connection refused" in message)
    if reason == "ImagePullBackOff" or (reason == "ErrImagePull" and hopeless):
        cause = pull_cause(message) or reason
        return Problem(text=f"pod {name} cannot pull {image}: {cause}", advice=pull_advice(image, message), **common)
    return None


def has_crashed_again(status: Obj) -> bool:
    """Tell whether a container has crashed soon after a crash, so that the kubelet holds it back.

    It calls that CrashLoopBackOff, but at times says so only ten seconds later.
    """
    now, before = ((status.get(key) or {}).get("terminated") or {} for key in ("state", "lastState"))
    if not now.get("exitCode") or not before:
        return False
    return seconds(now.get("finishedAt")) - seconds(before.get("finishedAt")) < LONGEST_BACK_OFF


def crash_problem(pod: Obj, status: Obj) -> Problem:
    """Describe a container that the kubelet starts again and again."""
    name, container = name_of(pod), status["name"]
    ended = (status.get("lastState") or {}).get("terminated") or (status.get("state") or {}).get("terminated") or {}
    code, reason = ended.get("exitCode"), ended.get("reason", "")
    advice = "Read its log and mend the cause"
    if reason == "OOMKilled":
        how, advice = "keeps being killed for lack of memory (OOMKilled)", "Raise its memory limit"
    elif reason in ("StartError", "ContainerCannotRun"):
        how = f"cannot start: {RUNTIME_PREAMBLE.sub('', ended.get('message') or reason)}"
        advice = "Correct the container's command"
    elif code == 0:
        how, advice = "keeps ending, though without an error (exit code 0)", "Give it a command that goes on running"
    else:
        how = "keeps crashing" if code is None else f"keeps crashing (exit code {code})"
        # One line is what a program left to be read, by its termination message; more are the end of its log.
        told = (ended.get("message") or "").strip()
        if told and "\n" not in told:
            how, advice = f"{how}: {told}", "Mend that"
    return Problem(
        code="CrashLoopBackOff",
        text=f"container {container} of pod {name} {how}",
        advice=advice,
        pod=name,
        container=container,
        previous=True,
    )


def volume_source(pod: Obj, volume: str, kind: str, key: str) -> str:
    """Return the name of the Secret or ConfigMap that a volume wants this key from, or an empty string."""
    found = next((v for v in pod.get("spec", {}).get("volumes") or [] if v.get("name") == volume), {})
    sources = [found, *((found.get("projected") or {}).get("sources") or [])]
    field_name, name_field = ("secret", "secretName") if kind == "Secret" else ("configMap", "name")
    for source in (s[field_name] for s in sources if s.get(field_name)):
        if any(item.get("key") == key for item in source.get("items") or []):
            return source.get(name_field) or source.get("name") or ""
    return ""


def missing_object(message: str, pod: Obj) -> Missing | None:
    """Return the Secret or ConfigMap that a kubelet's message finds missing, or None if it speaks of something else."""
    if match := MISSING_KEY.search(message):
        return Missing(kind=match[2], name=match[3], key=match[1])
    if match := MISSING_OBJECT.search(message):
        return Missing(kind=KIND_BY_WORD[match[1].lower()], name=match[2])
    if match := MISSING_VOLUME_KEY.search(message):
        kind = KIND_BY_WORD[match[2]]
        name = volume_source(pod, match[1], kind, match[3])
        return Missing(kind=kind, name=name, key=match[3]) if name else None
    return None


def missing_problem(pod: Obj, code: str, missing: Missing, fresh: bool = True) -> Problem:
    what = f"key {missing.key} of {missing.kind} {missing.name}" if missing.key else f"{missing.kind} {missing.name}"
    return Problem(
        code=code,
        text=f"pod {name_of(pod)} needs {what}, which does not exist",
        advice="Create it",
        key=f"missing/{uid(pod)}/{what}",
        pod=name_of(pod),
        missing=missing,
        fresh=fresh,
    )


def config_problem(pod: Obj, status: Obj, waiting: Obj) -> Problem:
    """Describe a container that the runtime cannot make or start as it is configured."""
    reason, message = waiting["reason"], RUNTIME_PREAMBLE.sub("", waiting.get("message") or "")
    if missing := missing_object(message, pod):
        return replace(missing_problem(pod, reason, missing), container=status["name"])
    return Problem(
        code=reason,
        text=f"container {status['name']} of pod {name_of(pod)} cannot be started: {message or reason}",
        advice="Correct the container's settings",
        key=f"container/{uid(pod)}/{status['name']}",
        pod=name_of(pod),
        container=status["name"],
    )


def mount_problem(pod: Obj, events: Sequence[Obj], since: float) -> Problem | None:
    """Judge a pod whose volumes cannot be mounted because a Secret or ConfigMap is missing."""
    event = newest_event(events, pod, "FailedMount")
    started = any("waiting" not in (s.get("state") or {}) for s in container_statuses(pod))
    if event is None or started or pod.get("status", {}).get("phase") != "Pending":
        return None
    missing = missing_object(event.get("message", ""), pod)
    return missing_problem(pod, "FailedMount", missing, fresh=event_time(event) >= int(since)) if missing else None


def pod_problems(kind: str, pod: Obj, events: Sequence[Obj], since: float) -> list[Problem]:
    """Return what keeps a pod's containers from running. A Job's pods may crash: the Job counts its attempts."""
    if is_terminating(pod) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return []
    problems: list[Problem | None] = []
    for status in container_statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason == "CrashLoopBackOff" or has_crashed_again(status):
            problems.append(None if kind == "Job" else crash_problem(pod, status))
        elif reason in CONFIG_ERRORS:
            problems.append(config_problem(pod, status, waiting))
        else:
            problems.append(image_problem(pod, status, waiting, events))
    problems.append(mount_problem(pod, events, since))
    return [p for p in problems if p is not None]


# --- What keeps pods from being made ----------------------------------------------------------------------------------

QUOTA = re.compile(r"exceeded quota: (?P<name>[^,\s]+), requested: (?P<requested>.*?), used: .*?, limited: ", re.DOTALL)
QUOTA_UNSPECIFIED = re.compile(r"failed quota: (?P<name>[^:\s]+):")
CREATE_PREAMBLE = re.compile(
    r'^(?:Error creating: |create \S+ .*? failed error: |\(combined from similar events\): )*(?:pods "[^"]*" is '
    r"forbidden: )?",
    re.DOTALL | re.IGNORECASE,
)
QUANTITY = re.compile(r"^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
SUFFIXES = {"m": Decimal("0.001")} | {
    suffix: Decimal(base) ** (power + 1)
    for base, suffixes in ((1000, "k M G T P E"), (1024, "Ki Mi Gi Ti Pi Ei"))
    for power, suffix in enumerate(suffixes.split())
}


@dataclass(frozen=True)
class Refusal:
    """The API server's last refusal to make one of a workload's pods, and when it was given."""

    message: str
    at: float


def quantity(text: str) -> Decimal | None:
    """Return a Kubernetes quantity such as 500m or 2Gi as a number; None if it is not one."""
    match = QUANTITY.match(text.strip())
    try:
        return Decimal(match[1]) * SUFFIXES.get(match[2] or "", Decimal(1)) if match else None
    except InvalidOperation:
        return None


def quota_refuses(message: str, quotas: Sequence[Obj] | None) -> bool | None:
    """Tell whether the quota that a refusal names would refuse still; None if that cannot be told."""
    exceeded = QUOTA.search(message)
    match = exceeded or QUOTA_UNSPECIFIED.search(message)
    if match is None or quotas is None:
        return None
    quota = next((q for q in quotas if name_of(q) == match["name"]), None)
    if quota is None or is_terminating(quota):
        return False
    hard, used = quota.get("status", {}).get("hard"), quota.get("status", {}).get("used") or {}
    if exceeded is None or not hard:
        return None
    if hard != quota.get("spec", {}).get("hard", hard):
        return None
    for resource, _sign, asked in (part.partition("=") for part in exceeded["requested"].split(",")):
        if resource not in hard:
            continue
        numbers = [quantity(str(text)) for text in (asked, used.get(resource, "0"), hard[resource])]
        if None in numbers:
            return None
        if numbers[0] + numbers[1] > numbers[2]:
            return True
    return False


def refusal(it: View) -> Refusal | None:
    """Return the last refusal that no success has followed, from the ReplicaSet's condition or from events.

    A ReplicaSet drops its condition once pods can be made; for the other kinds a younger pod is the proof of that.
    """
    if it.owner is None:
        return None
    event = newest_event(it.events, it.owner, "FailedCreate")
    told = Refusal(event.get("message", ""), event_time(event)) if event else None
    if it.kind == "Deployment":
        state = condition(it.owner, "ReplicaFailure")
        if state.get("status") != "True" or state.get("reason") != "FailedCreate":
            return None
        noted = Refusal(state.get("message", ""), seconds(state.get("lastTransitionTime")))
        return told if told and told.at >= noted.at else noted
    youngest = max((seconds(pod["metadata"].get("creationTimestamp")) for pod in it.pods), default=float("-inf"))
    return told if told and told.at > youngest else None


def refusal_problem(it: View, last: Refusal) -> Problem:
    message = CREATE_PREAMBLE.sub("", last.message)
    advice = "Mend what is refused"
    text = f"its pods are refused: {message}"
    if match := QUOTA.search(message) or QUOTA_UNSPECIFIED.search(message):
        text = f"quota {match['name']} refuses its pods: {message[match.end('name') :].lstrip(':, ')}"
        advice = "Raise the quota or ask for less"
    return Problem(code="FailedCreate", text=text, advice=advice, key="create")


def is_live(last: Refusal, it: View, since: float, terminating: float) -> bool:
    """Tell whether a refusal says something about now.

    Terminating pods still count against a quota, so it has to be younger than the last of them, and events are dated to
    the second. One from before the wait proves nothing, unless the quota itself can be seen to refuse, or there is no
    better evidence to be had.
    """
    if any(is_terminating(pod) for pod in it.pods):
        return False
    by_quota = quota_refuses(last.message, it.quotas)
    if by_quota is not None:
        return by_quota
    return last.at >= max(int(since), terminating + 1) or not it.sees_events


# --- The judgement ----------------------------------------------------------------------------------------------------


def standstill(kind: str, workload: Obj) -> Problem | None:
    """Return why a workload will not move however long one waits, as its own spec says it."""
    spec = workload["spec"]
    if is_terminating(workload):
        return Problem("Deleting", "", advice="Let it go, apply it anew", verb="is being deleted")
    if kind == "Deployment" and spec.get("paused"):
        return Problem("Paused", "it is paused", advice="Set its spec.paused to false")
    if kind == "Job" and spec.get("suspend"):
        return Problem("Suspended", "it is suspended", advice="Set its spec.suspend to false")
    return None


def failed_job(it: View) -> Problem | None:
    """Return why a Job failed. FailureTarget comes first, while its pods are still being stopped."""
    state = next((condition(it.workload, k) for k in ("Failed", "FailureTarget") if holds(it.workload, k)), None)
    if state is None:
        return None
    reason, message = state.get("reason") or "Failed", (state.get("message") or "").rstrip(".")
    pod, container = failed_container(it.pods)
    late = "Raise its activeDeadlineSeconds, or see in its log what it waited for"
    return Problem(
        code=reason,
        text=f"{reason}: {message}" if message else reason,
        advice=late if reason == "DeadlineExceeded" else "Read its log and mend the cause",
        verb="has failed",
        pod=pod,
        container=container,
    )


def failed_container(pods: Sequence[Obj]) -> tuple[str, str]:
    """Return the names of the youngest pod and of the container in it that failed, or of its first container."""
    if not pods:
        return "", ""
    pod = max(pods, key=lambda p: (p["metadata"].get("creationTimestamp", ""), name_of(p)))
    for status in container_statuses(pod):
        ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            return name_of(pod), status["name"]
    return name_of(pod), pod["spec"]["containers"][0]["name"]


def deployment_problems(it: View, since: float) -> list[Problem]:
    """Return what a Deployment's own Progressing condition complains of."""
    state = condition(it.workload, "Progressing")
    if state.get("status") != "False":
        return []
    if state.get("reason") == "ReplicaSetCreateError":
        text = f"its ReplicaSet is refused: {state.get('message', '')}"
        return [Problem("ReplicaSetCreateError", text, advice="Mend what is refused", key="replicaset")]
    if state.get("reason") != "ProgressDeadlineExceeded":
        return []
    deadline = it.workload["spec"].get("progressDeadlineSeconds", 600)
    text = f"no progress for {deadline} s (ProgressDeadlineExceeded)"
    waits = waiting_pod(it)
    if waits:
        text = f"{text}, and {waits.text}"
    # Left by an earlier try, it may be outdated: whatever was mended since gets the grace time to show.
    stale = seconds(state.get("lastTransitionTime")) < int(since)
    return [
        Problem(
            code="ProgressDeadlineExceeded",
            text=text,
            advice=(waits and waits.advice) or "Find out why its pods do not become ready",
            key="progress" if stale else "",
            pod=waits.pod if waits else "",
            container=waits.container if waits else "",
        )
    ]


def blocked_update(it: View, since: float) -> Problem | None:
    """Judge what holds up an ordered StatefulSet: until all are ready it replaces no pod, not even the broken one."""
    if it.kind != "StatefulSet" or it.workload["spec"].get("podManagementPolicy") == "Parallel":
        return None
    for pod in it.pods:
        problems = [] if pod in it.current or holds(pod, "Ready") else pod_problems(it.kind, pod, it.events, since)
        if problems:
            text = f"pod {name_of(pod)} of an earlier revision holds up the update: {problems[0].text}"
            return replace(problems[0], code="Blocked", text=text, advice="Delete that pod", key=f"blocked/{uid(pod)}")
    return None


def waiting_pod(it: View) -> Problem | None:
    """Return the most telling thing that a pod is waiting for, or None."""
    pods = [pod for pod in it.current if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    for pod in pods:
        state = condition(pod, "PodScheduled")
        if state.get("status") == "False":
            text = f"pod {name_of(pod)} cannot be scheduled: {state.get('message') or state.get('reason', '')}"
            advice = "Give the cluster what the message asks for, or lower the pod's requests"
            return Problem("Unschedulable", text.rstrip("."), advice=advice, pod=name_of(pod))
    for pod in pods:
        event = newest_event(it.events, pod, *MOUNT_REASONS)
        if event and pod.get("status", {}).get("phase") == "Pending":
            text = f"pod {name_of(pod)} cannot start: {event.get('message', '')}"
            return Problem(event["reason"], text, advice="Mend what the message names", pod=name_of(pod))
    for pod in pods if it.kind != "Job" else ():
        if pod.get("status", {}).get("phase") == "Running" and not holds(pod, "Ready"):
            statuses = container_statuses(pod)
            container = next((s["name"] for s in statuses if not s.get("ready") and "running" in s["state"]), "")
            event = newest_event(it.events, pod, "Unhealthy")
            text = f"pod {name_of(pod)} runs but is not ready"
            text = f"{text}: {event.get('message', '').strip()}" if event else text
            advice = "Read its log and its probe's events, and mend the cause"
            return Problem("NotReady", text, advice=advice, pod=name_of(pod), container=container)
    return None


def waiting_for(it: View, lacking: str, suspects: Sequence[Problem], last: Refusal | None) -> Problem:
    """Say what a workload waits for: what it lacks, and the likeliest cause of that."""
    cause = suspects[0] if suspects else waiting_pod(it)
    if cause is None and last is not None:
        cause = refusal_problem(it, last)
    if cause is None:
        pod, container = failed_container(it.current) if it.kind == "Job" else ("", "")
        return Problem("Waiting", lacking, advice="Look at its events", pod=pod, container=container)
    return replace(cause, text=f"{lacking}, and {cause.text}", key="")


def judge(kind: str, name: str, objects: Objects, clock: Clock, memory: Memory) -> tuple[Verdict, Memory]:
    """Judge one workload.

    Args:
        kind: Deployment, StatefulSet, DaemonSet or Job.
        name: of the workload, in the namespace that the objects are from.
        objects: by kind, everything in the namespace that `kinds_to_watch` names, without what may not be read.
        clock: the present time, when the wait began, and the grace time.
        memory: what the last judgement of this workload returned.

    Returns:
        The verdict, and what the next judgement has to be given as its memory.
    """
    workload = find(objects, kind, name)
    if workload is None:
        return Failed(Problem("NotFound", "", advice="Apply it first", verb="does not exist")), memory
    if is_complete(kind, workload):
        return Done(), Memory()
    if still := standstill(kind, workload):
        return Failed(still), memory
    if not is_observed(kind, workload):
        return Waiting(Problem("NotObserved", "its controller has not taken up the change")), memory
    it = view(kind, workload, objects)
    lacking = UNMET[kind](it)
    if not lacking:
        return Done(), Memory()
    if kind == "Job" and (failure := failed_job(it)):
        return Failed(failure), memory
    if any(is_terminating(pod) for pod in it.pods):
        memory = replace(memory, terminating=clock.now)
    last = refusal(it)
    problems = [p for pod in it.current for p in pod_problems(kind, pod, it.events, clock.since)]
    if last and is_live(last, it, clock.since, memory.terminating):
        problems.append(refusal_problem(it, last))
    if kind == "Deployment":
        problems += deployment_problems(it, clock.since)
    if blocked := blocked_update(it, clock.since):
        problems.append(blocked)
    memory = replace(memory, first_seen={p.key: memory.first_seen.get(p.key, clock.now) for p in problems if p.key})
    lasting = [p for p in problems if not p.key or clock.now - memory.first_seen[p.key] >= clock.grace]
    if lasting:
        return Failed(min(lasting, key=lambda p: bool(p.key))), memory
    return Waiting(waiting_for(it, lacking, problems, last)), memory


# --- What is told about it --------------------------------------------------------------------------------------------


def summary(kind: str, name: str, objects: Objects) -> dict[str, Any]:
    """Return what the module tells of a workload: replicas, images, and the image IDs of its running pods."""
    workload = find(objects, kind, name)
    if workload is None:
        return {"kind": kind, "name": name, "replicas": 0, "images": [], "image_ids": [], "pods": []}
    it = view(kind, workload, objects)
    status, template = workload.get("status", {}), workload["spec"]["template"]["spec"]
    replicas = {
        "DaemonSet": status.get("desiredNumberScheduled") or 0,
        "Job": (status.get("succeeded") or 0) + (status.get("active") or 0),
    }.get(kind, wanted_replicas(workload))
    pods = [
        {
            "name": name_of(pod),
            "node": pod["spec"].get("nodeName", ""),
            "image_ids": {s["name"]: s.get("imageID", "") for s in pod["status"].get("containerStatuses") or []},
        }
        for pod in sorted(it.current, key=name_of)
        if pod.get("status", {}).get("phase") in ("Running", "Succeeded")
    ]
    return {
        "kind": kind,
        "name": name,
        "replicas": replicas,
        "images": list(dict.fromkeys(c["image"] for c in template["containers"])),
        "image_ids": sorted({i for pod in pods for i in pod["image_ids"].values() if i}),
        "pods": pods,
    }


def recent_events(kind: str, name: str, objects: Objects, pod: str = "", limit: int = 5) -> list[str]:
    """Return the last events about a workload, and about its broken pod if that is known, as short strings."""
    workload = find(objects, kind, name)
    if workload is None:
        return []
    it = view(kind, workload, objects)
    owners = {uid(o) for o in (workload, it.owner) if o is not None}
    watched = owners | {uid(p) for p in it.current if not pod or name_of(p) == pod}
    watched |= {uid(p) for p in it.pods if name_of(p) == pod}
    told: dict[tuple[str, ...], str] = {}
    for event in (e for e in it.events if e["involvedObject"]["uid"] in watched):
        about, text = event["involvedObject"], " ".join((event.get("message") or "").split())
        # Each refused pod has a name of its own: the same refusal of ten of them is told once.
        key = (event.get("reason", ""), about["uid"], CREATE_PREAMBLE.sub("", text))
        told.pop(key, None)
        told[key] = f"{key[0]} {about.get('kind', '')}/{about.get('name', '')}: {text}"
    return list(told.values())[-limit:]


def secret_references(pod_spec: Obj) -> set[str]:
    """Return the names of the Secrets that a pod's containers and volumes refer to."""
    names: set[str | None] = set()
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod_spec.get(group) or []:
            for env in container.get("env") or []:
                names.add(((env.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name"))
            for source in container.get("envFrom") or []:
                names.add((source.get("secretRef") or {}).get("name"))
    for volume in pod_spec.get("volumes") or []:
        names.add((volume.get("secret") or {}).get("secretName"))
        for source in (volume.get("projected") or {}).get("sources") or []:
            names.add((source.get("secret") or {}).get("name"))
    return {name for name in names if name}


def secrets_of(kind: str, name: str, objects: Objects, pod: str = "") -> set[str]:
    """Return the names of the Secrets whose values may turn up in what a workload's pods say."""
    workload, broken = find(objects, kind, name), find(objects, "Pod", pod)
    specs = [workload["spec"]["template"]["spec"]] if workload else []
    specs += [broken["spec"]] if broken else []
    return {secret for spec in specs for secret in secret_references(spec)}


def public_names(objects: Objects) -> set[str]:
    """Return names that anybody may read, and inside which a masked value would only make a message unreadable."""
    names = {name_of(o) for kind, group in objects.items() if kind != "Event" for o in group}
    specs = [p["spec"] for p in objects.get("Pod", ()) if p.get("spec")]
    names |= {c["image"] for spec in specs for c in spec.get("containers") or [] if c.get("image")}
    return names | {secret for spec in specs for secret in secret_references(spec)}


def sentence(kind: str, name: str, namespace: str, problem: Problem) -> str:
    """Return the error: the thing, the reason, the next step."""
    where = f" in namespace {namespace}" if problem.code in ("NotFound", "Deleting") else ""
    reason = f": {shorten(problem.text).rstrip('.')}" if problem.text else ""
    step = f"{problem.advice}, then run" if problem.advice else "Run"
    return f"{kind} {name} {problem.verb}{where}{reason}. {step} the playbook again."


def report(sentences: Sequence[str], events: Sequence[str], log: Sequence[str], source: str = "") -> str:
    """Return the sentences with the last events and log lines under them, each on a line of its own."""
    lines = [*sentences]
    lines += ["Last events:", *(f"  {event}" for event in events)] if events else []
    lines += [f"Last log lines of {source}:", *(f"  {line}" for line in log)] if log else []
    return "\n".join(lines)
