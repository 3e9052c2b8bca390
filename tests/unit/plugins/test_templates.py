"""Templates are compiled once for a process and its forks, without a change of their results."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jinja2
import pytest
from ansible._internal._templating import _jinja_bits
from ansible._internal._templating._jinja_bits import AnsibleEnvironment
from ansible.errors import AnsibleTemplateError
from ansible.template import Templar, trust_as_template
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.templates import SharedTemplates, share_templates

VARIABLES = {"number": 1, "items": [1, 2], "inner": trust_as_template("{{ number + 1 }}")}
TEMPLATES = [
    "{{ number }}",
    "{{ inner }} and {{ number }}",
    r"{{ 'a\tb' }}",
    "{{ items | map('string') | join(',') }}",
    "{%- set found = [] -%}{%- for each in items -%}{%- set _ = found.append(each) -%}{%- endfor -%}{{ found }}",
    "#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ number ]] {{ number }}",
    "{{ omit }}{{ number }}",
]
EXPRESSIONS = ["number", r"'a\tb'", "inner == 2", "items | length", "missing | default(3)"]


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Sources that Jinja compiles in this process, without shared templates."""
    compiled = []

    def compile_counted(self: Any, source: Any, *others: Any, **named: Any) -> Any:
        compiled.append(source)
        return jinja2.Environment.compile(self, source, *others, **named)

    monkeypatch.setattr(AnsibleEnvironment, "compile", compile_counted)
    expression = AnsibleEnvironment.compile_expression
    # The import of the action plugins has already enabled shared templates.
    while expression.__closure__ and expression.__name__ != "compile_expression":
        names = expression.__code__.co_freevars
        expression = expression.__closure__[names.index("compile_expression")].cell_contents
    monkeypatch.setattr(AnsibleEnvironment, "compile_expression", expression)
    return compiled


@pytest.fixture
def shared(compilations: list[Any]) -> Iterator[SharedTemplates]:
    shared = share_templates()
    compilations.clear()
    yield shared
    os.close(shared.file)


def evaluated() -> list[Any]:
    templar = Templar(None, dict(VARIABLES))
    results = [templar.template(trust_as_template(template)) for template in TEMPLATES]
    return results + [templar.evaluate_expression(trust_as_template(expression)) for expression in EXPRESSIONS]


def test_shared_templates_have_the_same_results(compilations: list[Any]) -> None:
    expected = evaluated()
    shared = share_templates()
    assert [evaluated(), evaluated()] == [expected, expected]
    os.close(shared.file)


def test_a_template_and_an_expression_are_compiled_once(compilations: list[Any], shared: SharedTemplates) -> None:
    evaluated()
    assert compilations
    compilations.clear()
    evaluated()
    # A template with another syntax is not shared.
    assert len(compilations) == 1


def test_a_text_and_an_expression_are_different_templates(shared: SharedTemplates) -> None:
    templar = Templar(None, dict(VARIABLES))
    text = trust_as_template("{{ number }} + 1")
    assert templar.template(text) == "1 + 1"
    assert templar.evaluate_expression(trust_as_template("number")) == 1
    assert templar.template(trust_as_template("number")) == "number"


def test_escaped_backslashes_are_different_templates(shared: SharedTemplates) -> None:
    text = trust_as_template(r"{{ '\t' | length }}")
    for _ in range(2):
        assert Templar(None, {}).template(text) == 2
        assert Templar(None, {}).template(text, escape_backslashes=False) == 1


def test_an_error_does_not_affect_later_templates(shared: SharedTemplates) -> None:
    templar = Templar(None, dict(VARIABLES))
    for _ in range(2):
        with pytest.raises(AnsibleTemplateError):
            templar.evaluate_expression(trust_as_template("number +"))
        with pytest.raises(AnsibleTemplateError):
            templar.template(trust_as_template("{{ number + }}"))
    assert templar.evaluate_expression(trust_as_template("number + 1")) == 2


def test_a_fork_compiles_for_all_processes(compilations: list[Any], shared: SharedTemplates) -> None:
    fork = multiprocessing.get_context("fork").Process(target=evaluated)
    fork.start()
    fork.join()
    assert fork.exitcode == 0
    assert not compilations
    evaluated()
    assert len(compilations) == 1


def test_an_incomplete_entry_stops_only_the_sharing(compilations: list[Any], shared: SharedTemplates) -> None:
    os.write(shared.file, b"\0\0\0\7\1\2\3\4half")
    fork = multiprocessing.get_context("fork").Process(target=evaluated)
    fork.start()
    fork.join()
    assert fork.exitcode == 0
    assert evaluated() == evaluated()
    assert len(compilations) > 2


def write_many(shared: SharedTemplates) -> None:
    for number in range(2000):
        shared.add(f"{os.getpid()}/{number}", compile(repr("x" * number), "", "eval"))


def test_simultaneous_writes_of_forks_lose_no_entry(shared: SharedTemplates) -> None:
    known = len(shared._known)
    forks = [multiprocessing.get_context("fork").Process(target=write_many, args=[shared]) for _ in range(4)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join()
    shared.load()
    assert len(shared._known) == known + 4 * 2000
    assert shared._read == os.fstat(shared.file).st_size


def test_zeros_stop_only_the_sharing(shared: SharedTemplates) -> None:
    os.write(shared.file, b"\0" * 64)
    assert evaluated() == evaluated()


def test_another_syntax_is_another_template(shared: SharedTemplates) -> None:
    text = trust_as_template("[[ number ]] {{ number }}")
    assert Templar(None, dict(VARIABLES)).template(text) == "[[ number ]] 1"
    environment = AnsibleEnvironment(variable_start_string="[[", variable_end_string="]]")
    assert environment.compile(text) != AnsibleEnvironment().compile(text)


def test_the_file_is_read_before_a_fork(shared: SharedTemplates) -> None:
    fork = multiprocessing.get_context("fork").Process(target=evaluated)
    fork.start()
    fork.join()
    before = len(shared._known)
    fork = multiprocessing.get_context("fork").Process(target=int)
    fork.start()
    fork.join()
    assert len(shared._known) > before


@dataclasses.dataclass
class Unknown:
    """A context without the expected method."""


def test_an_unsupported_ansible_core_is_not_changed(compilations: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression
    monkeypatch.setattr(_jinja_bits, "_TemplateCompileContext", Unknown)
    with pytest.raises(AnsibleTemplateError, match="current"):
        share_templates()
    assert (AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression) == before


def test_different_results_are_refused(compilations: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression

    def get(self: SharedTemplates, key: Any) -> Any:
        # As if ansible-core had a compilation option that is not part of the key.
        return next((code for known, code in self._known.items() if known[:2] == key[:2]), None)

    monkeypatch.setattr(SharedTemplates, "get", get)
    with pytest.raises(Exception, match="different results"):
        share_templates()
    assert (AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression) == before


def test_the_playbook_continues_without_shared_templates() -> None:
    program = (
        "import os; del os.memfd_create\n"
        "from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import preload\n"
        "preload.preload()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
