# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Values of Secrets: given ones, generated ones, and those that exist."""

import base64
import binascii
import secrets
import string
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError

Obj = dict[str, Any]

HIDDEN = "(hidden)"
_ALPHABET = string.ascii_letters + string.digits


def random_text(length: int = 32) -> str:
    """Return letters and digits from the system's source of randomness; they need no quoting anywhere."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def encode(value: str) -> str:
    """Return a text as the `data` of a Secret holds it."""
    return base64.b64encode(value.encode()).decode()


def decode(value: str) -> bytes | None:
    """Return the content of a base64 text, None if it is not base64."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def data_of(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a Secret as text. Raises ManifestError if one of them is not text."""
    try:
        return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError):
        raise ManifestError(
            f"Secret {secret['metadata']['name']}",
            "holds something that is no text",
            "Correct or delete it, then rerun the playbook",
        ) from None


def manifest(name: str, namespace: str, labels: Mapping[str, str], values: Mapping[str, str]) -> Obj:
    """Return the manifest of a Secret with these values."""
    data = {key: encode(value) for key, value in sorted(values.items())}
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def by_key(content: Mapping[str, Any], option: str) -> dict[str, dict[str, Any]]:
    """Return an option that has something for each key of each Secret. Raises ManifestError if it has not."""
    for name, keys in content.items():
        if not isinstance(keys, dict | None):
            raise ManifestError(f"Option {option}", f"has no keys for Secret {name}", "Write a dictionary there")
    return {name: keys or {} for name, keys in content.items()}


def as_length(value: Any, what: str) -> int:
    """Return a number of characters, which may be text. Raises ManifestError for anything else."""
    try:
        length = int(value)
    except (TypeError, ValueError):
        length = 0
    if length < 1:
        raise ManifestError(what, f"cannot be {value} characters long", "Write a number above zero in generate")
    return length


def fill(
    secret: Obj,
    existing: Obj | None,
    values: Mapping[str, Any],
    generate: Mapping[str, Any],
    random: Callable[[int], str] = random_text,
) -> Obj:
    """Return a Secret with its `data`: given values first, then existing ones, then new ones.

    An empty value that exists counts as none. Raises ManifestError for a value that is not text, without showing it.
    """
    title = f"Secret {secret['metadata']['name']}"
    given = {**(secret.get("stringData") or {}), **values}
    data = dict(secret.get("data") or {})
    for key, value in [*data.items(), *given.items()]:
        if not isinstance(value, str):
            raise ManifestError(f"Key {key} of {title}", "is not text", "Write its value in quotes")
    there = (existing or {}).get("data") or {}
    for key, length in generate.items():
        if there.get(key):
            data[key] = there[key]
        elif key not in given:
            data[key] = encode(random(as_length(length, f"Key {key} of {title}")))
    data |= {key: encode(value) for key, value in given.items()}
    for key, value in data.items():
        if decode(value) is None:
            raise ManifestError(
                f"Key {key} of {title}", "is not base64", "Give its value among secret_values, as it is"
            )
    return {key: value for key, value in secret.items() if key != "stringData"} | {"data": data}


def hide(secret: Obj) -> Obj:
    """Return the manifest of a Secret with its keys only."""
    fields = {field: secret[field] for field in ("data", "stringData") if isinstance(secret.get(field), dict)}
    return secret | {field: dict.fromkeys(content, HIDDEN) for field, content in fields.items()}


def secret_problem(text: str, is_line: bool = True) -> str:
    """Return why a server and the readers of a file do not end up with the same bytes; empty if they do.

    Args:
        is_line: whether a reader takes one line, as `initdb` and a browser do. Django projects take the whole file,
            without a line break at its end.
    """
    if text.endswith(("\n", "\r")):
        return "has a line break at its end, which readers of a file leave out. Remove it (YAML: |- instead of |)"
    if is_line and ("\n" in text or "\r" in text):
        return "has a line break, at which readers of a file end. Remove it"
    if "\0" in text:
        return "has a NUL byte, which no server stores. Remove it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is no text in UTF-8. Write it anew"
    return ""
