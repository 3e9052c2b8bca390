"""Commands of the roles for minikube, and messages about its output, with a fake `minikube` program."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from ansible_collections.cloud_django.kubernetes.plugins.action.run_with_progress import _failure
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.command import Progress

PROJECT = Path(__file__).parents[3]
# Composed from minikube's source, not recorded. The line that minikube marks as the error ends before the reason.
NO_REGISTRY = [
    "* Pulling base image v0.0.50 ...",
    "E1129 10:11:12.131415    4711 cache.go:227] Error downloading kic artifacts:  failed to download kic base image",
    "X Exiting due to GUEST_PROVISION: error provisioning guest: Failed to start host: creating host: create: "
    "setting up container node: preparing volume for polls container: docker run --rm --name polls-preload-sidecar "
    "--label created_by.minikube.sigs.k8s.io=true --label name.minikube.sigs.k8s.io=polls --entrypoint /usr/bin/test "
    "-v polls:/var gcr.io/k8s-minikube/kicbase:v0.0.50 -d /var/lib: exit status 125",
    "stdout:",
    "",
    "stderr:",
    "Unable to find image 'gcr.io/k8s-minikube/kicbase:v0.0.50' locally",
    'docker: Error response from daemon: Get "https://gcr.io/v2/": dial tcp: lookup gcr.io on 192.0.2.53: no such host',
    "* If the above advice does not help, please let us know:",
]
LABEL = {"label": "Cluster polls", "interval": 10, "total": None, "count": None, "log": None}


def read(path: str) -> Any:
    return yaml.safe_load((PROJECT / path).read_text(encoding="utf-8"))


def programs(folder: Path, save: str = "printf image", load: str = "true") -> dict[str, str]:
    """Create fake programs that record their arguments, and return an environment that finds them."""
    folder.mkdir()
    record = f'echo "${{0##*/}} $*" >> {folder}/calls\n'
    (folder / "docker").write_text(f"#!/bin/sh\n{record}{save}\n", encoding="utf-8")
    copy = f'for last; do :; done; cp "$last" {folder}/loaded\n'
    (folder / "minikube").write_text(f"#!/bin/sh\n{record}{copy}{load}\n", encoding="utf-8")
    for name in ("docker", "minikube"):
        (folder / name).chmod(0o755)
    (folder / "tmp").mkdir()
    return {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder / "tmp")}


def load(environment: dict[str, str]) -> int:
    """Run the script that loads an image; return its exit code."""
    script = read("roles/image/tasks/minikube.yml")[0]["vars"]["__image_minikube_load"]
    command = ["sh", "-euc", script, "polls", "localhost/polls:1", "no-such-minikube", "minikube"]
    return subprocess.run(command, env=environment, timeout=30).returncode


def test_an_image_is_loaded_from_a_temporary_file(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    assert load(programs(folder)) == 0
    saved, loaded = (folder / "calls").read_text(encoding="utf-8").splitlines()
    assert saved == "docker image save localhost/polls:1"
    # The same name for all releases, because minikube leaves a file of this name in the node.
    assert re.fullmatch(r"minikube --profile polls image load /\S+/cloud-django\.tar", loaded)
    assert (folder / "loaded").read_text(encoding="utf-8") == "image"
    assert not list((folder / "tmp").iterdir())


@pytest.mark.parametrize("broken", [{"save": "printf half; exit 1"}, {"load": "exit 1"}])
def test_a_failure_is_reported_and_leaves_no_file(broken: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    assert load(programs(folder, **broken)) == 1
    assert (folder / "loaded").exists() == ("load" in broken)
    assert not list((folder / "tmp").iterdir())


def hints() -> list[dict[str, str]]:
    template = read("roles/cluster/vars/main/main.yml")["__cluster_hints"]
    known = {"cluster_name": "polls", "__cluster_inotify_text": "", "__cluster_inotify_instances": 512}
    return [each | {"text": Templar(None, known).template(trust_as_template(each["text"]))} for each in template]


def failure(output: str) -> str:
    """Return the error for a command with this output."""
    options = LABEL | {"hints": hints()}
    progress = Progress(options)
    for line in output.splitlines():
        progress.feed(line)
    return _failure(options, 80, progress)


@pytest.mark.parametrize("task", ["minikube_create", "minikube_start", "kind_create"])
def test_each_start_of_a_cluster_has_hints(task: str) -> None:
    found = [each.get("cloud_django.kubernetes.run_with_progress") for each in read(f"roles/cluster/tasks/{task}.yml")]
    starts = [options for options in found if options and not options["label"].startswith("Removal")]
    assert [options["hints"] for options in starts] == ["{{ __cluster_hints }}"]


def test_failure_without_a_registry_names_the_inventory_mirrors() -> None:
    error = failure("\n".join(NO_REGISTRY))
    assert "needs images from a registry that is not reachable. Use inventory/mirrors, which" in error
    assert 'The reason: docker: Error response from daemon: Get "https://gcr.io/v2/": dial tcp: lookup gcr.io' in error
    # The line that minikube marks is long and ends with the reason.
    assert "X Exiting" not in error.splitlines()[0]
    assert "Exiting due to GUEST_PROVISION" in error.splitlines()[0]
    assert "exit status 125" in error.splitlines()[0]


@pytest.mark.parametrize(
    "line",
    [
        "! This container is having trouble accessing https://registry.k8s.io",
        'ERROR: failed to create cluster: failed to pull image "kindest/node:v1.36.1": command "docker pull" failed',
        'Get "https://registry-1.docker.io/v2/": net/http: request canceled (Client.Timeout exceeded)',
        'Get "https://quay.io/v2/": proxyconnect tcp: dial tcp: lookup proxy: no such host',
    ],
)
def test_failure_of_each_kind_of_network_names_the_inventory_mirrors(line: str) -> None:
    assert "inventory/mirrors" in failure(line)


@pytest.mark.parametrize(
    "line",
    ["X Exiting due to RSRC_INSUFFICIENT_CORES", "* Pulling base image gcr.io/k8s-minikube/kicbase", "port refused"],
)
def test_other_failures_name_no_other_inventory(line: str) -> None:
    assert "inventory/mirrors" not in failure(line)


def test_progress_ignores_messages_of_libraries() -> None:
    progress = Progress(LABEL | {"hints": []})
    for line in ("* Preparing Kubernetes", "I1129 10:11:12.131415    4711 out.go:239] noise", "   - ", "*"):
        progress.feed(line)
    assert progress.describe(12) == "12 s, * Preparing Kubernetes"


def test_the_kubeconfig_gets_a_current_context() -> None:
    # minikube sets it in the file in KUBECONFIG, unless --keep-context is given.
    variables = read("roles/cluster/vars/main/minikube.yml")
    assert "--keep-context" not in json.dumps(variables)
    assert variables["__cluster_minikube_settings"]["KUBECONFIG"] == "{{ cluster_kubeconfig }}"


def test_new_profile_does_not_wait_for_removed_pods() -> None:
    variables = read("roles/cluster/vars/main/minikube.yml")
    waits_for = variables["__cluster_minikube_create_wait"].removeprefix("--wait=").split(",")
    assert not {"all", "true", "extra", "apps_running"} & set(waits_for)
    # minikube adds up several options.
    assert "--wait=" not in variables["__cluster_minikube_start_options"]
    # The role waits for CoreDNS and all DaemonSets instead.
    waits = [each for each in read("roles/cluster/tasks/minikube_create.yml") if "wait_new.yml" in each.values()]
    assert [each["when"] for each in waits] == ["not ansible_check_mode"]


def test_scale_reports_that_the_number_is_temporary() -> None:
    last = read("playbooks/scale.yml")[1]["post_tasks"][-1]
    assert "until the next `make up`, which sets the number in the inventory" in last["ansible.builtin.debug"]["msg"]
    # Check mode does not scale.
    assert last["when"] == "not ansible_check_mode"


@pytest.mark.parametrize(("instances", "is_named"), [(0, False), (128, True), (512, False)])
def test_the_inotify_limit_is_named_where_it_is_known_and_small(instances: int, is_named: bool) -> None:
    """With Docker Desktop, the limit is the one of a virtual machine, where it cannot be read."""
    [hint] = [
        each for each in read("roles/cluster/vars/main/main.yml")["__cluster_hints"] if "kubelet" in each["pattern"]
    ]
    known = {"__cluster_inotify_text": "Raise it", "__cluster_inotify_instances": instances}
    assert bool(Templar(None, known).template(trust_as_template(hint["text"]))) is is_named
