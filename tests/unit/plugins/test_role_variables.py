"""Variables that one role reads from another, each with one default."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.cloud_django.kubernetes.plugins.filter.web_connections import FilterModule
from ansible_collections.cloud_django.kubernetes.plugins.lookup.role_variable import role_of

PROJECT = Path(__file__).parents[3]
SITE = {"app_name": "polls", "app_namespace": "votes"}

web_connections = FilterModule().filters()["web_connections"]


def lookup(*names: str, **variables: Any) -> Any:
    """Return the values in a play that sets these variables and runs no role."""
    quoted = ", ".join(f"'{name}'" for name in names)
    values = f"{{{{ query('cloud_django.kubernetes.role_variable', {quoted}) | to_json | b64encode }}}}"
    command = [str(Path(sys.executable).with_name("ansible")), "localhost", "-i", "localhost,", "-c", "local"]
    command += ["-m", "ansible.builtin.debug", "-a", json.dumps({"msg": f"RESULT:{values}:END"})]
    command += ["-e", json.dumps(SITE | variables)]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"RESULT:([\w+/=]+):END", done.stdout)
    assert found, " ".join((done.stdout + done.stderr).split())
    return json.loads(base64.b64decode(found[1]))


def default(role: str, name: str) -> Any:
    return yaml.safe_load((PROJECT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8"))[name]


def test_an_unset_variable_has_the_default_of_its_role() -> None:
    assert lookup("web_replicas", "namespace_quota", "postgresql_host", "database_port") == [
        default("web", "web_replicas"),
        {},
        "polls-postgresql.votes.svc",
        default("postgresql", "postgresql_port"),
    ]


def test_a_set_variable_also_determines_defaults_that_depend_on_it() -> None:
    names = ("web_replicas", "database_host", "postgresql_web_connections", "database_web_connections")
    numbers = {"web_workers": 1, "web_threads": 1, "web_surge": 1}
    found = lookup(*names, web_replicas="{{ 2 + 3 }}", postgresql_host="db.example.org", **numbers)
    assert found == [5, "db.example.org", 11, 11]
    assert lookup("postgresql_max_connections", web_replicas=100) == [201 * 8 + 15]


def test_a_name_that_no_role_has_is_an_error() -> None:
    with pytest.raises(AnsibleError, match="nothing_like_it is not a variable of any role"):
        role_of("nothing_like_it", ["web"])
    with pytest.raises(AssertionError, match="Role web has no variable web_nothing_like_it"):
        lookup("web_nothing_like_it")


def test_a_role_with_a_longer_name_is_preferred() -> None:
    assert role_of("container_engine_state", ["container", "container_engine", "web"]) == "container_engine"


@pytest.mark.parametrize(
    ("values", "connections"),
    [
        ([3, 0, 1, 2, 4, {}], 56),
        (["3", "0", "1", "2", "4", {}], 56),
        ([3, 20, 1, 2, 4, {}], 328),
        ([1, 0, 0, 0, 1, {}], 4),
        ([1, 0, 0, 0, 1, {"limits": {"cpu": "2500m"}}], 6),
        ([0, 0, 1, 2, 4, None], 8),
    ],
)
def test_connections_of_the_web_pods(values: list[Any], connections: int) -> None:
    assert web_connections(values) == connections


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["three", 0, 1, 2, 4, {}], "web_replicas must be an integer"),
        ([3, 0, -1, 2, "", {}], "web_surge, web_threads must be an integer"),
        ([3, 0, 1, 0, 4, {"limits": {"cpu": "many"}}], "many"),
    ],
)
def test_values_that_are_not_numbers_are_refused(values: list[Any], words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        web_connections(values)
