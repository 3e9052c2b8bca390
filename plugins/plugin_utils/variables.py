# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Copy the variables of tasks without work for each variable.

The roles of site.yml have 650 variables. By default, Ansible wraps all of them for each template, tags all of them for
each task, and copies each string when it loads a role. This takes half a second of a run that changes nothing.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import is_
from typing import Any

# Number of variables from which on a dictionary has those of a task.
MANY = 100


def same(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Return whether two mappings have the same objects in the same order, not only equal ones."""

    def all_same(ones: Iterable[Any], others: Iterable[Any]) -> bool:
        return all(map(is_, ones, others))

    return len(one) == len(other) and all_same(one, other) and all_same(one.values(), other.values())


def refuse_difference(evaluate: Callable[[], Any], expected: Any) -> None:
    """Raise RuntimeError if a function returns another value than before a change of ansible-core."""
    if evaluate() != expected:
        raise RuntimeError("This ansible-core has different results.")


def share_lazy_values() -> None:
    """Wrap the variables of a task once instead of once for each template.

    Each template still gets its own dictionary. Raises an error if this ansible-core is not supported.
    """
    from ansible._internal._templating._lazy_containers import _AnsibleLazyTemplateDict as Lazy

    wrap = Lazy._lazy_values
    # The last variables, their copy to detect changes, and the wrapped values.
    last: tuple[Any, Any, Any] = None, {}, {}

    def wrap_once(values: Any, options: Any) -> Any:
        nonlocal last
        source = wrap(values, options)
        if len(values) < MANY:
            return source
        known, unchanged, wrapped = last
        if values is not known or not same(values, unchanged):
            wrapped = dict(source.source)
            last = values, dict(values.items()), wrapped
        return replace(source, source=wrapped)

    expected = _templated()
    Lazy._lazy_values = staticmethod(wrap_once)
    try:
        refuse_difference(_templated, expected)
    except BaseException:
        Lazy._lazy_values = staticmethod(wrap)
        raise


def _templated() -> list[Any]:
    """Return the results of templates, before and after changes of their variables."""
    from ansible.template import Templar, trust_as_template

    variables: dict[str, Any] = {f"name_{number}": number for number in range(MANY)}
    variables["inner"] = trust_as_template("{{ name_1 }}")
    templar = Templar(None, variables)
    template = trust_as_template("{{ [inner, name_1] }}")
    results = []
    for change in (
        {},
        {"name_1": 1000},
        {"inner": trust_as_template("{{ added }}"), "added": 1},
        {"inner": "{{ name_1 }}"},
    ):
        variables |= change
        results += [templar.template(template), templar.template(template)]
    return results


class TagContainer:
    """A tag for the empty dictionary to which Ansible adds all variables, but not for the variables.

    A template that uses the dictionary finds its tag, so the tags of the variables would only repeat it.
    """

    def __init__(self, tag: Any) -> None:
        self._tag = tag

    def tag(self, value: Any) -> Any:
        """Return an empty dictionary with the tag, and any other value as it is."""
        return self._tag.tag(value) if type(value) is dict and not value else value


def tag_no_variables() -> None:
    """Tag Ansible's variable `vars`, whose use is deprecated, instead of also each variable in it.

    Raises an error if this ansible-core is not supported.
    """
    from ansible.vars import manager

    tag = manager._DEPRECATE_VARS
    once = TagContainer(tag)
    refuse_difference(lambda: type(once.tag({})), type(tag.tag({})))
    manager._DEPRECATE_VARS = once


def copy_no_strings() -> None:
    """Make deep copies reuse strings of Ansible, as they do strings of Python.

    Raises an error if this ansible-core is not supported.
    """
    from ansible._internal._datatag._tags import Origin
    from ansible.module_utils._internal._datatag import _AnsibleTaggedStr as Tagged

    origin = Origin(description="a file")
    value = {"key": [origin.tag("a string")]}
    Tagged.__deepcopy__ = _unchanged
    try:
        copied = copy.deepcopy(value)
        refuse_difference(lambda: [copied, Origin.get_tag(copied["key"][0])], [value, origin])
    except BaseException:
        del Tagged.__deepcopy__
        raise


def _unchanged(value: str, memo: Any) -> str:
    """Return the string itself, because strings never change."""
    return value
