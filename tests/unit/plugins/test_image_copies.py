"""Copies of an image in the container engine, on nodes, and in a registry, and the tags to remove."""

from __future__ import annotations

import functools
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import MachineError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import copies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run

LISTING = """\
REF                  TYPE                                                 DIGEST   SIZE      PLATFORMS   LABELS
localhost/polls:1    application/vnd.docker.distribution.manifest.v2+json sha256:m1 310.8 MiB linux/amd64 io.cri-containerd.image=managed
localhost/polls:2    application/vnd.docker.distribution.manifest.v2+json sha256:m2 310.8 MiB linux/amd64 io.cri-containerd.image=managed
localhost/polls:2-b  application/vnd.docker.distribution.manifest.v2+json sha256:m2 310.8 MiB linux/amd64 io.cri-containerd.image=managed
localhost/pollsters:1 application/vnd.docker.distribution.manifest.v2+json sha256:m9 1.0 MiB  linux/amd64 -
sha256:c1            application/vnd.docker.distribution.manifest.v2+json sha256:m1 310.8 MiB linux/amd64 io.cri-containerd.image=managed
sha256:c2            application/vnd.docker.distribution.manifest.v2+json sha256:m2 310.8 MiB linux/amd64 io.cri-containerd.image=managed
"""  # noqa: E501 - output of containerd


def engine_image(number: int, *tags: str, created: str, tagged: str = "0001-01-01T00:00:00Z") -> dict[str, Any]:
    return {
        "Id": f"sha256:c{number}",
        "RepoTags": list(tags),
        "Created": created,
        "Metadata": {"LastTagTime": tagged},
        "Config": {"Labels": {copies.LABEL: f"h{number}"}},
    }


CONTAINERS = """\
0a1b2c3d4e5f running kind-worker
1a1b2c3d4e5f running kind-control-plane
2a1b2c3d4e5f running kind-external-load-balancer
3a1b2c3d4e5f exited kind-worker2
"""
IMAGES = [
    engine_image(1, "localhost/polls:1", created="2026-01-01T00:00:00Z"),
    engine_image(2, "localhost/polls:2", "localhost/polls:2-b", created="2026-01-02T00:00:00Z"),
    engine_image(3, "other/polls:3", created="2026-01-03T00:00:00Z"),
]


def machine(**answers: tuple[int, str, str]) -> Run:
    """Return a runner with the results of commands that contain a word. Underscores stand for spaces."""
    known = {
        "image ls": (0, "sha256:c1\nsha256:c2\nsha256:c1\n", ""),
        "image inspect": (0, json.dumps(IMAGES), ""),
        "container ls": (0, CONTAINERS, ""),
        "images ls": (0, LISTING + '\n{"config": {"digest": "sha256:c2"}}', ""),
    } | {name.replace("_", " "): answer for name, answer in answers.items()}

    def run(argv: list[str]) -> tuple[int, str, str]:
        return next(answer for words, answer in known.items() if words in " ".join(argv))

    return run


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("polls:1", "docker.io/library/polls:1"),
        ("me/polls:1", "docker.io/me/polls:1"),
        ("localhost/polls:1", "localhost/polls:1"),
        ("example.org/polls:1", "example.org/polls:1"),
        ("registry:5000/polls:1", "registry:5000/polls:1"),
    ],
)
def test_references_have_one_full_form(reference: str, full: str) -> None:
    assert copies.canonical(reference) == full


def test_a_reference_is_a_repository_and_a_tag() -> None:
    assert copies.split("registry:5000/a/polls:1") == ("registry:5000/a/polls", "1")


@pytest.mark.parametrize("reference", ["polls", "registry:5000/polls", "polls@sha256:abc", ""])
def test_a_reference_without_a_tag_is_refused(reference: str) -> None:
    with pytest.raises(MachineError, match="has no tag or no repository"):
        copies.split(reference)


def test_the_container_engine_lists_the_newest_managed_images_first() -> None:
    found = copies.engine_images(machine(), "localhost/polls")
    assert [image["reference"] for image in found] == ["localhost/polls:2-b", "localhost/polls:2", "localhost/polls:1"]
    config = {"User": ""}
    assert found[-1] == {"reference": "localhost/polls:1", "id": "sha256:c1", "context": "h1", "config": config}


