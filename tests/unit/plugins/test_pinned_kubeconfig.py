"""Which kubeconfigs the filter pinned_kubeconfig lets pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.filter.pinned_kubeconfig import pinned_kubeconfig

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
def test_the_pinned_server_passes(kubeconfig: str, server: str) -> None:
    assert pinned_kubeconfig(kubeconfig, "production", server) == kubeconfig


@pytest.mark.parametrize("server", ["https://192.0.2.2:6443", "https://192.0.2.1", "http://192.0.2.1:6443"])
def test_another_server_does_not(kubeconfig: str, server: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"leads to {SERVER}, and cluster_server is pinned to {server}"):
        pinned_kubeconfig(kubeconfig, "production", server)


@pytest.mark.parametrize("context", ["broken", "missing"])
def test_a_context_that_leads_nowhere_is_left_to_the_task(kubeconfig: str, context: str) -> None:
    assert pinned_kubeconfig(kubeconfig, context, SERVER) == kubeconfig


def test_a_file_that_is_missing_or_none_is_left_to_the_task(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    assert pinned_kubeconfig(str(path), "production", SERVER) == str(path)
    path.write_bytes(b"\xff\x00")
    assert pinned_kubeconfig(str(path), "production", SERVER) == str(path)
    path.write_text("a list: [", encoding="utf-8")
    assert pinned_kubeconfig(str(path), "production", SERVER) == str(path)
