# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Sources of composed values: the groups of the module `apply`, and the Secrets that they read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import (
    compose,
    manifests,
    ownership,
    secrets,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.compose import Value
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import Obj

# Returns the Secret of a name as it will be after the task; empty if it does not exist.
Read = Callable[[str], Obj]
# Check mode composes this instead of a value that an earlier role would create.
UNKNOWN = "(unknown in check mode)"


@dataclass(frozen=True)
class Sources:
    """The groups of one task.

    Args:
        groups: the option `sources`.
        read: reads a Secret.
        namespace: the namespace of the Secrets, for errors.
        check: whether a Secret or a key that an earlier role creates may be missing.
    """

    groups: Mapping[str, Any]
    read: Read
    namespace: str
    check: bool = False

    def composed(self, secret: str, templates: Mapping[str, Any]) -> dict[str, str]:
        """Return the values of a composed Secret. Raises ManifestError, without values, if one cannot be composed."""
        return {key: self._filled(f"Key {key} of Secret {secret}", text) for key, text in templates.items()}

    def _filled(self, about: str, template: Any) -> str:
        if not isinstance(template, str):
            raise ManifestError(about, "is not a string", f"Quote its value, {AGAIN}")
        found: dict[str, dict[str, Value]] = {}
        for each in compose.placeholders(template, {*compose.GROUPS, *self.groups}):
            compose.refuse(about, compose.problem(each, self.keys(each.group)))
            found.setdefault(each.group, {})[each.key] = self.value(about, each.group, each.key)
        return compose.fill(about, template, found)

    def keys(self, group: str) -> list[str] | None:
        """Return the keys of a group; None if the task lacks the group."""
        if group not in self.groups:
            return None
        source = _checked(group, self.groups[group])
        return [*(source.get("keys") or {}), *(source.get("values") or {})]

    def value(self, about: str, group: str, key: str) -> Value:
        """Return the value of a key. Raises ManifestError if its Secret does not have it."""
        source = self.groups[group]
        if key in (source.get("values") or {}):
            return _value(f"Value {key} of group {group} in sources", source["values"][key])
        name, held = str(source["secret"]), str(source["keys"][key])
        found = self.read(name)
        if held in (found.get("data") or {}):
            return _text(found, held)
        if self.check and (not found or ownership.is_ours(found)):
            return UNKNOWN
        refuse_missing(found, name, held, self.namespace, about)
        return ""

    def refuse_incomplete(self, required: Iterable[Mapping[str, Any]], objects: Iterable[Obj], planned: bool) -> None:
        """Raise ManifestError if one of the `required` keys is missing.

        Args:
            objects: the manifests of the task. The controller of a custom resource may create the Secrets that it names
                later, so these may be missing.
            planned: whether the namespace does not exist yet, so that nothing in it is known.
        """
        expected = {source.get("secret") for source in self.groups.values() if isinstance(source, Mapping)}
        named = {text for obj in objects if manifests.is_custom(obj) for text in strings(obj)}
        for each in (each for each in required if each["secret"] not in named):
            found = {} if planned else self.read(each["secret"])
            held = {**(found.get("data") or {}), **(found.get("stringData") or {})}
            if each["key"] in held or (found and not each["key"]):
                continue
            is_later = not found and each["secret"] in expected
            if not (self.check and (planned or is_later or (found and ownership.is_ours(found)))):
                refuse_missing(found, each["secret"], each["key"], self.namespace, each["reason"])


def refuse_missing(found: Obj, name: str, key: str, namespace: str, user: str) -> None:
    """Raise ManifestError for a Secret that does not exist, or that has no such key.

    Args:
        key: the key. Empty if the user needs any.
        user: the thing that needs the key.
    """
    thing = f"Secret {name} in namespace {namespace}"
    user = f"{user[:1].lower()}{user[1:]}" if user.startswith("Key ") else user
    if not found:
        need = f"needs its key {key}" if key else "needs it"
        raise ManifestError(thing, f"does not exist, but {user} {need}", f"Create it, or correct the name, {AGAIN}")
    step = f"Add it, or correct the name, {AGAIN}"
    raise ManifestError(thing, f"has no key {key}, which {user} needs", step)


def _checked(group: str, source: Any) -> Mapping[str, Any]:
    """Return the source of a group. Raises ManifestError for one of another form."""
    is_whole = isinstance(source, Mapping) and all(
        isinstance(source.get(part) or {}, Mapping) for part in ("keys", "values")
    )
    if not is_whole or not (source.get("values") or (source.get("secret") and source.get("keys"))):
        step = f"Set secret and keys, or values, {AGAIN}"
        raise ManifestError(f"Group {group} in sources", "has neither a Secret with keys nor values", step)
    return source


def _value(about: str, value: Any) -> Value:
    """Return a given value as text or a list of text. Raises ManifestError for another type."""
    items = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int) for item in items):
        raise ManifestError(about, "is neither text nor a list of text", f"Quote it, {AGAIN}")
    return [str(item) for item in items] if isinstance(value, list | tuple) else str(value)


def _text(secret: Obj, key: str) -> str:
    """Return a value of a Secret as text, as a project would read it from a file."""
    raw = secrets.decode(secret["data"][key])
    try:
        return (raw or b"").decode()
    except UnicodeDecodeError:
        thing = f"Key {key} of Secret {secret['metadata']['name']}"
        raise ManifestError(thing, "is not text in UTF-8", f"Correct it, {AGAIN}") from None


def strings(option: Any) -> Iterable[str]:
    """Yield all strings and numbers in an option, as Ansible collects them to mask them."""
    if isinstance(option, Mapping):
        for value in option.values():
            yield from strings(value)
    elif isinstance(option, list | tuple):
        for value in option:
            yield from strings(value)
    elif option is not None and not isinstance(option, bool):
        yield str(option)