def test_an_image_that_was_tagged_again_is_newer_than_its_build() -> None:
    old = engine_image(1, "polls:1", created="2026-01-01T00:00:00Z", tagged="2026-02-01T00:00:00Z")
    new = engine_image(2, "polls:2", created="2026-01-02T00:00:00Z")
    found = copies.tagged_images([new, old], "polls")
    assert [image["reference"] for image in found] == ["polls:1", "polls:2"]


def test_an_unavailable_container_engine_is_reported() -> None:
    with pytest.raises(MachineError, match="engine does not answer: Cannot connect"):
        copies.engine_images(machine(image_ls=(1, "", "hint\nCannot connect\n")), "localhost/polls")


def test_only_nodes_that_run_pods_are_listed() -> None:
    assert copies.kind_nodes(machine(), "kind") == ["kind-control-plane", "kind-worker"]


def test_a_node_reports_its_copy() -> None:
    found = copies.node_copies(machine(), "kind", "localhost/polls:2", ["localhost/polls:1", "localhost/caddy:2"])
    assert [copy["lacks"] for copy in found] == [["localhost/caddy:2"], ["localhost/caddy:2"]]
    assert [copy["name"] for copy in found] == ["kind-control-plane", "kind-worker"]
    assert found[0]["ids"] == ["sha256:m2", "sha256:c2"]
    assert found[0]["references"] == ["localhost/polls:1", "localhost/polls:2", "localhost/polls:2-b"]


@pytest.mark.parametrize("output", [LISTING + "\n", "REF TYPE DIGEST\n\n"])
def test_an_incomplete_copy_does_not_count(output: str) -> None:
    found = copies.node_copy(machine(images_ls=(0, output, "")), "kind-worker", "localhost/polls:2")
    assert found["ids"] == []


# Replaces ctr on a node that has one image.
CTR = """\
#!/bin/sh
case $* in
  *'images ls name~="^localhost/polls:"')
    printf 'REF TYPE DIGEST\\nlocalhost/polls:2 json sha256:m2\\nlocalhost/polls:2-b json sha256:m3\\n' ;;
  *"content get sha256:m2") printf '{\\n  "config": {\\n\\n"digest": "sha256:c2"}}' ;;
  *) exit 1 ;;
esac
"""


def in_a_node(argv: list[str], path: str) -> tuple[int, str, str]:
    """Run the command of a `docker exec` on the control node."""
    assert argv[:3] == ["docker", "exec", "node"]
    ended = subprocess.run(argv[3:], env={"PATH": path}, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_node_is_inspected_with_one_command(tmp_path: Path) -> None:
    (tmp_path / "ctr").write_text(CTR, encoding="utf-8")
    (tmp_path / "ctr").chmod(0o755)
    run = functools.partial(in_a_node, path=f"{tmp_path}:/usr/bin:/bin")
    found = copies.node_copy(run, "node", "localhost/polls:2")
    assert found["ids"] == ["sha256:m2", "sha256:c2"]
    assert found["references"] == ["localhost/polls:2", "localhost/polls:2-b"]
    # An image without its manifest, and an image that the node does not have.
    assert copies.node_copy(run, "node", "localhost/polls:2-b")["ids"] == []
    assert copies.node_copy(run, "node", "localhost/polls:9")["ids"] == []
    (tmp_path / "ctr").write_text("#!/bin/sh\necho stopped >&2\nexit 1\n", encoding="utf-8")
    with pytest.raises(MachineError, match="Node node cannot list its images: stopped"):
        copies.node_copy(run, "node", "localhost/polls:2")


def test_a_manifest_is_read_without_ctr(tmp_path: Path) -> None:
    (tmp_path / "ctr").write_text(CTR.replace('"content get', '"never get'), encoding="utf-8")
    (tmp_path / "ctr").chmod(0o755)
    blobs = tmp_path / "io.containerd.content.v1.content" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / "m2").write_text('{"config": {"digest": "sha256:c2"}}', encoding="utf-8")

    def run(argv: list[str]) -> tuple[int, str, str]:
        script = argv[5].replace("/var/lib/containerd", str(tmp_path))
        return in_a_node([*argv[:5], script, *argv[6:]], f"{tmp_path}:/usr/bin:/bin")

    assert copies.node_copy(run, "node", "localhost/polls:2")["ids"] == ["sha256:m2", "sha256:c2"]


