# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Errors that a user reads: the thing, the reason, the next step."""

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import balanced


class CloudDjangoError(Exception):
    """An error that its message explains to the user; modules pass it on as the message of the failed task.

    Args:
        thing: the object or option that has the problem. A complete sentence if it is the only argument.
        reason: what the problem is; continues the sentence that `thing` begins.
        next_step: what the user can do, without the full stop.
    """

    # What the result of the failed task says besides the message, for tasks that decide by it.
    facts: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, thing: str, reason: str = "", next_step: str = "") -> None:
        self.thing, self.reason, self.next_step = thing, reason, next_step
        sentence = f"{thing} {reason}." if reason else thing
        # A manifest may follow on lines of its own.
        first, *rest = (f"{sentence} {next_step}." if next_step else sentence).split("\n")
        super().__init__("\n".join([balanced(first), *rest]))


class ApiError(CloudDjangoError):
    """The Kubernetes API cannot be reached, or refuses a request; `status` is its HTTP status, 0 without an answer."""

    def __init__(self, thing: str, reason: str = "", next_step: str = "", status: int = 0) -> None:
        super().__init__(thing, reason, next_step)
        self.status = status


class OtherClusterError(ApiError):
    """The connection leads to another cluster than the pinned one."""

    facts: ClassVar[Mapping[str, Any]] = {"mismatch": True}


class ManifestError(CloudDjangoError):
    """The objects that a task names cannot be applied or removed as they are."""


class MachineError(CloudDjangoError):
    """A part of this machine, or a copy of an image, that cannot be inspected or must not be touched."""


class ServerError(CloudDjangoError):
    """A PostgreSQL server cannot be reached, refuses a statement, or is not fit for the site."""
