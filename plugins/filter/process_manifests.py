# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that makes the manifests of workers and schedules from the pod that all processes of a project share."""

DOCUMENTATION = r"""
name: process_manifests
short_description: Make the manifests of workers and schedules
version_added: 0.1.0
description:
  - Returns the workloads of all workers and schedules, and the objects that belong to them, in the order in which they
    are applied.
  - A worker is a Deployment. With C(single) it is a StatefulSet, whose next pod starts after the end of the last one. A
    schedule is a CronJob.
  - A worker with several replicas has a PodDisruptionBudget, and one with C(replicas_maximum) an autoscaler. A process
    with own egress rules has a NetworkPolicy for them.
  - Filters the pod, the container, and the egress rules by their key C(only), with the name of each process.
options:
  _input:
    description:
      - Parts that all processes share. C(app) and C(manage) are the name of the site and its management command.
      - C(pod), C(container), C(egress), C(pod_labels), and C(pod_annotations) are parts of pods. C(labels) are those of
        all objects, and C(selector) those that select a pod with its component.
      - C(templates) are manifests by kind, to which names, pods, and numbers are added.
      - C(secrets) are the names of Secrets by group, and C(logins) the names that replace some of them for another
        login role.
      - With C(stopped), workers have no pods and schedules start no Jobs.
    type: dict
    required: true
  workers:
    description: Settings by the name of the worker. V(null) removes a worker.
    type: dict
    required: true
  schedules:
    description: Settings by the name of the schedule. V(null) removes a schedule.
    type: dict
    required: true
  overrides:
    description: Dictionaries merged over the manifests, by kind.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Print the manifests of a worker
  ansible.builtin.debug:
    msg: "{{ base | cloud_django.kubernetes.process_manifests({'celery': {'command': ['celery', 'worker']}}, {}) }}"
  vars:
    base:
      app: shop
      manage: [python, manage.py]
      pod: {}
      container: {image: shop}
      egress: []
      labels: {}
      selector: {app.kubernetes.io/instance: shop}
      pod_labels: {}
      pod_annotations: {}
      templates: {Deployment: {apiVersion: apps/v1, kind: Deployment, spec: {}}}
      secrets: {}
      logins: {}
      stopped: false
"""

