# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Why an object that is being deleted still exists, and whether that can end by itself."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Obj = Mapping[str, Any]

# In seconds. A client that made its pods go frees a claim within that time; an API service may be restarting.
CLAIM_PATIENCE = 5.0
NAMESPACE_PATIENCE = 30.0
# Conditions of a namespace that its own content cannot end, and what to do.
API_STEP = "Repair or remove the API service that does not answer (kubectl get apiservices names it)"
HOPELESS = {
    "NamespaceDeletionDiscoveryFailure": API_STEP,
    "NamespaceDeletionGroupVersionParsingFailure": API_STEP,
    # For instance a webhook that refuses the removal.
    "NamespaceDeletionContentFailure": "Correct what the message names",
}
# Those by which Kubernetes itself orders a deletion.
OWN_FINALIZERS = {"foregroundDeletion", "orphan", "kubernetes", "kubernetes.io/pvc-protection"}


@dataclass(frozen=True)
class Hold:
    """What holds an object: continues a sentence; the next step; the seconds after which waiting is pointless."""

    text: str
    next_step: str = "See what holds it with kubectl describe"
    patience: float = math.inf


def is_going(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def claims_of(pod: Obj) -> set[str]:
    """Return the names of the claims that a pod mounts."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return {v["persistentVolumeClaim"]["claimName"] for v in volumes if v.get("persistentVolumeClaim")}


def users_of(claim: str, pods: Iterable[Obj]) -> list[Obj]:
    """Return the pods that hold a claim: those that are on a node and have not ended."""
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
        return Hold(f"{which} while ending")
    pods_by_name = which.partition(" still")[0]
    step = f"Save its data if you need it, since nothing takes the deletion back, then remove {pods_by_name}"
    return Hold(which, step, CLAIM_PATIENCE)


def of_namespace(namespace: Obj) -> Hold | None:
    """Return why a namespace that is being deleted still exists, as far as it says so."""
    conditions = [c for c in (namespace.get("status") or {}).get("conditions") or [] if c["status"] == "True"]
    text = " ".join(c["message"] for c in conditions if c.get("message")).rstrip(".")
    if not text:
        return None
    step = next((HOPELESS[c["type"]] for c in conditions if c["type"] in HOPELESS), "")
    return Hold(text, step, NAMESPACE_PATIENCE) if step else Hold(text)


def of(obj: Obj, pods: Sequence[Obj] = ()) -> Hold | None:
    """Return what holds an object that is being deleted, as far as that can be told; `pods` are its namespace's."""
    hold = None
    if obj["kind"] == "Namespace":
        hold = of_namespace(obj)
    elif obj["kind"] == "PersistentVolumeClaim":
        hold = of_claim(obj["metadata"]["name"], pods)
    foreign = sorted(set(obj["metadata"].get("finalizers") or []) - OWN_FINALIZERS)
    if hold is None and foreign:
        step = "See why the controller that owns the finalizer does not remove it"
        return Hold(f"its finalizer {foreign[0]} is still set", step)
    return hold
