# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Paths of the Kubernetes API for the kinds that the collection uses, so that no discovery request is necessary."""

from urllib.parse import quote

# Plurals of kinds in paths, by apiVersion and kind.
NAMESPACED = {
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
    ("rbac.authorization.k8s.io/v1", "Role"): "roles",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "rolebindings",
}
CLUSTER_WIDE = {
    ("v1", "Namespace"): "namespaces",
    ("v1", "Node"): "nodes",
    ("apiregistration.k8s.io/v1", "APIService"): "apiservices",
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): "selfsubjectaccessreviews",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "clusterroles",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "clusterrolebindings",
    ("storage.k8s.io/v1", "StorageClass"): "storageclasses",
}
PLURALS = NAMESPACED | CLUSTER_WIDE
VERSIONS = {kind: api_version for api_version, kind in PLURALS}


def root(api_version: str) -> str:
    """Return the path of an API version."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def path_of(api_version: str, plural: str, namespace: str = "", name: str = "") -> str:
    """Return the path of all objects of a kind or of one; without a namespace, in the whole cluster."""
    place = f"/namespaces/{quote(namespace, '')}" if namespace else ""
    return f"{root(api_version)}{place}/{plural}" + (name and f"/{quote(name, '')}")


def plural_of(kind: str) -> str:
    """Return the plural of a kind in the tables above."""
    return PLURALS[VERSIONS[kind], kind]
