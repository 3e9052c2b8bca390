"""The front names its release to the last request of a run only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import page
from talk import Answer, get

from conftest import Pod

KEY, RELEASE = "0123456789abcdef" * 2, "b" * 32
MARK = "X-Front-Release"


@pytest.fixture(scope="module")
def named(make_pod: Callable[..., Pod]) -> Pod:
    """Return a pod whose front reads its release from the pod's annotations."""
    pod = make_pod(start=False, web_front_retry_seconds=1)
    pod.front_environment |= {"FRONT_PROOF_KEY": KEY, "FRONT_RELEASE": RELEASE}
    pod.start_project()
    pod.start_front()
    return pod


def prove(pod: Pod, path: str, **options: Any) -> page.Proof:
    def open_client() -> Any:
        raise AssertionError("the cluster was asked")

    params = {"url": f"http://127.0.0.1:{pod.port}{path}", "release": RELEASE, "configuration_hash": KEY, "timeout": 9}
    # With this interval, there is a single attempt.
    return page.prove(params | {"marked": True, "address": "require"} | options, open_client, pause=9)


def comparable(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Return a response without values that differ each time."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "X-Request-Id")}
    return answer.status, headers, answer.body


@pytest.mark.parametrize("path", ["/", "/error?status=404", "/error?status=302", "/large?bytes=1000000"])
def test_any_page_proves_the_release(named: Pod, path: str) -> None:
    assert prove(named, path).way == "address"
    answer = get(named.port, path, X_Front_Proof=KEY)
    assert (answer.headers.get_all(MARK), answer.headers.get_all("Cache-Control")) == ([RELEASE], ["no-store"])


@pytest.mark.parametrize("options", [{"release": "0" * 32}, {"configuration_hash": "0" * 32}])
def test_another_release_is_not_proven(named: Pod, options: dict[str, str]) -> None:
    with pytest.raises(CloudDjangoError, match="another server answers there"):
        prove(named, "/", **options)


@pytest.mark.parametrize(
    "key", ["", "*", f"{KEY[:-1]}*", "*" + KEY[1:], KEY[:-1], f"{KEY}0", KEY.upper(), "0" * 32, "{env.FRONT_PROOF_KEY}"]
)
@pytest.mark.parametrize("path", ["/", "/error?status=500"])
def test_request_without_the_key_gets_a_normal_response(named: Pod, path: str, key: str) -> None:
    answer = get(named.port, path, X_Front_Proof=key)
    assert MARK not in answer.headers
    assert comparable(answer) == comparable(get(named.port, path))


def test_front_without_a_release_sends_none(pod: Pod) -> None:
    for key in ("", KEY):
        assert MARK not in get(pod.port, "/", X_Front_Proof=key).headers


def test_key_is_not_in_the_log_or_the_project(named: Pod) -> None:
    told = json.loads(get(named.port, "/environ", X_Front_Proof=KEY).text)
    assert "HTTP_X_FRONT_PROOF" not in told
    log = (named.folder / "front.log").read_text()
    assert "/environ" in log
    assert KEY not in log
    assert RELEASE not in log


def test_stopped_project_is_no_proof(make_pod: Callable[..., Pod]) -> None:
    """The outage page of the front has this release, but does not come from the project."""
    pod = make_pod(start=False, web_front_retry_seconds=1)
    pod.front_environment |= {"FRONT_PROOF_KEY": KEY, "FRONT_RELEASE": RELEASE}
    pod.start_front()
    with pytest.raises(CloudDjangoError, match="returned status 503"):
        prove(pod, "/")
    assert get(pod.port, "/", X_Front_Proof=KEY).headers[MARK] == RELEASE
