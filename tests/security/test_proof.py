"""Last request of a run on a real site: responses that prove the release, and others."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import run_play, the_cluster
from support_security import NAMESPACE, Site

CONFIGURATION, RELEASE = "cloud-django/configuration-hash", "cloud-django/release"
MARK = "X-Front-Release"


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Return the URL of another site on which each page exists."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def annotations(site: Site) -> dict[str, str]:
    pods = [pod for pod in site.pods() if not pod["metadata"].get("deletionTimestamp")]
    [found] = {tuple(sorted(pod["metadata"]["annotations"].items())) for pod in pods}
    return dict(found)


def proven(folder: Path, site: Site, *cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of the module for each case, all from one play."""
    known = annotations(site)
    options = {"release": known[RELEASE], "configuration_hash": known[CONFIGURATION], "namespace": NAMESPACE}
    options |= {"labels": {"app.kubernetes.io/component": "web"}, "port": 8080, "timeout": 2}
    options |= {"kubeconfig": str(the_cluster().kubeconfig), "context": the_cluster().context}
    tasks = [
        {"cloud_django.kubernetes.page_info": options | case, "register": f"case_{number}", "ignore_errors": True}
        for number, case in enumerate(cases)
    ]
    content = "{{ [" + ", ".join(f"case_{number}" for number in range(len(cases))) + "] | to_json }}"
    tasks.append({"ansible.builtin.copy": {"content": content, "dest": str(folder / "results"), "mode": "0600"}})
    ended = run_play(folder, {"tasks": tasks})
    assert ended.code == 0, ended.output
    return json.loads((folder / "results").read_text())


def test_run_is_verified_at_the_public_url(site: Site) -> None:
    assert "port-forward" not in site.record.runs[0].unfolded


def test_visitors_do_not_see_the_release(site: Site) -> None:
    known = annotations(site)
    answer = site.get("/", X_Front_Proof=known[CONFIGURATION])
    assert (answer.status, answer.headers[MARK]) == (200, known[RELEASE])
    assert answer.headers.get_all("Cache-Control") == ["no-store"]
    for key in ("", "*", known[RELEASE], known[CONFIGURATION][:-1]):
        assert MARK not in site.get("/", X_Front_Proof=key).headers


def test_another_site_is_no_proof(site: Site, tmp_path: Path, elsewhere: str) -> None:
    there, other, required, refused, old, inside = proven(
        tmp_path,
        site,
        {"url": f"http://{site.host}/"},
        {"url": elsewhere},
        {"url": elsewhere, "address": "require"},
        # All pages of this host have status 400, but /readyz accepts any host.
        {"url": f"http://nobody.example:{site.address[1]}/"},
        {"url": f"http://{site.host}/", "release": "0" * 32},
        # As for a Service of the type ClusterIP without a public URL.
        {"url": "http://localhost/", "address": "skip"},
    )
    assert (there["way"], there["status"], there["attempts"], there.get("warnings", [])) == ("address", 200, 1, [])
    assert (other["way"], other["status"]) == ("port-forward", 200)
    assert (
        "has no mark of this release: another server answers there, or removes headers (status 200)"
        in other["warnings"][0]
    )
    assert required["failed"]
    assert "another server answers there" in required["msg"]
    assert refused["failed"]
    assert "through a port-forward, returned status 400" in refused["msg"]
    assert old["failed"]
    assert "has the mark of another release" in old["msg"]
    assert "No pod of this release is ready" in old["msg"]
    assert (inside["way"], inside["status"], inside.get("warnings", [])) == ("port-forward", 200, [])
