# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What is reported about a workload: its summary, its events, and the sentence of its error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import shorten

from .model import Obj, Objects, Problem, find, name_of, uid, view, wanted_replicas
from .refusals import CREATE_PREAMBLE


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
            "image_ids": {s["name"]: s.get("imageID", "") for s in pod["status"].get("containerStatuses") or []},
        }
        for pod in sorted(it.current, key=name_of)
        if pod.get("status", {}).get("phase") in ("Running", "Succeeded")
    ]
    return {
        "kind": kind,
        "name": name,
        "replicas": replicas,
        "images": list(dict.fromkeys(c["image"] for c in template["containers"])),
        "image_ids": sorted({i for pod in pods for i in pod["image_ids"].values() if i}),
        "pods": pods,
    }


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
    names: set[str | None] = set()
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod_spec.get(group) or []:
            for env in container.get("env") or []:
                names.add(((env.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name"))
            for source in container.get("envFrom") or []:
                names.add((source.get("secretRef") or {}).get("name"))
    for volume in pod_spec.get("volumes") or []:
        names.add((volume.get("secret") or {}).get("secretName"))
        for source in (volume.get("projected") or {}).get("sources") or []:
            names.add((source.get("secret") or {}).get("name"))
    return {name for name in names if name}


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
    names |= {c["image"] for spec in specs for c in spec.get("containers") or [] if c.get("image")}
    return names | {secret for spec in specs for secret in secret_references(spec)}


def sentence(kind: str, name: str, namespace: str, problem: Problem) -> str:
    """Return the error: the thing, the reason, the next step."""
    where = f" in namespace {namespace}" if problem.code in ("NotFound", "Deleting") else ""
    reason = f": {shorten(problem.text).rstrip('.')}" if problem.text else ""
    step = f"{problem.advice}, then run" if problem.advice else "Run"
    return f"{kind} {name} {problem.verb}{where}{reason}. {step} the playbook again."


def report(sentences: Sequence[str], events: Sequence[str], log: Sequence[str], source: str = "") -> str:
    """Return the sentences with the last events and log lines under them, each on a line of its own."""
    lines = [*sentences]
    lines += ["Last events:", *(f"  {event}" for event in events)] if events else []
    lines += [f"Last log lines of {source}:", *(f"  {line}" for line in log)] if log else []
    return "\n".join(lines)
