# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manifests and existing objects: names, namespaces, Jobs, releases, configuration hashes, differences, and pruning."""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import HIDDEN

Obj = dict[str, Any]
# Kind, namespace and name.
Identity = tuple[str, str, str]
# Kind and name.
Reference = tuple[str, str]

# Annotation of a pod template. A change replaces the pods.
CONFIGURATION = "cloud-django/configuration-hash"
# Annotation of a pod template that gets the name of the release, which is a hash of images and configuration.
RELEASE = "cloud-django/release"

# The API server sets these fields; they are not part of a manifest.
_SERVER_METADATA = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
# Fields of a Secret that its diff shows besides its keys. No annotations, because kubectl apply stores a copy there.
_PUBLIC_IN_SECRET = {"apiVersion", "kind", "type", "immutable"}
_PUBLIC_IN_SECRET_METADATA = {"name", "namespace", "labels"}


def title(obj: Obj) -> str:
    """Return the name of an object for messages."""
    return f"{obj['kind']} {obj['metadata']['name']}"


def identity(obj: Obj) -> Identity:
    """Return the key that identifies an object of a task."""
    return obj["kind"], namespace_of(obj), obj["metadata"]["name"]


def namespace_of(obj: Obj) -> str:
    """Return the namespace of an object; empty if it is cluster-scoped."""
    return obj["metadata"].get("namespace") or ""


def is_going(obj: Obj) -> bool:
    """Return whether an object is being deleted and still exists, for instance because of its pods."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def lasting(obj: Obj | None) -> Obj | None:
    """Return an object, or None if it is missing or being deleted."""
    return None if obj and is_going(obj) else obj


def same_object(one: Obj, other: Obj) -> bool:
    """Return whether both are the same object, and not a deleted one and its successor of the same name."""
    return one["metadata"].get("uid") == other["metadata"].get("uid")


def placed(objects: Iterable[Obj], namespace: str, is_cluster_wide: Callable[[str, str], bool]) -> list[Obj]:
    """Return copies of manifests with their namespaces.

    With a `namespace`, all objects must belong to it. Raises ManifestError for another or a missing namespace.
    """
    return [_placed(obj, namespace, is_cluster_wide) for obj in objects]


def _placed(obj: Obj, namespace: str, is_cluster_wide: Callable[[str, str], bool]) -> Obj:
    metadata = obj.get("metadata")
    named = isinstance(metadata, dict) and metadata.get("name")
    missing = [key for key in ("apiVersion", "kind") if not obj.get(key)] + ([] if named else ["metadata.name"])
    if missing:
        raise ManifestError("An object", f"has no {missing[0]}", f"Add it to the manifest, {AGAIN}")
    obj = copy.deepcopy(obj)
    own = obj["metadata"].pop("namespace", None)
    if is_cluster_wide(obj["apiVersion"], obj["kind"]):
        if namespace:
            reason = "is cluster-scoped, but this task changes only one namespace"
            step = f"Remove it from the task, {AGAIN}"
            raise ManifestError(f"{obj['kind']} of {obj['apiVersion']}", reason, step)
        return obj
    if not (own or namespace):
        step = f"Add one to its metadata, or set the option namespace, {AGAIN}"
        raise ManifestError(title(obj), "has no namespace", step)
    if namespace and own and own != namespace:
        reason = f"has the namespace {own}, but this task changes only {namespace}"
        raise ManifestError(title(obj), reason, f"Remove the namespace from its metadata, {AGAIN}")
    obj["metadata"]["namespace"] = own or namespace
    return obj


def refuse_twins(objects: Iterable[Obj]) -> None:
    """Raise ManifestError if two manifests are for the same object, because each run would change it twice."""
    seen = set()
    for obj in objects:
        if identity(obj) in seen:
            step = f"List it once, either in objects or in unwanted, {AGAIN}"
            raise ManifestError(title(obj), "is listed twice", step)
        seen.add(identity(obj))


def pod_template(obj: Obj) -> Obj | None:
    """Return the pod template of a workload, None for other kinds."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif obj["kind"] not in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return None
    return spec.get("template")


def named_by_content(job: Obj) -> Obj:
    """Return the Job with a hash of its specification in its name, because a Job's template cannot be changed."""
    digest = hashlib.sha256(json.dumps(job.get("spec"), sort_keys=True).encode()).hexdigest()[:10]
    return job | {"metadata": job["metadata"] | {"name": f"{job['metadata']['name']}-{digest}"}}


def is_named_after(name: str, job: Obj) -> bool:
    """Return whether `name` is a name of this Job in any run, regardless of its content."""
    return bool(re.fullmatch(re.escape(job["metadata"]["name"]) + "-[0-9a-f]{10}", name))


