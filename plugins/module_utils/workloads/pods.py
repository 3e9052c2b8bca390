# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Detect why pods do not run, and why they cannot be created."""

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
# Errors of the runtime about a command, not about the node.
WRONG_COMMAND = re.compile(
    r"executable file .*not found|exec:? .*(no such file or directory|permission denied|format error|is a directory)"
)
COMMAND_ADVICE = "Correct the command of the container"
KIND_BY_WORD = {"secret": "Secret", "configmap": "ConfigMap", "config": "ConfigMap"}

QUOTA = re.compile(r"exceeded quota: (?P<name>[^,\s]+), requested: (?P<requested>.*?), used: .*?, limited: ", re.DOTALL)
QUOTA_UNSPECIFIED = re.compile(r"failed quota: (?P<name>[^:\s]+):")
CREATE_PREAMBLE = re.compile(
    r'^(?:Error creating: |create \S+ .*? failed error: |\(combined from similar events\): )*(?:pods "[^"]*" is '
    r"forbidden: )?",
    re.DOTALL | re.IGNORECASE,
)

CONFIG_ERRORS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# In seconds. After twice this time without a crash, the kubelet restarts a container without a delay.
LONGEST_BACK_OFF = 300
MOUNT_REASONS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


def image_of(pod: Obj, container: str) -> str:
    """Return the image of a container, as in the spec of its pod."""
    spec = pod.get("spec", {})
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return next((c.get("image", "") for c in containers if c["name"] == container), "")


def pull_cause(message: str) -> str:
    """Return the cause in a runtime's message about a failed pull."""
    known = next((cause for cause in PULL_CAUSES if cause in message.lower()), "")
    return known or message.rpartition(": ")[2].strip()


def pull_advice(image: str, message: str) -> str:
    if image.startswith("localhost/"):
        return "Check that the image is loaded"
    if PULL_DENIED.search(message):
        return "Check the name of the image and the pull Secret"
    if PULL_REFUSED.search(message):
        return "Check the name of the image, and that it was pushed or loaded"
    return "Check that the node reaches the registry"


def image_problem(pod: Obj, status: Obj, waiting: Obj, events: Sequence[Obj]) -> Problem | None:
    """Return the problem of a container that waits for its image. None if the next attempt may succeed."""
    reason, message = waiting.get("reason", ""), waiting.get("message") or ""
    image, name = image_of(pod, status["name"]), name_of(pod)
    event = model.newest_event(events, pod, "Failed")
    if reason == "ImagePullBackOff" and "ErrImagePull" not in message and event and "pull" in event.get("message", ""):
        message = event["message"]
    common = {"code": reason, "pod": name, "container": status["name"]}
    if reason == "ErrImageNeverPull":
        text = f"pod {name} cannot run {image}: it is not on the node, and the pull policy is Never"
        return Problem(text=text, advice="Load the image into the cluster", **common)
    if reason == "InvalidImageName":
        text = f"pod {name} cannot use the image name {image}: {message.rpartition(': ')[2]}"
        return Problem(text=text, advice="Correct the name of the image", **common)
    if reason == "SignatureValidationFailed":
        text = f"pod {name} cannot pull {image}: its signature is not valid"
        return Problem(text=text, advice="Check the signature of the image", **common)
    # No registry listens on port 443 of the node, so an image under localhost/ is unavailable unless it is loaded.
    hopeless = PULL_REFUSED.search(message) or (image.startswith("localhost/") and "connection refused" in message)
    if reason == "ImagePullBackOff" or (reason == "ErrImagePull" and hopeless):
        cause = pull_cause(message) or reason
        return Problem(text=f"pod {name} cannot pull {image}: {cause}", advice=pull_advice(image, message), **common)
    return None


