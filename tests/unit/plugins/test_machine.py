"""The module cluster_info with recorded output of docker, kind, and minikube, complete and incomplete."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine import commands, inspection
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine import given as given_image
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine.commands import (
    MachineError,
    Once,
    at_once,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine.inspection import (
    inspect,
    kubeconfig_contexts,
)

RECORDED = Path(__file__).parent / "recorded" / "machine"
NOTE = "f00dfeed1234 2026-11-28T09:12:02.401557302Z 2026-11-28T09:12:03.884213317Z"
Answer = tuple[int, str, str]
Machine = Callable[[list[str]], Answer]


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def archive(text: str) -> str:
    """Return the output of `docker cp` for a file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return written.getvalue().decode()


def machine(**answers: Answer | str) -> Machine:
    """Return a runner with the results of commands that contain a word. Underscores stand for spaces."""
    known: dict[str, Answer | str] = {
        "image ls": "",
        "buildx version": "github.com/docker/buildx v0.33.0\n",
        "container ls": recorded("kind_listing.txt"),
        "container inspect": recorded("kind_two_nodes.json"),
        "cloud-django-complete": archive(NOTE),
        "admin.conf": archive(recorded("kind_admin.conf")),
        "image inspect": recorded("builds_images.json"),
        "status": recorded("minikube_running.json"),
        "docker info": "8321499136 4\n",
        "context show": "rootless\n",
    }
    known |= {name.replace("_", " "): answer for name, answer in answers.items()}

    def run(argv: list[str]) -> Answer:
        # The last match, so that the answers of a test come first.
        answer = next(known[words] for words in reversed(known) if words in " ".join(argv))
        return (0, answer, "") if isinstance(answer, str) else answer

    return run


