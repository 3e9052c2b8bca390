# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Values of Secrets: given, generated, and existing ones."""

import base64
import binascii
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ManifestError

Obj = dict[str, Any]

HIDDEN = "(hidden)"
_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Step:
    """A Secret of a server to write, by the suffix of its name, and the reason."""

    suffix: str
    values: dict[str, str]
    text: str


def random_text(length: int = 32) -> str:
    """Return random letters and digits from the operating system; they never need quotes."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def encode(value: str) -> str:
    """Return a string in the encoding of a Secret's `data`."""
    return base64.b64encode(value.encode()).decode()


def decode(value: str) -> bytes | None:
    """Return the content of a base64 string, None if it is not base64."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def data_of(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a Secret as strings. Raises ManifestError if one of them is not UTF-8."""
    try:
        return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError):
        raise ManifestError(
            f"Secret {secret['metadata']['name']}",
            "has a value that is not text in UTF-8",
            f"Correct or delete the Secret, {AGAIN}",
        ) from None


def manifest(name: str, namespace: str, labels: Mapping[str, str], values: Mapping[str, str]) -> Obj:
    """Return the manifest of a Secret with these values."""
    data = {key: encode(value) for key, value in sorted(values.items())}
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def by_key(content: Mapping[str, Any], option: str) -> dict[str, dict[str, Any]]:
    """Return an option with a dictionary for each Secret. Raises ManifestError for another type."""
    for name, keys in content.items():
        if not isinstance(keys, dict | None):
            step = f"Write a dictionary of keys, {AGAIN}"
            raise ManifestError(f"Option {option}", f"has no keys for Secret {name}", step)
    return {name: keys or {} for name, keys in content.items()}


def as_length(value: Any, what: str) -> int:
    """Return a number of characters from a number or a string. Raises ManifestError for any other value."""
    try:
        length = int(value)
    except (TypeError, ValueError):
        length = 0
    if length < 1:
        step = f"Set a number above zero in generate, {AGAIN}"
        raise ManifestError(what, f"cannot be {value} characters long", step)
    return length


def fill(
    secret: Obj,
    existing: Obj | None,
    values: Mapping[str, Any],
    generate: Mapping[str, Any],
    random: Callable[[int], str] = random_text,
) -> Obj:
    """Return a Secret with its `data`: given values, else existing ones, else generated ones.

    An empty existing value counts as missing. Raises ManifestError for a value that isn't a string, and for an existing
    value that its readers would change, in both cases without the value.
    """
    title = f"Secret {secret['metadata']['name']}"
    given = {**(secret.get("stringData") or {}), **values}
    data = dict(secret.get("data") or {})
    for key, value in [*data.items(), *given.items()]:
        if not isinstance(value, str):
            raise ManifestError(f"Key {key} of {title}", "is not a string", f"Quote its value, {AGAIN}")
    present = (existing or {}).get("data") or {}
    for key, length in generate.items():
        if present.get(key):
            data[key] = present[key]
            if key not in given:
                # Users type a password, so it is one line. Other generated keys are read as whole files.
                text = (decode(present[key]) or b"").decode(errors="surrogateescape")
                refuse_unreadable(f"Key {key} of {title}", text, is_line=key == "password")
        elif key not in given:
            data[key] = encode(random(as_length(length, f"Key {key} of {title}")))
    data |= {key: encode(value) for key, value in given.items()}
    for key, value in data.items():
        if decode(value) is None:
            step = f"Set its plain value in secret_values instead, {AGAIN}"
            raise ManifestError(f"Key {key} of {title}", "is not base64", step)
    return {key: value for key, value in secret.items() if key != "stringData"} | {"data": data}


def hide(secret: Obj) -> Obj:
    """Return the manifest of a Secret without its values."""
    fields = {field: secret[field] for field in ("data", "stringData") if isinstance(secret.get(field), dict)}
    return secret | {field: dict.fromkeys(content, HIDDEN) for field, content in fields.items()}


def secret_problem(text: str, is_line: bool = True) -> str:
    """Return why a server and the readers of a file would get different secrets, with the next step; empty if not.

    Args:
        is_line: whether the reader reads only one line, as `initdb` and a browser do. Django projects read the whole
            file without a line break at its end.
    """
    if text.endswith(("\n", "\r")):
        return "has a line break at its end, which readers of a file ignore. Remove it (YAML: |- instead of |)"
    if is_line and ("\n" in text or "\r" in text):
        return "has a line break, but readers of a file stop there. Remove it"
    if "\0" in text:
        return "has a NUL byte, which no server accepts. Remove it"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not text in UTF-8. Replace it"
    return ""


def service_problem(text: str) -> str:
    """Return why a value cannot be in a service file of libpq, with the next step; empty if it can."""
    # libpq removes the blanks at the end of a line, and knows no quotes.
    if text != text.rstrip(" \t\v\f"):
        return "ends in a blank, which libpq's service file cannot hold. Choose another"
    return ""


def refuse_unreadable(thing: str, text: str, is_line: bool = True) -> None:
    """Raise ManifestError if a server and the readers of a file would get different secrets, without the secret."""
    if problem := secret_problem(text, is_line):
        reason, _, step = problem.partition(". ")
        raise ManifestError(thing, reason, f"{step}, {AGAIN}")