RETURN = r"""
_value:
  description: The manifests.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.cloud_django.kubernetes.plugins.filter.full_command import full_command
from ansible_collections.cloud_django.kubernetes.plugins.filter.merged import merged
from ansible_collections.cloud_django.kubernetes.plugins.filter.only import only
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.values import pod_source, secret_key
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.processes import (
    PROBES,
    SCHEDULE_DEFAULTS,
    WORKER_DEFAULTS,
    is_single,
    present,
)

Obj = dict[str, Any]
COMPONENT, PROCESS = "app.kubernetes.io/component", "cloud-django/process"
# Variable with the name of a process in the database, for projects that know the collection. Others have that of libpq.
APPLICATION_NAME = "DATABASE_APPLICATION_NAME"
# A crash of a worker without a readiness probe after this time is not seen by a rollout.
READY_SECONDS = 5
PROBE_DEFAULTS: dict[str, Obj] = {
    "live": {"periodSeconds": 30, "timeoutSeconds": 20, "failureThreshold": 3},
    "ready": {"periodSeconds": 10, "timeoutSeconds": 20, "failureThreshold": 3},
    "startup": {"periodSeconds": 5, "timeoutSeconds": 20, "failureThreshold": 60},
}
PROBE_FIELDS = {
    "delay": "initialDelaySeconds",
    "period": "periodSeconds",
    "timeout": "timeoutSeconds",
    "failures": "failureThreshold",
}


class Builder:
    """Maker of the manifests of a site's processes.

    Args:
        base: what all processes share.
        overrides: dictionaries merged over the manifests, by kind.
    """

    def __init__(self, base: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
        # Once, because each access to a value of Ansible may render it.
        self.base, self.overrides = plain(base), plain(overrides)
        self.objects: list[Obj] = []

    def add(self, kind: str, name: str, process: Obj, spec: Obj) -> None:
        """Add an object of a process."""
        template = self.base["templates"][kind]
        # By this label, objects of processes that are no longer in the inventory are found.
        labels = self.labels(process, name) | {PROCESS: "policy" if kind == "NetworkPolicy" else process["kind"]}
        found = template | {"metadata": {"name": self.name(name), "labels": labels}}
        self.objects.append(
            merged(found | {"spec": merged(template.get("spec") or {}, spec)}, self.overrides.get(kind, {}))
        )

    def name(self, name: str) -> str:
        return f"{self.base['app']}-{name}"

    def labels(self, process: Obj, name: str) -> Obj:
        return process["labels"] | self.base["labels"] | {COMPONENT: name}

    def selector(self, name: str) -> Obj:
        return self.base["selector"] | {COMPONENT: name}

    # --- Processes ------------------------------------------------------------------------------------------------

    def worker(self, name: str, given: Mapping[str, Any]) -> None:
        """Add the objects of a worker."""
        worker = WORKER_DEFAULTS | plain(given) | {"kind": "worker", "single": is_single(given)}
        replicas = 0 if self.base["stopped"] else int(worker["replicas"])
        maximum = 0 if worker["single"] or not replicas else int(worker["replicas_maximum"])
        self.network_policy(name, worker)
        selector = {"selector": {"matchLabels": self.selector(name)}}
        if replicas > 1:
            self.add("PodDisruptionBudget", name, worker, selector)
        if maximum:
            scaling = {"minReplicas": replicas, "maxReplicas": maximum}
            self.add("HorizontalPodAutoscaler", name, worker, scaling | self.scaled(name, worker))
        kind = "StatefulSet" if worker["single"] else "Deployment"
        # Omitted with an autoscaler, because each run would reset its number of pods.
        spec = selector | ({} if maximum else {"replicas": replicas})
        spec |= {"serviceName": self.name(name)} if worker["single"] else {}
        spec |= {"minReadySeconds": 0 if worker["probes"].get("ready") else READY_SECONDS}
        pod = self.spread(name) if kind == "Deployment" else {}
        self.add(kind, name, worker, spec | {"template": self.template(name, worker, pod)})

    def schedule(self, name: str, given: Mapping[str, Any]) -> None:
        """Add the objects of a schedule."""
        schedule = SCHEDULE_DEFAULTS | plain(given) | {"kind": "schedule", "probes": {}}
        self.network_policy(name, schedule)
        template = self.template(name, schedule, {"restartPolicy": "Never"})
        limits = {"backoffLimit": int(schedule["retries"]), "activeDeadlineSeconds": int(schedule["timeout"])}
        keep = int(schedule["keep"])
        spec = {
            "schedule": schedule["schedule"],
            "timeZone": schedule["time_zone"],
            "concurrencyPolicy": schedule["overlap"],
            "startingDeadlineSeconds": int(schedule["deadline"]),
            "successfulJobsHistoryLimit": keep,
            "failedJobsHistoryLimit": keep,
            "suspend": boolean(schedule["suspended"]) or self.base["stopped"],
            "jobTemplate": {"metadata": template["metadata"], "spec": limits | {"template": template}},
        }
        self.add("CronJob", name, schedule, spec)

    # --- Objects beside a workload --------------------------------------------------------------------------------

    def network_policy(self, name: str, process: Obj) -> None:
        """Add the connections of one process only. Those of all processes have one policy together."""
        rules = only([rule for rule in self.base["egress"] if "only" in rule], name)
        spec = {"podSelector": {"matchLabels": self.selector(name)}, "policyTypes": ["Egress"], "egress": rules}
        if rules:
            self.add("NetworkPolicy", name, process, spec)

    def scaled(self, name: str, worker: Obj) -> Obj:
        """Return the target of an autoscaler."""
        target = {"type": "Utilization", "averageUtilization": int(worker["cpu_target"])}
        # Not of sidecars, because their usage would hide that of the worker.
        resource = {"name": "cpu", "container": "worker", "target": target}
        return {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name(name)},
            "metrics": [{"type": "ContainerResource", "containerResource": resource}],
        }

    def spread(self, name: str) -> Obj:
        """Return the constraint that spreads the pods of a worker over the nodes."""
        constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        selector = {"labelSelector": {"matchLabels": self.selector(name)}, "matchLabelKeys": ["pod-template-hash"]}
        return {"topologySpreadConstraints": [constraint | selector]}

    # --- Pods -----------------------------------------------------------------------------------------------------

    def template(self, name: str, process: Obj, pod: Obj) -> Obj:
        """Return the pod template of a process."""
        spec = only(self.base["pod"], name)
        spec |= pod | {"terminationGracePeriodSeconds": int(process["stop_seconds"])}
        spec |= {"containers": [*(spec.get("containers") or []), self.container(name, process)]}
        # Labels of the inventory replace none that selectors and policies use.
        labels = process["labels"] | self.base["pod_labels"] | {COMPONENT: name, PROCESS: process["kind"]}
        annotations = self.base["pod_annotations"] | process["annotations"]
        annotations |= {"kubectl.kubernetes.io/default-container": process["kind"]}
        if names := self.base["logins"].get(process["login"]):
            spec = renamed(spec, names)
        return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}

    def container(self, name: str, process: Obj) -> Obj:
        """Return the container that runs the command of a process."""
        found = only(self.base["container"], name) | {"name": process["kind"], "resources": process["resources"]}
        if process["command"]:
            found |= {"command": full_command(process["command"], self.base["manage"])}
        if process["arguments"]:
            found |= {"args": [str(word) for word in process["arguments"]]}
        found["env"] = self.environment(found.get("env") or [], self.name(name), process["environment"])
        for probe, content in process["probes"].items():
            found[PROBE_NAMES[probe]] = PROBE_DEFAULTS[probe] | self.probe(content)
        return found

    def environment(self, entries: list[Obj], application: str, added: Obj) -> list[Obj]:
        """Return the environment of a process, with its name in the database and its own variables."""
        found = {entry["name"]: entry for entry in entries}
        names = {APPLICATION_NAME: application} if APPLICATION_NAME in found else {}
        for name, value in (names | added).items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = {"name": name} | self.value(value)
        return list(found.values())

    def value(self, value: Any) -> Obj:
        """Return the value of a variable: text, a key of a Secret, or a value of a group."""
        if not isinstance(value, Mapping):
            # Kubernetes expands $(NAME) and $$ in the environment of a container.
            return {"value": str(value).replace("$", "$$")}
        if "secret" in value:
            return {"valueFrom": {"secretKeyRef": {"name": value["secret"], "key": value["key"]}}}
        group, _, key = value["from"].partition(".")
        if group == "pod":
            kind, source = pod_source(key)
            return {"valueFrom": {kind: source}}
        secret = {"name": self.base["secrets"][group], "key": secret_key(group, key)}
        return {"valueFrom": {"secretKeyRef": secret | ({"optional": True} if group == "cache" else {})}}

    def probe(self, given: Obj) -> Obj:
        """Return a probe of a container."""
        found: Obj = {PROBE_FIELDS[key]: int(value) for key, value in given.items() if key in PROBE_FIELDS}
        if given.get("exec"):
            return found | {"exec": {"command": full_command(given["exec"], self.base["manage"])}}
        if given.get("tcp"):
            return found | {"tcpSocket": {"port": int(given["tcp"])}}
        headers = [{"name": key, "value": str(value)} for key, value in (given.get("headers") or {}).items()]
        request = {"path": given["http"], "port": int(given["port"])}
        return found | {"httpGet": request | ({"httpHeaders": headers} if headers else {})}


PROBE_NAMES = dict(zip(PROBES, ("livenessProbe", "readinessProbe", "startupProbe"), strict=True))


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a part of a pod in which other names of Secrets replace those of a login role."""
    if isinstance(value, Mapping):
        return {key: renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """Return a copy of a value in Python's own dictionaries and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def process_manifests(
    base: Mapping[str, Any],
    workers: Mapping[str, Any],
    schedules: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
) -> list[Obj]:
    """Return the manifests of all workers and schedules."""
    builder = Builder(base, overrides or {})
    for name, given in present(workers).items():
        builder.worker(name, given)
    for name, given in present(schedules).items():
        builder.schedule(name, given)
    return builder.objects


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[Obj]]]:
        """Return the filters by their names."""
        return {"process_manifests": process_manifests}
