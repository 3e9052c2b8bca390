"""Environments that the playbooks refuse: another connection, another user, or an old collection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.lookup import environment_refusal
from ansible_collections.cloud_django.kubernetes.plugins.lookup.environment_refusal import user_refusal, version_refusal

PROJECT = Path(__file__).parents[3]
LOCAL = {"ansible_connection": "local"}
PLAIN = {"connection": "ssh", "become": False, "become_user": None}


@pytest.mark.parametrize(
    ("variables", "command"),
    [
        (LOCAL, PLAIN),
        ({"ansible_connection": "ansible.builtin.local"}, PLAIN),
        ({}, PLAIN | {"connection": "local"}),
        (LOCAL | {"ansible_become": "false"}, PLAIN | {"become": True}),
        (LOCAL | {"ansible_become": True, "ansible_become_user": "me"}, PLAIN),
        (LOCAL, PLAIN | {"become": True, "become_user": "me"}),
    ],
)
def test_the_control_node_and_its_user_are_accepted(variables: dict[str, Any], command: dict[str, Any]) -> None:
    assert user_refusal("controller", variables, command, "me") == ""


@pytest.mark.parametrize(
    "variables", [{}, {"ansible_connection": "ssh"}, {"ansible_connection": "community.docker.docker"}]
)
def test_another_connection_is_refused(variables: dict[str, Any]) -> None:
    refusal = user_refusal("controller", variables, PLAIN, "me")
    assert f"Host controller has the connection {variables.get('ansible_connection', 'ssh')}, but" in refusal
    assert "No changes were made. Set ansible_connection: local for controller in the inventory" in refusal


@pytest.mark.parametrize(
    ("variables", "command", "user"),
    [
        ({"ansible_become": "yes"}, PLAIN, "root"),
        ({"ansible_become": True, "ansible_become_user": "deploy"}, PLAIN, "deploy"),
        ({}, PLAIN | {"become": True}, "root"),
        ({}, PLAIN | {"become": True, "become_user": "deploy"}, "deploy"),
    ],
)
def test_another_user_is_refused(variables: dict[str, Any], command: dict[str, Any], user: str) -> None:
    refusal = user_refusal("controller", LOCAL | variables, command, "me")
    assert f"would run as user {user}, but" in refusal
    assert "of the current user me. No changes were made." in refusal


@pytest.mark.parametrize(
    ("version", "is_refused"), [("6.6.0", False), ("10.0.0-beta.1", False), ("6.5.9", True), ("2.4.0", True)]
)
def test_an_old_collection_is_refused(version: str, is_refused: bool, tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": version}}), encoding="utf-8")
    refusal = version_refusal(tmp_path)
    assert bool(refusal) == is_refused
    assert not is_refused or f"found version {version} of the collection kubernetes.core in {tmp_path}, but" in refusal


def test_a_collection_of_unknown_version_is_accepted(tmp_path: Path) -> None:
    assert version_refusal(tmp_path) == ""
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": null}}', encoding="utf-8")
    assert version_refusal(tmp_path) == ""


def test_the_lowest_version_is_that_of_galaxy_yml() -> None:
    needed = yaml.safe_load((PROJECT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]["kubernetes.core"]
    assert needed == f">={environment_refusal.KUBERNETES_CORE}"


def play(tmp_path: Path, *arguments: str, host: str = "ansible_connection: local", **environment: str) -> str:
    """Run a playbook that must fail before its first change; return its output."""
    hosts = tmp_path / "inventory" / "mine" / "hosts.yml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text(f"cloud_django: {{hosts: {{controller: {{{host}}}}}}}\n", encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, f"--inventory={hosts.parent}", "playbooks/site.yml", *arguments],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "changed=0 " in done.stdout
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "host", "words"),
    [
        (["--become", "--become-user=deploy"], "ansible_connection: local", "would run as user deploy"),
        (
            [],
            "ansible_connection: local, ansible_become: true, ansible_become_user: deploy",
            "would run as user deploy",
        ),
        ([], "ansible_connection: ssh, ansible_host: 192.0.2.1", "has the connection ssh"),
    ],
)
def test_playbooks_refuse_another_connection_or_user(
    tmp_path: Path, arguments: list[str], host: str, words: str
) -> None:
    assert words in play(tmp_path, *arguments, host=host)


def test_playbooks_refuse_a_user_of_the_environment(tmp_path: Path) -> None:
    assert "would run as user deploy" in play(tmp_path, "--become", ANSIBLE_BECOME_USER="deploy")


def test_playbooks_refuse_an_old_collection_that_is_found_first(tmp_path: Path) -> None:
    directory = tmp_path / "ansible_collections" / "kubernetes" / "core"
    directory.mkdir(parents=True)
    (directory / "MANIFEST.json").write_text('{"collection_info": {"version": "2.4.0"}}', encoding="utf-8")
    output = play(tmp_path, ANSIBLE_COLLECTIONS_PATH=str(tmp_path))
    assert f"found version 2.4.0 of the collection kubernetes.core in {directory}, but" in output
