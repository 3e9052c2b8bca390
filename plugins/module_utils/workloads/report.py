# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What the module rollout reports about workloads, without the values of Secrets."""

import contextlib
import functools
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
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
    """Return what the module tells of a workload: replicas, images, and the image IDs of its running pods."""
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
    """Return the image IDs of the containers that run as long as the pod, by their names."""
    names = {container["name"] for container in running_containers(pod["spec"])}
    return {s["name"]: s.get("imageID", "") for s in container_statuses(pod) if s["name"] in names}


def recent_events(kind: str, name: str, objects: Objects, pod: str = "", limit: int = 5) -> list[str]:
    """Return the last events about a workload, and about its broken pod if that is known, as short strings."""
    workload = find(objects, kind, name)
    if workload is None:
        return []
    it = view(kind, workload, objects)
    owners = {uid(o) for o in (workload, it.owner) if o is not None}
    watched = owners | {uid(p) for p in it.current if not pod or name_of(p) == pod}
    watched |= {uid(p) for p in it.pods if name_of(p) == pod}
    told: dict[tuple[str, ...], str] = {}
    for event in (e for e in it.events if e["involvedObject"]["uid"] in watched):
        about, text = event["involvedObject"], " ".join((event.get("message") or "").split())
        # Each refused pod has a name of its own: the same refusal of ten of them is told once.
        key = (event.get("reason", ""), about["uid"], CREATE_PREAMBLE.sub("", text))
        told.pop(key, None)
        told[key] = f"{key[0]} {about.get('kind', '')}/{about.get('name', '')}: {text}"
    return list(told.values())[-limit:]


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
    """Return the names of the Secrets whose values may turn up in what a workload's pods say."""
    workload, broken = find(objects, kind, name), find(objects, "Pod", pod)
    specs = [workload["spec"]["template"]["spec"]] if workload else []
    specs += [broken["spec"]] if broken else []
    return {secret for spec in specs for secret in secret_references(spec)}


def public_names(objects: Objects) -> set[str]:
    """Return names that anybody may read, and inside which a masked value would only make a message unreadable."""
    names = {name_of(o) for kind, group in objects.items() if kind != "Event" for o in group}
    specs = [p["spec"] for p in objects.get("Pod", ()) if p.get("spec")]
    groups = [spec.get(group) or [] for spec in specs for group in ("initContainers", "containers")]
    names |= {c["image"] for group in groups for c in group if c.get("image")}
    return names | {secret for spec in specs for secret in secret_references(spec)}


def sentence(kind: str, name: str, namespace: str, problem: Problem) -> str:
    """Return the error: the thing, the reason, the next step."""
    where = f" in namespace {namespace}" if problem.code in ("NotFound", "Deleting") else ""
    reason = f": {masking.shorten(problem.text).rstrip('.')}" if problem.text else ""
    step = f"{problem.advice}, then run" if problem.advice else "Run"
    return masking.balanced(f"{kind} {name} {problem.verb}{where}{reason}. {step} the playbook again.")


def report(sentences: Sequence[str], events: Sequence[str], log: Sequence[str], source: str = "") -> str:
    """Return the sentences with the last events and log lines under them, each on a line of its own."""
    lines = [*sentences]
    lines += ["Last events:", *(f"  {event}" for event in events)] if events else []
    lines += [f"Last log lines of {source}:", *(f"  {line}" for line in log)] if log else []
    return "\n".join(lines)


@dataclass(frozen=True)
class Veil:
    """Masks the values of Secrets in whatever is told."""

    forms: Sequence[str] = ()
    public: frozenset[str] = frozenset()
    # Why the API does not answer, if so: not every value is known then.
    silence: str = ""

    def text(self, text: str) -> str:
        return masking.mask(text, self.forms, self.public)

    def problem(self, problem: Problem) -> Problem:
        return replace(problem, text=self.text(problem.text), advice=self.text(problem.advice))


