# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The verdict about a workload: done, waiting, or failed."""

from collections.abc import Sequence
from dataclasses import replace

from . import model, placing, probes
from . import pods as causes
from .model import Clock, Done, Failed, Memory, Obj, Objects, Problem, Verdict, View, Waiting, condition, find, holds
from .readiness import UNMET, is_complete, is_observed, is_pod_ready


def standstill(kind: str, workload: Obj) -> Problem | None:
    """Return why a workload makes no progress according to its own spec, or None."""
    spec = workload["spec"]
    if model.is_terminating(workload):
        return Problem("Deleting", "", advice="Wait until it is deleted", verb="is being deleted")
    if kind == "Deployment" and spec.get("paused"):
        return Problem("Paused", "it is paused", advice="Set its spec.paused to false")
    if kind == "Job" and spec.get("suspend"):
        return Problem("Suspended", "it is suspended", advice="Set its spec.suspend to false")
    return None


def failed_job(it: View, placed: bool) -> Problem | None:
    """Return why a Job failed. FailureTarget comes first, while its pods are still being stopped.

    Args:
        placed: whether a pod of the Job was ever on a node.
    """
    state = next((condition(it.workload, k) for k in ("Failed", "FailureTarget") if holds(it.workload, k)), None)
    if state is None:
        return None
    reason, message = state.get("reason") or "Failed", (state.get("message") or "").rstrip(".")
    pod, container = failed_container(it.pods)
    text, advice = f"{reason}: {message}" if message else reason, "Read its log and fix the cause"
    ended = end_of(it.pods, pod)
    if cause := causes.start_failure(ended):
        text, advice = f"container {container} of pod {pod} cannot start: {cause}", causes.COMMAND_ADVICE
    elif cause := causes.last_words(ended.get("message") or ""):
        text, advice = cause, causes.next_step(ended["message"])
    if reason == "DeadlineExceeded":
        advice = "Find in its log what it waited for, or raise its activeDeadlineSeconds"
        if not placed and (cause := unplaced(it)):
            text, advice = f"{text}, and its pod could not be scheduled: {cause}", placing.ADVICE
    return Problem(
        code=reason,
        text=text,
        advice=advice,
        verb="has failed",
        pod=pod,
        container=container,
    )


def unplaced(it: View) -> str:
    """Return the scheduler's message on why no pod of a Job got a node. Empty if one did, or if that is unknown.

    The pods of a Job that is past its deadline are deleted, and only their events remain.
    """
    events = [e for e in it.events if e["involvedObject"]["uid"] != model.uid(it.workload)]
    is_last = bool(events) and events[-1].get("reason") == "FailedScheduling"
    return (events[-1].get("message") or "").rstrip(".") if is_last else ""


def failed_container(pods: Sequence[Obj]) -> tuple[str, str]:
    """Return the names of the youngest pod and of its failed container, or of its first container."""
    if not pods:
        return "", ""
    pod = max(pods, key=lambda p: (p["metadata"].get("creationTimestamp", ""), model.name_of(p)))
    for status in model.container_statuses(pod):
        if failed_end(status):
            return model.name_of(pod), status["name"]
    return model.name_of(pod), pod["spec"]["containers"][0]["name"]


def end_of(pods: Sequence[Obj], name: str) -> Obj:
    """Return how a pod's first failed container ended; empty if none failed."""
    statuses = [status for pod in pods if model.name_of(pod) == name for status in model.container_statuses(pod)]
    return next((end for status in statuses if (end := failed_end(status))), {})


def failed_end(status: Obj) -> Obj | None:
    """Return how a container failed, or None if it did not."""
    ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    return ended if ended and ended.get("exitCode") else None


def deployment_problems(it: View, since: float) -> list[Problem]:
    """Return the problem that a Deployment's Progressing condition reports."""
    state = condition(it.workload, "Progressing")
    if state.get("status") != "False":
        return []
    if state.get("reason") == "ReplicaSetCreateError":
        text = f"its ReplicaSet is rejected: {state.get('message', '')}"
        return [Problem("ReplicaSetCreateError", text, advice="Correct what the message names", key="replicaset")]
    if state.get("reason") != "ProgressDeadlineExceeded":
        return []
    deadline = it.workload["spec"].get("progressDeadlineSeconds", 600)
    text = f"no progress for {deadline} s (ProgressDeadlineExceeded)"
    waits = waiting_pod(it)
    if waits:
        text = f"{text}, and {waits.text}"
    # A condition from an earlier attempt may be outdated, so that a fix gets the grace period to take effect.
    stale = model.seconds(state.get("lastTransitionTime")) < int(since)
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
    """Return what blocks an ordered StatefulSet. It replaces no pod, even a broken one, until all are ready."""
    if it.kind != "StatefulSet" or it.workload["spec"].get("podManagementPolicy") == "Parallel":
        return None
    for pod in it.pods:
        problems = [] if pod in it.current or is_pod_ready(pod) else causes.pod_problems(it.kind, pod, it.events, since)
        if problems:
            text = f"pod {model.name_of(pod)} of an earlier revision blocks the update: {problems[0].text}"
            return replace(
                problems[0], code="Blocked", text=text, advice="Delete the pod", key=f"blocked/{model.uid(pod)}"
            )
    return None


