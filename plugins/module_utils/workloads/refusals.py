# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What keeps the pods of a workload from being created."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .model import Obj, Problem, View, condition, event_time, is_terminating, name_of, newest_event, seconds
from .quantity import parse

QUOTA = re.compile(r"exceeded quota: (?P<name>[^,\s]+), requested: (?P<requested>.*?), used: .*?, limited: ", re.DOTALL)
QUOTA_UNSPECIFIED = re.compile(r"failed quota: (?P<name>[^:\s]+):")
CREATE_PREAMBLE = re.compile(
    r'^(?:Error creating: |create \S+ .*? failed error: |\(combined from similar events\): )*(?:pods "[^"]*" is '
    r"forbidden: )?",
    re.DOTALL | re.IGNORECASE,
)


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
    event = newest_event(it.events, it.owner, "FailedCreate")
    told = PodRejection(event.get("message", ""), event_time(event)) if event else None
    if it.kind == "Deployment":
        state = condition(it.owner, "ReplicaFailure")
        if state.get("status") != "True" or state.get("reason") != "FailedCreate":
            return None
        noted = PodRejection(state.get("message", ""), seconds(state.get("lastTransitionTime")))
        return told if told and told.at >= noted.at else noted
    youngest = max((seconds(pod["metadata"].get("creationTimestamp")) for pod in it.pods), default=float("-inf"))
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
    if any(is_terminating(pod) for pod in it.pods):
        return False
    by_quota = quota_refuses(last.message, it.quotas)
    if by_quota is not None:
        return by_quota
    return last.at >= max(int(since), terminating + 1) or not it.sees_events