def parts(run: Machine, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    nothing = {"engine": False, "shared": False, "builds": None, "cluster": None, "image": None}
    return inspect(nothing | options, check_mode, run)


DOWN = (1, "", recorded("docker_down.txt"))
DENIED = (1, "", recorded("docker_denied.txt"))


# ---- Commands --------------------------------------------------------------------------------------------------------


def test_a_command_runs_once_for_several_callers() -> None:
    count = []
    asked = threading.Barrier(2)

    def run(argv: list[str]) -> Answer:
        count.append(argv)
        return 0, "done", ""

    once = Once(run)

    def call() -> Answer:
        asked.wait(5)
        return once(["docker", "version"])

    assert at_once({"first": call, "second": call}) == {"first": (0, "done", ""), "second": (0, "done", "")}
    assert count == [["docker", "version"]]


def test_an_error_of_a_command_reaches_all_callers() -> None:
    once = Once(lambda argv: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            once(["docker", "version"])


def test_parts_are_inspected_at_the_same_time() -> None:
    both = threading.Barrier(2)
    assert at_once({"first": lambda: both.wait(5) >= 0, "second": lambda: both.wait(5) >= 0}) == {
        "first": True,
        "second": True,
    }


@pytest.mark.parametrize("output", [(1, "", "Error: No such container:path"), "no archive", archive(1000 * "x")[:700]])
def test_a_file_that_cannot_be_copied_is_missing(output: Answer | str) -> None:
    assert commands.copied(machine(docker_cp=output), "polls-control-plane", "/kind/file") is None


# ---- The container engine and the builds -----------------------------------------------------------------------------


def test_an_engine_with_buildx_is_settled() -> None:
    assert parts(machine(), engine=True)["engine"] == {"answers": True, "reason": "", "buildx": True, "settled": True}


@pytest.mark.parametrize(
    ("answer", "reason"), [(DOWN, "Is the docker daemon running?"), (DENIED, "connect: permission denied")]
)
def test_an_engine_that_does_not_answer_has_a_reason(answer: Answer, reason: str) -> None:
    found = parts(machine(image_ls=answer), engine=True)["engine"]
    assert not found["answers"]
    assert not found["settled"]
    assert found["reason"].endswith(reason)


def test_a_control_node_without_docker_lacks_container_engine_and_buildx() -> None:
    gone = (127, "", "docker: No such file or directory")
    found = parts(machine(image_ls=gone, buildx_version=gone), engine=True)["engine"]
    assert found == {"answers": False, "reason": gone[2], "buildx": False, "settled": False}


def test_an_engine_without_buildx_is_not_settled() -> None:
    gone = (1, "", "docker: 'buildx' is not a docker command.\n")
    found = parts(machine(buildx_version=gone), engine=True)["engine"]
    assert found["answers"]
    assert not found["buildx"]
    assert not found["settled"]


PREFIX = "localhost/cloud-django"
IMAGES = {
    "node": {"reference": f"{PREFIX}/node:v1.36.3", "inputs": "hash-of-node"},
    "python": {"reference": f"{PREFIX}/python:3.13", "inputs": "hash-of-python"},
}


def builds(run: Machine, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    given = {"label": "cloud-django.inputs", "images": IMAGES, "programs": {}, "cache_links": {}, "cache_files": {}}
    return parts(run, check_mode, builds=given | options)["builds"]


def test_builds_from_these_inputs_are_settled() -> None:
    assert builds(machine()) == {"missing": [], "programs": True, "cached": True, "settled": True}


def test_an_image_with_other_inputs_or_without_a_label_is_missing() -> None:
    images = IMAGES | {
        "python": {"reference": f"{PREFIX}/python:3.13", "inputs": "other"},
        "postgresql": {"reference": f"{PREFIX}/postgresql:17", "inputs": "hash-of-postgresql"},
        "valkey": {"reference": f"{PREFIX}/valkey:8.1", "inputs": "hash-of-valkey"},
    }
    answer = (1, recorded("builds_images.json"), recorded("builds_one_missing.txt"))
    found = builds(machine(image_inspect=answer), images=images)
    assert found["missing"] == ["python", "postgresql", "valkey"]
    assert not found["settled"]


@pytest.mark.parametrize("answer", [DOWN, DENIED])
def test_without_a_container_engine_no_image_is_rebuilt(answer: Answer) -> None:
    run = machine(image_inspect=(1, "[]\n", answer[2]), image_ls=answer)
    with pytest.raises(MachineError, match="No container engine answers"):
        builds(run)
    assert builds(run, check_mode=True)["missing"] == ["node", "python"]


def test_images_with_incomplete_output_do_not_count_as_missing() -> None:
    with pytest.raises(MachineError, match="docker image inspect` printed incomplete JSON"):
        builds(machine(image_inspect=recorded("builds_images.json")[:300]))


def test_programs_and_cache_must_link_to_the_builds(tmp_path: Path) -> None:
    (tmp_path / "go").mkdir()
    built = tmp_path / "go" / "kind"
    links = {str(tmp_path / "kind"): str(built)}
    manifest = tmp_path / "manifest.yaml"
    files = {str(manifest): hashlib.sha256(b"text").hexdigest()}
    (tmp_path / "kind").symlink_to(built)
    found = builds(machine(), programs=links, cache_links=links, cache_files=files)
    assert (found["programs"], found["cached"], found["settled"]) == (False, False, False)
    built.touch()
    manifest.write_text("other", encoding="utf-8")
    found = builds(machine(), programs=links, cache_links=links, cache_files=files)
    assert (found["programs"], found["cached"], found["settled"]) == (True, False, False)
    manifest.write_text("text", encoding="utf-8")
    assert builds(machine(), programs=links, cache_links=links, cache_files=files)["settled"]
    (tmp_path / "kind").unlink()
    (tmp_path / "kind").symlink_to(tmp_path / "other")
    assert not builds(machine(), programs=links)["programs"]


# ---- kind ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(recorded("kind_kubeconfig.txt"), encoding="utf-8")
    return path


def kind(run: Machine, kubeconfig: Path, **options: Any) -> dict[str, Any]:
    given = {
        "provider": "kind",
        "name": "polls",
        "state": "present",
        "kubeconfig": str(kubeconfig),
        "content": "f00dfeed1234",
        "programs": ["sh", "/downloads/kind"],
        "minimum_version": "1.30",
        "workers": 1,
        "node_image": "localhost/cloud-django/node:v1.36.3",
    }
    return parts(run, cluster=given | options)["cluster"]


def changed(change: Callable[[list[dict[str, Any]]], Any]) -> str:
    """Return the output of the container engine about both nodes after a change."""
    nodes = json.loads(recorded("kind_two_nodes.json"))
    change(nodes)
    return json.dumps(nodes)


def stop_worker(nodes: list[dict[str, Any]]) -> None:
    nodes[1]["State"] |= {"Status": "exited", "Running": False, "ExitCode": 137}


def restart(nodes: list[dict[str, Any]]) -> None:
    nodes[0]["State"]["StartedAt"] = "2026-11-29T07:00:00.000000001Z"


def test_two_nodes_with_a_current_marker_are_complete(kubeconfig: Path) -> None:
    found = kind(machine(), kubeconfig)
    assert found["state"] == "complete"
    assert found["settled"]
    assert found["kubeconfig"]
    assert found["drift"] == []
    assert found["installed"]
    assert found["name"] == "polls"
    assert [len(node) for node in found["nodes"]] == [64, 64]
    assert found["started"] == NOTE.split()[1:]


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ({"container_ls": ""}, "missing"),
        ({"cloud-django-complete": (1, "", "Could not find the file")}, "incomplete"),
        ({"container_inspect": changed(stop_worker)}, "stopped"),
        ({"container_inspect": changed(restart)}, "restarted"),
        ({"cloud-django-complete": archive("")}, "restarted"),
        ({"cloud-django-complete": archive(f"made {NOTE.partition(' ')[2]}")}, "ready"),
    ],
)
def test_a_cluster_that_is_not_complete_is_not_settled(
    kubeconfig: Path, answers: dict[str, Answer | str], state: str
) -> None:
    found = kind(machine(**answers), kubeconfig)
    assert found["state"] == state
    assert not found["settled"]


def test_an_incomplete_cluster_has_no_drift(kubeconfig: Path) -> None:
    half = changed(lambda nodes: nodes.pop())
    answers: dict[str, Any] = {"container_inspect": half, "cloud-django-complete": (1, "", "none")}
    assert kind(machine(**answers), kubeconfig)["drift"] == []


@pytest.mark.parametrize(
    ("options", "clause"),
    [
        ({"workers": 2}, "cluster_workers is 2, but the cluster has 1"),
        (
            {"node_image": "node:2"},
            "cluster_node_image is node:2, but a node has localhost/cloud-django/node:v1.36.3",
        ),
    ],
)
def test_differences_from_the_variables_are_reported(kubeconfig: Path, options: dict[str, Any], clause: str) -> None:
    found = kind(machine(), kubeconfig, **options)
    assert found["drift"] == [clause]
    assert found["state"] == "complete"
    assert not found["settled"]


def test_one_node_of_another_image_is_a_difference(kubeconfig: Path) -> None:
    def other_image(nodes: list[dict[str, Any]]) -> None:
        nodes[1]["Config"]["Image"] = "kindest/node:v1.30.0"

    run = machine(container_inspect=changed(other_image))
    assert kind(run, kubeconfig)["drift"][0].endswith(", but a node has kindest/node:v1.30.0")
    assert kind(run, kubeconfig, node_image="")["drift"] == []


NODE_1_29 = "registry.example/kindest/node:v1.29.4@sha256:0123"
MISSING: dict[str, Any] = {"container_ls": ""}
INCOMPLETE: dict[str, Any] = {"cloud-django-complete": (1, "", "none")}


def image_1_29(nodes: list[dict[str, Any]]) -> None:
    nodes[1]["Config"]["Image"] = NODE_1_29


@pytest.mark.parametrize("answers", [MISSING, INCOMPLETE])
def test_no_cluster_with_old_nodes_is_created(kubeconfig: Path, answers: dict[str, Any]) -> None:
    with pytest.raises(MachineError) as refused:
        kind(machine(**answers), kubeconfig, node_image=NODE_1_29)
    assert str(refused.value) == (
        f"Cluster polls was not created: cluster_node_image is {NODE_1_29}, but the site needs Kubernetes 1.30 or "
        "later. Set cluster_node_image to a later version or leave it empty, then rerun the playbook."
    )
    assert kind(machine(**answers), kubeconfig, node_image=NODE_1_29, state="absent")


@pytest.mark.parametrize(
    "answers", [{}, {"cloud-django-complete": archive("")}, {"container_inspect": changed(stop_worker)}, INCOMPLETE]
)
def test_a_cluster_with_old_nodes_is_refused(kubeconfig: Path, answers: dict[str, Any]) -> None:
    nodes = json.loads(answers.get("container_inspect", recorded("kind_two_nodes.json")))
    image_1_29(nodes)
    run = machine(**answers | {"container_inspect": json.dumps(nodes)})
    with pytest.raises(MachineError) as refused:
        kind(run, kubeconfig, node_image="")
    assert str(refused.value) == (
        "Cluster polls has Kubernetes 1.29.4, but the site needs 1.30 or later. Set another cluster_name, or remove "
        "this cluster and its data with `make down`, then rerun the playbook with a later cluster_node_image."
    )
    assert kind(run, kubeconfig, node_image="", state="absent")
    assert kind(run, kubeconfig, node_image="", minimum_version="")


def test_an_interrupted_old_cluster_is_recreated_with_a_later_image(kubeconfig: Path) -> None:
    run = machine(**INCOMPLETE | {"container_inspect": changed(image_1_29)})
    assert kind(run, kubeconfig)["state"] == "incomplete"


@pytest.mark.parametrize("image", ["node:2", "acme/node:v1.2.3", "kindest/node:latest", "kindest/node:v1.30.0"])
def test_an_image_of_a_later_or_an_unknown_version_is_used(kubeconfig: Path, image: str) -> None:
    assert kind(machine(**MISSING), kubeconfig, node_image=image)["state"] == "missing"


def without_mark(nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        node["Mounts"] = [mount for mount in node["Mounts"] if mount["Destination"] != "/etc/cloud-django-node"]


@pytest.mark.parametrize(
    ("state", "words"), [("present", "already exists"), ("absent", "`kind delete cluster --name polls`")]
)
def test_a_container_of_another_tool_is_refused(kubeconfig: Path, state: str, words: str) -> None:
    with pytest.raises(MachineError, match="was not created by this role") as refused:
        kind(machine(container_inspect=changed(without_mark)), kubeconfig, state=state)
    assert words in str(refused.value)


@pytest.mark.parametrize("answer", [DOWN, DENIED])
@pytest.mark.parametrize("command", ["container_ls", "container_inspect"])
def test_without_a_container_engine_no_cluster_counts_as_missing(
    kubeconfig: Path, answer: Answer, command: str
) -> None:
    with pytest.raises(
        MachineError, match="No container engine answers, so cluster polls cannot be inspected: "
    ) as refused:
        kind(machine(**{command: answer}), kubeconfig)
    assert str(refused.value).endswith(". Start Docker, then rerun the playbook.")


def test_nodes_with_incomplete_output_do_not_count_as_missing(kubeconfig: Path) -> None:
    with pytest.raises(MachineError, match="docker container inspect` printed incomplete JSON"):
        kind(machine(container_inspect=recorded("kind_two_nodes.json")[:-20]), kubeconfig)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("127.0.0.1:40443", "127.0.0.1:40444"),
        ("LS0tLS1CRUdJTi1DQS0tLS0tCg==", "T1RIRVI="),
        ("not-a-key", "another"),
        ("name: kind-polls", "name: kind-other"),
        ("clusters:", "clusters: ["),
    ],
)
def test_a_kubeconfig_of_another_cluster_is_not_current(kubeconfig: Path, old: str, new: str) -> None:
    text = kubeconfig.read_text(encoding="utf-8")
    assert old in text
    kubeconfig.write_text(text.replace(old, new), encoding="utf-8")
    found = kind(machine(), kubeconfig)
    assert (found["kubeconfig"], found["settled"], found["state"]) == (False, False, "complete")