def has_crashed_again(status: Obj) -> bool:
    """Return whether a container crashed soon after another crash, so that the kubelet delays its restart.

    The kubelet reports CrashLoopBackOff, but sometimes ten seconds later.
    """
    now, before = ((status.get(key) or {}).get("terminated") or {} for key in ("state", "lastState"))
    if not now.get("exitCode") or not before:
        return False
    return model.seconds(now.get("finishedAt")) - model.seconds(before.get("finishedAt")) < LONGEST_BACK_OFF


def last_words(message: str) -> str:
    """Return the reason in a container's termination message.

    One line is the reason. More lines are the end of the log, where only a JSON error in the last line is the reason,
    as Caddy writes it.
    """
    *before, last = message.strip().splitlines() or [""]
    if entry := _json_error(last):
        return str(entry.get("msg") or "")
    return "" if before else last


def next_step(message: str) -> str:
    """Return the next step in a container's termination message, which the launcher of the role django writes."""
    *_, last = message.strip().splitlines() or [""]
    return str(_json_error(last).get("advice") or "Fix the cause")


def _json_error(line: str) -> Obj:
    """Return the error in a line of a log, an empty mapping if it has none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) and entry.get("level") == "error" else {}


def start_failure(ended: Obj) -> str:
    """Return why the runtime did not start a container, which then has no log. Empty if it started."""
    if ended.get("reason") not in ("StartError", "ContainerCannotRun"):
        return ""
    return RUNTIME_PREAMBLE.sub("", ended.get("message") or ended["reason"]).strip()


def start_problem(pod: Obj, status: Obj) -> Problem | None:
    """Return the problem of a Job's container whose command cannot run, which another attempt would not change."""
    state = status.get("state") or {}
    cause = start_failure(state.get("terminated") or {})
    if not cause or not WRONG_COMMAND.search(cause):
        return None
    return Problem(
        code="StartError",
        text=f"container {status['name']} of pod {name_of(pod)} cannot start: {cause}",
        advice=COMMAND_ADVICE,
        pod=name_of(pod),
        container=status["name"],
    )


def crash_problem(pod: Obj, status: Obj) -> Problem:
    """Return the problem of a container that the kubelet restarts repeatedly."""
    name, container = name_of(pod), status["name"]
    ended = (status.get("lastState") or {}).get("terminated") or (status.get("state") or {}).get("terminated") or {}
    code, reason = ended.get("exitCode"), ended.get("reason", "")
    advice = "Read its log and fix the cause"
    if reason == "OOMKilled":
        how, advice = "keeps being killed for lack of memory (OOMKilled)", "Raise its memory limit"
    elif cause := start_failure(ended):
        how, advice = f"cannot start: {cause}", COMMAND_ADVICE
    elif code == 0:
        how, advice = "keeps exiting without an error (exit code 0)", "Set a command that runs continuously"
    else:
        how = "keeps crashing" if code is None else f"keeps crashing (exit code {code})"
        message = ended.get("message") or ""
        if cause := last_words(message):
            how, advice = f"{how}: {cause}", next_step(message)
    return Problem(
        code="CrashLoopBackOff",
        text=f"container {container} of pod {name} {how}",
        advice=advice,
        pod=name,
        container=container,
        previous=True,
    )


def volume_source(pod: Obj, volume: str, kind: str, key: str) -> str:
    """Return the name of the Secret or ConfigMap that a volume takes this key from, or an empty string."""
    found = next((v for v in pod.get("spec", {}).get("volumes") or [] if v.get("name") == volume), {})
    sources = [found, *((found.get("projected") or {}).get("sources") or [])]
    field_name, name_field = ("secret", "secretName") if kind == "Secret" else ("configMap", "name")
    for source in (s[field_name] for s in sources if s.get(field_name)):
        if any(item.get("key") == key for item in source.get("items") or []):
            return source.get(name_field) or source.get("name") or ""
    return ""


