"""Kubeconfigs that the filter pinned_kubeconfig accepts or refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.filter.pinned_kubeconfig import pinned_kubeconfig
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cluster_entry

SERVER = "https://192.0.2.1:6443"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    document = {
        "contexts": [{"name": "production", "context": {"cluster": "one"}}, {"name": "broken", "context": {}}],
        "clusters": [{"name": "one", "cluster": {"server": SERVER}}],
    }
    path = tmp_path / "kube config é"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("server", ["", SERVER, f"{SERVER}/", "https://192.0.2.1:6443"])
def test_the_pinned_server_is_accepted(kubeconfig: str, server: str) -> None:
    assert pinned_kubeconfig(kubeconfig, "production", server) == kubeconfig


@pytest.mark.parametrize("server", ["https://192.0.2.2:6443", "https://192.0.2.1", "http://192.0.2.1:6443"])
def test_another_server_is_refused(kubeconfig: str, server: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"leads to {SERVER}, but cluster_server is pinned to {server}"):
        pinned_kubeconfig(kubeconfig, "production", server)


@pytest.mark.parametrize("context", ["broken", "missing"])
def test_a_context_without_a_server_is_left_to_the_task(kubeconfig: str, context: str) -> None:
    assert pinned_kubeconfig(kubeconfig, context, SERVER) == kubeconfig


def test_a_missing_or_invalid_file_is_left_to_the_task(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    assert pinned_kubeconfig(str(path), "production", SERVER) == str(path)
    path.write_bytes(b"\xff\x00")
    assert pinned_kubeconfig(str(path), "production", SERVER) == str(path)
    path.write_text("a list: [", encoding="utf-8")
    assert pinned_kubeconfig(str(path), "production", SERVER) == str(path)


@pytest.mark.parametrize("name", ["HOST", "API_KEY", "VERIFY_SSL", "PROXY", "IMPERSONATE_USER"])
def test_connection_options_of_the_environment_are_refused(
    kubeconfig: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"K8S_AUTH_{name}", "other")
    for server in ("", SERVER):
        with pytest.raises(AnsibleFilterError, match=f"^K8S_AUTH_{name} in the environment would lead to another"):
            pinned_kubeconfig(kubeconfig, "production", server)


def test_kubeconfig_and_context_of_the_environment_are_accepted(
    kubeconfig: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", "other")
    monkeypatch.setenv("K8S_AUTH_CONTEXT", "other")
    assert pinned_kubeconfig(kubeconfig, "production", SERVER) == kubeconfig


def test_an_entry_includes_its_certificate_authority(tmp_path: Path) -> None:
    (tmp_path / "authority é.pem").write_text("PEM", encoding="utf-8")
    cluster = {"server": SERVER, "certificate-authority": "authority é.pem", "tls-server-name": "api", "extensions": []}
    document = {
        "contexts": [{"name": "production", "context": {"cluster": "one"}}],
        "clusters": [{"name": "one", "cluster": cluster}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document), encoding="utf-8")
    wanted = {"server": SERVER, "certificate-authority-data": "UEVN", "tls-server-name": "api"}
    assert cluster_entry(str(path), "production") == wanted
    assert cluster_entry(str(path), "missing") == {}
