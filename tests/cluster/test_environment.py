"""Plays reach the test cluster without the proxies in the user's environment."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import clean_environment, run_play, the_cluster


@pytest.fixture
def proxy() -> Iterator[str]:
    """Return the address of a proxy that accepts no connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://localhost:{taken.getsockname()[1]}"


@pytest.mark.parametrize("no_proxy", ["localhost,127.0.0.1", "", "10.0.0.0/8"])
def test_tasks_reach_the_cluster_without_the_proxy(no_proxy: str, proxy: str, tmp_path: Path) -> None:
    cluster = the_cluster()
    filtered = f"{{{{ '{cluster.kubeconfig}' | cloud_django.kubernetes.pinned_kubeconfig('{cluster.context}', '') }}}}"
    environment = {name: proxy for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    ended = run_play(
        tmp_path,
        {
            "module_defaults": {
                "group/cloud_django.kubernetes.k8s": {"kubeconfig": filtered, "context": cluster.context}
            },
            "tasks": [
                {"cloud_django.kubernetes.node_addresses_info": {}},
                {"kubernetes.core.k8s_info": {"kind": "Node"}},
            ],
        },
        environment=clean_environment(tmp_path) | environment | {"no_proxy": no_proxy, "NO_PROXY": no_proxy},
    )
    assert ended.code == 0, ended.output
    assert "ok=2 " in ended.output
