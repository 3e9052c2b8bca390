"""Scan of the manifests of the running site: only checks with a reason in checkov.yaml fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support_security import PROJECT, Site

HERE = Path(__file__).resolve().parent
CHECKOV = PROJECT / ".venv" / "checkov" / "bin" / "checkov"
EXCEPTIONS = HERE / "checkov.yaml"
KINDS = {
    "/api/v1": ["ConfigMap", "Service", "ServiceAccount"],
    "/apis/apps/v1": ["Deployment", "StatefulSet"],
    "/apis/batch/v1": ["CronJob", "Job"],
    "/apis/networking.k8s.io/v1": ["NetworkPolicy"],
    "/apis/policy/v1": ["PodDisruptionBudget"],
}

# Processes of each kind that start no pods.
PROBES = {name: {"exec": ["manage", "check"]} for name in ("live", "ready")}
IDLE = {"command": ["manage", "check"], "replicas": 0, "probes": PROBES}
PROCESSES = {
    "processes_workers": {"idle": IDLE, "clock": IDLE | {"single": True}},
    "processes_schedules": {
        "nightly": {"schedule": "15 3 * * *", "command": ["manage", "clearsessions"], "suspended": True}
    },
}


@pytest.fixture(scope="module")
def processes(site: Site) -> Iterator[None]:
    """Deploy workers and schedules in addition to the site, then remove them."""
    ended = site.record.play("site.yml", "--tags=processes", **PROCESSES)
    assert ended.code == 0, ended.output[-4000:]
    yield
    ended = site.record.play("site.yml", "--tags=processes", processes_state="absent")
    assert ended.code == 0, ended.output[-4000:]


@pytest.fixture(scope="module")
def manifests(site: Site, processes: None) -> list[dict[str, Any]]:
    """Return the site's manifests from the API server, without the status."""
    found = []
    for api, kinds in KINDS.items():
        for kind in kinds:
            plural = re.sub("y$", "ie", kind.lower()) + "s"
            path = f"{api}/namespaces/{site.where.namespace}/{plural}"
            listed = site.where.request("get", path, label_selector="app.kubernetes.io/part-of=polls")
            for item in listed["items"]:
                item.pop("status", None)
                item["metadata"].pop("managedFields", None)
                found.append({"apiVersion": api.removeprefix("/apis/").removeprefix("/api/"), "kind": kind} | item)
    return found


def scan(folder: Path, manifests: list[dict[str, Any]], exceptions: Path = EXCEPTIONS) -> dict[str, Any]:
    """Run checkov on manifests, without network access."""
    (folder / "site.yaml").write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    done = subprocess.run(
        [
            # The first line of the script has the path of Python without quotes, and the path may contain a space.
            str(CHECKOV.with_name("python")),
            str(CHECKOV),
            f"--config-file={exceptions}",
            f"--directory={folder}",
            "--framework=kubernetes",
            "--output=json",
            "--compact",
            "--quiet",
            "--skip-download",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"ANSI_COLORS_DISABLED": "1"},
    )
    return json.loads(done.stdout)


def failed(report: dict[str, Any]) -> list[str]:
    checks = report["results"]["failed_checks"]
    return sorted({f"{check['check_id']} {check['resource']}: {check['check_name']}" for check in checks})


def test_no_check_fails(manifests: list[dict[str, Any]], tmp_path: Path, tell: Callable[[str], None]) -> None:
    report = scan(tmp_path, manifests)
    summary = report["summary"]
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds == {kind for kinds in KINDS.values() for kind in kinds}
    scanned = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    assert scanned >= {("Deployment", "polls-idle"), ("StatefulSet", "polls-clock"), ("CronJob", "polls-nightly")}
    assert summary["resource_count"] >= len(manifests)
    tell(f"checkov: {summary['passed']} checks passed, {summary['failed']} failed over {len(manifests)} manifests")
    assert failed(report) == []
    assert summary["passed"] > 200


@pytest.mark.parametrize("kind", ["CronJob", "Deployment"])
def test_scanner_finds_problems(manifests: list[dict[str, Any]], tmp_path: Path, kind: str) -> None:
    broken = json.loads(json.dumps([item for item in manifests if item["kind"] == kind][:1]))
    spec = broken[0]["spec"].get("jobTemplate", broken[0])["spec"]
    spec["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert any(line.startswith(f"CKV_K8S_16 {kind}.") for line in failed(scan(tmp_path, broken)))


def test_each_exception_is_needed_and_has_a_reason(manifests: list[dict[str, Any]], tmp_path: Path) -> None:
    text = EXCEPTIONS.read_text(encoding="utf-8")
    skipped = yaml.safe_load(text).get("skip-check") or []
    for check in skipped:
        assert re.search(rf"^  # .{{30,}}(\n  # .*)*\n  - {check}$", text, re.MULTILINE), f"{check} has no reason"
    bare = tmp_path / "none.yaml"
    bare.write_text("{}\n", encoding="utf-8")
    manifests_folder = tmp_path / "manifests"
    manifests_folder.mkdir()
    needed = {line.split()[0] for line in failed(scan(manifests_folder, manifests, bare))}
    assert set(skipped) == needed
