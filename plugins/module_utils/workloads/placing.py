# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What keeps pods from a node: too little room, and volume claims that have no volume or are being deleted."""

import re

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import holds

from . import model
from .model import Clock, Obj, Problem, View, condition, name_of

# In seconds. An autoscaler of nodes, which looks every 10 s by default, announces within this time that it makes room.
PLACING_PATIENCE = 30.0
ADVICE = "Give the cluster what the message asks for, or lower the pod's requests"
# What may be over in a moment: a node that starts. A claim is judged by itself.
SHORT = re.compile(
    r"no nodes available|0/0 nodes|node\.kubernetes\.io/(?:not-ready|unreachable)|cloudprovider", re.IGNORECASE
)
BY_CLAIM = re.compile(r"persistentvolumeclaim", re.IGNORECASE)
SELECTED_NODE = "volume.kubernetes.io/selected-node"


def unschedulable(pod: Obj) -> str:
    """Return why the scheduler finds no node for a pod, in its words; empty if it does not say so."""
    state = condition(pod, "PodScheduled")
    if state.get("status") != "False":
        return ""
    return (state.get("message") or state.get("reason", "")).rstrip(".")


def fits_nowhere(pod: Obj) -> bool:
    """Tell whether a pod fits on no node, and nothing shows that this ends by itself."""
    said = unschedulable(pod)
    preempts = (pod.get("status") or {}).get("nominatedNodeName")
    return bool(said) and not (BY_CLAIM.search(said) or SHORT.search(said) or preempts)


def placing_problem(pod: Obj, it: View) -> Problem | None:
    """Judge a pod that fits on no node; None where that may change by itself."""
    if not fits_nowhere(pod) or any(map(model.is_terminating, it.neighbours)):
        return None
    return homeless(pod, unschedulable(pod))


def homeless(pod: Obj, said: str) -> Problem:
    """Return the problem of a pod that fits on no node."""
    return Problem(
        code="Unschedulable",
        text=f"pod {name_of(pod)} cannot be scheduled: {said}",
        advice=ADVICE,
        key=f"placing/{model.uid(pod)}",
        pod=name_of(pod),
        patience=PLACING_PATIENCE,
    )


def claim_problems(pod: Obj, it: View, clock: Clock) -> list[Problem]:
    """Return what is wrong with the claims of a pod that has not started."""
    if it.claims is None or pod.get("status", {}).get("phase", "Pending") != "Pending":
        return []
    known = {name_of(claim): claim for claim in it.claims}
    found = [claim_problem(name, known.get(name), pod, it, clock) for name in sorted(holds.claims_of(pod))]
    return [problem for problem in found if problem]


def claim_problem(name: str, claim: Obj | None, pod: Obj, it: View, clock: Clock) -> Problem | None:
    """Judge one claim of a pod; None if it has its volume, or if the pod has to be placed first."""
    key = f"claim/{name}"
    if claim is None:
        text = f"pod {name_of(pod)} needs claim {name}, which does not exist"
        return Problem("ClaimMissing", text, advice="Apply it", key=key, pod=name_of(pod))
    phase = claim.get("status", {}).get("phase")
    if model.is_terminating(claim):
        others = [other for other in it.neighbours if model.uid(other) != model.uid(pod)]
        hold = holds.of(dict(claim) | {"kind": "PersistentVolumeClaim"}, others)
        text = f"claim {name} is being deleted{f', and {hold.text}' if hold else ''}"
        advice = hold.next_step if hold else "Wait until it is gone"
        return Problem("ClaimDeleting", text, advice=advice, key=key, pod=name_of(pod))
    if phase == "Lost":
        text = f"volume {claim['spec'].get('volumeName')} of claim {name} was removed behind its back"
        advice = "Restore it, or remove the claim to begin with an empty one"
        return Problem("ClaimLost", text, advice=advice, pod=name_of(pod))
    said = unschedulable(pod)
    selected = SELECTED_NODE in (claim["metadata"].get("annotations") or {})
    if phase == "Bound" or (said and not BY_CLAIM.search(said) and not selected):
        return None
    return Problem(
        code="ClaimPending",
        text=f"claim {name} has no volume, and its storage class is {claim['spec'].get('storageClassName') or 'none'}",
        advice="Repair the class's provisioner, or set another class and remove the claim, which holds no data yet",
        key=key,
        pod=name_of(pod),
        claim=name,
        patience=clock.volume,
    )
