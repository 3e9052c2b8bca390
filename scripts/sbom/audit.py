"""Scan the packages of the lock files and of the image for known vulnerabilities.

    .venv/sbom/bin/python scripts/sbom/audit.py sbom.cdx.json LOCK...

Both scans need data from the network. A source that gives no data is listed, and makes the command fail.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
# The first one on PATH is used. Each reads an SBOM.
SCANNERS = {
    "trivy": ["trivy", "sbom", "--quiet", "--exit-code=1", "--severity=HIGH,CRITICAL", "--ignore-unfixed"],
    "grype": ["grype", "--quiet", "--fail-on=high", "--only-fixed"],
}


def audit_lock(lock: str) -> bool:
    """Audit the Python packages of a lock file, print the result, and return whether none has a vulnerability."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    done = subprocess.run([str(PIP_AUDIT), f"--requirement={lock}", *options], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip() or "pip-audit printed nothing").splitlines()[-1]
        print(f"{lock}: not audited: {reason[:300]}. Rerun the command on a machine that reaches the service.")
        return False
    skipped = [package for package in packages if "skip_reason" in package]
    found = [
        (package["name"], package["version"], vulnerability)
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    for name, version, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no release"
        print(f"{lock}: {name} {version} has {vulnerability['id']}, fixed in {fixed}")
    if skipped:
        print(
            f"{lock}: {len(skipped)} of {len(packages)} packages not audited: the package index of this machine "
            "has no vulnerability data. Rerun the command on a machine whose index is PyPI."
        )
    else:
        print(f"{lock}: {len(packages)} packages, {len(found)} known vulnerabilities")
    return not found and not skipped


def audit_image(bill: str) -> bool:
    """Scan the SBOM with a scanner from PATH, and return whether it found no vulnerability."""
    command = next((command for name, command in SCANNERS.items() if shutil.which(name)), None)
    if not command:
        print(f"{bill}: not scanned: trivy and grype are missing on PATH. Install one, then rerun the command.")
        return False
    target = bill if command[0] == "trivy" else f"sbom:{bill}"
    return subprocess.run([*command, target], check=False).returncode == 0


if __name__ == "__main__":
    outcomes = [audit_lock(lock) for lock in sys.argv[2:]] + [audit_image(sys.argv[1])]
    sys.exit(0 if all(outcomes) else 1)
