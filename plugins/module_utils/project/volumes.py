# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Volumes and writable directories of the pods of a project."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

Obj = dict[str, Any]

# Kinds of volumes that exist already, by the option that names them.
EXISTING = ("claim", "secret", "config_map")
SHARED, ONE_NODE, ONE_POD = "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"


def volume_parts(volumes: Mapping[str, Any], writable: Mapping[str, Any], app: str) -> Obj:
    """Return what `django_volumes` and `django_writable` add to pods and to the namespace.

    Args:
        volumes: the volumes by name.
        writable: the options of empty directories by path.
        app: the name of the site.
    """
    kept = {name: volume for name, volume in volumes.items() if volume}
    paths = {path: options or {} for path, options in writable.items() if options is not None}
    mounts = [mount(name, volume) for name, volume in kept.items()]
    mounts += [with_only({"name": directory_name(path), "mountPath": path}, paths[path]) for path in paths]
    return {
        "volumes": [
            *(with_only({"name": name} | source(name, volume, app), volume) for name, volume in kept.items()),
            *(with_only({"name": directory_name(path)} | directory(paths[path]), paths[path]) for path in paths),
        ],
        "mounts": sorted(mounts, key=lambda each: each["mountPath"].count("/")),
        "affinity": affinity(kept, app),
        "claims": claims(kept, app),
        "required": [
            {"secret": volume["secret"], "key": "", "reason": f"volume {name} in django_volumes"}
            for name, volume in kept.items()
            if "secret" in volume
        ],
    }


def claims(volumes: Mapping[str, Any], app: str) -> list[Obj]:
    """Return the manifests of the claims that the role creates."""
    return [claim(name, each, app) for name, each in volumes.items() if each and is_own_claim(each)]


def with_only(part: Obj, options: Mapping[str, Any]) -> Obj:
    """Return a part of a pod with the names of the processes that it is for."""
    return part if options.get("only") is None else part | {"only": options["only"]}


def mount(name: str, volume: Mapping[str, Any]) -> Obj:
    """Return where a volume is mounted."""
    read_only = volume.get("read_only", "secret" in volume or "config_map" in volume)
    return with_only({"name": name, "mountPath": volume["path"]} | ({"readOnly": True} if read_only else {}), volume)


def source(name: str, volume: Mapping[str, Any], app: str) -> Obj:
    """Return the source of a volume, in the format of a pod."""
    if "secret" in volume:
        return {"secret": {"secretName": volume["secret"], "defaultMode": 0o440}}
    if "config_map" in volume:
        return {"configMap": {"name": volume["config_map"]}}
    return {"persistentVolumeClaim": {"claimName": volume.get("claim") or claim_name(name, app)}}


def is_own_claim(volume: Mapping[str, Any]) -> bool:
    """Return whether the role creates the claim of a volume."""
    return not any(kind in volume for kind in EXISTING)


def claim_name(name: str, app: str) -> str:
    """Return the name of a claim that the role creates."""
    return f"{app}-{name}"


def claim(name: str, volume: Mapping[str, Any], app: str) -> Obj:
    """Return the manifest of a claim."""
    storage_class = volume.get("storage_class")
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(name, app),
            "labels": {"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": app},
        },
        "spec": {
            "accessModes": [access(volume)],
            "resources": {"requests": {"storage": volume["size"]}},
            **({"storageClassName": storage_class} if storage_class else {}),
        },
    }


def access(volume: Mapping[str, Any]) -> str:
    """Return the access mode of a claim. That of an existing claim is unknown, so any node may mount it."""
    return volume.get("access") or (ONE_NODE if is_own_claim(volume) else SHARED)


def of_access(volumes: Mapping[str, Any], mode: str) -> list[str]:
    """Return the names of the volumes with an access mode."""
    return [name for name, volume in volumes.items() if volume and access(volume) == mode]


def directory(options: Mapping[str, Any]) -> Obj:
    """Return the source of an empty directory."""
    size = options.get("size") or "64Mi"
    return {"emptyDir": {"sizeLimit": size} | ({"medium": "Memory"} if options.get("memory") else {})}


def directory_name(path: str) -> str:
    """Return the name of the volume of an empty directory."""
    return f"writable-{sha256(path.encode()).hexdigest()[:10]}"


def affinity(volumes: Mapping[str, Any], app: str) -> list[Obj]:
    """Return the terms that put all pods with a volume of one node on the same node."""
    return [with_only(affinity_term(volumes[name], app), volumes[name]) for name in of_access(volumes, ONE_NODE)]


def affinity_term(volume: Mapping[str, Any], app: str) -> Obj:
    """Return the term for one volume. The labels exclude the database and the cache of the site."""
    labels = {"app.kubernetes.io/instance": app, "app.kubernetes.io/name": app}
    selector: Obj = {"matchLabels": labels}
    if volume.get("only") is not None:
        component = {"key": "app.kubernetes.io/component", "operator": "In", "values": list(volume["only"])}
        selector["matchExpressions"] = [component]
    return {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}


def notes(volumes: Mapping[str, Any], nodes: int = 0) -> list[str]:
    """Return what volumes of one node cost.

    Args:
        nodes: number of nodes of the cluster; 0 if it is unknown.
    """
    if nodes == 1 or not (names := of_access(volumes, ONE_NODE)):
        return []
    return [
        f"Volume {', '.join(names)} is {ONE_NODE}, so all pods that mount it run on one node, and the site is "
        f"unavailable while this node is lost. {SHARED} in django_volumes avoids this if the cluster has such a class."
    ]
