# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""What the module `apply` decides about Kubernetes objects, as pure functions."""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import json
import re
import secrets
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Obj = dict[str, Any]
Reference = tuple[str, str]

# Pods are replaced when this annotation of their template changes.
CONFIGURATION = "cloud-django/configuration-hash"

# The API server sets these; they say nothing about what was asked for.
_SERVER_METADATA = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
# All that a Secret's diff shows besides its keys. Its annotations may hold a copy of it, as kubectl apply makes one.
_PUBLIC_IN_SECRET = {"apiVersion", "kind", "type", "immutable"}
_PUBLIC_IN_SECRET_METADATA = {"name", "namespace", "labels"}
HIDDEN = "(hidden)"
_ALPHABET = string.ascii_letters + string.digits


class Refusal(Exception):
    """The work cannot be done; the message is the sentence for the user: the thing, the reason, the next step."""


def title(obj: Obj) -> str:
    """Return how an object is called in a sentence."""
    return f"{obj['kind']} {obj['metadata']['name']}"


def reference(obj: Obj) -> Reference:
    return obj["kind"], obj["metadata"]["name"]


def labels(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def is_going(obj: Obj) -> bool:
    """Tell whether an object is on its way out: it is deleted, and something that it owns or waits for is not yet."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def same_object(one: Obj, other: Obj) -> bool:
    """Tell whether both are the same object and not two of one name, one after the other."""
    return one["metadata"].get("uid") == other["metadata"].get("uid")


def as_text(pairs: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return labels whose values are text, also if one is a number. Raises Refusal if there are none."""
    if not pairs:
        raise Refusal(f"{what} is empty, so that every object would count as ours. Name the labels in it.")
    return {str(key): str(value) for key, value in pairs.items()}


def by_key(content: Mapping[str, Any], option: str) -> dict[str, dict[str, Any]]:
    """Return an option that has something for each key of each Secret. Raises Refusal if it has not."""
    for name, keys in content.items():
        if not isinstance(keys, dict | None):
            raise Refusal(f"Option {option} has no keys for Secret {name}. Write a dictionary there.")
    return {name: keys or {} for name, keys in content.items()}


def in_namespace(objects: Iterable[Obj], namespace: str) -> list[Obj]:
    """Return copies of `objects` that name their namespace. Raises Refusal for one that names another."""
    placed = []
    for obj in objects:
        metadata = obj.get("metadata")
        named = isinstance(metadata, dict) and metadata.get("name")
        missing = [key for key in ("apiVersion", "kind") if not obj.get(key)] + ([] if named else ["metadata.name"])
        if missing:
            raise Refusal(f"An object has no {missing[0]}. Add it to the manifest.")
        own = obj["metadata"].get("namespace") or namespace
        if own != namespace:
            raise Refusal(
                f"{title(obj)} names the namespace {own}, and this task applies to {namespace}. "
                "Leave its namespace out."
            )
        placed.append(copy.deepcopy(obj) | {"metadata": copy.deepcopy(obj["metadata"]) | {"namespace": namespace}})
    return placed


def refuse_twins(objects: Iterable[Obj]) -> None:
    """Raise Refusal if two are one and the same object: they would take turns for ever."""
    seen = set()
    for obj in objects:
        if reference(obj) in seen:
            raise Refusal(f"{title(obj)} is named twice. Name it once, either among objects or among unwanted.")
        seen.add(reference(obj))


def foreign(existing: Obj, owner: Mapping[str, str]) -> bool:
    """Tell whether `existing` lacks one of the labels that each object of ours carries."""
    return any(labels(existing).get(key) != value for key, value in owner.items())


def refuse_foreign(existing: Iterable[Obj], owner: Mapping[str, str], namespace: str) -> None:
    """Raise Refusal if one of the objects is somebody else's."""
    others = [title(obj) for obj in existing if foreign(obj, owner)]
    if others:
        verb = "exists and was" if len(others) == 1 else "exist and were"
        raise Refusal(
            f"{', '.join(others)} in namespace {namespace} {verb} not made by this site (the labels differ), so "
            "nothing was changed. Rename or remove it, or give the site another app_name or namespace."
        )


def random_text(length: int) -> str:
    """Return letters and digits from the system's source of randomness."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def fill_secret(
    secret: Obj,
    existing: Obj | None,
    values: Mapping[str, Any],
    generate: Mapping[str, Any],
    random: Callable[[int], str] = random_text,
) -> Obj:
    """Return `secret` with its `data`: given values win, then what is there, then something new.

    An empty value that is there counts as none. Raises Refusal for a value that is not text, without showing it.
    """
    given = {**(secret.get("stringData") or {}), **values}
    data = dict(secret.get("data") or {})
    for key, value in [*data.items(), *given.items()]:
        if not isinstance(value, str):
            raise Refusal(f"Key {key} of {title(secret)} is not text. Write its value in quotes.")
    there = (existing or {}).get("data") or {}
    for key, length in generate.items():
        if there.get(key):
            data[key] = there[key]
        elif key not in given:
            data[key] = encode(random(as_length(length, f"Key {key} of {title(secret)}")))
    data |= {key: encode(value) for key, value in given.items()}
    for key, value in data.items():
        if decode(value) is None:
            raise Refusal(f"Key {key} of {title(secret)} is not base64. Give its value among secret_values, as it is.")
    return {key: value for key, value in secret.items() if key != "stringData"} | {"data": data}


def as_length(value: Any, what: str) -> int:
    """Return a number of characters that may be a text, as from the command line. Raises Refusal for anything else."""
    try:
        length = int(value)
    except (TypeError, ValueError):
        length = 0
    if length < 1:
        raise Refusal(f"{what} cannot be {value} characters long. Write a number above zero in generate.")
    return length


def decode(value: str) -> bytes | None:
    """Return what a base64 text stands for, and None of anything else."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def hidden_data(secret: Obj) -> Obj:
    """Return the manifest of a Secret with its keys only."""
    fields = {field: secret[field] for field in ("data", "stringData") if isinstance(secret.get(field), dict)}
    return secret | {field: dict.fromkeys(content, HIDDEN) for field, content in fields.items()}


def encode(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def pod_template(obj: Obj) -> Obj | None:
    """Return the pod template of a workload, and None of anything else."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    elif obj["kind"] not in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return None
    return spec.get("template")


def configuration_references(template: Obj) -> list[Reference]:
    """Return the Secrets and ConfigMaps that a pod template reads, sorted."""
    found: set[Reference] = set()
    spec = template.get("spec") or {}
    sources = list(spec.get("volumes") or [])
    for volume in list(sources):
        sources += (volume.get("projected") or {}).get("sources") or []
    for source in sources:
        if "secret" in source:
            found.add(("Secret", source["secret"].get("secretName") or source["secret"].get("name")))
        if "configMap" in source:
            found.add(("ConfigMap", source["configMap"].get("name")))
    for container in (spec.get("initContainers") or []) + (spec.get("containers") or []):
        for source in container.get("envFrom") or []:
            for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if key in source:
                    found.add((kind, source[key].get("name")))
        for variable in container.get("env") or []:
            source = variable.get("valueFrom") or {}
            for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if key in source:
                    found.add((kind, source[key].get("name")))
    return sorted((kind, name) for kind, name in found if name)


def configuration_hash(references: Sequence[Reference], contents: Mapping[Reference, Obj]) -> str:
    """Return one hash over all that the references hold.

    One over everything, so that it gives nothing away as long as one value among them is random: each of them alone
    could be a short password that somebody guesses.
    """
    material = []
    for key in references:
        obj = contents.get(key) or {}
        material.append([*key, obj.get("data") or {}, obj.get("binaryData") or {}])
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:32]


def with_configuration_hash(obj: Obj, digest: str) -> Obj:
    """Return the workload with the hash in its pod template's annotations."""
    obj = copy.deepcopy(obj)
    template = pod_template(obj)
    metadata = template.get("metadata") or {}
    template["metadata"] = metadata | {"annotations": (metadata.get("annotations") or {}) | {CONFIGURATION: digest}}
    return obj


def named_by_content(job: Obj) -> Obj:
    """Return the Job with a hash of its specification at the end of its name: another content is another Job."""
    digest = hashlib.sha256(json.dumps(job.get("spec"), sort_keys=True).encode()).hexdigest()[:10]
    return job | {"metadata": job["metadata"] | {"name": f"{job['metadata']['name']}-{digest}"}}


def is_named_after(name: str, job: Obj) -> bool:
    """Tell whether `name` is what `job`, whatever its content, was called in one run or another."""
    return bool(re.fullmatch(re.escape(job["metadata"]["name"]) + "-[0-9a-f]{10}", name))


def meaning(obj: Obj | None) -> Obj:
    """Return the part of an object that somebody asked for."""
    if not obj:
        return {}
    rest = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER_METADATA}
    return {"metadata": metadata, **rest}


def same(before: Obj | None, after: Obj | None) -> bool:
    return meaning(before) == meaning(after)


def difference(before: Obj | None, after: Obj | None) -> Obj:
    """Return the entry of Ansible's diff for one object, with nothing of a Secret's content in it."""
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


def job_failed(job: Obj) -> bool:
    return any(
        condition["type"] in ("Failed", "FailureTarget") and condition["status"] == "True"
        for condition in (job.get("status") or {}).get("conditions") or []
    )


def is_rolled_out(obj: Obj) -> bool:
    """Tell from its status alone whether a workload is where it should be. Anything but a workload is."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if obj["kind"] == "Job":
        conditions = status.get("conditions") or []
        return any(condition["type"] == "Complete" and condition["status"] == "True" for condition in conditions)
    if obj["kind"] not in ("Deployment", "StatefulSet", "DaemonSet"):
        return True
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return False
    if obj["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0) == wanted
    wanted = spec.get("replicas", 1)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    if obj["kind"] == "StatefulSet" and status.get("currentRevision") != status.get("updateRevision"):
        return False
    return all(count == wanted for count in counts)


def outdated(items: Iterable[Obj], keep: int, wanted: Iterable[Obj]) -> list[Obj]:
    """Return the items to prune, oldest first: all but the `keep` youngest, and never one that is wanted.

    Those that are wanted and not there yet, as in a dry run, are the youngest of all. Those that are deleted already
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


def advice(status: int, words: str) -> str:
    """Return the next step after the API refused something, from what it said."""
    told = (
        (status == 401, "Renew the credentials"),
        ("exceeded quota" in words or "failed quota" in words, "Ask for less, or have the quota raised"),
        ("is being terminated" in words, "Wait until the namespace is gone"),
        ("admission webhook" in words or "admission policy" in words, "Do as it says, or ask who looks after it"),
        (status == 403, "Have the user of this kubeconfig allowed to do that"),
        (status == 409, "Somebody else changed it meanwhile: see that no two runs meet"),
        ("expected numeric" in words or "expected boolean" in words, "Write it without quotes, with -e as JSON"),
        (status in (400, 422), "Correct what the manifest says there"),
        (status == 429 or status >= 500, "See whether the cluster is well"),
    )
    return next((step for fits, step in told if fits), "Mend that")
