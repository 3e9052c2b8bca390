# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Results and errors of the module rollout, without the values of Secrets."""

import contextlib
import functools
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cause_of, short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError

from . import name_resolution
from .model import (
    Done,
    Failed,
    Obj,
    Objects,
    Problem,
    Waiting,
    container_statuses,
    find,
    name_of,
    running_containers,
    uid,
    view,
    wanted_replicas,
)
from .pods import CREATE_PREAMBLE
from .watch import Rollout


def summary(kind: str, name: str, objects: Objects) -> dict[str, Any]:
    """Return the result for one workload: replicas, images, and the image IDs of its running pods."""
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
            "image_ids": image_ids(pod),
        }
        for pod in sorted(it.current, key=name_of)
        if pod.get("status", {}).get("phase") in ("Running", "Succeeded")
    ]
    return {
        "kind": kind,
        "name": name,
        "replicas": replicas,
        "images": list(dict.fromkeys(c["image"] for c in running_containers(template))),
        "image_ids": sorted({i for pod in pods for i in pod["image_ids"].values() if i}),
        "pods": pods,
    }


def image_ids(pod: Obj) -> dict[str, str]:
    """Return the image IDs of the containers that run as long as the pod, by container name."""
    names = {container["name"] for container in running_containers(pod["spec"])}
    return {s["name"]: s.get("imageID", "") for s in container_statuses(pod) if s["name"] in names}


def recent_events(kind: str, name: str, objects: Objects, pod: str = "", limit: int = 5) -> list[str]:
    """Return the last events about a workload and its broken pod, if known, as short strings."""
    workload = find(objects, kind, name)
    if workload is None:
        return []
    it = view(kind, workload, objects)
    owners = {uid(o) for o in (workload, it.owner) if o is not None}
    watched = owners | {uid(p) for p in it.current if not pod or name_of(p) == pod}
    watched |= {uid(p) for p in it.pods if name_of(p) == pod}
    found: dict[tuple[str, ...], str] = {}
    for event in (e for e in it.events if e["involvedObject"]["uid"] in watched):
        about, text = event["involvedObject"], " ".join((event.get("message") or "").split())
        # Each rejected pod has another name, but the same rejection of ten pods is listed once.
        key = (event.get("reason", ""), about["uid"], CREATE_PREAMBLE.sub("", text))
        found.pop(key, None)
        found[key] = f"{key[0]} {about.get('kind', '')}/{about.get('name', '')}: {text}"
    return list(found.values())[-limit:]


def secret_references(pod_spec: Obj) -> set[str]:
    """Return the names of the Secrets that a pod's containers and volumes refer to."""
    groups = ("initContainers", "containers", "ephemeralContainers")
    containers = [container for group in groups for container in pod_spec.get(group) or []]
    sources = [entry.get("valueFrom") or {} for container in containers for entry in container.get("env") or []]
    sources += [source for container in containers for source in container.get("envFrom") or []]
    for volume in pod_spec.get("volumes") or []:
        sources += [volume, *((volume.get("projected") or {}).get("sources") or [])]
    named = [source.get(key) or {} for source in sources for key in ("secret", "secretRef", "secretKeyRef")]
    return {name for secret in named if (name := secret.get("secretName") or secret.get("name"))}


def secrets_of(kind: str, name: str, objects: Objects, pod: str = "") -> set[str]:
    """Return the names of the Secrets whose values may appear in the logs and events of a workload's pods."""
    workload, broken = find(objects, kind, name), find(objects, "Pod", pod)
    specs = [workload["spec"]["template"]["spec"]] if workload else []
    specs += [broken["spec"]] if broken else []
    return {secret for spec in specs for secret in secret_references(spec)}


def public_names(objects: Objects) -> set[str]:
    """Return public names. Masking a value inside them would only make a message unreadable."""
    names = {name_of(o) for kind, group in objects.items() if kind != "Event" for o in group}
    specs = [p["spec"] for p in objects.get("Pod", ()) if p.get("spec")]
    groups = [spec.get(group) or [] for spec in specs for group in ("initContainers", "containers")]
    names |= {c["image"] for group in groups for c in group if c.get("image")}
    return names | {secret for spec in specs for secret in secret_references(spec)}


def sentence(kind: str, name: str, namespace: str, problem: Problem) -> str:
    """Return the error message: the thing, the reason, the next step."""
    where = f" in namespace {namespace}" if problem.code in ("NotFound", "Deleting") else ""
    reason = f": {masking.shorten(problem.text).rstrip('.')}" if problem.text else ""
    step = f"{problem.advice}, {AGAIN}" if problem.advice else AGAIN.removeprefix("then ").capitalize()
    return masking.balanced(f"{kind} {name} {problem.verb}{where}{reason}. {step}.")


def report(sentences: Sequence[str], events: Sequence[str], log: Sequence[str], source: str = "") -> str:
    """Return the sentences, followed by the last events and log lines, each on its own line."""
    lines = [*sentences]
    lines += ["Last events:", *(f"  {event}" for event in events)] if events else []
    lines += [f"Last log lines of {source}:", *(f"  {line}" for line in log)] if log else []
    return "\n".join(lines)


@dataclass(frozen=True)
class Redactor:
    """Masks the values of Secrets in everything that is reported."""

    forms: Sequence[str] = ()
    public: frozenset[str] = frozenset()
    # Why the API does not answer. Then some values of Secrets are unknown.
    api_error: str = ""

    def text(self, text: str) -> str:
        return masking.mask(text, self.forms, self.public)

    def problem(self, problem: Problem) -> Problem:
        return replace(problem, text=self.text(problem.text), advice=self.text(problem.advice))