def missing_object(message: str, pod: Obj) -> Missing | None:
    """Return the missing Secret or ConfigMap that a kubelet's message names. None for other messages."""
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
    """Return the problem of a container that the runtime cannot create or start with its configuration."""
    reason, message = waiting["reason"], RUNTIME_PREAMBLE.sub("", waiting.get("message") or "")
    if missing := missing_object(message, pod):
        return replace(missing_problem(pod, reason, missing), container=status["name"])
    return Problem(
        code=reason,
        text=f"container {status['name']} of pod {name_of(pod)} cannot be started: {message or reason}",
        advice="Correct the settings of the container",
        key=f"container/{uid(pod)}/{status['name']}",
        pod=name_of(pod),
        container=status["name"],
    )


def mount_problem(pod: Obj, events: Sequence[Obj], since: float) -> Problem | None:
    """Return the problem of a pod that cannot mount its volumes because a Secret or ConfigMap is missing."""
    event = model.newest_event(events, pod, "FailedMount")
    started = any("waiting" not in (s.get("state") or {}) for s in container_statuses(pod))
    if event is None or started or pod.get("status", {}).get("phase") != "Pending":
        return None
    missing = missing_object(event.get("message", ""), pod)
    return missing_problem(pod, "FailedMount", missing, fresh=event_time(event) >= int(since)) if missing else None


def pod_problems(kind: str, pod: Obj, events: Sequence[Obj], since: float) -> list[Problem]:
    """Return why a pod's containers do not run. The pods of a Job may crash, because the Job counts its attempts."""
    phase = pod.get("status", {}).get("phase")
    if model.is_terminating(pod) or phase == "Succeeded":
        return []
    if phase == "Failed":
        found = [start_problem(pod, status) for status in container_statuses(pod)] if kind == "Job" else []
        return [problem for problem in found if problem]
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


# --- Rejections by the API server -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PodRejection:
    """The API server's last rejection of a workload's pod, and its time."""

    message: str
    at: float


def quota_refuses(message: str, quotas: Sequence[Obj] | None) -> bool | None:
    """Return whether the quota that a rejection names still rejects the pod. None if that is unknown."""
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
    """Return the last rejection without a later success, from the ReplicaSet's condition or from events.

    A ReplicaSet removes its condition once pods can be created. For the other kinds, a younger pod is the success.
    """
    if it.owner is None:
        return None
    event = model.newest_event(it.events, it.owner, "FailedCreate")
    reported = PodRejection(event.get("message", ""), event_time(event)) if event else None
    if it.kind == "Deployment":
        state = model.condition(it.owner, "ReplicaFailure")
        if state.get("status") != "True" or state.get("reason") != "FailedCreate":
            return None
        recorded = PodRejection(state.get("message", ""), model.seconds(state.get("lastTransitionTime")))
        return reported if reported and reported.at >= recorded.at else recorded
    youngest = max((model.seconds(pod["metadata"].get("creationTimestamp")) for pod in it.pods), default=float("-inf"))
    return reported if reported and reported.at > youngest else None


def rejection_problem(it: View, last: PodRejection) -> Problem:
    message = CREATE_PREAMBLE.sub("", last.message)
    advice = "Correct what the message names"
    text = f"its pods are rejected: {message}"
    if match := QUOTA.search(message) or QUOTA_UNSPECIFIED.search(message):
        text = f"quota {match['name']} rejects its pods: {message[match.end('name') :].lstrip(':, ')}"
        advice = "Raise the quota or lower the requests"
    return Problem(code="FailedCreate", text=text, advice=advice, key="create")


def is_current(last: PodRejection, it: View, since: float, terminating: float) -> bool:
    """Return whether a rejection still applies.

    Terminating pods still count against a quota, so a rejection must be younger than the last of them. Events have
    times in whole seconds. A rejection from before the wait counts only if the quota still rejects the pod, or if
    events cannot be read.
    """
    if any(model.is_terminating(pod) for pod in it.pods):
        return False
    by_quota = quota_refuses(last.message, it.quotas)
    if by_quota is not None:
        return by_quota
    return last.at >= max(int(since), terminating + 1) or not it.sees_events
