# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Entries of `django_environment` and `django_files`: their forms, and what is wrong with them.

Nothing here reads a Secret. The module `apply` fills in the values, so that none of them reaches the control node.
"""

import ast
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import compose
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.compose import Placeholder

# Keys of each group that the site has; None for a group that it lacks.
Keys = Mapping[str, Sequence[str] | None]

# Keys of an entry that say where its value comes from.
SOURCES = ("from", "file", "template", "value", "secret")
FORMS = "from, file, template, value, or secret with key"
FILE_SOURCES = ("template", "source", "from")
# Names of environment variables that Kubernetes accepts both from a ConfigMap and in a Job.
VARIABLE = re.compile(r"[-_a-zA-Z][-._a-zA-Z0-9]*")
NAME = re.compile(r"[a-z][a-z0-9_]*")
# Placeholders, and text that resembles one but has an unknown group or a space.
_RESEMBLING = re.compile(r"\$\{(\s*)(\w+)(\s*)\.([^{}\n]*)\}")
# Lets `databse` and `caches` resemble a group, but not `shell` and `server`, which other programs replace.
_SIMILARITY = 0.8
# Hosts, names, and random values of a site, all of which Python reads as a literal.
_LITERALS = {"json": '""', "list": "[]"}


def keys_of(generated: Mapping[str, Any], email: Mapping[str, Any], has_cache: bool) -> dict[str, Sequence[str] | None]:
    """Return the keys of each group of a site.

    Args:
        generated: further random values by name.
        email: the settings of the mail server.
    """
    keys: dict[str, Sequence[str] | None] = dict(compose.GROUPS)
    keys |= {"django": ("secret_key", *generated), "email": tuple(email) or None}
    return keys if has_cache else keys | {"cache": None}


def reference_problem(reference: Any, keys: Keys, without: Sequence[str] = ()) -> str:
    """Return why a reference such as `database.host` has no value, with the next step; empty if it has one."""
    if not isinstance(reference, str) or "." not in reference:
        return "names no group and key. Write for instance database.host"
    group, _, key = reference.partition(".")
    return placeholder_problem(Placeholder(group, key), keys, without)


def placeholder_problem(placeholder: Placeholder, keys: Keys, without: Sequence[str] = ()) -> str:
    """Return why a placeholder has no value, with the next step; empty if it has one."""
    group = placeholder.group
    if group not in keys:
        return f"asks for {placeholder.name}, but the groups are {', '.join(keys)}. Correct the name"
    if group == "cache" and keys[group] is None:
        return f"asks for {placeholder.name}, but cache_state is absent. Start the cache, or name another source"
    if group == "email" and keys[group] is None:
        return f"asks for {placeholder.name}, but app_email is empty. Set it, or name another source"
    if group in without:
        return f"asks for {placeholder.name}, which only an environment variable with from can have. Use from"
    return compose.problem(placeholder, keys[group])


def template_problems(template: Any, keys: Keys) -> Iterator[str]:
    """Yield why a template cannot be filled in, each with the next step."""
    if not isinstance(template, str):
        yield "has a template that is not a string. Quote it"
        return
    for placeholder in compose.placeholders(template, keys):
        if problem := placeholder_problem(placeholder, keys, ("pod",)):
            yield problem
    yield from dict.fromkeys(_misspelled(template, keys))


def _misspelled(template: str, keys: Keys) -> Iterator[str]:
    """Yield why text that resembles a placeholder is none, because pods would get it unchanged."""
    for match in _RESEMBLING.finditer(template):
        before, group, after, rest = match.groups()
        if group in keys and not before and not after:
            continue
        key, *filters = (word.strip() for word in rest.split("|"))
        name = Placeholder(group, key).name
        near = difflib.get_close_matches(group.lower(), keys, 1, _SIMILARITY)
        if group in keys:
            yield f"has a space in the placeholder of {name}. Write ${{{name}}}"
        elif near:
            yield f"asks for {name}, but there is no group {group}. Write {near[0]}.{key}"
        elif set(filters) & compose.FILTERS.keys():
            yield f"asks for {name}, but the groups are {', '.join(keys)}. Correct the name"


def environment_errors(environment: Mapping[str, Any], keys: Keys) -> Iterator[str]:
    """Yield the errors in the entries of `django_environment`."""
    for name, entry in environment.items():
        about = f"{name} in django_environment"
        for problem in entry_problems(entry, keys):
            yield f"{about} {problem}."


def entry_problems(entry: Any, keys: Keys) -> Iterator[str]:
    """Yield why an entry has no value, each with the next step. The value itself is never part of it."""
    if isinstance(entry, str):
        yield from text_problems(entry, keys)
    elif isinstance(entry, Mapping):
        yield from source_problems(entry, keys)


def type_errors(environment: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each entry that is neither a string nor a dictionary."""
    for name, entry in environment.items():
        if entry is not None and not isinstance(entry, str | Mapping):
            yield (
                f"{name} in django_environment is not a string and names no source: YAML parsed its value as another "
                "type and may have changed it. Quote the value."
            )


