"""Look for known vulnerabilities in what the lock files pin and in what the image contains.

    .venv/sbom/bin/python scripts/sbom/audit.py sbom.cdx.json LOCK...

Both need data from the network. What could not be asked is said, and counts as a failure: silence is no good news.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
# In this order; each reads a bill of materials.
SCANNERS = {
    "trivy": ["trivy", "sbom", "--quiet", "--exit-code=1", "--severity=HIGH,CRITICAL", "--ignore-unfixed"],
    "grype": ["grype", "--quiet", "--fail-on=high", "--only-fixed"],
}


def audit_lock(lock: str) -> bool:
    """Audit the Python packages of a lock file, print one line for it, and return whether all is well."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    done = subprocess.run([str(PIP_AUDIT), f"--requirement={lock}", *options], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip() or "pip-audit said nothing").splitlines()[-1]
        print(f"{lock}: not audited, {reason[:300]}. Run this where the service can be reached.")
        return False
    skipped = [package for package in packages if "skip_reason" in package]
    found = [(package["name"], package["version"], hole) for package in packages for hole in package.get("vulns", [])]
    for name, version, hole in found:
        print(f"{lock}: {name} {version} has {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no release'}")
    if skipped:
        print(
            f"{lock}: {len(skipped)} of {len(packages)} packages not audited, since the package index of this machine "
            "has no data on vulnerabilities. Run this where PyPI itself is the index."
        )
    else:
        print(f"{lock}: {len(packages)} packages, {len(found)} known vulnerabilities")
    return not found and not skipped


def audit_image(bill: str) -> bool:
    """Let a scanner that is on PATH read the bill of materials, and return whether all is well."""
    command = next((command for name, command in SCANNERS.items() if shutil.which(name)), None)
    if not command:
        print(f"{bill}: not scanned: no trivy or grype on PATH. Install one, then run this again.")
        return False
    target = bill if command[0] == "trivy" else f"sbom:{bill}"
    return subprocess.run([*command, target], check=False).returncode == 0


if __name__ == "__main__":
    outcomes = [audit_lock(lock) for lock in sys.argv[2:]] + [audit_image(sys.argv[1])]
    sys.exit(0 if all(outcomes) else 1)