def test_a_missing_kubeconfig_is_not_current(kubeconfig: Path) -> None:
    kubeconfig.unlink()
    assert not kind(machine(), kubeconfig)["kubeconfig"]


def test_clients_connect_to_the_load_balancer_of_several_control_planes(kubeconfig: Path) -> None:
    def balance(nodes: list[dict[str, Any]]) -> None:
        balancer = copy.deepcopy(nodes[0])
        nodes[0]["NetworkSettings"]["Ports"]["6443/tcp"][0]["HostPort"] = "1"
        nodes.append(balancer | {"Name": "/polls-external-load-balancer"})

    assert kind(machine(container_inspect=changed(balance)), kubeconfig)["kubeconfig"]


def test_a_downloaded_kind_does_not_count_as_installed(kubeconfig: Path, tmp_path: Path) -> None:
    downloaded = tmp_path / "kind"
    downloaded.touch(0o755)
    found = kind(machine(), kubeconfig, programs=["no-such-kind", str(downloaded)])
    assert (found["installed"], found["program"]) == (False, str(downloaded))


# ---- minikube --------------------------------------------------------------------------------------------------------

SETTINGS = {
    "cluster_driver": "docker",
    "cluster_container_runtime": "containerd",
    "cluster_kubernetes_version": "",
    "cluster_cpus": "2",
    "cluster_memory": 3072,
    "cluster_disk_size": 20000,
    "cluster_workers": 0,
    "cluster_node_image": "",
    "cluster_cni": "calico",
    "cluster_addons": [],
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a MINIKUBE_HOME with a complete profile."""
    folder = tmp_path / ".minikube" / "profiles" / "polls"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(recorded("minikube_config.json"), encoding="utf-8")
    (folder / "cloud-django").write_text("complete f00dfeed1234\n", encoding="utf-8")
    return tmp_path


def minikube(run: Machine, home: Path, settings: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    given = {
        "provider": "minikube",
        "name": "polls",
        "state": "present",
        "kubeconfig": "/state/polls/kubeconfig",
        "content": "f00dfeed1234",
        "programs": ["sh", "/downloads/minikube"],
        "minimum_version": "1.30",
        "driver": "docker",
        "home": str(home),
        "settings": SETTINGS | (settings or {}),
    }
    return parts(run, cluster=given | options)["cluster"]


def profile(home: Path) -> Path:
    return home / ".minikube" / "profiles" / "polls"


@pytest.mark.parametrize("recording", ["minikube_running.json", "minikube_two_nodes.json"])
def test_a_running_profile_with_its_content_is_settled(home: Path, recording: str) -> None:
    found = minikube(machine(status=recorded(recording)), home)
    assert (found["state"], found["settled"], found["drift"], found["managed"]) == ("complete", True, [], True)
    assert found["folder"] == str(profile(home))


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (recorded("minikube_stopped.json"), "stopped"),
        ((85, recorded("minikube_words.txt"), ""), "stopped"),
        ((7, recorded("minikube_running.json")[:40], ""), "stopped"),
        (recorded("minikube_one_of_two.json"), "restarted"),
        (recorded("minikube_running.json").replace("Configured", "Misconfigured"), "restarted"),
        (recorded("minikube_running.json").replace('"APIServer": "Running"', '"APIServer": "Paused"'), "restarted"),
    ],
)
def test_a_stopped_profile_is_not_settled(home: Path, answer: Answer | str, state: str) -> None:
    found = minikube(machine(status=answer), home)
    assert (found["state"], found["settled"]) == (state, False)


@pytest.mark.parametrize("mark", ["made", "complete other", ""])
def test_a_profile_with_other_content_is_ready(home: Path, mark: str) -> None:
    (profile(home) / "cloud-django").write_text(mark, encoding="utf-8")
    assert minikube(machine(), home)["state"] == "ready"


def test_a_profile_with_a_damaged_marker_is_not_removed(home: Path) -> None:
    (profile(home) / "cloud-django").write_bytes(b"complete \xff\xfe\n")
    found = minikube(machine(), home)
    assert (found["state"], found["managed"]) == ("ready", True)


def test_an_interrupted_profile_is_incomplete_and_one_without_files_missing(home: Path) -> None:
    (profile(home) / "cloud-django").write_text("begun\n", encoding="utf-8")
    found = minikube(machine(), home)
    assert (found["state"], found["capacity"]) == ("incomplete", {"memory": 8321499136, "cpus": 4})
    for file in profile(home).iterdir():
        file.unlink()
    found = minikube(machine(container_ls=""), home)
    assert (found["state"], found["managed"], found["drift"]) == ("missing", False, [])


def test_the_capacity_is_read_only_to_create_a_profile(home: Path) -> None:
    assert minikube(machine(docker_info=(1, "", "never asked")), home)["capacity"] == {}


@pytest.mark.parametrize(
    ("state", "elsewhere", "words"),
    [
        ("present", False, "already exists and was not created by this role"),
        ("present", True, "already exists in another MINIKUBE_HOME and was not created by this role"),
        ("absent", False, "was not created by this role and is not removed"),
        ("absent", True, "was not created by this role and is not removed"),
    ],
)
def test_a_profile_of_another_program_is_refused(home: Path, state: str, elsewhere: bool, words: str) -> None:
    (profile(home) / "cloud-django").unlink()
    if elsewhere:
        (profile(home) / "config.json").unlink()
    with pytest.raises(MachineError, match=words):
        minikube(machine(), home, state=state)


def test_a_profile_without_its_configuration_can_be_removed_and_not_started(home: Path) -> None:
    (profile(home) / "config.json").unlink()
    with pytest.raises(MachineError, match=r"its file config\.json is missing"):
        minikube(machine(), home)
    assert minikube(machine(), home, state="absent")["managed"]


@pytest.mark.parametrize("text", ['{"Name": "polls", "KubernetesConf', "[]", "null of words"])
def test_a_profile_with_a_broken_configuration_can_be_removed_and_not_started(home: Path, text: str) -> None:
    (profile(home) / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(MachineError, match=r"config\.json cannot be read"):
        minikube(machine(), home)
    assert minikube(machine(), home, state="absent")["managed"]


def test_a_profile_is_not_removed_without_minikube(home: Path) -> None:
    with pytest.raises(MachineError, match="profile polls cannot be removed: none of no-such, /nothing is installed"):
        minikube(machine(), home, state="absent", programs=["no-such", "/nothing"])
    assert minikube(machine(), home, programs=["no-such", "/nothing"])["state"] == "stopped"


@pytest.mark.parametrize("answer", [DOWN, DENIED])
def test_without_a_container_engine_no_profile_counts_as_stopped(home: Path, answer: Answer) -> None:
    with pytest.raises(MachineError, match="No container engine answers"):
        minikube(machine(container_ls=answer), home)
    # podman can be missing, because minikube reports its requirements better.
    assert minikube(machine(container_ls=answer), home, driver="podman")["state"] == "complete"


@pytest.mark.parametrize("mark", ["complete f00dfeed1234", "made", "unreadable"])
def test_a_profile_without_its_container_is_reported_at_once(home: Path, mark: str) -> None:
    (profile(home) / "cloud-django").write_text(mark, encoding="utf-8")
    run = machine(container_ls="", status=recorded("minikube_stopped.json").replace("Stopped", "Nonexistent"))
    with pytest.raises(MachineError, match=r"its container was removed, .* with `make down`, then rerun the playbook"):
        minikube(run, home)
    # The rest of the profile can be removed. With another driver, the node is no container.
    assert minikube(run, home, state="absent")["managed"]
    assert minikube(run, home, driver="kvm2")["state"] == "stopped"
    config = profile(home) / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"Driver": "docker"', '"Driver": "kvm2"'))
    assert minikube(run, home)["drift"] == ["cluster_driver is docker, but the profile has kvm2"]


def test_a_relative_home_is_refused() -> None:
    with pytest.raises(MachineError, match="cluster_minikube_home here is a relative path"):
        minikube(machine(), Path("here"))


@pytest.mark.parametrize(
    ("settings", "drift"),
    [
        ({"cluster_memory": 3000}, "cluster_memory is 3000, but the profile has 3072"),
        ({"cluster_container_runtime": "cri-o"}, "cluster_container_runtime is crio, but the profile has containerd"),
        ({"cluster_workers": 1}, "cluster_workers is 1, but the profile has 0"),
        ({"cluster_kubernetes_version": "v1.35"}, "cluster_kubernetes_version is v1.35, but the profile has v1.36.3"),
        ({"cluster_addons": ["ingress"]}, "cluster_addons is ingress, but the profile has none of them"),
        ({"cluster_kubernetes_version": "1.36"}, ""),
        ({"cluster_kubernetes_version": "stable"}, ""),
        ({"cluster_addons": ["storage-provisioner"]}, ""),
        ({"cluster_cni": ""}, ""),
    ],
)
def test_a_profile_reports_how_it_differs(home: Path, settings: dict[str, Any], drift: str) -> None:
    found = minikube(machine(), home, settings)
    assert found["drift"] == ([drift] if drift else [])
    assert found["settled"] == (not drift)


@pytest.mark.parametrize("version", ["v1.28.0", "1.28", "v1.9.11"])
def test_no_profile_with_a_low_version_is_created(home: Path, version: str) -> None:
    settings = {"cluster_kubernetes_version": version}
    # The existing profile has a later version.
    assert minikube(machine(), home, settings)["state"] == "complete"
    (profile(home) / "cloud-django").write_text("begun\n", encoding="utf-8")
    for _ in ("incomplete", "missing"):
        with pytest.raises(MachineError) as refused:
            minikube(machine(container_ls=""), home, settings)
        assert str(refused.value) == (
            f"Cluster polls was not created: cluster_kubernetes_version is {version}, but the site needs Kubernetes "
            "1.30 or later. Set cluster_kubernetes_version to a later version or leave it empty, then rerun the "
            "playbook."
        )
        for file in profile(home).iterdir():
            file.unlink()


@pytest.mark.parametrize("version", ["", "v1.30.0", "1.30", "v1.100.1", "v2.0.0", "stable"])
def test_a_profile_with_a_later_or_unknown_version_is_created(home: Path, version: str) -> None:
    for file in profile(home).iterdir():
        file.unlink()
    settings = {"cluster_kubernetes_version": version}
    assert minikube(machine(container_ls=""), home, settings)["state"] == "missing"


@pytest.mark.parametrize("status", ["minikube_running.json", "minikube_stopped.json"])
def test_a_profile_with_a_low_version_is_refused(home: Path, status: str) -> None:
    config = profile(home) / "config.json"
    config.write_text(recorded("minikube_config.json").replace("v1.36.3", "v1.29.14"), encoding="utf-8")
    run = machine(status=recorded(status))
    with pytest.raises(MachineError) as refused:
        minikube(run, home)
    assert str(refused.value) == (
        "Cluster polls has Kubernetes 1.29.14, but the site needs 1.30 or later. Set another cluster_name, or remove "
        "this cluster and its data with `make down`, then rerun the playbook with a later cluster_kubernetes_version."
    )
    assert minikube(run, home, state="absent")["managed"]


# ---- A kubeconfig ----------------------------------------------------------------------------------------------------


def existing(path: Path, context: str = "kind-polls") -> dict[str, Any]:
    given = {"provider": "existing", "name": "polls", "kubeconfig": str(path), "context": context}
    return parts(machine(), cluster=given)["cluster"]


def test_a_kubeconfig_with_the_context_is_settled(kubeconfig: Path) -> None:
    assert existing(kubeconfig)["settled"]


def test_an_unusable_kubeconfig_is_reported(kubeconfig: Path) -> None:
    with pytest.raises(MachineError, match=r"has no context other: its contexts are kind-polls\. Set cluster_context"):
        existing(kubeconfig, "other")
    with pytest.raises(MachineError, match=r"is a directory\. Set cluster_kubeconfig"):
        existing(kubeconfig.parent)
    with pytest.raises(MachineError, match=r"does not exist\. Set cluster_kubeconfig"):
        existing(kubeconfig.parent / "none")
    with pytest.raises(MachineError, match=r"cluster_kubeconfig is empty\. Set cluster_kubeconfig"):
        existing("")


def test_the_contexts_come_in_their_order() -> None:
    assert kubeconfig_contexts("contexts: [{name: staging, context: {}}, {name: 7}]") == ["staging", "7"]


@pytest.mark.parametrize(
    "text",
    ["", "a list: [", "- a", "contexts:", "contexts: {a: b}", "contexts: [a, {context: {}}]", "\x00", "<html></html>"],
)
def test_an_invalid_kubeconfig_has_no_contexts(text: str) -> None:
    assert kubeconfig_contexts(text) == []


# ---- The image, and all parts together -------------------------------------------------------------------------------

REFERENCE = "localhost/polls:2"
LISTING = (
    f"REF TYPE DIGEST SIZE\n{REFERENCE} application/json sha256:m2 1 MiB\nsha256:c2 application/json sha256:m2 1\n"
)
BUILT = json.dumps(
    [{"Id": "sha256:c2", "RepoTags": [REFERENCE], "Config": {"Labels": {"cloud-django.context": "hash"}}}]
)
DELIVERED: dict[str, Answer | str] = {
    "image ls": "sha256:c2\n",
    "image inspect": BUILT,
    "images ls": LISTING + '\n{"config": {"digest": "sha256:c2"}}',
}
OTHER_COPY = LISTING + '\n{"config": {"digest": "sha256:c9"}}'
IMAGE = {
    "reference": REFERENCE,
    "content": "hash",
    "provider": "kind",
    "state": "present",
    "cluster": "polls",
    "programs": [],
    "home": "/home/me",
    "bases": [],
    "companions": [],
    "keep": 3,
    "source": "build",
    "user": 10001,
    "command": True,
}


def image(options: dict[str, Any] | None = None, **answers: Answer | str) -> dict[str, Any]:
    return parts(machine(**DELIVERED | answers), image=IMAGE | (options or {}))["image"]


def test_an_image_that_each_node_has_is_settled() -> None:
    found = image()
    assert [node["name"] for node in found["nodes"]] == ["polls-control-plane", "polls-worker"]
    assert (found["built"], found["delivered"], found["settled"], found["tags"]) == (True, True, True, 1)
    assert (found["id"], found["builder"], found["nodes_without"]) == ("sha256:c2", "default", [])


@pytest.mark.parametrize(
    ("answers", "options", "built", "without"),
    [
        ({}, {"content": "other"}, False, []),
        ({}, {"content": ""}, False, []),
        ({"image_ls": ""}, {}, False, ["polls-control-plane", "polls-worker"]),
        ({"images_ls": OTHER_COPY}, {}, True, ["polls-control-plane", "polls-worker"]),
        ({"exec_polls-worker": (1, "", "not found")}, {}, True, None),
        ({"container_ls": ""}, {}, True, []),
    ],
)
def test_an_image_is_not_delivered_while_a_node_has_another(
    answers: dict[str, Any], options: dict[str, Any], built: bool, without: list[str] | None
) -> None:
    if without is None:
        with pytest.raises(inspection.CloudDjangoError, match="Node polls-worker cannot list its images"):
            image(options, **answers)
        return
    found = image(options, **answers)
    assert (found["built"], found["nodes_without"], found["delivered"]) == (built, without, False)
    assert not found["settled"]


def test_an_image_is_not_delivered_while_a_node_lacks_a_companion() -> None:
    front = "localhost/caddy:2"
    found = image({"companions": [REFERENCE, front]})
    assert (found["built"], found["nodes_without"], found["delivered"]) == (True, [], False)
    assert found["loads"] == [{"node": f"polls-{name}", "image": front} for name in ("control-plane", "worker")]
    assert image({"companions": [REFERENCE]})["settled"]


def test_images_with_incomplete_output_are_not_rebuilt() -> None:
    with pytest.raises(inspection.CloudDjangoError, match="The container engine printed incomplete JSON"):
        image(image_inspect=BUILT[:40])


def test_more_tags_than_are_kept_are_not_settled() -> None:
    found = image({"keep": 0})
    assert (found["delivered"], found["settled"]) == (True, False)


def test_a_missing_base_of_the_container_engine_is_reported() -> None:
    gone = (1, "", "No such image")
    found = parts(
        machine(**DELIVERED | {"inspect localhost/base:1": gone}),
        image=IMAGE | {"bases": ["localhost/base:1", "docker.io/library/python:3"], "content": "other"},
    )["image"]
    assert (found["missing_bases"], found["builder"]) == (["localhost/base:1"], "rootless")


def test_facts_for_a_build_are_not_read_without_a_build() -> None:
    broken = {"docker_context": (1, "", "broken"), "inspect_localhost/base:1": (1, "", "No such image")}
    found = image({"bases": ["localhost/base:1"]}, **broken)
    assert (found["missing_bases"], found["builder"], found["settled"]) == ([], "default", True)


def test_a_registry_with_the_same_content_has_the_image() -> None:
    answer = {"manifest": {"digest": "sha256:m2"}, "image": {"config": {"Labels": {"cloud-django.context": "hash"}}}}
    found = image({"provider": "registry"}, **{"imagetools inspect": json.dumps(answer)})
    assert (found["registry"]["digest"], found["delivered"], found["nodes"]) == ("sha256:m2", True, [])
    with pytest.raises(
        inspection.CloudDjangoError, match="The registry's answer about localhost/polls:2 is incomplete"
    ):
        image({"provider": "registry"}, **{"imagetools inspect": json.dumps(answer)[:30]})
    # A pushed image is never removed, so a removal does not inspect the registry.
    assert image({"provider": "registry", "state": "absent"})["registry"] == {}


def test_check_mode_without_a_container_engine_finds_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = parts(machine(image_ls=DOWN), check_mode=True, image=IMAGE)["image"]
    assert (found["engine"], found["nodes"], found["delivered"], found["tags"]) == ([], [], False, 0)


@pytest.mark.parametrize("built", [True, False])
def test_an_image_that_pods_cannot_run_is_not_settled(built: bool) -> None:
    found = image({"user": None, "content": "hash" if built else "other"})
    # The user of an older image is no reason to refuse the one that is due.
    assert found["problem"].startswith("Image localhost/polls:2 runs as root") == built
    assert not found["settled"]
    assert image({"user": None, "state": "absent"})["problem"] == ""


# ---- A given image ---------------------------------------------------------------------------------------------------

GIVEN: dict[str, Any] = {
    "source": "given",
    "content": "",
    "pinned": False,
    "username": "",
    "password": "",
    "ca_file": "",
}
PLAIN = json.dumps([{"Id": "sha256:c2", "RepoTags": [REFERENCE], "Config": {"Labels": None, "User": "django"}}])
NOT_HERE: Answer = (1, "[]", "No such image")


def given(options: dict[str, Any] | None = None, **answers: Answer | str) -> dict[str, Any]:
    return image(GIVEN | (options or {}), **{"image_inspect": PLAIN} | answers)


def test_a_given_image_of_the_engine_is_loaded_into_nodes_without_it() -> None:
    found = given()
    assert (found["built"], found["loads"], found["settled"], found["tags"]) == (True, [], True, 0)
    found = given(images_ls=OTHER_COPY)
    assert found["loads"] == [{"node": f"polls-{name}", "image": REFERENCE} for name in ("control-plane", "worker")]
    assert (found["built"], found["delivered"], found["settled"]) == (True, False, False)


def test_nodes_pull_a_given_image_that_the_engine_lacks() -> None:
    for reference in ("registry.example.org/shop:1", "registry.example.org/shop@sha256:d1", "shop:1@sha256:d1"):
        found = given({"reference": reference}, image_inspect=NOT_HERE, images_ls="REF\n\n")
        assert (found["built"], found["loads"], found["problem"], found["settled"]) == (True, [], "", True)
    front = "localhost/caddy:2"
    found = given({"reference": "shop:1", "companions": [front]}, image_inspect=NOT_HERE, images_ls="REF\n\n")
    assert {load["image"] for load in found["loads"]} == {front}


def test_a_given_image_that_no_registry_has_is_reported() -> None:
    found = given(image_inspect=NOT_HERE)
    assert found["problem"].startswith(
        f"Image {REFERENCE} is neither in the container engine nor in a registry. Build it"
    )
    assert not found["settled"]
    assert given({"user": None})["problem"].startswith(f'Image {REFERENCE} runs as "django", a name')


def test_a_given_image_is_not_removed() -> None:
    found = given({"state": "absent", "keep": 0}, image_inspect=NOT_HERE)
    assert (found["tags"], found["loads"], found["problem"]) == (0, [], "")


def test_a_given_image_in_a_registry_needs_no_container_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_command(argv: list[str]) -> Answer:
        raise AssertionError(argv)

    def found(options: dict[str, Any]) -> dict[str, Any]:
        options = IMAGE | GIVEN | {"provider": "registry", "reference": "r.example.org/shop:1"} | options
        return parts(no_command, image=options)["image"]

    monkeypatch.setenv("PATH", "/nowhere")
    assert (found({})["settled"], found({})["registry"]) == (True, {})
    copy = {"digest": "sha256:d1", "config": {"User": ""}}
    monkeypatch.setattr(
        given_image.Registry, "copy", lambda *_, with_config: copy if with_config else copy | {"config": {}}
    )
    assert found({"pinned": True})["registry"]["digest"] == "sha256:d1"
    assert found({"pinned": True})["settled"]
    assert found({"pinned": True, "user": None})["problem"].startswith("Image r.example.org/shop:1 runs as root")
    # A digest in the reference needs no other one.
    assert found({"pinned": True, "reference": "r.example.org/shop@sha256:d1"})["registry"] == {}
    monkeypatch.setattr(given_image.Registry, "copy", lambda *_, with_config: {})
    assert found({"pinned": True})["problem"].startswith("Image r.example.org/shop:1 is not in its registry. Push it")


def test_check_mode_without_a_container_engine_accepts_a_given_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = parts(machine(image_ls=DOWN), check_mode=True, image=IMAGE | GIVEN)["image"]
    assert (found["built"], found["problem"], found["nodes"]) == (True, "", [])


def all_parts(kubeconfig: Path) -> dict[str, Any]:
    cluster = {
        "provider": "kind",
        "name": "polls",
        "state": "present",
        "kubeconfig": str(kubeconfig),
        "content": "f00dfeed1234",
        "programs": ["sh"],
        "minimum_version": "1.30",
        "workers": 1,
        "node_image": "",
    }
    return {"engine": True, "cluster": cluster, "image": IMAGE, "shared": True}


def test_one_inspection_has_all_parts_and_runs_no_command_twice(kubeconfig: Path) -> None:
    asked: list[str] = []
    run = machine(**DELIVERED)

    def counted(argv: list[str]) -> Answer:
        asked.append(" ".join(argv))
        return run(argv)

    found = inspect({"builds": None} | all_parts(kubeconfig), False, Once(counted))
    assert set(found) == {"engine", "cluster", "image", "shared"}
    assert all(found[part]["settled"] for part in ("engine", "cluster", "image"))
    assert found["image"]["reference"] == REFERENCE
    assert len(asked) == len(set(asked))
    assert sum("container ls" in command for command in asked) == 1


def test_a_shared_result_leaves_out_what_cannot_be_inspected(kubeconfig: Path) -> None:
    answers: dict[str, Any] = {"container_ls": DOWN, "image_ls": DOWN}
    found = inspect({"builds": None} | all_parts(kubeconfig), False, machine(**answers))
    assert set(found) == {"engine", "shared"}
    assert not found["engine"]["answers"]
