# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The types of variables, without the conversions of Ansible, which takes a text for a list of its words.

Ansible validates a converted copy, and a role gets the value as it was given.
"""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_bool, check_type_int

# As far as possible: a password may have any of these characters itself.
_USER = re.compile(r"(?<=//).*@", re.DOTALL)
_LONGEST = 80
_NAMES = {dict: "a dictionary", list: "a list", str: "text", bool: "a truth value", int: "a number", float: "a number"}
# YAML takes 2026-01-31 for a date.
_NAMES |= {datetime.date: "a date", object: "another kind of value"}
_STEPS = {
    "list": 'Write it as a list, for instance [a, b], and on a command line as JSON: -e \'{"NAME": ["a", "b"]}\'',
    "dict": 'Write it as a dictionary, for instance {a: b}, and on a command line as JSON: -e \'{"NAME": {"a": "b"}}\'',
    "str": "Put the value into quotes",
    "path": "Put the value into quotes",
    "int": "Write a whole number",
    "float": "Write a number",
    "bool": "Write true or false",
}


def shown(value: Any) -> str:
    """Return a value as a complaint shows it: on one line, not too long, and without the user in a URL."""
    text = _USER.sub("***@", value if isinstance(value, str) else str(value))
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text or "empty"


def type_errors(name: str, option: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Yield what is wrong with the type of a value, and of the values in it.

    Args:
        name: the variable, or its place in one, for instance `web_gateways[0]`.
        option: its part of a role's argument specification.
    """
    kind = option.get("type", "str")
    if value is None:
        step = "Give it a value" if option.get("required") else "Remove the line, or write '' for nothing"
        yield f"{name} is null. {step if kind in ('str', 'path') or option.get('required') else 'Remove the line'}."
    elif not _FITS[kind](value):
        found = _NAMES[next(each for each in _NAMES if isinstance(value, each))]
        # What is in a dictionary or a list may be a secret as well.
        what = (
            f"is {shown(value)}, {found}" if found in ("text", "a number", "a truth value", "a date") else f"is {found}"
        )
        what = f"is {found}" if option.get("no_log") else what
        yield f"{name} {what} and not {_expected(kind)}. {_STEPS[kind].replace('NAME', re.split(r'[.[]', name)[0])}."
    elif kind == "list":
        element = {**option, "type": option.get("elements", "raw"), "elements": "raw"}
        for index, each in enumerate(value):
            yield from type_errors(f"{name}[{index}]", element, each)
    elif kind == "dict":
        for key, inner in (option.get("options") or {}).items():
            if key in value:
                yield from type_errors(f"{name}.{key}", inner, value[key])


def _expected(kind: str) -> str:
    return {"str": "text", "path": "a path", "int": "a whole number", "bool": "true or false"}.get(
        kind, _NAMES.get({"list": list, "dict": dict, "float": float}.get(kind, str), "text")
    )


def _converts(check: Callable[[Any], Any], *refused: type) -> Callable[[Any], bool]:
    """Return whether Ansible converts a value without a guess: a number or a truth value may come as text from `-e`."""

    def fits(value: Any) -> bool:
        try:
            check(value)
        except (TypeError, ValueError):
            return False
        return not isinstance(value, refused)

    return fits


_FITS: dict[str, Callable[[Any], bool]] = {
    "list": lambda value: isinstance(value, list | tuple),
    "dict": lambda value: isinstance(value, Mapping),
    "str": lambda value: isinstance(value, str),
    "path": lambda value: isinstance(value, str),
    "int": _converts(check_type_int, bool, float),
    "float": _converts(float, bool),
    "bool": _converts(check_type_bool),
    "raw": lambda value: True,
}
