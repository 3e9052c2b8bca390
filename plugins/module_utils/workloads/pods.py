# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What keeps pods from running, and from being created."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import model
from .model import Missing, Obj, Problem, View, container_statuses, event_time, name_of, uid
from .quantity import parse

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

QUOTA = re.compile(r"exceeded quota: (?P<name>[^,\s]+), requested: (?P<requested>.*?), used: .*?, limited: ", re.DOTALL)
QUOTA_UNSPECIFIED = re.compile(r"failed quota: (?P<name>[^:\s]+):")
CREATE_PREAMBLE = re.compile(
    r'^(?:Error creating: |create \S+ .*? failed error: |\(combined from similar events\): )*(?:pods "[^"]*" is '
    r"forbidden: )?",
    re.DOTALL | re.IGNORECASE,
)

CONFIG_ERRORS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# In seconds. The kubelet starts a container again at once if that has not crashed for twice as long.
LONGEST_BACK_OFF = 300
MOUNT_REASONS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


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
    told = model.newest_event(events, pod, "Failed")
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
    return model.seconds(now.get("finishedAt")) - model.seconds(before.get("finishedAt")) < LONGEST_BACK_OFF


def last_words(message: str) -> str:
    """Return what a program left to be read by its termination message.

    That is one line. More are the end of its log, of which a last line counts if it is an error in JSON, as of Caddy.
    """
    *before, last = message.strip().splitlines() or [""]
    try:
        entry = json.loads(last)
    except ValueError:
        entry = None
    if isinstance(entry, dict) and entry.get("level") == "error":
        return str(entry.get("msg") or "")
    return "" if before else last


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
        if told := last_words(ended.get("message") or ""):
            how, advice = f"{how}: {told}", "Fix that"
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
    event = model.newest_event(events, pod, "FailedMount")
    started = any("waiting" not in (s.get("state") or {}) for s in container_statuses(pod))
    if event is None or started or pod.get("status", {}).get("phase") != "Pending":
        return None
    missing = missing_object(event.get("message", ""), pod)
    return missing_problem(pod, "FailedMount", missing, fresh=event_time(event) >= int(since)) if missing else None


def pod_problems(kind: str, pod: Obj, events: Sequence[Obj], since: float) -> list[Problem]:
    """Return what keeps a pod's containers from running. A Job's pods may crash: the Job counts its attempts."""
    if model.is_terminating(pod) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
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


# --- Refusals of the API server ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PodRejection:
    """The API server's last refusal to make one of a workload's pods, and when it was given."""

    message: str
    at: float


def quota_refuses(message: str, quotas: Sequence[Obj] | None) -> bool | None:
    """Tell whether the quota that a refusal names would refuse still; None if that cannot be told."""
    exceeded = QUOTA.search(message)
    match = exceeded or QUOTA_UNSPECIFIED.search(message)
    if match is None or quotas is None:
        return None
    quota = next((q for q in quotas if name_of(q) == match["name"]), None)
    if quota is None or model.is_terminating(quota):
        return False
    hard, used = quota.get("status", {}).get("hard"), quota.get("status", {}).get("used") or {}
    if exceeded is None or not hard:
        return None
    if hard != quota.get("spec", {}).get("hard", hard):
        return None
    for resource, _sign, asked in (part.partition("=") for part in exceeded["requested"].split(",")):
        if resource not in hard:
            continue
        try:
            more, there, limit = (parse(text) for text in (asked, used.get(resource, "0"), hard[resource]))
        except ValueError:
            return None
        if there + more > limit:
            return True
    return False


def last_rejection(it: View) -> PodRejection | None:
    """Return the last refusal that no success has followed, from the ReplicaSet's condition or from events.

    A ReplicaSet drops its condition once pods can be made; for the other kinds a younger pod is the proof of that.
    """
    if it.owner is None:
        return None
    event = model.newest_event(it.events, it.owner, "FailedCreate")
    told = PodRejection(event.get("message", ""), event_time(event)) if event else None
    if it.kind == "Deployment":
        state = model.condition(it.owner, "ReplicaFailure")
        if state.get("status") != "True" or state.get("reason") != "FailedCreate":
            return None
        noted = PodRejection(state.get("message", ""), model.seconds(state.get("lastTransitionTime")))
        return told if told and told.at >= noted.at else noted
    youngest = max((model.seconds(pod["metadata"].get("creationTimestamp")) for pod in it.pods), default=float("-inf"))
    return told if told and told.at > youngest else None


def rejection_problem(it: View, last: PodRejection) -> Problem:
    message = CREATE_PREAMBLE.sub("", last.message)
    advice = "Mend what is refused"
    text = f"its pods are refused: {message}"
    if match := QUOTA.search(message) or QUOTA_UNSPECIFIED.search(message):
        text = f"quota {match['name']} refuses its pods: {message[match.end('name') :].lstrip(':, ')}"
        advice = "Raise the quota or ask for less"
    return Problem(code="FailedCreate", text=text, advice=advice, key="create")


def is_live(last: PodRejection, it: View, since: float, terminating: float) -> bool:
    """Tell whether a refusal says something about now.

    Terminating pods still count against a quota, so it has to be younger than the last of them, and events are dated to
    the second. One from before the wait proves nothing, unless the quota itself can be seen to refuse, or there is no
    better evidence to be had.
    """
    if any(model.is_terminating(pod) for pod in it.pods):
        return False
    by_quota = quota_refuses(last.message, it.quotas)
    if by_quota is not None:
        return by_quota
    return last.at >= max(int(since), terminating + 1) or not it.sees_events
