"""Playbooks leave no secret in their output or on disk, even if they fail, and passwords can have any characters.

This file runs last, because it removes the site.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import NotFoundError
from postgresql_support import INVENTORY, Unsafe
from support_security import GIVEN, NAMESPACE, PROJECT, Ended, Site, leaks, written

# Directories on the control node in which a program might leave a file.
FOLDERS = [PROJECT, Path.home() / ".ansible", Path.home() / ".cache", Path.home() / ".kube", Path("/var/tmp")]
LARGEST_FILE = 8 * 1024 * 1024
API = {
    "/api/v1": ["configmaps", "events", "persistentvolumeclaims", "pods", "serviceaccounts", "services", "secrets"],
    "/apis/apps/v1": ["deployments", "replicasets", "statefulsets", "controllerrevisions"],
    "/apis/batch/v1": ["jobs"],
    "/apis/events.k8s.io/v1": ["events"],
    "/apis/networking.k8s.io/v1": ["networkpolicies"],
    "/apis/policy/v1": ["poddisruptionbudgets"],
}


@pytest.fixture(scope="module")
def known(site: Site) -> dict[str, str]:
    """All secrets of the site so far; tests add to them."""
    given = {"superuser": str(GIVEN["superuser_password"]), "admin": str(GIVEN["postgresql_admin_password"])}
    given |= {f"login {name}": str(value) for name, value in GIVEN["database_passwords"].items()}
    found = site.secrets() | given
    assert len(found) >= 10, found.keys()
    return found


def clean(site: Site, known: dict[str, str], ended: Ended) -> Ended:
    """Check the output of a playbook for the current secrets."""
    known |= {f"{name} later": value for name, value in site.secrets().items() if value not in known.values()}
    assert len(ended.output) > 500
    assert leaks(known, ended.output) == [], ended.arguments
    return ended


def test_these_checks_can_fail(known: dict[str, str]) -> None:
    for name, value in known.items():
        for form in written(value):
            assert name in leaks({name: value}, f"before {form} after")
    encoded = json.dumps({"a": {"password": known["superuser"]}})
    assert "superuser" in leaks(known, encoded)
    assert leaks(known, "nothing here") == []


def test_first_run_prints_no_secret(site: Site, known: dict[str, str]) -> None:
    clean(site, known, site.record.runs[0])


def test_a_second_run_changes_nothing(site: Site, known: dict[str, str]) -> None:
    again = clean(site, known, site.record.play("site.yml"))
    assert (again.code, again.changed) == (0, 0), again.output[-3000:]


def test_check_mode_prints_no_secret(site: Site, known: dict[str, str]) -> None:
    clean(
        site, known, site.record.play("site.yml", "--check", superuser_password=Unsafe("sentinel of a dry run, long"))
    )
    assert leaks({"dry": "sentinel of a dry run, long"}, site.record.runs[-1].output) == []


def test_special_passwords_work(site: Site) -> None:
    assert site.log_in(str(GIVEN["superuser_password"])).status == 302
    assert site.get("/readyz").status == 200


@pytest.mark.parametrize("playbook", ["scale.yml", "url.yml", "deploy_account.yml"])
def test_other_playbooks_print_no_secret(site: Site, known: dict[str, str], playbook: str) -> None:
    # The kubeconfig of the deployer account contains a token on purpose, at a path that the user chose.
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        variables = {"cluster_account_kubeconfig": str(folder / "kubeconfig")} if playbook.startswith("deploy") else {}
        ended = clean(site, known, site.record.play(playbook, **variables))
        assert ended.code == 0, ended.output[-3000:]
    finally:
        shutil.rmtree(folder)


def test_pin(site: Site, known: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "inventory" / "mirrors"
    shutil.copytree(PROJECT / INVENTORY, copy)
    ended = clean(site, known, site.record.play("pin.yml", inventory=copy))
    assert ended.code == 0, ended.output[-3000:]


def test_password_playbook_prints_the_password(site: Site, known: dict[str, str]) -> None:
    ended = site.record.play("password.yml")
    site.record.runs.remove(ended)
    assert leaks(known, ended.output)
    others = {name: value for name, value in known.items() if value != known["superuser"]}
    assert leaks(others, ended.output) == []


# Django refuses it, so that the Job of the superuser fails.
WEAK_PASSWORD = {"superuser_password": Unsafe("sentinel7"), "superuser_username": "another"}


@pytest.mark.parametrize("own_output", [False, True], ids=["steps", "V=1"])
def test_make_prints_and_logs_no_secret(site: Site, known: dict[str, str], own_output: bool) -> None:
    ended = clean(site, known, site.record.make(own_output=own_output))
    assert ended.code == 0, ended.output[-3000:]
    assert ("TASK [" in ended.log) == (not own_output)


@pytest.mark.parametrize("own_output", [False, True], ids=["steps", "V=1"])
@pytest.mark.parametrize(
    "variables",
    [
        WEAK_PASSWORD,
        {"database_passwords": {"app": "a sentinel with \0 in the middle of it"}},
        {"migrations_commands": [["no_such_command"]]},
    ],
)
def test_make_prints_and_logs_no_secret_if_it_fails(
    site: Site, known: dict[str, str], variables: dict[str, Any], own_output: bool
) -> None:
    ended = clean(site, known, site.record.make(own_output=own_output, **variables))
    assert ended.code != 0
    assert ("TASK [" in ended.log) == (not own_output)
    told = [text for text in texts(list(variables.values())) if "sentinel" in text]
    assert [text for text in told if text in ended.output or text.partition("\0")[0] in ended.output] == []


# Kubernetes would repeat a failed Job after 10 and 20 seconds.
ONCE = {"superuser_overrides": {"spec": {"backoffLimit": 0}}}


@pytest.mark.parametrize(
    ("sentence", "variables"),
    [
        ("no_such_command", {"migrations_commands": [["no_such_command"]]}),
        ("Set it to one of: json, text", {"django_environment": {"LOG_FORMAT": "verse"}}),
        ("connections", {"web_replicas": 50, "postgresql_max_connections": 40}),
        ("password", WEAK_PASSWORD | ONCE),
        ("", {"superuser_password": ["a list with a sentinel of a password"]}),
        ("Supported", {"database_passwords": {"unknown": "a sentinel for an unknown login"}}),
        ("has a NUL byte", {"database_passwords": {"app": "a sentinel with \0 in the middle of it"}}),
        ("has a NUL byte", {"postgresql_admin_password": "a sentinel with \0 in the middle of it"}),
        ("has failed", {"superuser_command": ["false"]} | ONCE),
        ("", {"app_name": "Not A Name"}),
        ("", {"web_overrides": {"Deployment": {"spec": {"replicas": "many"}}}}),
    ],
)
def test_failed_run_prints_no_secret(
    site: Site, known: dict[str, str], sentence: str, variables: dict[str, Any]
) -> None:
    ended = clean(site, known, site.record.play("site.yml", **variables))
    assert ended.code != 0, variables
    assert sentence in ended.unfolded
    told = [text for text in texts(list(variables.values())) if "sentinel" in text and "/" not in text]
    assert leaks({text: text for text in told}, ended.output) == []
    # The site is unchanged and still serves.
    assert site.get("/readyz").status == 200


def texts(value: Any) -> list[str]:
    """Return all strings in nested data."""
    if isinstance(value, dict):
        return texts(list(value.values()))
    return [text for item in value for text in texts(item)] if isinstance(value, list) else [str(value)]


def test_changed_password(site: Site, known: dict[str, str]) -> None:
    """Change it to another unusual password, then back to the first one."""
    other = {
        "superuser_password": Unsafe("é🔑 $(id) %s %(x)s \\n \"another\" 'one' #"),
        "database_passwords": {"app": Unsafe("'\\ $$ another app")},
    }
    known |= {"other superuser": str(other["superuser_password"])}
    assert clean(site, known, site.record.play("site.yml", **other)).code == 0
    assert site.log_in(str(other["superuser_password"])).status == 302
    assert site.log_in(str(GIVEN["superuser_password"])).status == 200
    assert clean(site, known, site.record.play("site.yml")).code == 0
    assert site.log_in(str(GIVEN["superuser_password"])).status == 302


def test_objects_and_events_have_no_secret(site: Site, known: dict[str, str]) -> None:
    """Only Secrets contain them, in `data`."""
    for api, kinds in API.items():
        for kind in kinds:
            answer = site.where.request("get", f"{api}/namespaces/{NAMESPACE}/{kind}")
            for item in answer["items"]:
                if kind == "secrets":
                    item.pop("data", None)
                assert leaks(known, json.dumps(item, ensure_ascii=False)) == [], (kind, item["metadata"]["name"])


def logs(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the logs of each container, including the one before its last restart."""
    for pod in site.where.request("get", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]:
        status = pod.get("status", {})
        for state in (status.get("containerStatuses") or []) + (status.get("initContainerStatuses") or []):
            name = pod["metadata"]["name"]
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/log"
            for previous in {False, state["restartCount"] > 0}:
                query = {"query_params": [("container", state["name"]), ("previous", str(previous).lower())]}
                # A pod of an earlier release may be terminating, and be removed by now.
                with suppress(NotFoundError):
                    answer = site.where.dynamic.request("get", path, serialize=False, **query)
                    yield f"{name}/{state['name']}", answer.data.decode(errors="replace")


