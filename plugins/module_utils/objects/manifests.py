# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manifests and existing objects: names, places, Jobs named by content, what pods read, what differs, what to prune."""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import HIDDEN

Obj = dict[str, Any]
# Kind, namespace and name.
Identity = tuple[str, str, str]
# Kind and name.
Reference = tuple[str, str]

# Pods are replaced when this annotation of their template changes.
CONFIGURATION = "cloud-django/configuration-hash"
# A template with this annotation, however empty, gets the name of its release: a hash of images and configuration.
RELEASE = "cloud-django/release"

# The API server sets these; they say nothing about what was asked for.
_SERVER_METADATA = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
# All that a Secret's diff shows besides its keys. Its annotations may hold a copy of it, as kubectl apply makes one.
_PUBLIC_IN_SECRET = {"apiVersion", "kind", "type", "immutable"}
_PUBLIC_IN_SECRET_METADATA = {"name", "namespace", "labels"}


def title(obj: Obj) -> str:
    """Return how an object is called in a sentence."""
    return f"{obj['kind']} {obj['metadata']['name']}"


def identity(obj: Obj) -> Identity:
    """Return what tells an object from all others of a task."""
    return obj["kind"], namespace_of(obj), obj["metadata"]["name"]


def namespace_of(obj: Obj) -> str:
    """Return the namespace of an object, empty if it belongs to none."""
    return obj["metadata"].get("namespace") or ""


def is_going(obj: Obj) -> bool:
    """Tell whether an object is being deleted, and something that it owns or waits for is not gone yet."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def lasting(obj: Obj | None) -> Obj | None:
    """Return an object that is not being deleted."""
    return None if obj and is_going(obj) else obj


def same_object(one: Obj, other: Obj) -> bool:
    """Tell whether both are the same object and not two of one name, one after the other."""
    return one["metadata"].get("uid") == other["metadata"].get("uid")


def placed(objects: Iterable[Obj], namespace: str, is_cluster_wide: Callable[[str, str], bool]) -> list[Obj]:
    """Return copies of manifests that name their namespace if they belong to one.

    With a `namespace`, all of them must belong to that one. Raises ManifestError if one does not, or names none.
    """
    return [_placed(obj, namespace, is_cluster_wide) for obj in objects]


def _placed(obj: Obj, namespace: str, is_cluster_wide: Callable[[str, str], bool]) -> Obj:
    metadata = obj.get("metadata")
    named = isinstance(metadata, dict) and metadata.get("name")
    missing = [key for key in ("apiVersion", "kind") if not obj.get(key)] + ([] if named else ["metadata.name"])
    if missing:
        raise ManifestError("An object", f"has no {missing[0]}", "Add it to the manifest")
    obj = copy.deepcopy(obj)
    own = obj["metadata"].pop("namespace", None)
    if is_cluster_wide(obj["apiVersion"], obj["kind"]):
        if namespace:
            reason = "belongs to no namespace, and this task works in one"
            raise ManifestError(f"{obj['kind']} of {obj['apiVersion']}", reason, "Leave it out")
        return obj
    if not (own or namespace):
        raise ManifestError(title(obj), "names no namespace", "Add one to its metadata, or set the option namespace")
    if namespace and own and own != namespace:
        reason = f"names the namespace {own}, and this task applies to {namespace}"
        raise ManifestError(title(obj), reason, "Leave its namespace out")
    obj["metadata"]["namespace"] = own or namespace
    return obj


def refuse_twins(objects: Iterable[Obj]) -> None:
    """Raise ManifestError if two are one and the same object: they would take turns for ever."""
    seen = set()
    for obj in objects:
        if identity(obj) in seen:
            raise ManifestError(title(obj), "is named twice", "Name it once, either among objects or among unwanted")
        seen.add(identity(obj))


def pod_template(obj: Obj) -> Obj | None:
    """Return the pod template of a workload, and None of anything else."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif obj["kind"] not in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return None
    return spec.get("template")


def named_by_content(job: Obj) -> Obj:
    """Return the Job with a hash of its specification at the end of its name: another content is another Job."""
    digest = hashlib.sha256(json.dumps(job.get("spec"), sort_keys=True).encode()).hexdigest()[:10]
    return job | {"metadata": job["metadata"] | {"name": f"{job['metadata']['name']}-{digest}"}}


def is_named_after(name: str, job: Obj) -> bool:
    """Tell whether `name` is that of a Job, whatever its content, in one run or another."""
    return bool(re.fullmatch(re.escape(job["metadata"]["name"]) + "-[0-9a-f]{10}", name))


