# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Reading what the Kubernetes API answers: streams, statuses, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import shorten


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream as soon as each is whole."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def short(text: Any, limit: int = 400) -> str:
    """Return a text on one line, without a full stop at its end."""
    return shorten(str(text or "").rstrip().rstrip("."), limit)


def as_text(data: bytes | str) -> str:
    """Return what a program printed as text."""
    return data.decode(errors="replace") if isinstance(data, bytes) else data


def handshake(reason: Any) -> str:
    """Return why a connection was refused, without the headers that the client puts before the API's own words."""
    words = str(reason)
    told = re.search(r'"message": ?"((?:[^"\\]|\\.)*)"', words)
    return json.loads(f'"{told[1]}"') if told else words


def exit_code(status: bytes | str) -> int:
    """Return a program's exit code from the status that the API sends at its end; 255 if it tells none."""
    try:
        told = json.loads(as_text(status))
    except ValueError:
        return 255
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or []
    code = next((c.get("message", "") for c in causes if c.get("reason") == "ExitCode"), "")
    return int(code) if code.isdigit() else 255


def advice(status: int, words: str) -> str:
    """Return the next step after the API refused something, from what it said."""
    told = (
        (status == 401, "Renew the credentials"),
        ("exceeded quota" in words or "failed quota" in words, "Ask for less, or have the quota raised"),
        ("is being terminated" in words, "Wait until the namespace is gone"),
        ("admission webhook" in words or "admission policy" in words, "Do as it says, or ask who looks after it"),
        (status == 403, "Have the user of this kubeconfig allowed to do that"),
        (status == 409, "Somebody else changed it meanwhile: see that no two runs meet"),
        ("expected numeric" in words or "expected boolean" in words, "Write it without quotes, with -e as JSON"),
        (status in (400, 422), "Correct what the manifest says there"),
        (status == 429 or status >= 500, "See whether the cluster is well"),
    )
    return next((step for fits, step in told if fits), "Correct the cause")
