# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The configuration that pods read, and its hash, by which they are replaced when it changes."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import pod_template

Obj = dict[str, Any]
# Kind and name.
Reference = tuple[str, str]

# Pods are replaced when this annotation of their template changes.
CONFIGURATION = "cloud-django/configuration-hash"


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
    """Return the workload with the hash in its pod template's annotations."""
    obj = copy.deepcopy(obj)
    template = pod_template(obj) or {}
    metadata = template.get("metadata") or {}
    template["metadata"] = metadata | {"annotations": (metadata.get("annotations") or {}) | {CONFIGURATION: digest}}
    return obj
