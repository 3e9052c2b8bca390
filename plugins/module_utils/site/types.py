# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Types of variables, without Ansible's conversions, for instance of a string to a list.

Ansible validates a converted copy, but a role gets the original value.
"""

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_bool, check_type_int

# Up to the last @, because a password may contain one.
_USER = re.compile(r"(?<=//).*@", re.DOTALL)
_LONGEST = 80
_NAMES = {dict: "a dictionary", list: "a list", str: "a string", bool: "a Boolean", int: "a number", float: "a number"}
# YAML parses 2026-01-31 as a date.
_NAMES |= {datetime.date: "a date", object: "another kind of value"}
_STEPS = {
    "list": 'Write it as a list, for instance [a, b], and on a command line as JSON: -e \'{"NAME": ["a", "b"]}\'',
    "dict": 'Write it as a dictionary, for instance {a: b}, and on a command line as JSON: -e \'{"NAME": {"a": "b"}}\'',
    "str": "Quote the value",
    "path": "Quote the value",
    "int": "Write an integer",
    "float": "Write a number",
    "bool": "Write true or false",
}


def shown(value: Any) -> str:
    """Return a value for an error: on one line, shortened, and without the user of a URL."""
    text = _USER.sub("***@", value if isinstance(value, str) else str(value))
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text or "empty"


def type_errors(name: str, option: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Yield the type errors in a value and in the values that it contains.

    Args:
        name: the variable or a part of one, for instance `web_gateways[0]`.
        option: the option in a role's argument specification.
    """
    kind = option.get("type", "str")
    if value is None and kind == "raw" and "[" not in name:
        # Null is a value of its own, for example for the user of the image. In a list it is an error.
        return
    if value is None:
        step = "Set a value" if option.get("required") else "Remove the line, or set '' for an empty value"
        yield f"{name} is null. {step if kind in ('str', 'path') or option.get('required') else 'Remove the line'}."
    elif not _FITS[kind](value):
        found = _NAMES[next(each for each in _NAMES if isinstance(value, each))]
        # Values in a dictionary or a list may be secret, so they are not shown.
        is_shown = found in ("a string", "a number", "a Boolean", "a date") and not option.get("no_log")
        value_text = f"{shown(value)}, {found}" if is_shown else found
        step = _STEPS[kind].replace("NAME", re.split(r"[.[]", name)[0])
        yield f"{name} is {value_text}, not {_expected(kind)}. {step}."
    elif kind == "list":
        element = {**option, "type": option.get("elements", "raw"), "elements": "raw"}
        for index, each in enumerate(value):
            yield from type_errors(f"{name}[{index}]", element, each)
    elif kind == "dict":
        for key, inner in (option.get("options") or {}).items():
            if key in value:
                yield from type_errors(f"{name}.{key}", inner, value[key])


def _expected(kind: str) -> str:
    return {"path": "a path", "int": "an integer", "bool": "true or false"}.get(
        kind, _NAMES[{"list": list, "dict": dict, "float": float}.get(kind, str)]
    )


def _converts(check: Callable[[Any], Any], *refused: type) -> Callable[[Any], bool]:
    """Return a check whether Ansible can convert a value: `-e` passes numbers and Booleans as strings."""

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
