# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Placeholders in strings, such as `${database.url}` and `${django.secret_key|json}`: their rules and their values.

Nothing here reads or writes. A `$` that does not begin the name of a known group stays as it is, because configuration
files and scripts have a `$` of their own.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ManifestError

# A value is a string, or a list of strings for a key such as `site.hosts`.
Value = str | Sequence[str]

# The groups and their keys. None means that the inventory names the keys.
GROUPS: dict[str, tuple[str, ...] | None] = {
    "database": (
        *("host", "port", "name", "user", "password", "url", "uri", "address", "service", "ca", "sslmode", "schema"),
        "owner",
    ),
    "cache": ("host", "port", "user", "password", "url", "ca"),
    "django": None,
    "superuser": ("username", "password", "email"),
    "email": None,
    "site": ("url", "host", "netloc", "hosts", "origins"),
    "pod": ("ip", "name", "node", "cpus"),
}
# Why a site can lack a group, with the next step.
LACKING = {
    "cache": "but cache_state is absent. Set it to present, or name another source",
    "email": "but app_email is not set. Set it, or name another source",
    "pod": "which is known only when a pod starts. Use from instead of a template",
}
# A known group decides later whether this is a placeholder, so that an error in its key or filter is reported.
_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\.([^{}\n]*)\}")
_LONGEST = 60


@dataclass(frozen=True)
class Placeholder:
    """A placeholder in a string: a key of a group, and the filters that its value passes in this order."""

    group: str
    key: str
    filters: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return group and key as in the string, shortened."""
        text = f"{self.group}.{self.key}"
        return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text


def joined(value: Value) -> str:
    """Return a value as text. Lists join with a comma, as most projects expect them in the environment."""
    return value if isinstance(value, str) else ",".join(value)


def literal(value: Value) -> str:
    """Return a value as a literal that Python, JSON, and TOML read as the same string or list."""
    if not isinstance(value, str):
        return f"[{', '.join(literal(item) for item in value)}]"
    # Escaped surrogate pairs are one character in JSON only, so all characters but control characters stay as they are.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def list_literal(value: Value) -> str:
    """Return a value as a literal of a list; one of a single item for a string."""
    return literal([value] if isinstance(value, str) else value)


def in_url(value: Value) -> str:
    """Return a value percent-encoded for any part of a URL."""
    return quote(joined(value), safe="")


def in_ini(value: Value) -> str:
    """Return a value for a file that Python's configparser reads. Raises ValueError for one that would end its line."""
    text = joined(value)
    if "\n" in text or "\r" in text:
        raise ValueError("has a line break, which a value in an ini file cannot hold")
    return text.replace("%", "%%")


FILTERS: dict[str, Callable[[Value], str]] = {"url": in_url, "json": literal, "list": list_literal, "ini": in_ini}


def placeholders(template: str, groups: Iterable[str] = tuple(GROUPS)) -> list[Placeholder]:
    """Return the placeholders of a string, each once, in their order."""
    known = set(groups)
    found = {_parsed(match): None for match in _PLACEHOLDER.finditer(template) if match[1] in known}
    return list(found)


def _parsed(match: re.Match[str]) -> Placeholder:
    key, *filters = match[2].split("|")
    return Placeholder(match[1], key, tuple(filters))


def problem(placeholder: Placeholder, keys: Iterable[str] | None) -> str:
    """Return why a placeholder has no value, with the next step; empty if it has one.

    Args:
        keys: the keys of its group; None if this site lacks the group.
    """
    if keys is None:
        reason = LACKING.get(placeholder.group, f"but this site has no {placeholder.group}. Correct the name")
        return f"asks for {placeholder.name}, {reason}"
    if placeholder.key not in (known := list(keys)):
        return f"asks for {placeholder.name}, which is none of {', '.join(known)}. Correct it"
    if unknown := [name for name in placeholder.filters if name not in FILTERS]:
        return (
            f"has the filter {unknown[0][:_LONGEST] or 'with an empty name'} of {placeholder.name}, which is none of "
            f"{', '.join(FILTERS)}. Correct it"
        )
    return ""


def refuse(about: str, problem: str) -> None:
    """Raise ManifestError for a problem of the thing `about`; an empty problem is none."""
    if problem:
        reason, _, step = problem.rpartition(". ")
        raise ManifestError(about, reason, f"{step}, {AGAIN}")


def fill(about: str, template: str, values: Mapping[str, Mapping[str, Value]]) -> str:
    """Return a string with the values of its placeholders. Raises ManifestError, without values, if one has none.

    Args:
        about: the string's name in errors.
        values: the values by group and key.
    """
    known = set(GROUPS) | values.keys()

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in known:
            return match[0]
        placeholder = _parsed(match)
        refuse(about, problem(placeholder, values.get(placeholder.group)))
        value = values[placeholder.group][placeholder.key]
        for name in placeholder.filters:
            try:
                value = FILTERS[name](value)
            except ValueError as error:
                refuse(about, f"asks for {placeholder.name}, which {error}. Use another filter")
        return joined(value)

    return _PLACEHOLDER.sub(value_of, template)