def test_a_node_also_lists_its_companions(tmp_path: Path) -> None:
    filters = """'images ls name~="^docker.io/library/polls:" name=="localhost/caddy:2"')"""
    listing = "REF TYPE DIGEST\\nlocalhost/caddy:2 json sha256:m4\\n"
    (tmp_path / "ctr").write_text(f"#!/bin/sh\ncase $* in *{filters} printf '{listing}' ;; *) exit 1 ;; esac\n")
    (tmp_path / "ctr").chmod(0o755)
    run = functools.partial(in_a_node, path=f"{tmp_path}:/usr/bin:/bin")
    assert copies.node_copy(run, "node", "polls:2", ["localhost/caddy:2"])["lacks"] == []


def test_an_unavailable_node_is_reported() -> None:
    with pytest.raises(MachineError, match="Node kind-worker cannot list its images: it is paused"):
        copies.node_copy(machine(images_ls=(1, "", "it is paused")), "kind-worker", "localhost/polls:2")


@pytest.mark.parametrize("manifest", ['{"manifests": []}', "not JSON"])
def test_a_manifest_without_a_configuration_is_identified_by_its_digest(manifest: str) -> None:
    assert copies.manifest_ids("sha256:m", manifest) == ["sha256:m"]


IMAGE = {"config": {"Labels": {copies.LABEL: "h2"}}}


@pytest.mark.parametrize(
    ("image", "label"),
    [(IMAGE, "h2"), ({"linux/amd64": IMAGE, "linux/arm64": IMAGE}, "h2"), ({"config": {}}, ""), ({}, "")],
)
def test_a_registry_reports_its_copy(image: dict[str, Any], label: str) -> None:
    answer = json.dumps({"manifest": {"digest": "sha256:m2"}, "image": image})

    def both(argv: list[str]) -> tuple[int, str, str]:
        return (0, '{"config": {"digest": "sha256:c2"}}', "") if "--raw" in argv else (0, answer, "")

    assert copies.registry_copy(both, "localhost/polls:2") == {
        "digest": "sha256:m2",
        "ids": ["sha256:m2", "sha256:c2"],
        "context": label,
        "config": {"User": ""} if image else {},
    }


@pytest.mark.parametrize("reason", ["ERROR: localhost:5000/polls:2: not found", "ERROR: name unknown: polls"])
def test_a_registry_without_the_image_has_no_copy(reason: str) -> None:
    assert copies.registry_copy(machine(imagetools=(1, "", reason)), "localhost/polls:2") == {}


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("unexpected status from HEAD request: 401 Unauthorized", "docker login"),
        ("dial tcp 127.0.0.1:401: connect: connection refused", "Check that the registry runs"),
        ("dial tcp: lookup example.org: no such host", "Check that the registry runs"),
    ],
)
def test_an_unavailable_registry_is_reported(reason: str, advice: str) -> None:
    with pytest.raises(MachineError, match=advice):
        copies.registry_copy(machine(imagetools=(1, "", f"ERROR: {reason}")), "localhost/polls:2")


@pytest.mark.parametrize(
    ("newest_first", "wanted", "keep", "gone"),
    [
        ("cba", "c", 3, ""),
        ("dcba", "d", 3, "a"),
        ("dcba", "a", 3, "b"),
        ("dcba", "ab", 2, "dc"),
        ("dcba", "abc", 1, "d"),
        ("dcba", "", 0, "dcba"),
        ("dcba", "b", 0, "dca"),
        ("dcba", "z", 3, "a"),
        ("", "", 3, ""),
    ],
)
def test_the_newest_and_the_wanted_tags_stay(newest_first: str, wanted: str, keep: int, gone: str) -> None:
    assert copies.outdated(sorted(newest_first), newest_first, wanted, keep) == list(gone)


def test_tags_unknown_to_the_container_engine_are_the_oldest() -> None:
    assert copies.outdated(["a", "b", "x"], ["b", "a"], [], 2) == ["x"]


def removals(**parameters: Any) -> list[tuple[str, str, list[str]]]:
    return copies.removals(
        machine(),
        {"used": [], "kind_cluster": None, "minikube_profile": None, "reference": "localhost/polls:2"} | parameters,
    )


