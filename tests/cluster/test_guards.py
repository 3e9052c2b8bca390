"""Guards of the roles that provide a cluster, tested on this machine: each fails with one message and changes nothing.

If root runs the tests, a mount namespace or another user simulates a machine that lacks something. Other users can't do
this, and skip these tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import clean_environment, docker, run_play, the_cluster

FATAL = re.compile(
    r"^(?:fatal: \[localhost\]: FAILED!|failed: \[localhost\] \(item=.*?\)) => (\{.*?^\}|\{.*\})$",
    re.MULTILINE | re.DOTALL,
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look at this machine as another one")


@pytest.fixture
def refused(tmp_path: Path):
    """Run a role; return its message if it failed with one error and at most `changes` changes."""

    def run(
        role: str,
        tasks_from: str = "main",
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        changes: int = 0,
        **variables: Any,
    ) -> str:
        include = {"name": f"cloud_django.kubernetes.{role}", "tasks_from": tasks_from}
        task = {"ansible.builtin.include_role": include, "vars": variables}
        mine = clean_environment(tmp_path) | dict(environment or {})
        ended = run_play(tmp_path, {"tasks": [task]}, environment=mine, prefix=prefix)
        errors = [json.loads(found) for found in FATAL.findall(ended.output)]
        assert len(errors) == 1, ended.output
        assert f"changed={changes} " in ended.output, ended.output
        assert "Traceback" not in ended.output
        message = errors[0]["msg"]
        assert "\n" not in message.strip()
        return " ".join(message.split())

    return run


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """Put programs with these names before all others."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


# The user nobody can read all files, so that the programs of the tests can be started.
NOBODY = [
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search", "--bounding-set=+dac_read_search"),
]


def elsewhere(script: str) -> list[str]:
    """Run in a separate mount namespace, after `script` of the shell."""
    return ["unshare", "--mount", "sh", "-euc", f'{script}\nexec "$@"', "sh"]


@pytest.fixture
def homeless(tmp_path: Path) -> dict[str, str]:
    """Environment of the user nobody: its own home, no Docker, and no permission to become another user."""
    home = tmp_path / "home"
    home.mkdir()
    tmp_path.chmod(0o777)
    home.chmod(0o777)
    mine = {"HOME": str(home), "DOCKER_HOST": f"unix://{tmp_path}/docker.sock", "ANSIBLE_LOCAL_TEMP": str(home / "a")}
    return mine | {"ANSIBLE_REMOTE_TEMP": str(home / "b")} | programs(tmp_path / "bin", sudo="exit 1")


@needs_root
def test_missing_engine_without_permission_to_install_it(refused, homeless: dict[str, str]) -> None:
    assert refused("container_engine", prefix=NOBODY, environment=homeless) == (
        "No container engine answers, and user nobody is not allowed to install one. Start Docker and add the user to "
        "its group, or become root or a user with passwordless sudo, then rerun the playbook."
    )


