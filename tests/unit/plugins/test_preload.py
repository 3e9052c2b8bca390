"""Preloaded plugins are found without a search, and an unsupported ansible-core is left unchanged."""

from __future__ import annotations

import inspect
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible._internal._templating import _jinja_bits
from ansible.module_utils._internal import _deprecator, _stack
from ansible.module_utils.datatag import deprecate_value
from ansible.plugins.loader import filter_loader, test_loader
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.preload import (
    add_jinja_plugins,
    prepare_tls,
    read_kubeconfigs_in_c,
    read_no_source_of_callers,
)
from kubernetes.config import kube_config

LOADERS = [(filter_loader, _jinja_bits._BUILTIN_FILTERS), (test_loader, _jinja_bits._BUILTIN_TESTS)]


@pytest.fixture(autouse=True)
def new_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore Ansible's loaders, without the additions of the action plugins."""
    for loader, _ in LOADERS:
        monkeypatch.setattr(loader, "_cached_non_collection_wrappers", {})
        loader._ensure_non_collection_wrappers()


@pytest.mark.parametrize(("loader", "name"), [(filter_loader, "length"), (test_loader, "==")])
def test_jinja_plugins_are_added(loader: Any, name: str) -> None:
    assert name not in loader._cached_non_collection_wrappers
    add_jinja_plugins()
    assert loader.get(name).j2_function is dict(LOADERS)[loader][name].j2_function


def test_plugins_of_ansible_take_precedence() -> None:
    ansible_unique = filter_loader.get("unique")
    add_jinja_plugins()
    assert filter_loader.get("unique") is ansible_unique
    assert _jinja_bits._BUILTIN_FILTERS["unique"] is not ansible_unique


@pytest.mark.parametrize("loader", [filter_loader, test_loader])
def test_a_loader_that_returns_other_plugins_is_restored(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(loader._cached_non_collection_wrappers)
    monkeypatch.setattr(loader, "get", lambda name: None)
    with pytest.raises(RuntimeError, match="other plugins"):
        add_jinja_plugins()
    assert loader._cached_non_collection_wrappers == before


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="PyYAML has no libyaml")
def test_kubeconfigs_are_parsed_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_config, "yaml", yaml)
    read_kubeconfigs_in_c()
    assert kube_config.yaml.safe_load.keywords == {"Loader": yaml.CSafeLoader}
    # Other users of the module are not affected.
    assert yaml.safe_load is not kube_config.yaml.safe_load
    text = "clusters:\n- {name: a, cluster: {server: 'https://192.0.2.1'}}\n"
    assert kube_config.yaml.safe_load(text) == yaml.safe_load(text)
    assert kube_config.yaml.safe_dump is yaml.safe_dump


def test_the_caller_of_a_deprecated_function_is_found_without_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stack, "_inspect", inspect)
    full = _stack.caller_frame()
    deprecated = _deprecator.get_caller_plugin_info()
    read_no_source_of_callers()
    found = _stack.caller_frame()
    assert full is not None
    assert found is not None
    assert (found.filename, found.function) == (full.filename, full.function)
    assert full.code_context
    assert found.code_context is None
    assert _deprecator.get_caller_plugin_info() == deprecated
    assert deprecate_value("a value", "A reason.", version="2.99") == "a value"
    # Other users of the module are not affected.
    assert inspect.stack()[0].code_context


def test_an_ansible_core_that_finds_other_callers_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stack, "_inspect", inspect)
    monkeypatch.setattr(_stack, "caller_frame", lambda: SimpleNamespace(filename="other.py", function="other"))
    with pytest.raises(RuntimeError, match="other callers"):
        read_no_source_of_callers()
    assert _stack._inspect is inspect


def test_openssl_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(ssl, "SSLContext", made.append)
    prepare_tls()
    assert made == [ssl.PROTOCOL_TLS_CLIENT]
