"""Probes that the front answers for a project at 127.0.0.1, whatever its image has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from talk import get

from conftest import Pod

CONNECTS = "/front-connects"


def test_connect_probe_fails_only_without_a_server(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_front_response_timeout=5)
    assert pod.probe(CONNECTS).status == 200
    pod.kill_project()
    assert pod.probe(CONNECTS).status == 502
    pod.start_project()
    assert pod.probe(CONNECTS).status == 200


def test_connect_probe_accepts_a_busy_or_broken_project(make_pod: Callable[..., Pod]) -> None:
    """A restart would make it worse."""
    broken = make_pod(web_ready_path="/error?status=500")
    assert broken.probe(CONNECTS).status == 200
    assert broken.project
    os.killpg(broken.project.pid, signal.SIGSTOP)
    answer = broken.probe(CONNECTS)
    os.killpg(broken.project.pid, signal.SIGCONT)
    assert answer.status == 200
    assert answer.seconds < 5


def test_connect_probe_needs_no_path(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(web_probes={"ready": {"tcp": True}}, web_proof_path="/error?status=500")
    assert pod.probe(CONNECTS).text == "ok\n"


def test_visitors_have_no_connect_probe(pod: Pod) -> None:
    assert get(pod.port, CONNECTS).text == "hello\n"
    assert get(pod.port, CONNECTS, X_Front_Probe="0123456789").text == "hello\n"


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, 200), (204, 204), (301, 601), (302, 602), (307, 607), (308, 608), (400, 400), (404, 404), (500, 500)],
)
def test_redirect_is_no_success(make_pod: Callable[..., Pod], status: int, told: int) -> None:
    """The kubelet follows a redirect of the same host, and accepts one to another host."""
    pod = make_pod(web_ready_path="/error", start=False)
    pod.start_project()
    pod.start_front()
    assert pod.probe(f"/error?status={status}").status == told


def test_default_path_may_be_missing(make_pod: Callable[..., Pod]) -> None:
    """A project without an admin site needs no path."""
    pod = make_pod(django_contract=False)
    assert pod.probe("/admin/login/").status == 200
    for status, told in ((404, 200), (301, 601), (400, 400), (500, 500)):
        assert pod.probe(f"/admin/login/?status={status}").status == told


def test_probe_gets_the_status_of_the_front(make_pod: Callable[..., Pod]) -> None:
    """Visitors get the page with status 503 instead."""
    pod = make_pod(web_front_retry_seconds=1)
    pod.kill_project()
    assert pod.probe().status == 502
    answer = get(pod.port, "/readyz")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


def test_path_of_the_live_probe_is_forwarded(make_pod: Callable[..., Pod]) -> None:
    """Beyond the limit for visitors, and without a log."""
    pod = make_pod(web_probes={"live": {"http": "/echo?x=1"}})
    before = len(pod.log())
    assert pod.probe("/echo?x=1").status == 200
    assert len(pod.log()) == before


def test_probe_has_the_host_and_the_scheme_of_the_site(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod(app_public_url="https://shop.example.org", web_ready_path="/environ")
    seen = pod.probe("/environ", Host="shop.example.org").text
    assert '"HTTP_HOST": "shop.example.org"' in seen
    assert '"HTTP_X_FORWARDED_PROTO": "https"' in seen
