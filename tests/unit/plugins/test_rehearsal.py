"""The test start of a server with new settings or a new image, before the current pod is replaced."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import identity
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import rehearsal
from postgresql_cases import FakeClient

PROJECT = Path(__file__).parents[3]
NAME = "polls-postgresql"
# Output of PostgreSQL 17.
UNKNOWN = (
    '2026-11-29 12:00:00.000 UTC [7] LOG:  unrecognized configuration parameter "log_diconnections" in file '
    '"/etc/postgresql/postgresql.conf" line 12\n'
    '2026-11-29 12:00:00.000 UTC [7] LOG:  unrecognized configuration parameter "wrk_mem" in file "/etc/x" line 40\n'
    '2026-11-29 12:00:00.000 UTC [7] FATAL:  configuration file "/etc/postgresql/postgresql.conf" contains errors\n'
)
VALUE = (
    'LOG:  invalid value for parameter "wal_level": "most"\nHINT:  Available values: minimal, replica, logical.\n'
    'FATAL:  configuration file "/etc/postgresql/postgresql.conf" contains errors\n'
)
LIBRARY = (
    "2026-11-29 12:00:00.000 UTC [7] LOG:  starting PostgreSQL 17.2\n"
    '2026-11-29 12:00:00.000 UTC [7] FATAL:  could not access file "pg_cron": No such file or directory\n'
    "2026-11-29 12:00:00.000 UTC [7] LOG:  database system is shut down\n"
)
COMBINATION = "postgres: superuser_reserved_connections (500) must be less than max_connections (200)\n"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the manifests of the role with its defaults, by kind."""
    folder = tmp_path_factory.mktemp("role")
    role = {"name": "cloud_django.kubernetes.postgresql", "tasks_from": "main"}
    names = ("service_account", "final_config_map", "stateful_set")
    content = f"{{{{ [{', '.join(f'__postgresql_{name}' for name in names)}] | to_json }}}}"
    variables = {"app_name": "polls", "app_namespace": "polls", "app_public_url": ""}
    variables |= {"role_path": str(PROJECT / "roles/postgresql"), "ansible_python_interpreter": sys.executable}
    tasks = [
        {"import_role": role, "when": False},
        {"ansible.builtin.copy": {"dest": str(folder / "manifests"), "content": content, "mode": "0600"}},
    ]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,", "play.yml"]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {item["kind"]: item for item in json.loads((folder / "manifests").read_text())}


DONE = Result(0, "", "")


class Cluster(FakeClient):
    """Namespace with the server. The script returns a result, or its pod waits or is rejected."""

    def __init__(self, ended: Result = DONE, refusal: str = "", waits: str = "", node: str = "n1") -> None:
        super().__init__()
        self.ended, self.refusal, self.waits, self.node = ended, refusal, waits, node
        self.version = Result(0, "17\n", "")

    def create(self, manifest: Any) -> dict[str, Any]:
        if self.refusal:
            raise ApiError("Pod x cannot be created:", self.refusal, "Do it", 403)
        super().create(manifest)
        status: dict[str, Any] = {"phase": "Running"}
        if self.waits:
            waiting = {"state": {"waiting": {"reason": self.waits, "message": "not found"}}}
            status = {"phase": "Pending", "containerStatuses": [waiting] if self.node else []}
        held = self.objects[f"Pod/{manifest['metadata']['name']}"]
        held |= {"status": status, "spec": manifest["spec"] | {"nodeName": self.node}}
        return manifest

    def exec(self, pod: str, container: str, command: Any, stdin: str = "", timeout: float = 60) -> Result:
        if pod == f"{NAME}-0":
            return self.version
        self.scripts.append(stdin)
        return self.ended


def changed(rendered: dict[str, dict[str, Any]], image: str = "", configuration: str = "") -> dict[str, Any]:
    """Return the previous StatefulSet, with another image or configuration."""
    before = copy.deepcopy(rendered["StatefulSet"])
    template = before["spec"]["template"]
    if image:
        template["spec"]["containers"][0]["image"] = image
    if configuration:
        template["metadata"]["annotations"]["cloud-django/configuration"] = configuration
    return before


