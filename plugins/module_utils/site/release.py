# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of the roles migrations and superuser."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import secret_problem
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

# Word for the management command of the project, which needs a command after it.
MANAGE = "manage"


def migrations_before(migrations_before: list[list[Any]]) -> Iterator[str]:
    yield from _commands("migrations_before", migrations_before, "[manage, check, --deploy]")


def migrations_commands(migrations_commands: list[list[Any]]) -> Iterator[str]:
    yield from _commands("migrations_commands", migrations_commands, "[load_demo_polls]")


def migrations_command(migrations_command: list[Any]) -> Iterator[str]:
    if migrations_command:
        yield from _command("migrations_command", migrations_command, "[nautobot-server, post_upgrade]")


def superuser_command(superuser_command: list[Any]) -> Iterator[str]:
    """Without a command, the role has its own script."""
    if superuser_command:
        yield from _command("superuser_command", superuser_command, "[manage, create_admin]")


def _commands(name: str, commands: list[list[Any]], example: str) -> Iterator[str]:
    for index, command in enumerate(commands):
        yield from _command(f"{name}[{index}]", command, example)


def _command(name: str, command: list[Any], example: str) -> Iterator[str]:
    """Yield an error if a command begins with no name, or has a part that is no single word."""
    about = f"{name} is {shown(json.dumps(command, default=str))}, which"
    if not command or not isinstance(command[0], str) or not command[0]:
        yield f"{about} has no command. Begin the list with the name of a command, for instance {example}."
    elif command[0] == MANAGE and not (command[1:] and isinstance(command[1], str) and command[1]):
        yield f"{about} has no management command after manage. Add its name, for instance {example}."
    elif any(isinstance(word, list | Mapping) or word is None for word in command):
        yield f"{about} has an item that is not a word. Write each argument as a string."
    elif len(command) == 1 and " " in command[0].strip():
        words = ", ".join(command[0].split())
        yield f"{about} is one word with spaces, so no such program exists. Write its words as items: [{words}]."


def superuser_password(superuser_password: str) -> Iterator[str]:
    yield from _secret("superuser_password", superuser_password)


def superuser_identity(superuser_username: str, superuser_email: str) -> Iterator[str]:
    """They are in files beside the password, with the same reader."""
    for name, text in {"superuser_username": superuser_username, "superuser_email": superuser_email}.items():
        yield from _secret(name, text)
        if text != text.strip() and not secret_problem(text):
            yield f"{name} begins or ends with whitespace, which Django's login page removes. Remove the whitespace."
    if not superuser_username:
        yield "superuser_username is empty. Set a name for the login."


def _secret(name: str, text: str) -> Iterator[str]:
    if problem := secret_problem(text):
        yield f"{name} {problem}."


def superuser_fields(superuser_fields: Mapping[str, Any]) -> Iterator[str]:
    """They are in a ConfigMap, and the role has variables of its own for some of them."""
    for name, value in superuser_fields.items():
        about = f"superuser_fields has {shown(name)}"
        if not isinstance(name, str) or not name.isidentifier():
            yield f"{about}, which is not the name of a field. Write the name in the user model."
        elif name == "password":
            yield f"{about}, but the fields are no secrets. Set superuser_password instead."
        elif isinstance(value, list | Mapping):
            yield f"{about}, which is not a string, a number, or a Boolean. Set superuser_command for such a field."


RULES: list[Callable[..., Iterator[str]]] = [
    migrations_before,
    migrations_commands,
    migrations_command,
    superuser_command,
    superuser_password,
    superuser_identity,
    superuser_fields,
]
