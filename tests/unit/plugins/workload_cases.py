"""Recordings of workloads that a test may change before they are judged.

They are from a Kubernetes 1.36.3 control plane. Specs, conditions, events of controllers and quotas are its own. No
node was there: the status of pods and the kubelet's events were written in a kubelet's place, in the words of its
source.
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
    """One recording, which a test may bend before it has it judged."""

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
        """Judge it so many seconds after the recording, remembering earlier judgements."""
        clock = model.Clock(now=self.now + later, since=self.since, grace=GRACE)
        verdict, self.memory = judge(self.kind, self.name, self.objects, clock, self.memory)
        return verdict

    def lasting(self) -> model.Verdict:
        """Judge it, and again when the grace time is over."""
        self.judge()
        return self.judge(later=GRACE + 0.1)

    def failure(self, later: float = 0.0) -> model.Problem:
        verdict = self.judge(later)
        assert isinstance(verdict, model.Failed), verdict
        return verdict.problem

    def lasting_failure(self) -> model.Problem:
        """Expect patience at first, and a failure once the grace time is over."""
        assert isinstance(self.judge(), model.Waiting)
        assert isinstance(self.judge(later=GRACE - 0.1), model.Waiting)
        return self.failure(later=GRACE + 0.1)

    def wait(self, later: float = 0.0) -> model.Problem:
        verdict = self.judge(later)
        assert isinstance(verdict, model.Waiting), verdict
        return verdict.problem


def waiting(pod: dict[str, Any], reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    """Have a pod's first container wait for this reason."""
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
    """Return a Deployment under way, whose status lacks one replica and whose pods run."""
    case = Case("deployment_done")
    case.status.update({"availableReplicas": 2, "unavailableReplicas": 1})
    return case
