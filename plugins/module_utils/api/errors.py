# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""The one family of errors: each says which thing failed, why, and what to do next."""

from __future__ import annotations


class CloudDjangoError(Exception):
    """A failure that a user can act on; the message is a sentence for them."""

    def __init__(self, thing: str, reason: str = "", next_step: str = "") -> None:
        super().__init__(thing, reason, next_step)
        self.thing, self.reason, self.next_step = thing, reason, next_step

    def __str__(self) -> str:
        """Return `thing reason. next_step.`, or the single sentence that was given."""
        if not self.reason:
            return self.thing
        return f"{self.thing} {self.reason}." + (f" {self.next_step}." if self.next_step else "")
