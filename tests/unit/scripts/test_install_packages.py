"""uv installs the packages of a lock file, or pip where uv would not read its configuration, or fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
LOCK = """\
ansible==14.5.0 \\
    --hash=sha256:0a
uv==0.13.9 \\
    --hash=sha256:0b \\
    --hash=sha256:0c
wcmatch==12.0.1 \\
    --hash=sha256:0d
"""
# Programs that write their arguments to a log, and for pip also the file that it would install.
PYTHON = """\
#!/usr/bin/env bash
echo "pip ${*:3}" >> "$LOG"
case "$*" in
  # A reader that ends after a line would break the pipe.
  *" config list"*)
    while read -r line; do echo "$line" || exit 1; sleep 0.1; done <<< "$CONFIGURED"
    exit "$CONFIG_STATUS" ;;
  *" --no-deps "*) cat "${@: -1}" >> "$LOG"; printf '%s\\n' "$UV" > .venv/bin/uv; chmod +x .venv/bin/uv ;;
esac
"""
UV = """\
#!/usr/bin/env bash
echo "uv $*" >> "$LOG"
echo "certificate of the index" >&2
exit "$UV_STATUS"
"""
WITH_UV = "uv pip install --no-config --quiet --python .venv/tool --require-hashes --requirement tool.txt"
WITH_PIP = "pip --disable-pip-version-check install --quiet --require-hashes --requirement tool.txt"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(PROJECT / "scripts" / "install_packages", tmp_path / "scripts")
    (tmp_path / "requirements.txt").write_text(LOCK, encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    folder = tmp_path / ".venv" / "tool" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(PYTHON, encoding="utf-8")
    (folder / "python").chmod(0o755)
    return tmp_path


def installed(project: Path, configured: str = "", status: int = 0, config_status: int = 0) -> list[str]:
    """Install a lock file into the virtual environment `tool`; return the commands, without the query of pip."""
    log = project / "log"
    given = {"LOG": str(log), "CONFIGURED": configured, "UV": UV, "UV_STATUS": str(status)}
    given["CONFIG_STATUS"] = str(config_status)
    command = ["scripts/install_packages", ".venv/tool", "tool.txt"]
    done = subprocess.run(command, cwd=project, env=os.environ | given, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return [line for line in log.read_text(encoding="utf-8").splitlines() if "config list" not in line]


def test_uv_is_installed_with_its_hashes_and_installs_the_rest(project: Path) -> None:
    first, *lock, last = installed(project)
    assert first.startswith("pip --disable-pip-version-check install --quiet --no-deps --require-hashes --requirement")
    assert lock == ["uv==0.13.9 \\", "    --hash=sha256:0b \\", "    --hash=sha256:0c"]
    assert last == WITH_UV


def test_uv_is_installed_once(project: Path) -> None:
    installed(project)
    (project / "log").unlink()
    assert installed(project) == [WITH_UV]


@pytest.mark.parametrize(
    "configured",
    [
        "global.index-url='https://mirror.example.org/simple'",
        ":env:.extra-index-url='https://mirror.example.org/simple'",
        "global.cert='/etc/ca.crt'\nuser.proxy='http://proxy.example.org:3128'",
        "install.no-index='true'",
        "global.trusted-host='mirror.example.org'",
        "global.client-cert='/etc/client.pem'",
        "global.index-url='https://mirror.example.org/simple'\nglobal.timeout='60'\nglobal.retries='9'",
    ],
)
def test_pip_installs_with_options_that_uv_does_not_read(project: Path, configured: str) -> None:
    assert installed(project, configured)[-1] == WITH_PIP
    assert WITH_UV not in installed(project, configured)


@pytest.mark.parametrize("configured", ["global.cert='/etc/ca.crt'", ":env:.find-links='/opt/wheels'"])
def test_uv_installs_with_other_options_of_pip(project: Path, configured: str) -> None:
    assert installed(project, configured)[-1] == WITH_UV


def test_pip_installs_after_an_error_of_uv(project: Path) -> None:
    assert installed(project, status=2)[-2:] == [WITH_UV, WITH_PIP]


def test_pip_installs_if_its_configuration_cannot_be_read(project: Path) -> None:
    assert installed(project, config_status=1)[-1] == WITH_PIP
    assert WITH_UV not in installed(project, config_status=1)