def owned_replicas(existing: Obj | None, wanted: Obj, manager: str) -> int | None:
    """Return the replicas to hand over before `wanted`, which has none, is applied; None if that is not necessary.

    A field that its only manager stops setting gets its default. Here that is 1, which would stop all other pods.
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
    """Return the items to prune, oldest first: all but the `keep` youngest, and none that is wanted.

    Wanted items that do not exist yet, as in check mode, count as the youngest. Items that are being deleted don't
    count.
    """
    by_age = sorted(
        (item for item in items if not is_going(item)),
        key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]),
    )
    existing = {item["metadata"]["name"] for item in by_age}
    names = {obj["metadata"]["name"] for obj in wanted}
    room = max(keep - len(names - existing), 0)
    return [item for item in by_age[: max(len(by_age) - room, 0)] if item["metadata"]["name"] not in names]


def is_custom(obj: Obj) -> bool:
    """Return whether a manifest is of a kind that Kubernetes itself lacks."""
    group = obj.get("apiVersion", "").rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def companions(rule: Mapping[str, Any], item: Obj) -> list[Obj]:
    """Return the objects that a rule removes together with an item, as kinds and names."""
    metadata = item["metadata"]
    return [
        {"apiVersion": other["api_version"], "kind": other["kind"]}
        | {"metadata": {"name": other.get("name") or metadata["name"], "namespace": metadata.get("namespace")}}
        for other in rule.get("together") or []
    ]


# --- The configuration that pods read, and its hash -------------------------------------------------------------------


def references(template: Obj, optional: bool = True) -> list[Reference]:
    """Return the Secrets and ConfigMaps that a pod template reads, sorted.

    Args:
        optional: whether to include those without which the pods start as well.
    """
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
                name = named.get("secretName") or named.get("name")
                found |= {(kind, name)} if name and (optional or not named.get("optional")) else set()
    return sorted(found)


def hash_of(keys: Sequence[Reference], contents: Mapping[Reference, Obj]) -> str:
    """Return one hash of all referenced content.

    A single hash reveals nothing as long as one of the values is random. A hash of each value would let an attacker
    guess a short password.
    """
    material = []
    for key in keys:
        obj = contents.get(key) or {}
        material.append([*key, obj.get("data") or {}, obj.get("binaryData") or {}])
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:32]


def with_hash(obj: Obj, digest: str) -> Obj:
    """Return the workload with the hash and the name of its release in the annotations of its pod template."""
    obj = copy.deepcopy(obj)
    template = pod_template(obj) or {}
    metadata = template.get("metadata") or {}
    annotations = (metadata.get("annotations") or {}) | {CONFIGURATION: digest}
    if RELEASE in annotations:
        annotations[RELEASE] = release_name(template, digest)
    template["metadata"] = metadata | {"annotations": annotations}
    return obj


def release_name(template: Obj, digest: str) -> str:
    """Return the name of a release, a hash of its images and its configuration."""
    spec = template.get("spec") or {}
    containers = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    material = [digest, [[container.get("name"), container.get("image")] for container in containers]]
    return hashlib.sha256(json.dumps(material).encode()).hexdigest()[:32]


def releases(objects: Iterable[Obj]) -> list[dict[str, str]]:
    """Return the releases of the workloads whose pod templates have one."""
    found = []
    for obj in objects:
        annotations = ((pod_template(obj) or {}).get("metadata") or {}).get("annotations") or {}
        if name := annotations.get(RELEASE):
            workload = {"kind": obj["kind"], "name": obj["metadata"]["name"]}
            found.append(workload | {"release": name, "configuration_hash": annotations.get(CONFIGURATION, "")})
    return found


# --- Differences, without fields of the API server and values of Secrets ----------------------------------------------


def meaning(obj: Obj | None) -> Obj:
    """Return the part of an object that clients set."""
    if not obj:
        return {}
    rest = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_METADATA}
    return {"metadata": metadata, **rest}


def same(before: Obj | None, after: Obj | None) -> bool:
    """Return whether two versions of an object have the same content."""
    return meaning(before) == meaning(after)


def holds(existing: Any, wanted: Any) -> bool:
    """Return whether an object has all fields of a manifest."""
    if isinstance(existing, dict) and isinstance(wanted, dict):
        return all(key in existing and holds(existing[key], value) for key, value in wanted.items())
    return existing == wanted


def difference(before: Obj | None, after: Obj | None) -> Obj:
    """Return the entry of Ansible's diff for one object, without values of Secrets."""
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
