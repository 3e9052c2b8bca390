# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that replaces the word manage in a command by the management command of a project."""

DOCUMENTATION = r"""
name: full_command
short_description: Replace the word manage at the beginning of a command
version_added: 0.1.0
description:
  - Returns the command as a list of strings. If its first word is C(manage), the management command of the project
    replaces this word.
options:
  _input:
    description: The command and its arguments.
    type: list
    elements: str
    required: true
  manage:
    description: The management command of the project, for instance V([python, manage.py]).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Print python manage.py clearsessions
  ansible.builtin.debug:
    msg: "{{ ['manage', 'clearsessions'] | cloud_django.kubernetes.full_command(['python', 'manage.py']) | join(' ') }}"
"""

RETURN = r"""
_value:
  description: The command.
  type: list
  elements: str
"""

from collections.abc import Callable, Sequence
from typing import Any


def full_command(command: Sequence[Any], manage: Sequence[str]) -> list[str]:
    """Return a command in which the management command of the project replaces a leading `manage`."""
    words = [str(word) for word in command]
    return [*manage, *words[1:]] if words[:1] == ["manage"] else words


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by their names."""
        return {"full_command": full_command}