def waiting_pod(it: View) -> Problem | None:
    """Return the most useful problem that a pod waits for, or None."""
    pods = [pod for pod in it.current if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    for pod in pods:
        if message := placing.unschedulable(pod):
            return placing.unschedulable_problem(pod, message)
    for pod in pods:
        event = model.newest_event(it.events, pod, *causes.MOUNT_REASONS)
        if event and pod.get("status", {}).get("phase") == "Pending":
            text = f"pod {model.name_of(pod)} cannot start: {event.get('message', '')}"
            return Problem(event["reason"], text, advice="Correct what the message names", pod=model.name_of(pod))
    for pod in pods if it.kind != "Job" else ():
        if problem := unready(it, pod):
            return problem
    return None


def unready(it: View, pod: Obj) -> Problem | None:
    """Return why a running pod is not ready, or None. A sidecar that has not started blocks the containers after it."""
    started = pod.get("status", {}).get("phase") == "Running"
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or [] if model.is_sidecar(c)}
    running = [s for s in model.container_statuses(pod) if not s.get("ready") and "running" in (s.get("state") or {})]
    if is_pod_ready(pod) or not (started or any(status["name"] in sidecars for status in running)):
        return None
    event = model.newest_event(it.events, pod, "Unhealthy")
    container = running[0]["name"] if running else ""
    if event and (refused := probes.refusal(pod, event)):
        return replace(refused, key="", container=container)
    text = f"pod {model.name_of(pod)} runs but is not ready"
    text = f"{text}: {event.get('message', '').strip()}" if event else text
    advice = "Read its log and the events of its probe, and fix the cause"
    return Problem("NotReady", text, advice=advice, pod=model.name_of(pod), container=container)


def waiting_for(it: View, lacking: str, suspects: Sequence[Problem], last: causes.PodRejection | None) -> Problem:
    """Return what a workload waits for: what it lacks, and the most likely cause."""
    cause = suspects[0] if suspects else waiting_pod(it)
    if cause is None and last is not None:
        cause = causes.rejection_problem(it, last)
    if cause is None:
        pod, container = failed_container(it.current) if it.kind == "Job" else ("", "")
        return Problem("Waiting", lacking, advice="Check its events", pod=pod, container=container)
    return replace(cause, text=f"{lacking}, and {cause.text}", key="")


def timeout_of(problem: Problem, clock: Clock) -> float:
    """Return the seconds that a problem may last if it could end by itself."""
    return clock.grace if problem.timeout is None else problem.timeout


def judge(kind: str, name: str, objects: Objects, clock: Clock, memory: Memory) -> tuple[Verdict, Memory]:
    """Return the verdict about one workload.

    Args:
        kind: Deployment, StatefulSet, DaemonSet, or Job.
        name: of the workload, in the namespace of the objects.
        objects: by kind, all objects of the namespace that `kinds_to_watch` names and that can be read.
        clock: the current time, the start of the wait, and the grace period.
        memory: the memory that the previous call for this workload returned.

    Returns:
        The verdict, and the memory for the next call.
    """
    workload = find(objects, kind, name)
    if workload is None:
        return Failed(Problem("NotFound", "", advice="Apply it", verb="does not exist")), memory
    if is_complete(kind, workload):
        return Done(), Memory()
    if stopped := standstill(kind, workload):
        return Failed(stopped), memory
    if not is_observed(kind, workload):
        return Waiting(Problem("NotObserved", "its controller has not processed the change")), memory
    it = model.view(kind, workload, objects)
    lacking = UNMET[kind](it)
    if not lacking:
        return Done(), Memory()
    if kind == "Job" and any((pod.get("spec") or {}).get("nodeName") for pod in it.pods):
        memory = replace(memory, placed=True)
    if kind == "Job" and (failure := failed_job(it, memory.placed)):
        return Failed(failure), memory
    if any(model.is_terminating(pod) for pod in it.pods):
        memory = replace(memory, terminating=clock.now)
    last = causes.last_rejection(it)
    problems = [p for pod in it.current for p in causes.pod_problems(kind, pod, it.events, clock.since)]
    problems += probes.settled_refusals(it)
    for pod in it.current:
        problems += [p for p in (placing.placing_problem(pod, it),) if p] + placing.claim_problems(pod, it, clock)
    if last and causes.is_current(last, it, clock.since, memory.terminating):
        problems.append(causes.rejection_problem(it, last))
    if kind == "Deployment":
        problems += deployment_problems(it, clock.since)
    if blocked := blocked_update(it, clock.since):
        problems.append(blocked)
    memory = replace(memory, first_seen={p.key: memory.first_seen.get(p.key, clock.now) for p in problems if p.key})
    lasting = [p for p in problems if not p.key or clock.now - memory.first_seen[p.key] >= timeout_of(p, clock)]
    if lasting:
        return Failed(min(lasting, key=lambda p: bool(p.key))), memory
    return Waiting(waiting_for(it, lacking, problems, last)), memory
