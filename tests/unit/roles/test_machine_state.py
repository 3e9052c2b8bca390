"""The four roles that inspect the control node, where no change is pending. A fake `docker` program answers."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
RECORDED = PROJECT / "tests" / "unit" / "plugins" / "recorded" / "machine"
ROLES = ("container_engine", "mirror_builds", "cluster", "image")
REFERENCE = "localhost/test/polls:1"
# Answers of the engine by the beginning of a command.
DOCKER = """\
#!{python}
import json, pathlib, sys
directory = pathlib.Path({directory!r})
words = " ".join(sys.argv[1:])
with (directory / "calls").open("a") as calls:
    print(words, file=calls)
for beginning, answer in json.loads((directory / "answers.json").read_text()).items():
    if words.startswith(beginning):
        sys.stdout.write(answer)
        sys.exit(0)
sys.exit(f"no answer to {{words}}")
"""


def archive(text: str) -> str:
    """Return what `docker cp` writes of a file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return written.getvalue().decode()


def labelled(number: int, reference: str, **labels: str) -> dict[str, Any]:
    return {"Id": f"sha256:c{number}", "RepoTags": [reference], "Config": {"Labels": labels}}


@dataclass(frozen=True)
class Machine:
    """A control node with a complete cluster of one node, which has the image."""

    folder: Path

    def play(self, tasks: list[dict[str, Any]], *arguments: str) -> str:
        """Run a play after the inspection of playbooks/site.yml, and return its output."""
        plays = yaml.safe_load((PROJECT / "playbooks" / "site.yml").read_text(encoding="utf-8"))
        before = [task for play in plays for task in play.get("pre_tasks", [])]
        [inspect] = [task for task in before if "cloud_django.kubernetes.cluster_info" in task]
        play = {
            "hosts": "all",
            "gather_facts": False,
            "pre_tasks": [inspect],
            "roles": [{"role": f"cloud_django.kubernetes.{role}", "tags": [role]} for role in ROLES],
            "tasks": tasks,
        }
        # As in a checkout, where the roles are beside the playbooks.
        path = self.folder / "playbooks" / "play.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([play]), encoding="utf-8")
        (self.folder / "calls").write_text("", encoding="utf-8")
        ended = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                *("--inventory", "localhost,", "--connection", "local"),
                *("--extra-vars", json.dumps(self.variables()), path, *arguments),
            ],
            cwd=PROJECT,
            env=os.environ
            | {"PATH": f"{self.folder}:{os.environ['PATH']}", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
            # Without a socket, only the fake program answers.
            | {"DOCKER_HOST": "tcp://192.0.2.1:2376"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def wanted(self, *arguments: str) -> dict[str, Any]:
        """Return the inspections that the roles request."""
        path = self.folder / "wanted.json"
        content = (
            "{{ {'builds': mirror_builds_inspection, 'cluster': cluster_inspection, 'image': image_inspection}"
            " | to_json }}"
        )
        copy = {"dest": str(path), "content": content, "mode": "0600"}
        self.play([{"ansible.builtin.copy": copy, "tags": ["wanted"]}], "--tags=wanted", *arguments)
        return json.loads(path.read_text(encoding="utf-8"))

    def variables(self) -> dict[str, Any]:
        return {
            "ansible_python_interpreter": sys.executable,
            "app_name": "polls",
            "cluster_name": "polls",
            "cluster_kind_binary": "sh",
            "cluster_node_image": "localhost/cloud-django/node:v1.36.3",
            "cluster_state_directory": str(self.folder / "state"),
            "image_context": str(self.folder / "context"),
            "image_reference": REFERENCE,
            "mirror_builds_cache_directory": str(self.folder / "cache"),
            "mirror_builds_enabled": True,
        }

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()

    def answer(self, answers: dict[str, str]) -> None:
        (self.folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = Machine(tmp_path_factory.mktemp("machine"))
    folder = made.folder
    (folder / "roles").symlink_to(PROJECT / "roles")
    (folder / "context").mkdir()
    (folder / "context" / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (folder / "docker").write_text(DOCKER.format(python=sys.executable, directory=str(folder)), encoding="utf-8")
    (folder / "docker").chmod(0o755)
    made.answer({})
    found = made.wanted()
    for link, target in found["builds"]["programs"].items():
        Path(target).parent.mkdir(parents=True)
        Path(target).touch(0o755)
        Path(link).parent.mkdir(parents=True, exist_ok=True)
        Path(link).symlink_to(target)
    kubeconfig = Path(found["cluster"]["kubeconfig"])
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.write_text((RECORDED / "kind_kubeconfig.txt").read_text(encoding="utf-8"), encoding="utf-8")
    [node, _] = json.loads((RECORDED / "kind_two_nodes.json").read_text(encoding="utf-8"))
    images = found["builds"]["images"].values()
    built = [labelled(9, image["reference"], **{"cloud-django.inputs": image["inputs"]}) for image in images]
    site = labelled(2, REFERENCE, **{"cloud-django.context": found["image"]["content"]})
    made.answer(
        {
            "buildx version": "fine\n",
            "container ls": "0a3c5e7f90b1 running polls-control-plane\n",
            "container inspect": json.dumps([node]),
            "cp polls-control-plane:/etc/kubernetes": archive(
                (RECORDED / "kind_admin.conf").read_text(encoding="utf-8")
            ),
            "cp polls-control-plane:/kind": archive(f"{found['cluster']['content']} {node['State']['StartedAt']}"),
            "image ls": "sha256:c2\n",
            "image inspect sha256:c2": json.dumps([site]),
            "image inspect localhost/cloud-django": json.dumps(built),
            "exec polls-control-plane sh": f'REF\n{REFERENCE} json sha256:m2\n\n{{"config":{{"digest":"sha256:c2"}}}}',
        }
    )
    return made


def counts(output: str) -> dict[str, int]:
    """Return the numbers of the recap."""
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", output.partition("PLAY RECAP")[2])}


def test_an_unchanged_machine_takes_one_inspection_and_few_tasks(machine: Machine) -> None:
    numbers = counts(machine.play([]))
    # One inspection, and per role the validation of its arguments and one skipped task.
    assert (numbers["changed"], numbers["ok"], numbers["skipped"]) == (0, 5, 4)
    calls = machine.calls()
    assert len(calls) == len(set(calls))
    assert sum(call.startswith("container inspect") for call in calls) == 1


def test_the_inspection_refuses_clusters_that_the_check_of_a_pinned_one_refuses(machine: Machine) -> None:
    path = PROJECT / "roles" / "cluster" / "tasks" / "check.yml"
    [check] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert check["cloud_django.kubernetes.cluster_check"]["minimum_version"] == "{{ __cluster_minimum_version }}"
    assert machine.wanted()["cluster"]["minimum_version"] == "1.30"


def test_each_role_inspects_its_part_without_a_shared_result(machine: Machine) -> None:
    include = [{"ansible.builtin.include_role": {"name": f"cloud_django.kubernetes.{role}"}} for role in ROLES]
    forget = {"ansible.builtin.command": {"argv": ["true"]}, "register": "machine_state", "changed_when": False}
    numbers = counts(machine.play([forget, *include]))
    assert numbers["changed"] == 0
    assert sum(call == "buildx version" for call in machine.calls()) == 2
    assert sum(call.startswith("container inspect") for call in machine.calls()) == 2


def test_the_result_about_another_image_is_not_used(machine: Machine) -> None:
    # The reference contains a variable of the task, because variables of the command line override others.
    again = {"ansible.builtin.include_role": {"name": "cloud_django.kubernetes.image"}, "vars": {"test_tag": 2}}
    reference = json.dumps({"image_reference": "localhost/test/polls:{{ test_tag | default(1) }}"})
    output = machine.play([again], "--check", f"--extra-vars={reference}")
    assert "Would load localhost/test/polls:2" in " ".join(output.split())
    assert sum(call.startswith("image ls") for call in machine.calls()) == 2


def test_a_changed_caddy_needs_new_images_of_caddy_and_node(machine: Machine, tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(PROJECT / "roles" / "mirror_builds" / "files", files)

    def inputs() -> dict[str, str]:
        found = machine.wanted(f"--extra-vars=__mirror_builds_files={files}")
        return {name: image["inputs"] for name, image in found["builds"]["images"].items()}

    before = inputs()
    with (files / "go" / "caddy" / "go.sum").open("a") as sums:
        sums.write("\n")
    assert {name for name, value in inputs().items() if value != before[name]} == {"caddy", "node"}
