# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Where the Kubernetes API keeps the objects of the kinds that we use, so that nobody has to ask it."""

from __future__ import annotations

from urllib.parse import quote

# What the API calls the objects of a kind in a path, by apiVersion and kind.
PLURALS = {
    ("v1", "ConfigMap"): "configmaps",
    ("v1", "Event"): "events",
    ("v1", "LimitRange"): "limitranges",
    ("v1", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ("v1", "Pod"): "pods",
    ("v1", "ResourceQuota"): "resourcequotas",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("v1", "ServiceAccount"): "serviceaccounts",
    ("apps/v1", "ControllerRevision"): "controllerrevisions",
    ("apps/v1", "DaemonSet"): "daemonsets",
    ("apps/v1", "Deployment"): "deployments",
    ("apps/v1", "ReplicaSet"): "replicasets",
    ("apps/v1", "StatefulSet"): "statefulsets",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("batch/v1", "CronJob"): "cronjobs",
    ("batch/v1", "Job"): "jobs",
    ("coordination.k8s.io/v1", "Lease"): "leases",
    ("networking.k8s.io/v1", "Ingress"): "ingresses",
    ("networking.k8s.io/v1", "NetworkPolicy"): "networkpolicies",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
}
_VERSIONS = {kind: api_version for api_version, kind in PLURALS}


def root(api_version: str) -> str:
    """Return the path of a version of the API."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def namespaced(api_version: str, plural: str, namespace: str, name: str = "") -> str:
    """Return the path of a namespace's objects of one kind, or of one of them."""
    return f"{root(api_version)}/namespaces/{quote(namespace, '')}/{plural}" + (name and f"/{quote(name, '')}")


def plural_of(kind: str) -> str:
    """Return what the API calls the objects of a kind that stands above."""
    return PLURALS[_VERSIONS[kind], kind]


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Return the path of a namespace's objects of a kind that stands above, or of one of them."""
    return namespaced(_VERSIONS[kind], plural_of(kind), namespace, name)