@needs_root
def test_missing_engine_on_an_unknown_distribution(refused, tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('NAME="Slackware"\nID=slackware\nVERSION_ID=15.0\nPRETTY_NAME="Slackware 15.0"\n')
    view = f"mount --bind {release} /etc/os-release\nmount --bind /dev/null /etc/debian_version"
    words = refused(
        "container_engine",
        prefix=elsewhere(view),
        environment={"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"},
    )
    assert re.fullmatch(
        r"No container engine answers, and this role cannot install one on Slackware.*\. "
        r"Install and start Docker Engine, then rerun the playbook\.",
        words,
    )


has_package = not subprocess.run(["sh", "-c", "dpkg-query --status docker.io"], capture_output=True).returncode
has_systemd = Path("/run/systemd/system").is_dir()


@needs_root
@pytest.mark.skipif(not has_package, reason="the role would install a second engine beside the one that is there")
@pytest.mark.parametrize(
    ("script", "error"),
    [
        # The real engine also fails if the file contains the PID of a running process.
        (
            "cd /run && cat docker.pid docker/containerd/containerd.pid && echo is there || echo the disk is broken",
            "Docker Engine has stopped: the disk is broken.",
        ),
        ("exec sleep 10", "Docker Engine did not answer within 2 s: Cannot connect to the Docker daemon "),
    ],
    ids=["ends", "is silent"],
)
def test_an_engine_that_does_not_start(refused, tmp_path: Path, script: str, error: str) -> None:
    # Log, marker, and PID files that exist in this namespace only.
    (tmp_path / "log").mkdir()
    (tmp_path / "run/docker/containerd").mkdir(parents=True)
    for file in ("docker.pid", "docker/containerd/containerd.pid"):
        (tmp_path / "run" / file).write_text(str(os.getpid()))
    view = f"mount --bind {tmp_path}/log /var/log\nmount --bind {tmp_path}/run /run"
    mine = {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"} | programs(tmp_path / "bin", dockerd=script)
    words = refused(
        "container_engine",
        prefix=[] if has_systemd else elsewhere(view),
        environment=mine,
        changes=0 if has_systemd else 1,
        container_engine_timeout=2,
    )
    log = "`journalctl --unit docker`" if has_systemd else "/var/log/cloud-django-dockerd.log"
    silence = "Docker Engine did not answer within 2 s: Cannot connect to the Docker daemon "
    assert words.startswith(silence if has_systemd else error)
    reason = "Is the docker daemon running?" if words.startswith(silence) else "the disk is broken"
    assert words.endswith(f"{reason}. Read {log}, fix the cause, then rerun the playbook.")
    written = "" if has_systemd else (tmp_path / "log" / "cloud-django-dockerd.log").read_text()
    assert has_systemd or written.splitlines()[-1:] == (["the disk is broken"] if "broken" in error else [])


# All programs except buildx.
WITHOUT_BUILDX = '[ "$1" != buildx ] || exit 1'


@needs_root
def test_missing_buildx_without_permission_to_install_it(refused, homeless: dict[str, str], tmp_path: Path) -> None:
    mine = homeless | programs(tmp_path / "other", docker=WITHOUT_BUILDX, sudo="exit 1")
    assert refused("container_engine", prefix=NOBODY, environment=mine, container_engine_buildx_source="package") == (
        "The program docker buildx is missing: user nobody is not allowed to install packages. "
        "Install it, or set container_engine_buildx_source to download, then rerun the playbook."
    )


def test_missing_buildx_on_an_unsupported_processor(refused, tmp_path: Path) -> None:
    mine = programs(tmp_path / "bin", docker=WITHOUT_BUILDX)
    words = refused(
        "container_engine",
        prefix=["setarch", "linux32"],
        environment=mine,
        container_engine_buildx_source="download",
    )
    assert re.fullmatch(
        r"The program docker buildx is missing: this role does not know its release for \w+\. "
        r"Install it, or set container_engine_buildx_source to package, then rerun the playbook\.",
        words,
    )


def test_builds_for_an_unsupported_processor(refused, tmp_path: Path) -> None:
    words = refused(
        "mirror_builds",
        "check_machine",
        prefix=["setarch", "linux32"],
        mirror_builds_cache_directory=str(tmp_path / "cache"),
    )
    assert re.fullmatch(
        r"The control node cannot build from package mirrors: it runs \w+ on \w+, and the builds need Debian on x86_64 "
        r"or aarch64\. Use another inventory than mirrors, then rerun the playbook\.",
        words,
    )
    assert not (tmp_path / "cache").exists()


@needs_root
def test_a_full_disk(refused, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    cache = disk / "not" / "there yet"
    words = refused(
        "mirror_builds",
        "check_machine",
        prefix=elsewhere(f"mount -t tmpfs -o size=2g none {disk}"),
        mirror_builds_cache_directory=str(cache),
    )
    assert words == (
        f"Kubernetes cannot be built in {cache}: its disk has 2.1 GB free, and 15 GB are required. Free disk space, or "
        "set mirror_builds_cache_directory to a directory of another disk, then rerun the playbook."
    )


def test_go_is_too_old(refused, tmp_path: Path) -> None:
    mine = programs(tmp_path / "bin", go="echo go version go1.19.8 linux/amd64")
    assert refused("mirror_builds", "go_toolchain", environment=mine) == (
        "The installed Go is too old: go version go1.19.8 linux/amd64. "
        "Install Go 1.21 or newer on PATH, then rerun the playbook."
    )


# ---- Cluster ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kind(tmp_path: Path) -> dict[str, Any]:
    """Return variables of a kind cluster that does not exist."""
    return {
        "cluster_provider": "kind",
        "cluster_name": f"guards-{uuid.uuid4().hex[:8]}",
        "cluster_state_directory": str(tmp_path / "state"),
        "cluster_kind_binary": "true",
    }


@pytest.mark.parametrize("state", ["present", "absent"])
def test_missing_engine_when_the_cluster_is_checked(refused, kind: dict[str, Any], tmp_path: Path, state: str) -> None:
    gone = {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    words = refused("cluster", environment=gone, **kind, cluster_state=state)
    assert words.startswith(f"No container engine answers, so cluster {kind['cluster_name']} cannot be inspected: ")
    assert words.endswith("Start Docker, then rerun the playbook.")


@pytest.fixture
def theirs(kind: dict[str, Any]) -> Iterator[str]:
    """Create a node of a kind cluster with the same name that this role did not create."""
    image = docker("container", "inspect", "--format", "{{.Image}}", the_cluster().nodes()[0]).strip()
    label = f"io.x-k8s.kind.cluster={kind['cluster_name']}"
    name = f"{kind['cluster_name']}-control-plane"
    identifier = docker("container", "create", "--label", label, "--name", name, image).strip()
    yield identifier
    docker("container", "rm", "--force", identifier)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            "present",
            "Cluster {0} already exists and was not created by this role. Set another cluster_name, or deploy to the "
            "cluster with cluster_provider existing, then rerun the playbook.",
        ),
        (
            "absent",
            "Cluster {0} was not created by this role and is not removed. Set another cluster_name, or remove the "
            "cluster with `kind delete cluster --name {0}`, then rerun the playbook.",
        ),
    ],
)
def test_cluster_of_another_manager(refused, kind: dict[str, Any], theirs: str, state: str, sentence: str) -> None:
    assert refused("cluster", **kind, cluster_state=state) == sentence.format(kind["cluster_name"])
    assert docker("container", "inspect", "--format", "{{.State.Status}}", theirs).strip() == "created"


@pytest.mark.parametrize("variable", ["cluster_api_port", "cluster_port_mappings"])
def test_a_port_in_use(refused, kind: dict[str, Any], tmp_path: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        value = port if variable == "cluster_api_port" else [{"host": port, "node": 30080}]
        words = refused("cluster", **kind, **{variable: value})
    assert words == (
        f"Cluster {kind['cluster_name']} cannot use port {port} of the control node: another program listens on it. "
        "Stop that program, or set another port in cluster_api_port or cluster_port_mappings, then rerun the playbook."
    )
    assert not (tmp_path / "state").exists()


def test_kind_on_an_unsupported_processor(refused, kind: dict[str, Any]) -> None:
    words = refused("cluster", prefix=["setarch", "linux32"], **kind | {"cluster_kind_binary": "no-such-kind"})
    assert re.fullmatch(
        r"The binary kind is not on PATH, and has no official release for \w+\. "
        r"Build it and add it to PATH, or set cluster_kind_binary to its path, then rerun the playbook\.",
        words,
    )


def test_check_mode_without_a_cluster_ends_early(kind: dict[str, Any], tmp_path: Path) -> None:
    include = {"name": "cloud_django.kubernetes.cluster"}
    after = {"name": "Go on", "ansible.builtin.fail": {"msg": "There is no cluster to ask."}}
    tasks = [{"ansible.builtin.include_role": include, "vars": kind}, after]
    ended = run_play(tmp_path, {"tasks": tasks}, "--check", "--diff", environment=clean_environment(tmp_path))
    assert ended.code == 0, ended.output
    assert f"Cluster {kind['cluster_name']} would be created." in ended.output
    assert not (tmp_path / "state").exists()
    assert kind["cluster_name"] not in docker("container", "ls", "--all", "--format", "{{.Names}}")


# ---- Existing cluster ------------------------------------------------------------------------------------------------


def kubeconfig(path: Path, server: str = "https://127.0.0.1:1", context: str = "staging") -> Path:
    """Write a kubeconfig with one context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        "current-context": context,
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


KUBECONFIG_STEP = "Set cluster_kubeconfig to the kubeconfig of the target cluster, then rerun the playbook."
CONTEXT_STEP = "Set cluster_context to the context of the target cluster, then rerun the playbook."


def existing(path: Path, context: str = "staging") -> dict[str, Any]:
    return {"cluster_provider": "existing", "cluster_kubeconfig": str(path), "cluster_context": context}


def test_missing_kubeconfig(refused, tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert refused("cluster", **existing(path)) == (f"Kubeconfig {path} does not exist. {KUBECONFIG_STEP}")


def test_kubeconfig_is_a_directory(refused, tmp_path: Path) -> None:
    assert refused("cluster", **existing(tmp_path)) == (f"Kubeconfig {tmp_path} is a directory. {KUBECONFIG_STEP}")


@needs_root
def test_unreadable_kubeconfig(refused, homeless: dict[str, str], tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config")
    path.chmod(0)
    # Access depends on the user's permissions, not on the capability that the test adds.
    words = refused("cluster", prefix=NOBODY, environment=homeless, **existing(path))
    assert words.startswith(f"Kubeconfig {path} cannot be read")


@pytest.mark.parametrize("content", ["", "a list: [", "- a\n", "contexts:\n"], ids=["empty", "broken", "list", "none"])
def test_invalid_kubeconfig(refused, tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content, encoding="utf-8")
    assert refused("cluster", **existing(path)) == (
        f"Kubeconfig {path} has no context staging: its contexts are none. {CONTEXT_STEP}"
    )


def test_missing_context(refused, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", context="production")
    assert refused("cluster", **existing(path)) == (
        f"Kubeconfig {path} has no context staging: its contexts are production. {CONTEXT_STEP}"
    )


def test_unreachable_cluster(refused, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config")
    assert refused("cluster", **existing(path)) == (
        f"The Kubernetes API of context staging of {path} cannot be reached: Connection refused. "
        "Check that the cluster runs and that this is its kubeconfig, then rerun the playbook. "
        "If `make up` created the cluster, it also starts the cluster."
    )


# ---- Existing objects stay unchanged ---------------------------------------------------------------------------------


def test_second_run_changes_nothing_and_reports_drift(tmp_path: Path) -> None:
    cluster = the_cluster()
    nodes = cluster.nodes()
    if not nodes:
        pytest.skip("the cluster was not made by the role")
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    mine = kubeconfig(home / ".kube" / "config").read_bytes()
    started = docker("container", "inspect", "--format", "{{.State.StartedAt}}", *nodes)
    variables = {
        "cluster_name": cluster.context.removeprefix("kind-"),
        "cluster_kubeconfig": str(cluster.kubeconfig),
        "cluster_context": cluster.context,
        "cluster_state_directory": str(cluster.kubeconfig.parent.parent),
        # Check mode does not need it.
        "cluster_kind_binary": "true",
        "cluster_metrics_server": False,
        "cluster_workers": 3,
        "cluster_node_image": "example.org/node:1",
    }
    include = {"name": "cloud_django.kubernetes.cluster"}
    environment = clean_environment(tmp_path) | {"HOME": str(home), "KUBECONFIG": str(home / ".kube" / "config")}
    # Without metrics-server, the cluster has other content. Check mode reports this and changes nothing.
    ended = run_play(
        tmp_path,
        {"tasks": [{"ansible.builtin.include_role": include, "vars": variables}]},
        "--check",
        environment=environment,
    )
    assert ended.code == 0, ended.output
    assert "differs from its variables and was not changed" in ended.output
    assert "cluster_workers is 3" in ended.output
    assert "cluster_node_image is example.org/node:1" in ended.output
    assert docker("container", "inspect", "--format", "{{.State.StartedAt}}", *nodes) == started
    assert (home / ".kube" / "config").read_bytes() == mine


def test_no_test_leaves_files_or_clusters() -> None:
    assert "guards-" not in docker("container", "ls", "--all", "--format", "{{.Names}}")


PROGRAM = b"#!/bin/sh\nexit 7\n" * 1000
CHECKSUM = hashlib.sha256(PROGRAM).hexdigest().encode()
PORTAL = b"<html><body>Log in to the network of this hotel</body></html>"


@contextlib.contextmanager
def releases(program: bytes, checksum: bytes, length: int, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Server of releases, whose responses report this length of a program."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_checksum = self.path.endswith((".sha256", ".sha256sum", "checksums.txt"))
            body = checksum if is_checksum else program
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) if is_checksum else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


not_the_release = pytest.mark.parametrize(
    ("body", "checksum", "length"),
    [
        (PROGRAM, b"0" * 64, len(PROGRAM)),
        (PORTAL, PORTAL, len(PORTAL)),
        (PORTAL, CHECKSUM, len(PORTAL)),
        (PROGRAM[:500], CHECKSUM, len(PROGRAM)),
    ],
    ids=["another checksum", "a portal's pages", "a portal's page", "cut off"],
)


@pytest.mark.parametrize("program", ["kind", "minikube"])
@not_the_release
def test_download_with_a_wrong_checksum(
    refused, tmp_path: Path, program: str, body: bytes, checksum: bytes, length: int
) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    nowhere = {f"cluster_{program}_binary": str(tmp_path / "nothing"), "cluster_download_directory": str(downloads)}
    with releases(body, checksum, length) as address:
        words = refused(
            "cluster",
            cluster_provider=program,
            cluster_name="cloud-django-test-never",
            cluster_state_directory=str(tmp_path / "state"),
            cluster_minikube_home=str(tmp_path),
            **nowhere,
            **{f"cluster_{program}_url": address},
        )
    assert words.startswith(f"The binary {program} is not on PATH, and its download failed: ")
    assert words.endswith("rerun the playbook. If only package mirrors are reachable, use inventory/mirrors.")
    assert list(downloads.iterdir()) == []


@needs_root
@not_the_release
def test_buildx_with_a_wrong_checksum(refused, tmp_path: Path, body: bytes, checksum: bytes, length: int) -> None:
    # One checksum per line, like the releases of buildx.
    listed = checksum + b" *buildx-v0.33.0.linux-amd64\n" + checksum + b" *buildx-v0.33.0.linux-arm64\n"
    mine = programs(tmp_path / "bin", docker=WITHOUT_BUILDX)
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    folder = Path.home() / ".docker" / "cli-plugins"
    with releases(body, listed if checksum != PORTAL else PORTAL, length) as address:
        words = refused(
            "container_engine",
            prefix=elsewhere(f"mkdir -p {folder}\nmount --bind {plugins} {folder}"),
            environment=mine,
            container_engine_buildx_source="download",
            container_engine_buildx_url=address,
        )
    assert words.startswith("The program docker buildx is missing, and its download failed: ")
    assert words.endswith("set container_engine_buildx_source to package or build, then rerun the playbook.")
    assert list(plugins.iterdir()) == []


def test_minikube_gets_the_settings_of_the_variables(refused, tmp_path: Path) -> None:
    """A stand-in records its arguments, because no real profile can have all of these settings."""
    called = tmp_path / "called"
    mine = programs(tmp_path / "bin", minikube=f'[ "$3" != start ] || printf "%s\\n" "$@" > {called}; exit 7')
    words = refused(
        "cluster",
        environment=mine,
        changes=2,
        cluster_provider="minikube",
        cluster_name="cloud-django-test-never",
        cluster_state_directory=str(tmp_path / "state"),
        cluster_minikube_home=str(tmp_path / "home") + "/.minikube/",
        cluster_container_runtime="cri-o",
        cluster_kubernetes_version="v1.36.3",
        cluster_memory="3000",
        cluster_cpus="1",
        cluster_disk_size=10000,
        cluster_workers="2",
        cluster_cni="calico",
        cluster_node_image="base:1",
        cluster_addons=["ingress", "registry"],
        cluster_port_mappings=[{"host": 8080, "node": 30080}],
        cluster_minikube_arguments=["--extra-config=kubelet.max-pods=200"],
    )
    assert words.startswith("Cluster cloud-django-test-never failed with exit code 7")
    told = called.read_text(encoding="utf-8").split()
    assert told[:3] == ["--profile", "cloud-django-test-never", "start"]
    assert {
        "--driver=docker",
        "--container-runtime=cri-o",
        "--kubernetes-version=v1.36.3",
        "--memory=3000mb",
        "--cpus=1",
        "--disk-size=10000mb",
        "--nodes=3",
        "--cni=calico",
        "--base-image=base:1",
        "--addons=ingress",
        "--addons=registry",
        "--ports=127.0.0.1:8080:30080",
        "--extra-config=kubelet.max-pods=200",
        "--embed-certs",
    } <= set(told)
    # So that kubectl needs no context with this kubeconfig.
    assert "--keep-context" not in told
    # The play failed, so no profile is left. A directory that ends with .minikube is MINIKUBE_HOME itself.
    assert list((tmp_path / "home" / ".minikube" / "profiles").iterdir()) == []


def test_relative_minikube_home_fails(refused, tmp_path: Path) -> None:
    words = refused("cluster", cluster_provider="minikube", cluster_minikube_home="here", cluster_name="x")
    assert words.endswith("is a relative path. Set cluster_minikube_home to an absolute path, then rerun the playbook.")


def test_download_uses_the_proxy(refused, tmp_path: Path) -> None:
    """The server of releases is also the proxy here, and the address of the releases does not exist."""
    with releases(PROGRAM, CHECKSUM, len(PROGRAM)) as proxy:
        words = refused(
            "cluster",
            cluster_provider="kind",
            cluster_name="cloud-django-test-never",
            cluster_state_directory=str(tmp_path / "state"),
            cluster_kind_binary="no-such-kind",
            cluster_download_directory=str(tmp_path / "downloads"),
            cluster_kind_url="http://releases.invalid",
            http_proxy=proxy,
            changes=3,
        )
    # The content is not a kind binary.
    assert words.startswith("Cluster cloud-django-test-never failed with exit code 7")
    assert (tmp_path / "downloads" / "kind").read_bytes() == PROGRAM


@needs_root
def test_download_trusts_only_the_given_cas(refused, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    variables: dict[str, Any] = {
        "cluster_provider": "kind",
        "cluster_name": "cloud-django-test-never",
        "cluster_state_directory": str(tmp_path / "state"),
        "cluster_kind_binary": "no-such-kind",
        "cluster_download_directory": str(tmp_path / "downloads"),
    }
    with releases(PROGRAM, CHECKSUM, len(PROGRAM), tls=(certificate, key)) as address:
        variables["cluster_kind_url"] = address.replace("http://127.0.0.1", "https://localhost")
        words = refused("cluster", changes=1, **variables)
        assert words.startswith("The binary kind is not on PATH, and its download failed: ")
        words = refused("cluster", changes=2, site_ca_file=str(certificate), **variables)
    assert words.startswith("Cluster cloud-django-test-never failed with exit code 7")
