# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Reasons why an object that is being deleted still exists, and whether they can resolve without a change."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Obj = Mapping[str, Any]

# Seconds. Deleted pods release a claim within the first, and an API service can restart within the second.
CLAIM_PATIENCE = 5.0
NAMESPACE_PATIENCE = 30.0
# Conditions of a namespace that do not resolve without a change, each with its next step.
API_STEP = "Repair or remove the unavailable API service, which kubectl get apiservices lists"
HOPELESS = {
    "NamespaceDeletionDiscoveryFailure": API_STEP,
    "NamespaceDeletionGroupVersionParsingFailure": API_STEP,
    # For instance a webhook that refuses the deletion.
    "NamespaceDeletionContentFailure": "Fix the cause that the message names",
}
# Finalizers by which Kubernetes orders a deletion.
OWN_FINALIZERS = {"foregroundDeletion", "orphan", "kubernetes", "kubernetes.io/pvc-protection"}


@dataclass(frozen=True)
class Hold:
    """Reason that delays a deletion, as a clause; the next step; and the seconds after which the wait should end."""

    text: str
    next_step: str = "Find the cause with kubectl describe"
    patience: float = math.inf


def is_going(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def claims_of(pod: Obj) -> set[str]:
    """Return the names of the claims that a pod mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return {v["persistentVolumeClaim"]["claimName"] for v in volumes if v.get("persistentVolumeClaim")}


def users_of(claim: str, pods: Iterable[Obj]) -> list[Obj]:
    """Return the pods that hold a claim: those that are on a node and have not terminated."""
    ended = ("Succeeded", "Failed")
    alive = [p for p in pods if (p.get("status") or {}).get("phase") not in ended and p["spec"].get("nodeName")]
    return [pod for pod in alive if claim in claims_of(pod)]


def of_claim(name: str, pods: Iterable[Obj]) -> Hold | None:
    """Return which pods hold a claim that is being deleted; None if no pod does."""
    users = users_of(name, pods)
    if not users:
        return None
    staying = [pod["metadata"]["name"] for pod in users if not is_going(pod)]
    names = staying or [pod["metadata"]["name"] for pod in users]
    which = f"pod {names[0]} still uses it" if len(names) == 1 else f"pods {', '.join(names)} still use it"
    if not staying:
        return Hold(f"{which} while terminating")
    pods_by_name = which.partition(" still")[0]
    step = f"Back up its data if you need it, because the deletion cannot be undone, then delete {pods_by_name}"
    return Hold(which, step, CLAIM_PATIENCE)


def of_namespace(namespace: Obj) -> Hold | None:
    """Return why a namespace that is being deleted still exists, from its conditions; None if they give no reason."""
    conditions = [c for c in (namespace.get("status") or {}).get("conditions") or [] if c["status"] == "True"]
    text = " ".join(c["message"] for c in conditions if c.get("message")).rstrip(".")
    if not text:
        return None
    step = next((HOPELESS[c["type"]] for c in conditions if c["type"] in HOPELESS), "")
    return Hold(text, step, NAMESPACE_PATIENCE) if step else Hold(text)


def of(obj: Obj, pods: Sequence[Obj] = ()) -> Hold | None:
    """Return why an object that is being deleted still exists, if known; `pods` are those of its namespace."""
    hold = None
    if obj["kind"] == "Namespace":
        hold = of_namespace(obj)
    elif obj["kind"] == "PersistentVolumeClaim":
        hold = of_claim(obj["metadata"]["name"], pods)
    foreign = sorted(set(obj["metadata"].get("finalizers") or []) - OWN_FINALIZERS)
    if hold is None and foreign:
        step = "Check why the controller that owns the finalizer does not remove it"
        return Hold(f"its finalizer {foreign[0]} is still set", step)
    return hold