def rehearse(
    cluster: Cluster, rendered: dict[str, dict[str, Any]], before: dict[str, Any] | None, mode: str = "changed"
) -> list[str]:
    wanted = list(rendered.values())
    existing = {identity(obj): obj if before else None for obj in wanted} | {identity(rendered["StatefulSet"]): before}
    warnings: list[str] = []
    rehearsal.refuse_settings(mode, warnings.append, cluster, wanted, existing)
    return warnings


def test_an_unchanged_server_is_not_tested(rendered: dict[str, dict[str, Any]]) -> None:
    cluster = Cluster()
    assert rehearse(cluster, rendered, rendered["StatefulSet"], "new") == []
    assert (cluster.notes, cluster.scripts, cluster.read) == ([], [], [])


@pytest.mark.parametrize(
    ("mode", "has_before", "dry_run", "expected"),
    [
        ("changed", True, False, True),
        ("new", True, False, True),
        ("new", False, False, True),
        # The default settings of the role are known to work, and no server is interrupted.
        ("changed", False, False, False),
        ("", True, False, False),
        ("new", True, True, False),
    ],
)
def test_a_test_start_runs_only_for_new_settings_or_images(
    rendered: dict[str, dict[str, Any]], mode: str, has_before: bool, dry_run: bool, expected: bool
) -> None:
    for before in (changed(rendered, image="postgres:17.1"), changed(rendered, configuration="other")):
        cluster = Cluster()
        cluster.dry_run = dry_run
        assert rehearse(cluster, rendered, before if has_before else None, mode) == []
        assert len(cluster.scripts) == expected
        assert [note.split()[0] for note in cluster.notes] == (["create", "delete"] if expected else [])