def email_errors(email: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each setting of the mail server that is neither a string nor a number."""
    for name, value in email.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            yield f"{name} in app_email is neither a string nor a whole number. Quote the value."


def text_problems(text: str, keys: Keys) -> Iterator[str]:
    """Yield why a plain string is no value of an environment variable."""
    if "\0" in text:
        yield "has a NUL byte, which would end the value. Remove the byte"
    if compose.placeholders(text, keys):
        yield "has a placeholder in plain text, which pods would get unchanged. Write it as {template: ...}"


def source_problems(entry: Mapping[str, Any], keys: Keys) -> Iterator[str]:
    """Yield why a dictionary names no value."""
    named = [source for source in SOURCES if source in entry]
    if len(named) > 1:
        yield f"has both {named[0]} and {named[1]}. Keep one"
    elif not named:
        yield f"names no source. Use one of {FORMS}"
    elif unknown := [key for key in entry if key not in _allowed(named[0])]:
        yield f"has {unknown[0]}, which is not an option of {named[0]}. Remove it"
    elif named[0] == "template":
        yield from template_problems(entry["template"], keys)
    elif named[0] in ("from", "file"):
        without = ("pod",) if named[0] == "file" else ()
        if problem := reference_problem(entry[named[0]], keys, without):
            yield problem
        elif not isinstance(entry.get("separator", ""), str):
            yield "has a separator that is not a string. Quote it"
    else:
        yield from _given_problems(entry)


def _given_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield why an entry with a value or a Secret of the user is not valid."""
    parts = ("value",) if "value" in entry else ("secret", "key")
    for part in parts:
        if not isinstance(entry.get(part), str):
            yield f"has no string as its {part}. Set it, in quotes"
        elif "\0" in entry[part]:
            yield f"has a NUL byte in its {part}. Remove the byte"
        elif part != "value" and not entry[part]:
            yield f"has an empty {part}. Set it"


def _allowed(source: str) -> tuple[str, ...]:
    return {"from": ("from", "separator"), "secret": ("secret", "key")}.get(source, (source,))


def name_errors(environment: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the errors in the names of environment variables."""
    for name in environment:
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            yield (
                f"{str(name)!r} in django_environment is not a valid name of an environment variable, so Kubernetes "
                "would ignore it. Use letters, digits, and underscores."
            )


def file_errors(files: Mapping[str, Any], keys: Keys) -> Iterator[str]:
    """Yield the errors in the entries of `django_files`, except for those in their paths."""
    for path, entry in files.items():
        about = f"{path} in django_files"
        if entry is None:
            continue
        named = [source for source in FILE_SOURCES if isinstance(entry, Mapping) and source in entry]
        if not isinstance(path, str):
            yield f"{about} is not a string. Write the path of the file."
        elif len(named) > 1:
            yield f"{about} has both {named[0]} and {named[1]}. Keep one."
        elif not named:
            yield f"{about} names no source. Use one of {', '.join(FILE_SOURCES)}."
        elif unknown := [key for key in entry if key not in (named[0], "only")]:
            yield f"{about} has {unknown[0]}, which is not an option of {named[0]}. Remove it."
        elif named[0] == "from":
            if problem := reference_problem(entry["from"], keys, ("pod",)):
                yield f"{about} {problem}."
        elif named[0] == "source" and not isinstance(entry["source"], str):
            yield f"{about} has a source that is not a string. Write the path of a file on the control node."
        elif named[0] == "template":
            yield from (f"{about} {problem}." for problem in template_problems(entry["template"], keys))


def python_error(code: str) -> str:
    """Return why a template is no Python, with its line; empty if it is Python."""
    try:
        ast.parse(_literals(code))
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    except ValueError as error:
        return str(error)
    return ""


def _literals(code: str) -> str:
    """Return a template with a literal instead of each placeholder, which fits inside of quotes too."""

    def literal(found: re.Match[str]) -> str:
        return _LITERALS.get(found[1].rpartition("|")[2], "x")

    return re.sub(r"\$\{([a-z_]+\.[^{}\n]*)\}", literal, code)


def generated_errors(generated: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the errors in `django_generated`."""
    for name, length in generated.items():
        about = f"{name} in django_generated"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"{about} is not a valid name. Use lowercase letters, digits, and underscores."
        elif name == "secret_key":
            yield f"{about} is always generated. Remove it."
        elif isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= 4096:
            yield f"{about} has no number of characters from 1 to 4096. Set for instance 64."


def read(path: str) -> str:
    """Return the content of a file on the control node. Raises ValueError for one that cannot be read."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise ValueError(
            f"The source {path} in django_files cannot be read: {reason}. Correct the path, then rerun the playbook."
        ) from error
