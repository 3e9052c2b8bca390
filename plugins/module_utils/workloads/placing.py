# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Detect why pods get no node: too few resources, and volume claims without a volume or in deletion."""

import re

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import holds

from . import model
from .model import Clock, Obj, Problem, View, condition, name_of

# Seconds within which a node autoscaler, which checks every 10 s by default, announces a new node.
PLACING_PATIENCE = 30.0
ADVICE = "Add the resources that the message names to the cluster, or lower the requests of the pod"
# Causes that may end soon, such as a node that starts. Claims are checked separately.
SHORT = re.compile(
    r"no nodes available|0/0 nodes|node\.kubernetes\.io/(?:not-ready|unreachable)|cloudprovider", re.IGNORECASE
)
BY_CLAIM = re.compile(r"persistentvolumeclaim", re.IGNORECASE)
SELECTED_NODE = "volume.kubernetes.io/selected-node"


def unschedulable(pod: Obj) -> str:
    """Return the scheduler's message on why it finds no node for a pod. Empty without one."""
    state = condition(pod, "PodScheduled")
    if state.get("status") != "False":
        return ""
    return (state.get("message") or state.get("reason", "")).rstrip(".")


def fits_nowhere(pod: Obj) -> bool:
    """Return whether a pod fits on no node, without evidence that this ends by itself."""
    message = unschedulable(pod)
    preempts = (pod.get("status") or {}).get("nominatedNodeName")
    return bool(message) and not (BY_CLAIM.search(message) or SHORT.search(message) or preempts)


def placing_problem(pod: Obj, it: View) -> Problem | None:
    """Return the problem of a pod that fits on no node. None if that may change by itself."""
    if not fits_nowhere(pod) or any(map(model.is_terminating, it.neighbors)):
        return None
    return unschedulable_problem(pod, unschedulable(pod))


def unschedulable_problem(pod: Obj, message: str) -> Problem:
    """Return the problem of a pod that fits on no node."""
    return Problem(
        code="Unschedulable",
        text=f"pod {name_of(pod)} cannot be scheduled: {message}",
        advice=ADVICE,
        key=f"placing/{model.uid(pod)}",
        pod=name_of(pod),
        timeout=PLACING_PATIENCE,
    )


def claim_problems(pod: Obj, it: View, clock: Clock) -> list[Problem]:
    """Return the problems of the claims of a pod that has not started."""
    if it.claims is None or pod.get("status", {}).get("phase", "Pending") != "Pending":
        return []
    known = {name_of(claim): claim for claim in it.claims}
    found = [claim_problem(name, known.get(name), pod, it, clock) for name in sorted(holds.claims_of(pod))]
    return [problem for problem in found if problem]


def claim_problem(name: str, claim: Obj | None, pod: Obj, it: View, clock: Clock) -> Problem | None:
    """Return the problem of one claim of a pod. None if the claim has its volume, or if the pod needs a node first."""
    key = f"claim/{name}"
    if claim is None:
        text = f"pod {name_of(pod)} needs claim {name}, which does not exist"
        return Problem("ClaimMissing", text, advice="Apply the claim", key=key, pod=name_of(pod))
    phase = claim.get("status", {}).get("phase")
    if model.is_terminating(claim):
        others = [other for other in it.neighbors if model.uid(other) != model.uid(pod)]
        hold = holds.of(dict(claim) | {"kind": "PersistentVolumeClaim"}, others)
        text = f"claim {name} is being deleted{f', and {hold.text}' if hold else ''}"
        advice = hold.next_step if hold else "Wait until the claim is deleted"
        return Problem("ClaimDeleting", text, advice=advice, key=key, pod=name_of(pod))
    if phase == "Lost":
        text = f"volume {claim['spec'].get('volumeName')} was deleted while claim {name} was bound to it"
        advice = "Restore the volume, or delete the claim to start with an empty volume"
        return Problem("ClaimLost", text, advice=advice, pod=name_of(pod))
    message = unschedulable(pod)
    selected = SELECTED_NODE in (claim["metadata"].get("annotations") or {})
    if phase == "Bound" or (message and not BY_CLAIM.search(message) and not selected):
        return None
    return Problem(
        code="ClaimPending",
        text=f"claim {name} has no volume, and its storage class is {claim['spec'].get('storageClassName') or 'none'}",
        advice="Repair the provisioner of the class, or set another class and delete the claim, which has no data yet",
        key=key,
        pod=name_of(pod),
        claim=name,
        timeout=clock.volume,
    )
