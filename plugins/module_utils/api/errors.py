# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Errors for the user: the thing, the reason, and the next step."""

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import balanced

# The end of each next step.
AGAIN = "then rerun the playbook"
# The command replaces the pin of the inventory of the last `make up`.
PIN = "make pin ARGS='-e cluster_pin_replace=true'"
REPIN = f"Use the kubeconfig of the pinned cluster, or pin this inventory to the cluster with `{PIN}`, {AGAIN}"


class CloudDjangoError(Exception):
    """An error whose message is for the user. Modules return it as the message of the failed task.

    Args:
        thing: the object or option that has the problem. A complete sentence if it is the only argument.
        reason: the problem; continues the sentence that `thing` begins.
        next_step: the action that the user can take, without a period.
    """

    # Return values of the failed task besides its message, for tasks that depend on the kind of error.
    facts: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, thing: str, reason: str = "", next_step: str = "") -> None:
        self.thing, self.reason, self.next_step = thing, reason, next_step
        sentence = f"{thing} {reason}." if reason else thing
        # A manifest may follow on lines of its own.
        first, *rest = (f"{sentence} {next_step}." if next_step else sentence).split("\n")
        super().__init__("\n".join([balanced(first), *rest]))


class ApiError(CloudDjangoError):
    """The Kubernetes API is unreachable or refuses a request; `status` is the HTTP status, 0 without a response."""

    def __init__(self, thing: str, reason: str = "", next_step: str = "", status: int = 0) -> None:
        super().__init__(thing, reason, next_step)
        self.status = status


class OtherClusterError(ApiError):
    """The connection leads to another cluster than the pinned one."""

    facts: ClassVar[Mapping[str, Any]] = {"mismatch": True}


class ManifestError(CloudDjangoError):
    """The objects of a task cannot be applied or removed."""


class MachineError(CloudDjangoError):
    """A part of the control node, or a copy of an image, cannot be inspected or must not be changed."""


class ServerError(CloudDjangoError):
    """A PostgreSQL server is unreachable, refuses a statement, or does not meet the requirements of the site."""