def test_old_tags_are_removed_from_the_container_engine() -> None:
    assert removals(keep=2) == [("engine", "localhost/polls:1", ["docker", "image", "rm", "localhost/polls:1"])]


def test_an_image_is_removed_from_a_node_with_all_its_names() -> None:
    commands = [command for place, _, command in removals(keep=2, kind_cluster="kind") if place == "kind-worker"]
    assert [command[-2:] for command in commands] == [["localhost/polls:1", "sha256:c1"]]


def test_a_name_that_another_tag_needs_stays() -> None:
    commands = [command for place, _, command in removals(keep=1, kind_cluster="kind") if place == "kind-worker"]
    assert [command[command.index("rm") + 1 :] for command in commands] == [
        ["localhost/polls:2-b"],
        ["localhost/polls:1", "sha256:c1"],
    ]


def test_with_keep_0_only_used_tags_stay() -> None:
    assert {reference for _, reference, _ in removals(keep=0, used=["localhost/polls:2-b"], kind_cluster="kind")} == {
        "localhost/polls:1",
        "localhost/polls:2",
    }


def test_the_image_itself_stays_even_if_it_is_the_oldest() -> None:
    gone = {reference for _, reference, _ in removals(keep=1, reference="localhost/polls:1")}
    assert gone == {"localhost/polls:2", "localhost/polls:2-b"}


