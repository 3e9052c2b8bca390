"""Copies of variables have the same values as those of ansible-core, and an unsupported ansible-core is not changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin
from ansible._internal._templating import _datatag
from ansible._internal._templating._lazy_containers import _AnsibleLazyTemplateDict as Lazy
from ansible.errors import AnsibleUndefinedVariable
from ansible.module_utils._internal._datatag import _AnsibleTaggedStr as Tagged
from ansible.module_utils._internal._datatag._tags import Deprecated
from ansible.template import Templar, trust_as_template
from ansible.vars import manager
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import variables
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.variables import (
    MANY,
    TagContainer,
    copy_no_strings,
    share_lazy_values,
    tag_no_variables,
)

FILE = Origin(description="a file")
DEPRECATED = Deprecated(msg="a reason")


@pytest.fixture(autouse=True)
def original(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore ansible-core, which the import of the action plugins has already changed."""
    wrap, tag = Lazy._lazy_values, manager._DEPRECATE_VARS
    while wrap.__closure__:
        wrap = wrap.__closure__[wrap.__code__.co_freevars.index("wrap")].cell_contents
    monkeypatch.setattr(Lazy, "_lazy_values", staticmethod(wrap))
    monkeypatch.setattr(manager, "_DEPRECATE_VARS", getattr(tag, "_tag", tag))
    monkeypatch.setattr(Tagged, "__deepcopy__", None, raising=False)
    monkeypatch.delattr(Tagged, "__deepcopy__")


@pytest.fixture
def wrapped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the dictionaries whose values were wrapped, with shared values."""
    sizes: list[int] = []
    wrap = Lazy._lazy_values

    def counted(values: Any, options: Any) -> Any:
        source = wrap(values, options)

        def items() -> Any:
            sizes.append(len(values))
            yield from source.source

        return type(source)(source=items(), templar=source.templar, lazy_options=source.lazy_options)

    monkeypatch.setattr(Lazy, "_lazy_values", staticmethod(counted))
    share_lazy_values()
    sizes.clear()
    return sizes


def many(**further: Any) -> dict[str, Any]:
    return {f"name_{number}": number for number in range(MANY)} | further


def test_variables_are_wrapped_once_for_all_templates(wrapped: list[int]) -> None:
    templar = Templar(None, many(inner=trust_as_template("{{ name_1 }} {{ name_2 }}")))
    assert [templar.template(trust_as_template("{{ inner }} {{ name_3 }}")) for _ in range(3)] == ["1 2 3"] * 3
    assert wrapped.count(MANY + 1) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda found: found.update(name_1="new"), "new 2"),
        (lambda found: found.update(name_1=found["name_2"]), "2 2"),
        (lambda found: found.update(name_1=found["name_2"], name_2=found["name_1"]), "2 1"),
        (lambda found: found.update(name_1="{{ name_2 }}"), "{{ name_2 }} 2"),
        (lambda found: found.update(name_1=trust_as_template("{{ name_3 }}")), "3 2"),
    ],
)
def test_a_change_of_a_variable_is_seen(change: Callable[[Any], None], expected: str, wrapped: list[int]) -> None:
    found = many()
    templar, template = Templar(None, found), trust_as_template("{{ name_1 }} {{ name_2 }}")
    assert templar.template(template) == "1 2"
    change(found)
    assert templar.template(template) == expected


def test_an_equal_string_that_is_no_longer_trusted_is_not_evaluated(wrapped: list[int]) -> None:
    found = many(inner=trust_as_template("{{ name_1 }}"))
    templar, template = Templar(None, found), trust_as_template("{{ inner }}")
    assert templar.template(template) == 1
    found["inner"] = "{{ name_1 }}"
    assert templar.template(template) == "{{ name_1 }}"


def test_a_removed_and_a_renamed_variable_are_undefined(wrapped: list[int]) -> None:
    found = many()
    templar, template = Templar(None, found), trust_as_template("{{ name_1 }}")
    templar.template(template)
    found["other"] = found.pop("name_1")
    with pytest.raises(AnsibleUndefinedVariable, match="name_1"):
        templar.template(template)


def test_the_variables_of_another_host_are_others(wrapped: list[int]) -> None:
    template = trust_as_template("{{ name_1 }}")
    templars = [Templar(None, many(name_1=host)) for host in ("one", "two")]
    assert [templar.template(template) for templar in templars * 2] == ["one", "two"] * 2


def test_a_template_does_not_change_the_variables(wrapped: list[int]) -> None:
    found = many(inner=trust_as_template("{{ name_1 }}"), names=["a"])
    before = dict(found)
    templar = Templar(None, found)
    assert templar.template(trust_as_template("{% set _ = names.append('b') %}{{ inner }}{{ names }}")) == "1['a', 'b']"
    assert found == before
    assert templar.template(trust_as_template("{{ names }}")) == ["a"]


def test_small_dictionaries_are_wrapped_as_before(wrapped: list[int]) -> None:
    templar = Templar(None, {"name": {"inner": trust_as_template("{{ other }}")}, "other": 1})
    assert templar.template(trust_as_template("{{ name.inner }}")) == 1
    assert wrapped
    assert max(wrapped) < MANY


def test_only_the_dictionary_of_variables_is_tagged() -> None:
    tag, text, names = TagContainer(DEPRECATED), FILE.tag("a string"), ["a"]
    assert DEPRECATED.get_tag(tag.tag({})) == DEPRECATED
    assert tag.tag(text) is text
    assert tag.tag(names) is names
    assert tag.tag(filled := {"a": 1}) is filled


def test_use_of_the_variable_vars_is_still_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    tag_no_variables()
    assert isinstance(manager._DEPRECATE_VARS, TagContainer)
    # As in get_vars().
    container = manager._DEPRECATE_VARS.tag({})
    container["name"] = manager._DEPRECATE_VARS.tag(trust_as_template("{{ 1 + 1 }}"))
    reported: list[Any] = []
    display = SimpleNamespace(_deprecated_with_plugin_info=lambda **warning: reported.append(warning["msg"]))
    monkeypatch.setattr(_datatag, "display", display)
    template = trust_as_template("{{ [vars.name, vars['name']] }}")
    assert Templar(None, {"vars": container}).template(template) == [2, 2]
    assert len(reported) == 1
    assert 'The internal "vars" dictionary is deprecated.' in reported[0]


def test_a_deep_copy_has_the_same_strings_in_other_containers() -> None:
    value = {"key": [FILE.tag("a string")]}
    assert copy.deepcopy(value)["key"][0] is not value["key"][0]
    copy_no_strings()
    found = copy.deepcopy(value)
    assert found == value
    assert found["key"] is not value["key"]
    assert found["key"][0] is value["key"][0]


@pytest.mark.parametrize("change", [share_lazy_values, tag_no_variables, copy_no_strings])
def test_an_ansible_core_with_other_results_is_not_changed(
    change: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(evaluate: Callable[[], Any], expected: Any) -> None:
        raise RuntimeError("other results")

    before = Lazy._lazy_values, manager._DEPRECATE_VARS, hasattr(Tagged, "__deepcopy__")
    monkeypatch.setattr(variables, "refuse_difference", refuse)
    with pytest.raises(RuntimeError, match="other results"):
        change()
    assert (Lazy._lazy_values, manager._DEPRECATE_VARS, hasattr(Tagged, "__deepcopy__")) == before


def test_stale_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Lazy._lazy_values
    monkeypatch.setattr(variables, "same", lambda one, other: True)
    with pytest.raises(RuntimeError, match="different results"):
        share_lazy_values()
    assert Lazy._lazy_values is before
