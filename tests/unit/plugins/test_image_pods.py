"""Whether pods can run an image, by its configuration."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.pods import configuration, problem

NUMBER: dict[str, Any] = {"User": "1000:1000"}


@pytest.mark.parametrize(
    ("config", "user", "words"),
    [
        ({"User": "django"}, None, 'runs as "django", a name. Set django_user_id to its number, then rerun'),
        ({"User": "django:www"}, None, 'runs as "django", a name.'),
        ({"User": ""}, None, "runs as root, which its pods do not allow. Set django_user_id to a number"),
        ({"User": "0:0"}, None, "runs as root"),
        ({"User": "root"}, None, "runs as root"),
        (NUMBER, None, ""),
        # The pods' own number replaces the image's user.
        ({"User": ""}, 10001, ""),
        ({"User": "django"}, 10001, ""),
        # An unknown configuration is no reason to refuse.
        ({}, None, ""),
    ],
)
def test_pods_need_a_user_with_a_number(config: dict[str, Any], user: int | None, words: str) -> None:
    found = problem("shop:1", config, user, False)
    assert found.startswith(f"Image shop:1 {words}") if words else found == ""


@pytest.mark.parametrize(
    ("config", "command", "words"),
    [
        (NUMBER, True, ""),
        (NUMBER, False, ""),
        (
            NUMBER | {"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}},
            False,
            "listens on port 443, but its pods",
        ),
        (NUMBER | {"ExposedPorts": {"80/tcp": {}}}, True, ""),
        (NUMBER | {"ExposedPorts": {"80/tcp": {}, "8080/tcp": {}}}, False, ""),
        (NUMBER | {"ExposedPorts": {"1024/tcp": {}}}, False, ""),
    ],
)
def test_the_own_command_of_an_image_needs_a_high_port(config: dict[str, Any], command: bool, words: str) -> None:
    found = problem("shop:1", config, None, command)
    assert found.startswith(f"Image shop:1 {words}") if words else found == ""


def test_an_image_without_a_user_is_known_to_run_as_root() -> None:
    assert configuration(None) == {}
    assert configuration({}) == {"User": ""}
    assert configuration({"User": "1", "Env": ["SECRET=x"], "Cmd": None}) == {"User": "1"}