def test_commands_report_their_exit_code() -> None:
    assert copies.execute(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\n", "err\n")
    assert copies.execute(["/no/such/program"]) == (127, "", "/no/such/program: No such file or directory")


def test_an_id_that_another_repository_needs_stays() -> None:
    listing = LISTING + "localhost/other:1 application/json sha256:m1 310.8 MiB linux/amd64 -\n"
    names = copies.names_of(copies.parse_listing(listing), "localhost/polls")
    assert names["localhost/polls:1"] == ["localhost/polls:1"]
    assert names["localhost/polls:2"] == ["localhost/polls:2", "sha256:c2"]


MINIKUBE = ["env", "MINIKUBE_HOME=/home/me", "/usr/bin/minikube", "--profile", "mine"]
MINIKUBE_LISTING = json.dumps(
    [
        {"id": "c2", "repoDigests": [], "repoTags": ["localhost/polls:2", "localhost/polls:2-b"], "size": "1"},
        {"id": "sha256:c1", "repoDigests": [], "repoTags": ["localhost/polls:1"], "size": "1"},
        {"id": "c9", "repoDigests": [], "repoTags": ["localhost/pollsters:2"], "size": "1"},
        {"id": "c8", "repoDigests": [], "repoTags": None, "size": "1"},
    ]
)


def minikube_copies(*answers: tuple[int, str, str]) -> list[dict[str, Any]]:
    """Return the copies on nodes with these answers, one after another."""
    left = list(answers)
    nodes = ["mine", "mine-m02"][: len(answers)]
    return copies.minikube_copies(lambda _: left.pop(0), MINIKUBE, nodes, "localhost/polls:2")


TAGS = ["localhost/polls:1", "localhost/polls:2", "localhost/polls:2-b"]


def test_a_profile_has_tags_of_the_repository_and_the_ids_of_the_image() -> None:
    expected = [{"name": "mine", "references": TAGS, "ids": ["sha256:c2"], "lacks": []}]
    assert minikube_copies((0, MINIKUBE_LISTING, "")) == expected


def test_each_node_of_a_profile_is_inspected_separately() -> None:
    first = (0, json.dumps({"images": json.loads(MINIKUBE_LISTING)}), "")
    second = (0, json.dumps({"images": []}), "")
    asked: list[list[str]] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        asked.append(argv)
        return first if argv[argv.index("--node") + 1] == "mine" else second

    found = copies.minikube_copies(run, MINIKUBE, ["mine", "mine-m02"], "localhost/polls:2", ["localhost/polls:1"])
    assert found == [
        {"name": "mine", "references": TAGS, "ids": ["sha256:c2"], "lacks": []},
        {"name": "mine-m02", "references": [], "ids": [], "lacks": ["localhost/polls:1"]},
    ]


@pytest.mark.parametrize(
    "answer", [(85, "", "Profile not found"), (0, "* The control-plane node is not running\n", "")]
)
def test_a_stopped_profile_has_no_nodes(answer: tuple[int, str, str]) -> None:
    assert minikube_copies(answer) == []


def test_a_profile_without_images_has_no_copy() -> None:
    assert minikube_copies((0, "null\n", "")) == [{"name": "mine", "references": [], "ids": [], "lacks": []}]


@pytest.mark.parametrize("home", ["", ".minikube"])
def test_the_nodes_of_a_profile_come_from_its_configuration(tmp_path: Path, home: str) -> None:
    parameters = {"minikube_home": str(tmp_path / home), "minikube_profile": "mine"}
    assert copies.minikube_nodes(parameters) == []
    folder = tmp_path / ".minikube" / "profiles" / "mine"
    folder.mkdir(parents=True)
    for nodes, names in (
        ([{"Name": ""}], ["mine"]),
        ([{"Name": "m01"}], ["mine"]),
        ([{"Name": ""}, {"Name": "m02"}], ["mine", "mine-m02"]),
    ):
        (folder / "config.json").write_text(json.dumps({"Nodes": nodes}), encoding="utf-8")
        assert copies.minikube_nodes(parameters) == names


def test_the_first_installed_minikube_is_used(tmp_path: Path) -> None:
    program = tmp_path / "minikube"
    program.touch(0o755)
    programs = [str(tmp_path / "nothing"), str(program)]
    found = copies.minikube_command(
        {"minikube_programs": programs, "minikube_home": "/home/me", "minikube_profile": "mine"}
    )
    assert found == ["env", "MINIKUBE_HOME=/home/me", str(program), "--profile", "mine"]


def test_without_minikube_the_error_lists_the_paths() -> None:
    with pytest.raises(MachineError, match="minikube is missing: none of /nowhere/minikube is installed"):
        copies.minikube_command({"minikube_programs": ["/nowhere/minikube"]})


def test_old_tags_are_removed_from_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "minikube_command", lambda *_: MINIKUBE)
    monkeypatch.setattr(copies, "minikube_nodes", lambda *_: ["mine"])
    others = machine()

    def run(argv: list[str]) -> tuple[int, str, str]:
        return (0, MINIKUBE_LISTING, "") if argv[: len(MINIKUBE)] == MINIKUBE else others(argv)

    parameters = {"used": [], "kind_cluster": None, "keep": 1, "reference": "localhost/polls:2"}
    parameters |= {"minikube_programs": [], "minikube_home": "/home/me", "minikube_profile": "mine"}
    removed = [(tag, command) for place, tag, command in copies.removals(run, parameters) if place == "mine"]
    assert removed == [(tag, [*MINIKUBE, "image", "rm", tag]) for tag in ("localhost/polls:2-b", "localhost/polls:1")]
    entries = [{"place": "mine", "reference": tag} for tag in ("localhost/polls:1", "localhost/polls:7")]
    assert copies.left_over(run, parameters, entries) == entries[:1]
    assert copies.left_over(run, parameters, []) == []


def archive(configuration: str) -> io.BytesIO:
    """Return the relevant output of `docker image save`."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in (("layer.tar", b"x" * 9000), ("manifest.json", json.dumps([{"Config": configuration}]))):
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    written.seek(0)
    return written


@pytest.mark.parametrize("configuration", ["c2.json", "blobs/sha256/c2"])
def test_an_archive_contains_the_configuration(configuration: str) -> None:
    assert copies.configuration_id(archive(configuration)) == "sha256:c2"


def test_an_image_with_a_manifest_as_id_is_identified_by_its_configuration() -> None:
    nodes = [{"name": "mine", "ids": ["sha256:c2"]}]
    assert copies.known_to("sha256:m2", nodes, lambda: "sha256:c2")[0]["ids"] == ["sha256:c2", "sha256:m2"]
    assert copies.known_to("sha256:m3", nodes, lambda: "sha256:c3") == nodes


def test_the_configuration_is_read_only_if_it_decides() -> None:
    def never() -> str:
        raise AssertionError

    for ids in (["sha256:c2"], []):
        nodes = [{"name": "mine", "ids": ids}]
        assert copies.known_to("sha256:c2", nodes, never) == nodes