def owned_replicas(existing: Obj | None, wanted: Obj, manager: str) -> int | None:
    """Return the replicas to hand over before `wanted`, which names none, is applied; None if there is nothing to do.

    A field that its only manager stops naming falls back to its default, which here is 1 and would end the other pods.
    """
    if not existing or "replicas" in (wanted.get("spec") or {}) or "replicas" not in (existing.get("spec") or {}):
        return None
    managers = existing["metadata"].get("managedFields") or []
    owners = {
        entry.get("manager")
        for entry in managers
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return existing["spec"]["replicas"] if owners == {manager} else None


def outdated(items: Iterable[Obj], keep: int, wanted: Iterable[Obj]) -> list[Obj]:
    """Return the items to prune, oldest first: all but the `keep` youngest, and never one that is wanted.

    Those that are wanted and do not exist yet, as in a dry run, are the youngest of all. Those that are being deleted
    do not count.
    """
    by_age = sorted(
        (item for item in items if not is_going(item)),
        key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]),
    )
    there = {item["metadata"]["name"] for item in by_age}
    names = {obj["metadata"]["name"] for obj in wanted}
    room = max(keep - len(names - there), 0)
    return [item for item in by_age[: max(len(by_age) - room, 0)] if item["metadata"]["name"] not in names]


# --- The configuration that pods read, and its hash, by which they are replaced when it changes -----------------------


def references(template: Obj) -> list[Reference]:
    """Return the Secrets and ConfigMaps that a pod template reads, sorted."""
    spec = template.get("spec") or {}
    volumes = spec.get("volumes") or []
    projected = [source for volume in volumes for source in (volume.get("projected") or {}).get("sources") or []]
    containers = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    whole = [source for container in containers for source in container.get("envFrom") or []]
    single = [entry.get("valueFrom") or {} for container in containers for entry in container.get("env") or []]
    found: set[Reference] = set()
    for kind, field in (("Secret", "secret"), ("ConfigMap", "configMap")):
        for source in [*volumes, *projected, *whole, *single]:
            for key in (field, f"{field}Ref", f"{field}KeyRef"):
                named = source.get(key) or {}
                found |= {(kind, name) for name in (named.get("secretName") or named.get("name"),) if name}
    return sorted(found)


def hash_of(keys: Sequence[Reference], contents: Mapping[Reference, Obj]) -> str:
    """Return one hash over everything that the references hold.

    One over everything, so that it gives nothing away as long as one value among them is random: each of them alone
    could be a short password that an attacker guesses.
    """
    material = []
    for key in keys:
        obj = contents.get(key) or {}
        material.append([*key, obj.get("data") or {}, obj.get("binaryData") or {}])
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:32]


def with_hash(obj: Obj, digest: str) -> Obj:
    """Return the workload with the hash, and the name of its release, in its pod template's annotations."""
    obj = copy.deepcopy(obj)
    template = pod_template(obj) or {}
    metadata = template.get("metadata") or {}
    annotations = (metadata.get("annotations") or {}) | {CONFIGURATION: digest}
    if RELEASE in annotations:
        annotations[RELEASE] = release_name(template, digest)
    template["metadata"] = metadata | {"annotations": annotations}
    return obj


def release_name(template: Obj, digest: str) -> str:
    """Return the name of a release, which is other pods' with another image or another configuration."""
    spec = template.get("spec") or {}
    containers = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    material = [digest, [[container.get("name"), container.get("image")] for container in containers]]
    return hashlib.sha256(json.dumps(material).encode()).hexdigest()[:32]


def releases(objects: Iterable[Obj]) -> list[dict[str, str]]:
    """Return the releases among workloads, as far as their pod templates name them."""
    found = []
    for obj in objects:
        annotations = ((pod_template(obj) or {}).get("metadata") or {}).get("annotations") or {}
        if name := annotations.get(RELEASE):
            workload = {"kind": obj["kind"], "name": obj["metadata"]["name"]}
            found.append(workload | {"release": name, "configuration_hash": annotations.get(CONFIGURATION, "")})
    return found


# --- What differs, without the API server's additions and the values of Secrets ---------------------------------------


def meaning(obj: Obj | None) -> Obj:
    """Return the part of an object that a client asked for."""
    if not obj:
        return {}
    rest = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_METADATA}
    return {"metadata": metadata, **rest}


def same(before: Obj | None, after: Obj | None) -> bool:
    """Tell whether two versions of an object mean the same."""
    return meaning(before) == meaning(after)


def holds(existing: Any, wanted: Any) -> bool:
    """Tell whether an object has everything that a manifest names."""
    if isinstance(existing, dict) and isinstance(wanted, dict):
        return all(key in existing and holds(existing[key], value) for key, value in wanted.items())
    return existing == wanted


def difference(before: Obj | None, after: Obj | None) -> Obj:
    """Return the entry of Ansible's diff for one object, with no value of a Secret in it."""
    old, new = ((obj or {}).get("data") or {} for obj in (before, after))

    def show(obj: Obj | None, word: str) -> str:
        if not obj:
            return ""
        shown = meaning(obj)
        if obj["kind"] == "Secret":
            metadata = {key: value for key, value in shown["metadata"].items() if key in _PUBLIC_IN_SECRET_METADATA}
            data = {
                key: HIDDEN if old.get(key) == new.get(key) else f"(hidden, {word})"
                for key in sorted(obj.get("data") or {})
            }
            shown = {key: value for key, value in shown.items() if key in _PUBLIC_IN_SECRET}
            shown |= {"metadata": metadata, "data": data}
        return json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    name = title(after or before or {})
    return {"before_header": name, "after_header": name, "before": show(before, "old"), "after": show(after, "new")}
