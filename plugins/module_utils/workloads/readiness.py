# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Whether pods, claims and workloads are ready: the one rule for each kind of object."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

from . import placing
from .model import Obj, View, container_statuses, holds, is_terminating, partition, update_strategy, wanted_replicas

# By these an autoscaler of nodes (that of Kubernetes, Karpenter) says that it makes room for a pod.
MAKES_ROOM = ("TriggeredScaleUp", "Nominated")


def is_pod_ready(pod: Obj | None) -> bool:
    """Tell whether a pod exists, serves requests, and is not being deleted."""
    return pod is not None and holds(pod, "Ready") and not is_terminating(pod)


def is_rolled_out(obj: Obj) -> bool:
    """Tell from its own status alone whether a workload is rolled out. Every other object is."""
    kind = obj["kind"]
    if kind not in UNMET:
        return True
    return is_complete(kind, obj) or (is_observed(kind, obj) and not UNMET[kind](View(kind, obj, owner=obj)))


def job_failed(job: Obj) -> bool:
    """Tell whether a Job has failed. FailureTarget comes first, while its pods are still being stopped."""
    return holds(job, "Failed") or holds(job, "FailureTarget")


def gets_room(client: Client, pod: str) -> bool:
    """Tell whether an autoscaler of nodes has announced a node for a pod."""
    with contextlib.suppress(ApiError):
        return any(event.get("reason") in MAKES_ROOM for event in client.events("Pod", pod))
    return False


def wait_until_running(client: Client, pod: str, timeout: float, sleep: Callable[[float], Any] = time.sleep) -> None:
    """Wait for a pod's containers. Raises ApiError at the timeout, or at once if the pod ended or cannot start."""
    pace, gets_node = Pace(), False
    while True:
        found = client.get("Pod", pod) or {}
        status = found.get("status", {})
        waiting = [s["state"].get("waiting") or {} for s in container_statuses(found)]
        reason = next((f"{w['reason']} {w.get('message', '')}" for w in waiting if w.get("reason")), "")
        if status.get("phase") == "Running" and not any(waiting):
            return
        hopeless = any(word in reason for word in ("ErrImage", "ImagePull", "ConfigError", "RunContainerError"))
        if placing.fits_nowhere(found) and pace.seconds > placing.PLACING_PATIENCE:
            gets_node = gets_node or gets_room(client, pod)
            hopeless = hopeless or not gets_node
        if hopeless or status.get("phase") in ("Failed", "Succeeded") or pace.seconds > timeout:
            cause = reason or next((c["message"] for c in status.get("conditions") or [] if c.get("message")), "")
            reason = f"does not start: {short(cause or status.get('phase', 'it is missing'))}"
            raise ApiError(f"Pod {pod}", reason, "Correct the cause, then run the playbook again")
        pace.tell(
            f"pod {pod} has not started: {reason or placing.unschedulable(found) or status.get('phase', 'missing')}"
        )
        sleep(0.2)


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
