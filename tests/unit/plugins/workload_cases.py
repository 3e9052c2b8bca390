"""Recordings of workloads that a test can change before the verdict.

They are from a Kubernetes 1.36.3 control plane, which created the specs, conditions, controller events, and quotas. It
had no node, so the status of pods and the events of the kubelet were written manually, with the messages of its source.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.verdict import judge

RECORDED = Path(__file__).parent / "recorded"
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "job": "Job"}
GRACE = 5.0


class Case:
    """One recording, which a test can change before the verdict."""

    def __init__(self, name: str) -> None:
        content = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
        self.objects: dict[str, list[dict[str, Any]]] = content["objects"]
        self.kind = KINDS[name.partition("_")[0]]
        self.workload = self.objects[self.kind][0]
        self.name = self.workload["metadata"]["name"]
        self.now = model.seconds(content["recorded_at"])
        self.since = self.now - 60
        self.memory = model.Memory()

    @property
    def status(self) -> dict[str, Any]:
        return self.workload["status"]

    @property
    def spec(self) -> dict[str, Any]:
        return self.workload["spec"]

    @property
    def current(self) -> list[dict[str, Any]]:
        return list(model.view(self.kind, self.workload, self.objects).current)

    def pod(self, index: int = 0) -> dict[str, Any]:
        return self.current[index]

    def judge(self, later: float = 0.0) -> model.Verdict:
        """Return the verdict some seconds after the recording, with the memory of earlier verdicts."""
        clock = model.Clock(now=self.now + later, since=self.since, grace=GRACE)
        verdict, self.memory = judge(self.kind, self.name, self.objects, clock, self.memory)
        return verdict

    def lasting(self) -> model.Verdict:
        """Return the second verdict, after the grace period."""
        self.judge()
        return self.judge(later=GRACE + 0.1)

    def failure(self, later: float = 0.0) -> model.Problem:
        verdict = self.judge(later)
        assert isinstance(verdict, model.Failed), verdict
        return verdict.problem

    def lasting_failure(self) -> model.Problem:
        """Expect a wait at first, and a failure after the grace period."""
        assert isinstance(self.judge(), model.Waiting)
        assert isinstance(self.judge(later=GRACE - 0.1), model.Waiting)
        return self.failure(later=GRACE + 0.1)

    def wait(self, later: float = 0.0) -> model.Problem:
        verdict = self.judge(later)
        assert isinstance(verdict, model.Waiting), verdict
        return verdict.problem


def waiting(pod: dict[str, Any], reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    """Set the waiting reason of a pod's first container."""
    pod["status"]["phase"] = "Pending" if reason != "CrashLoopBackOff" else "Running"
    pod["status"]["conditions"] = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    status = pod["status"].setdefault(kind, [{"name": pod["spec"]["containers"][0]["name"]}])[0]
    status.update({"ready": False, "state": {"waiting": {"reason": reason, "message": message}}, "lastState": {}})
    return status


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(about: dict[str, Any], kind: str, reason: str, message: str, at: float) -> dict[str, Any]:
    meta = about["metadata"]
    return {
        "metadata": {"name": f"{meta['name']}.{reason}", "uid": f"{meta['uid']}-{reason}-{at}"},
        "involvedObject": {"kind": kind, "name": meta["name"], "uid": meta["uid"]},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": stamp(at),
    }


def rolling_deployment() -> Case:
    """Return a Deployment in progress, whose status lacks one replica and whose pods run."""
    case = Case("deployment_done")
    case.status.update({"availableReplicas": 2, "unavailableReplicas": 1})
    return case
