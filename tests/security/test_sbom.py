"""The SBOM lists all packages in a web pod, and the audit fails if a source does not respond."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support_security import PROJECT, Site

PYTHON = PROJECT / ".venv" / "sbom" / "bin" / "python"
LOCK = PROJECT / "django_polls" / "requirements.txt"


@pytest.fixture(scope="module")
def bill(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the SBOM of the running image."""
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    dry = site.record.play("sbom.yml", "--check", sbom_path=str(path))
    assert (dry.code, dry.changed, path.exists()) == (0, 1, False), dry.output[-2000:]
    first = site.record.play("sbom.yml", sbom_path=str(path))
    assert (first.code, first.changed) == (0, 1), first.output[-2000:]
    again = site.record.play("sbom.yml", sbom_path=str(path))
    assert (again.code, again.changed) == (0, 0), again.output[-2000:]
    return json.loads(path.read_text(encoding="utf-8"))


def test_sbom_is_of_the_running_image(site: Site, bill: dict[str, Any]) -> None:
    whole = bill["metadata"]["component"]
    assert f"{whole['name']}:{whole['version']}" == site.project(site.pods()[0])["image"]
    [running] = [s for s in site.pods()[0]["status"]["initContainerStatuses"] if s["name"] == "web"]
    assert running["imageID"].endswith(whole["hashes"][0]["content"])


def test_sbom_has_all_packages(site: Site, bill: dict[str, Any]) -> None:
    urls = {component.get("purl", "").partition("?")[0] for component in bill["components"]}
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)(?! ; implementation_name)", LOCK.read_text(), re.MULTILINE))
    script = (
        "import importlib.metadata as packages, json\n"
        "print(json.dumps([(package.name.lower(), package.version) for package in packages.distributions()]))"
    )
    installed = dict(json.loads(site.in_pod("python", "-c", script).out))
    # The project's own package comes from the build context and is not in a lock file.
    assert set(installed) <= {*locked, "cloud-django"}
    assert "cloud-django" in installed
    assert {f"pkg:pypi/{name.replace('_', '-')}@{version}" for name, version in installed.items()} <= urls
    debian = site.in_pod("sh", "-c", "grep -c '^Status: install ok installed' /var/lib/dpkg/status")
    binaries = [
        component
        for component in bill["components"]
        if "arch=amd64" in component.get("purl", "") or "arch=all" in component.get("purl", "")
    ]
    assert len(binaries) >= int(debian.out) > 50


def test_sbom_has_all_modules_of_the_front(bill: dict[str, Any]) -> None:
    """Caddy lists its own modules."""
    [front] = [component for component in bill["components"] if component["type"] == "container"]
    command = ["docker", "run", "--rm", "--network=none", f"{front['name']}:{front['version']}"]
    told = subprocess.run([*command, "/usr/bin/caddy", "build-info"], capture_output=True, text=True, check=True).stdout
    modules = set(re.findall(r"^(?:mod|dep)\t(\S+)\t(v\S+)", told, re.MULTILINE))
    named = {(c["name"], c["version"]) for c in bill["components"] if c.get("purl", "").startswith("pkg:golang/")}
    assert len(modules) > 100
    assert modules <= named
    assert {("github.com/caddyserver/caddy/v2", f"v{front['version']}")} <= named
    [go] = re.findall(r"^go\tgo(\S+)", told, re.MULTILINE)
    assert ("stdlib", go) in named


def test_missing_image_fails(site: Site, tmp_path: Path) -> None:
    ended = site.record.play("sbom.yml", sbom_path=str(tmp_path / "sbom.json"), app_image="localhost/none:1")
    assert ended.code != 0
    assert "Image localhost/none:1 is missing in the container engine. Run `make up`" in ended.unfolded
    assert not list(tmp_path.iterdir())


def test_missing_tools_fail(site: Site, tmp_path: Path) -> None:
    missing = str(tmp_path / "python")
    ended = site.record.play("sbom.yml", sbom_path=str(tmp_path / "sbom.json"), sbom_python=missing)
    assert ended.code != 0
    assert f"{missing} does not exist. Run `make sbom`" in ended.unfolded


def test_broken_tools_fail(site: Site, tmp_path: Path) -> None:
    tools = tmp_path / "python"
    tools.touch()
    ended = site.record.play("sbom.yml", sbom_path=str(tmp_path / "sbom.json"), sbom_python=str(tools))
    assert ended.code != 0
    assert f"{tools} cannot run. Remove .venv/sbom" in ended.unfolded


def test_audit_reports_unavailable_sources(bill: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    path.write_text(json.dumps(bill), encoding="utf-8")
    done = subprocess.run(
        [str(PYTHON), "scripts/sbom/audit.py", str(path), str(LOCK)], cwd=PROJECT, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    asked = "packages, 0 known vulnerabilities" in lines[0]
    assert asked or "not audited" in lines[0] or " has " in lines[0]
    if not asked or not (shutil.which("trivy") or shutil.which("grype")):
        assert done.returncode == 1


def test_audit_without_a_response_fails(bill: dict[str, Any], tmp_path: Path) -> None:
    """No index knows this package."""
    lock = tmp_path / "lock.txt"
    lock.write_text(f"cloud-django-of-nowhere==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    done = subprocess.run(
        [str(PYTHON), "scripts/sbom/audit.py", str(tmp_path / "none"), str(lock)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "1 of 1 packages not audited" in done.stdout