def test_the_test_pod_has_the_spec_of_the_server_with_empty_volumes(rendered: dict[str, dict[str, Any]]) -> None:
    workload = rendered["StatefulSet"]
    workload["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "registry"}]
    pod = rehearsal.pod_of(workload, has_account=True)
    spec, template = pod["spec"], workload["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["image"] == template["containers"][0]["image"]
    assert container["securityContext"] == template["containers"][0]["securityContext"]
    assert spec["securityContext"] == template["securityContext"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert not any({"secret", "configMap", "persistentVolumeClaim"} & volume.keys() for volume in spec["volumes"])
    assert {volume["name"] for volume in spec["volumes"]} == {volume["name"] for volume in template["volumes"]}
    assert not any(mount.get("readOnly") for mount in container["volumeMounts"])
    assert "/run/secrets/admin" in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert not any("Probe" in name for name in container)
    assert spec["restartPolicy"] == "Never"
    assert "serviceAccountName" not in rehearsal.pod_of(workload, has_account=False)["spec"]
    assert workload["spec"]["selector"]["matchLabels"].items() - pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "cloud-django"


def test_a_volume_of_the_user_stays(rendered: dict[str, dict[str, Any]]) -> None:
    workload = copy.deepcopy(rendered["StatefulSet"])
    mine = {"name": "mine", "secret": {"secretName": "client-ca"}}
    workload["spec"]["template"]["spec"]["volumes"].append(mine)
    assert mine in rehearsal.pod_of(workload, has_account=True)["spec"]["volumes"]


@pytest.mark.parametrize(
    ("log", "reasons"),
    [
        (UNKNOWN, [f'unrecognized configuration parameter "{name}"' for name in ("log_diconnections", "wrk_mem")]),
        (VALUE, ['invalid value for parameter "wal_level": "most"', "Available values: minimal, replica, logical"]),
        (LIBRARY, ['could not access file "pg_cron": No such file or directory']),
        (COMBINATION, [COMBINATION.strip()]),
        ("", []),
    ],
)
def test_errors_of_a_server_are_found_in_its_log(log: str, reasons: list[str]) -> None:
    assert rehearsal.error_messages(log) == reasons


def test_rejected_settings_are_reported_together_and_the_pod_is_deleted(rendered: dict[str, dict[str, Any]]) -> None:
    cluster = Cluster(Result(rehearsal.SERVER, "", UNKNOWN))
    with pytest.raises(ServerError) as caught:
        rehearse(cluster, rendered, changed(rendered, configuration="other"))
    assert str(caught.value) == (
        "The settings for StatefulSet polls-postgresql are rejected by PostgreSQL in docker.io/library/postgres:17: "
        'unrecognized configuration parameter "log_diconnections"; unrecognized configuration parameter "wrk_mem". '
        f"The running server was not changed. Correct postgresql_settings or postgresql_overrides, {AGAIN}."
    )
    assert cluster.notes[-1].startswith("delete Pod/polls-postgresql-check-")


def test_an_image_that_cannot_read_the_volume_or_create_a_database_is_refused(
    rendered: dict[str, dict[str, Any]],
) -> None:
    before = changed(rendered, image="postgres:16")
    advice = "The volume holds data of PostgreSQL 16 and the image has PostgreSQL 17. Set postgresql_image back to 16."
    with pytest.raises(ServerError, match=f"{advice} The running server was not changed"):
        rehearse(Cluster(Result(rehearsal.VERSION, "", f"{advice}\n")), rendered, before)
    with pytest.raises(ServerError, match=r"cannot create a database: initdb: not found. The running server was not"):
        rehearse(Cluster(Result(rehearsal.DATABASE, "", "initdb: not found\n")), rendered, before)


def test_an_image_that_cannot_be_pulled_is_refused(rendered: dict[str, dict[str, Any]]) -> None:
    cluster = Cluster(waits="ErrImagePull")
    with pytest.raises(ServerError, match=r"Image .* does not start: ErrImagePull not found. The running server was"):
        rehearse(cluster, rendered, changed(rendered, image="postgres:16"))
    assert cluster.notes[-1].startswith("delete Pod/")


@pytest.mark.parametrize(
    "cluster",
    [
        Cluster(refusal='pods "x" is forbidden: exceeded quota: few, requested: pods=1'),
        Cluster(refusal='User "u" cannot create resource "pods"'),
        # The server requests more than the test pod.
        Cluster(refusal="minimum memory usage per Container is 128Mi, but request is 64Mi"),
        Cluster(refusal="memory max limit to request ratio per Container is 2, but provided ratio is 8.000000"),
        Cluster(refusal='admission webhook "policy.example.org" denied the request: a pod needs an owner'),
    ],
)
def test_a_test_pod_that_is_rejected_gives_a_warning(cluster: Cluster, rendered: dict[str, dict[str, Any]]) -> None:
    [warning] = rehearse(cluster, rendered, changed(rendered, image="postgres:16"))
    assert warning.startswith("The new settings or image of StatefulSet polls-postgresql could not be tested before")
    assert cluster.refusal in warning


def test_a_full_node_gives_a_warning(rendered: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SCHEDULE_SECONDS", 0)
    [warning] = rehearse(Cluster(waits="Pending", node=""), rendered, changed(rendered, image="postgres:16"))
    assert "does not start" in warning


def held(rendered: dict[str, dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """Return the manifest of the pod on a node, before a container has started."""
    pod = rehearsal.pod_of(rendered["StatefulSet"], has_account=False)
    return pod | {"spec": pod["spec"] | {"nodeName": "n1"} | spec, "status": {"phase": "Pending"}}


def test_problems_of_the_test_pod_alone_are_not_problems_of_the_image(rendered: dict[str, dict[str, Any]]) -> None:
    creating, started, failed = (
        {"containerStatuses": [{"state": state}]}
        for state in ({"waiting": {"reason": "ContainerCreating"}}, {"terminated": {"reason": "StartError"}}, {})
    )
    claim = [{"name": "archive", "persistentVolumeClaim": {"claimName": "archive"}}]
    pod = held(rendered)
    assert rehearsal.image_is_cause(pod | {"status": {"phase": "Pending"} | creating})
    assert rehearsal.image_is_cause(pod | {"status": {"phase": "Failed"} | started})
    assert rehearsal.image_is_cause(pod | {"status": {"phase": "Pending"} | failed})
    # A node that rejects the pod, a volume on another node, and no node.
    assert not rehearsal.image_is_cause(pod | {"status": {"phase": "Failed", "reason": "OutOfmemory"}})
    assert not rehearsal.image_is_cause(held(rendered, volumes=claim) | {"status": {"phase": "Pending"} | creating})
    assert not rehearsal.image_is_cause(held(rendered, nodeName=""))
    assert not rehearsal.image_is_cause({})


def test_a_slow_kubelet_is_waited_for(rendered: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Formerly, a pod on a node without a container status yet failed as a pod with a wrong image."""
    monkeypatch.setattr(rehearsal, "SCHEDULE_SECONDS", 0)
    cluster, looks = Cluster(), iter(range(4))

    def get(kind: str, name: str, *_: Any) -> dict[str, Any]:
        return held(rendered) | {"status": {"phase": "Running" if next(looks) > 2 else "Pending"}}

    monkeypatch.setattr(cluster, "get", get)
    assert rehearse(cluster, rendered, changed(rendered, image="postgres:16")) == []
    assert len(cluster.scripts) == 1


def test_a_claim_of_the_workload_is_an_empty_volume(rendered: dict[str, dict[str, Any]]) -> None:
    workload = copy.deepcopy(rendered["StatefulSet"])
    workload["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "archive"}}]
    assert {"name": "archive", "emptyDir": {}} in rehearsal.pod_of(workload, has_account=True)["spec"]["volumes"]


def test_another_rejection_of_the_test_pod_fails_the_task(rendered: dict[str, dict[str, Any]]) -> None:
    """The pod of the server would be rejected for the same reason, after the current pod is deleted."""
    with pytest.raises(ApiError, match="violates PodSecurity"):
        rehearse(Cluster(refusal="violates PodSecurity"), rendered, changed(rendered, image="postgres:16"))


# --- The script, with replacements for the programs of PostgreSQL -----------------------------------------------------

PROGRAMS = {
    "initdb": 'echo initdb >> "$LOG"; for each; do case $each in --pgdata=*) mkdir "${each#*=}";; esac; done',
    "sync": ":",
    "pg_isready": '[ -e "$UP" ]',
    "tee": "cat",
}
PLACES = ("/var/lib/postgresql/data", "/etc/postgresql", "/run/secrets", "/tmp")


@pytest.mark.parametrize(
    ("postgres", "version", "code", "words"),
    [
        ('touch "$UP"; sleep 2', "17", 0, ""),
        ('touch "$UP"; sleep 2', "", 0, ""),
        ("echo FATAL:  no >&2; exit 1", "17", rehearsal.SERVER, "FATAL: no"),
        ('touch "$UP"; sleep 2', "16", rehearsal.VERSION, "The volume holds data of PostgreSQL 16 and the image has"),
    ],
)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_script_starts_the_server_like_the_pod(
    rendered: dict[str, dict[str, Any]], tmp_path: Path, shell: str, postgres: str, version: str, code: int, words: str
) -> None:
    programs = PROGRAMS | {"postgres": f'if [ "$1" = --version ]; then echo postgres 17.2; exit; fi; {postgres}'}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    script = rehearsal.script_of(rendered["StatefulSet"], rendered["ConfigMap"]["data"], version)
    root = tmp_path / "root"
    # The paths of the pod, below the directory of this test.
    script = re.sub(rf"(?<!\w)({'|'.join(PLACES)})(?=[/'\"\s]|$)", rf"{root}\1", script, flags=re.MULTILINE)
    for place in PLACES:
        (root / place[1:]).mkdir(parents=True)
    for name in ("admin", "tls"):
        (root / "run/secrets" / name).mkdir()
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PGDATA": f"{root}/var/lib/postgresql/data/pgdata",
        "POSTGRESQL_ADMIN": "postgres",
        "LOG": str(tmp_path / "log"),
        "UP": str(tmp_path / "up"),
    }
    ended = subprocess.run(
        [shell], input=script, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, words in ended.stderr) == (code, True), ended.stdout + ended.stderr
    held = root / "etc/postgresql/postgresql.conf"
    assert "password_encryption = 'scram-sha-256'" in held.read_text()
    assert (root / "run/secrets/tls/tls.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert (tmp_path / "log").exists() is (code != rehearsal.VERSION)


def test_no_secret_is_an_argument(rendered: dict[str, dict[str, Any]]) -> None:
    """The script goes through standard input, and preserves quotes and line feeds."""
    odd = {"postgresql.conf": "a = 'it''s'\n$(touch x) `y`\n"}
    script = rehearsal.script_of(rendered["StatefulSet"], odd, "")
    assert f"printf %s {shlex.quote(odd['postgresql.conf'])} > /etc/postgresql/postgresql.conf" in script