def secret_values(client: Client, names: Iterable[str]) -> tuple[list[bytes], str]:
    """Return the values to mask of the named Secrets, and why the API does not answer, if so.

    Secrets that do not exist or cannot be read have no values. Without an answer, the other Secrets are not read.
    """
    values: list[bytes] = []
    for name in sorted(names):
        try:
            data = (client.get("Secret", name) or {}).get("data") or {}
            values += [b64decode(text) for key, text in data.items() if key not in masking.PUBLIC_KEYS]
        except ApiError as error:
            if not error.status:
                return values, cause_of(error.__cause__ or error)
        except ValueError as error:
            return values, cause_of(error)
    return values, ""


def redactor(rollout: Rollout, extra: Sequence[str]) -> Redactor:
    """Return what masks the Secrets of the unfinished workloads."""
    names: set[str] = set()
    for workload, verdict in rollout.verdicts.items():
        if not isinstance(verdict, Done):
            names |= secrets_of(*workload, rollout.objects, verdict.problem.pod)
    api_error = next(iter(rollout.lost.values()), "")
    values, api_error = ([], api_error) if api_error else secret_values(rollout.client, names)
    return Redactor(masking.all_forms([*values, *extra]), frozenset(public_names(rollout.objects)), api_error)


def results(rollout: Rollout, redact: Redactor) -> list[dict[str, Any]]:
    """Return the workloads as the module returns them."""
    states = {Done: "done", Waiting: "waiting", Failed: "failed"}
    found = []
    for workload in rollout.workloads:
        verdict = rollout.verdicts[workload]
        state, reason = states[type(verdict)], ""
        if not isinstance(verdict, Done):
            problem = redact.problem(verdict.problem)
            state = "missing" if problem.code == "NotFound" else state
            reason = masking.shorten(problem.text or f"it {problem.verb}")
        found.append({**summary(*workload, rollout.objects), "state": state, "reason": reason})
    return found


def progress_line(rollout: Rollout, extra: Sequence[str]) -> str:
    """Return what the workloads wait for, in one line."""
    redact = redactor(rollout, extra)
    waiting = {workload: redact.problem(rollout.verdicts[workload].problem) for workload in rollout.of(Waiting)}
    if redact.api_error:
        return f"The Kubernetes API does not answer: {redact.api_error}"
    parts = [f"{kind} {name}: {masking.shorten(p.text, 300) or p.verb}" for (kind, name), p in waiting.items()]
    return "; ".join(parts)


def with_events(problem: Problem, client: Client) -> Problem:
    """Return the problem of a claim with the last event of its provisioner."""
    if not problem.claim:
        return problem
    events = []
    with contextlib.suppress(ApiError):
        events = client.events("PersistentVolumeClaim", problem.claim)
    # A warning is more useful than the controller's event that it waits.
    found = [event for event in events if event.get("type") == "Warning"] or events
    cause = short(found[-1].get("message")) if found else "no event shows the cause"
    return replace(problem, text=f"{problem.text}: {cause}")


def failure(rollout: Rollout, timeout: int, log_lines: int, extra: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of fail_json for a rollout that failed or timed out."""
    waited = round(rollout.seconds, 1)
    redact = redactor(rollout, extra)

    @functools.cache
    def log_of(pod: str, container: str, previous: bool) -> list[str]:
        """Return the last log lines of a container. Cached, because two callers need them."""
        return rollout.client.log(pod, container, previous, max(log_lines, name_resolution.LINES))

    broken = rollout.of(Failed)
    found = {w: with_events(rollout.verdicts[w].problem, rollout.client) for w in broken or rollout.of(Waiting)}
    if log_lines > 0 and not redact.api_error:
        pods = rollout.objects.get("Pod", ())
        found = {w: name_resolution.explained(problem, pods, log_of) for w, problem in found.items()}
    problems = {w: redact.problem(problem) for w, problem in found.items()}
    if not broken:
        api_error = redact.api_error and f", and the Kubernetes API does not answer: {redact.api_error}"
        verb = f"is not done after {timeout} s"
        problems = {w: replace(p, verb=verb, text=f"{p.text}{api_error}") for w, p in problems.items()}
    first, problem = next(iter(problems.items()))
    # Without the values of Secrets, masking is impossible, so events and logs are left out.
    found_events = [] if redact.api_error else recent_events(*first, rollout.objects, problem.pod)
    events = [masking.shorten(redact.text(event)) for event in found_events]
    log: list[str] = []
    if log_lines > 0 and problem.container and not redact.api_error:
        log = log_of(problem.pod, problem.container, problem.previous)[-log_lines:]
        # Masked as a whole, because a value may span lines.
        log = [line[:2000] for line in redact.text("\n".join(log)).splitlines()]
    sentences = [sentence(*workload, rollout.client.namespace, p) for workload, p in problems.items()]
    return {
        "msg": report(sentences, events, log, f"{problem.pod}/{problem.container}"),
        "reason": problem.code if broken else "Timeout",
        "events": events,
        "log": log,
        "seconds": waited,
        "workloads": results(rollout, redact),
    }


def plan(workloads: Sequence[dict[str, Any]], namespace: str) -> str:
    """Return the message of check mode: the workloads to wait for, and their current state."""
    parts = [f"{w['kind']} {w['name']} ({w['state']}{': ' if w['reason'] else ''}{w['reason']})" for w in workloads]
    return f"Would wait in namespace {namespace} for {', '.join(parts)}."