def test_logs_of_all_pods_have_no_secret(site: Site, known: dict[str, str]) -> None:
    """Pods of the site, of its Jobs, and of PostgreSQL."""
    seen = dict(logs(site))
    assert {name.split("/")[1] for name in seen} >= {"web", "postgresql"}
    assert any("migrations" in name for name in seen)
    for name, text in seen.items():
        assert leaks(known, text) == [], name


def test_processes_have_no_secret(site: Site, known: dict[str, str]) -> None:
    """Processes of this machine during the playbooks, which include those in pods."""
    seen = site.record.processes
    assert any(b"ansible-playbook" in data for data in seen)
    assert any(b"gunicorn" in data for data in seen), "the nodes are no containers on this machine"
    for name, value in known.items():
        forms = [form.encode() for form in written(value)]
        found = [data for data in seen if any(form in data for form in forms)]
        assert found == [], name


def test_disk_of_the_control_node_has_no_secret(site: Site, known: dict[str, str]) -> None:
    forms = {name: [form.encode() for form in written(value)] for name, value in known.items()}
    ours = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir()))
    found, looked = [], 0
    for folder in [*FOLDERS, ours]:
        for path in folder.rglob("*") if folder.is_dir() else ():
            try:
                state = path.lstat()
                if not path.is_file() or path.is_symlink() or state.st_size > LARGEST_FILE:
                    continue
                if state.st_mtime < site.record.started or ".git" in path.parts:
                    continue
                data = path.read_bytes()
            except OSError:  # Removed meanwhile.
                continue
            looked += 1
            found += [(name, path) for name, texts in forms.items() if any(text in data for text in texts)]
    # Files of variables belong to the user, and the tests remove theirs after each run.
    assert looked > 0
    assert [place for place in found if "pytest" not in str(place[1])] == []


def test_removal_prints_no_secret(site: Site, known: dict[str, str]) -> None:
    for data in ("keep", "purge", "purge"):
        ended = site.record.play("teardown.yml", teardown_data=data, teardown_cluster=False)
        assert ended.code == 0, ended.output[-3000:]
        assert leaks(known, ended.output) == []
    assert ended.changed == 0


def test_all_output_has_no_secret(site: Site, known: dict[str, str], tell: Callable[[str], None]) -> None:
    """Check all output again with the secrets of all runs."""
    found = {(name, *ended.arguments) for ended in site.record.runs for name in leaks(known, ended.output)}
    playbooks = {ended.arguments[0] for ended in site.record.runs}
    tell(f"{len(found)} secrets found in the output of {len(site.record.runs)} runs of {len(playbooks)} playbooks")
    assert found == set()
    shown_on_purpose, without_a_site = {"password.yml"}, {"adopt.yml"}
    every = {path.name for path in (PROJECT / "playbooks").glob("*.yml")}
    assert playbooks | shown_on_purpose | without_a_site == every