def secret_values(client: Client, names: Iterable[str]) -> tuple[list[bytes], str]:
    """Return the values to mask of the named Secrets, and why the API does not answer if it does not.

    Secrets that do not exist or may not be read have no values. Without an answer the other Secrets are not read.
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


def veil(rollout: Rollout, extra: Sequence[str]) -> Veil:
    """Learn what has to be masked when the unfinished workloads are spoken of."""
    names: set[str] = set()
    for workload, verdict in rollout.verdicts.items():
        if not isinstance(verdict, Done):
            names |= secrets_of(*workload, rollout.objects, verdict.problem.pod)
    silence = next(iter(rollout.lost.values()), "")
    values, silence = ([], silence) if silence else secret_values(rollout.client, names)
    return Veil(masking.all_forms([*values, *extra]), frozenset(public_names(rollout.objects)), silence)


def told(rollout: Rollout, covered: Veil) -> list[dict[str, Any]]:
    """Return the workloads as the module returns them."""
    words = {Done: "done", Waiting: "waiting", Failed: "failed"}
    answers = []
    for workload in rollout.workloads:
        verdict = rollout.verdicts[workload]
        word, reason = words[type(verdict)], ""
        if not isinstance(verdict, Done):
            problem = covered.problem(verdict.problem)
            word = "missing" if problem.code == "NotFound" else word
            reason = masking.shorten(problem.text or f"it {problem.verb}")
        answers.append({**summary(*workload, rollout.objects), "state": word, "reason": reason})
    return answers


def outlook(rollout: Rollout, extra: Sequence[str]) -> str:
    """Return what the workloads wait for, in one line."""
    covered = veil(rollout, extra)
    waiting = {workload: covered.problem(rollout.verdicts[workload].problem) for workload in rollout.of(Waiting)}
    if covered.silence:
        return f"The Kubernetes API does not answer: {covered.silence}"
    parts = [f"{kind} {name}: {masking.shorten(p.text, 300) or p.verb}" for (kind, name), p in waiting.items()]
    return "; ".join(parts)


def with_events(problem: Problem, client: Client) -> Problem:
    """Return the problem of a claim with the last word of its provisioner."""
    if not problem.claim:
        return problem
    events = []
    with contextlib.suppress(ApiError):
        events = client.events("PersistentVolumeClaim", problem.claim)
    # A warning says more than the controller's remark that it waits.
    told = [event for event in events if event.get("type") == "Warning"] or events
    return replace(problem, text=f"{problem.text}: {short(told[-1].get('message')) if told else 'no event says why'}")


def failure(rollout: Rollout, timeout: int, log_lines: int, extra: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of fail_json for a rollout that failed or timed out."""
    waited = round(rollout.seconds, 1)
    covered = veil(rollout, extra)

    @functools.cache
    def log_of(pod: str, container: str, previous: bool) -> list[str]:
        """Return the last lines of a container, which are read once for both who need them."""
        return rollout.client.log(pod, container, previous, max(log_lines, name_resolution.LINES))

    broken = rollout.of(Failed)
    found = {w: with_events(rollout.verdicts[w].problem, rollout.client) for w in broken or rollout.of(Waiting)}
    if log_lines > 0 and not covered.silence:
        pods = rollout.objects.get("Pod", ())
        found = {w: name_resolution.explained(problem, pods, log_of) for w, problem in found.items()}
    problems = {w: covered.problem(problem) for w, problem in found.items()}
    if not broken:
        silence = covered.silence and f", and the Kubernetes API does not answer: {covered.silence}"
        verb = f"is not done after {timeout} s"
        problems = {w: replace(p, verb=verb, text=f"{p.text}{silence}") for w, p in problems.items()}
    first, problem = next(iter(problems.items()))
    # Without the Secrets' values nothing can be masked: what the pods said is then kept back.
    told_events = [] if covered.silence else recent_events(*first, rollout.objects, problem.pod)
    events = [masking.shorten(covered.text(event)) for event in told_events]
    log: list[str] = []
    if log_lines > 0 and problem.container and not covered.silence:
        log = log_of(problem.pod, problem.container, problem.previous)[-log_lines:]
        # Masked as a whole, since a value may span lines.
        log = [line[:2000] for line in covered.text("\n".join(log)).splitlines()]
    sentences = [sentence(*workload, rollout.client.namespace, p) for workload, p in problems.items()]
    return {
        "msg": report(sentences, events, log, f"{problem.pod}/{problem.container}"),
        "reason": problem.code if broken else "Timeout",
        "events": events,
        "log": log,
        "seconds": waited,
        "workloads": told(rollout, covered),
    }


def plan(workloads: Sequence[dict[str, Any]], namespace: str) -> str:
    """Return what check mode says: the present state of each workload, and that it would wait for it."""
    parts = [f"{w['kind']} {w['name']} ({w['state']}{': ' if w['reason'] else ''}{w['reason']})" for w in workloads]
    return f"Would wait in namespace {namespace} for {', '.join(parts)}."
