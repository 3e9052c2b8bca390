"""Verdicts about pods whose readiness probes get another status than success."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, probes
from workload_cases import Case, event, rolling_deployment


def unready(message: str, kind: str = "Readiness") -> Case:
    """Return a rollout with a running pod that is not ready, and the last event of its probe."""
    case = rolling_deployment()
    pod = case.pod(1)
    next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["status"] = "False"
    pod["status"]["containerStatuses"][0]["ready"] = False
    case.objects["Event"] = [event(pod, "Pod", "Unhealthy", f"{kind} probe failed: {message}", case.now)]
    return case


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (601, "the site answers 301 to its own readiness probe", "set app_public_url to an https address"),
        (302, "the site answers 302 to its own readiness probe", "Read its log"),
        (400, "the site answers 400 to its own readiness probe", "{from: site.hosts}"),
        (404, "the site answers 404 to its own readiness probe", "Set web_ready_path"),
        (403, "the site answers 403 to its own readiness probe", "without a login"),
        (503, "the site answers 503 to its own readiness probe", "Read its log"),
        (502, "the project does not accept the connection of its readiness probe", "web_port"),
        (504, "the project does not answer its readiness probe in time", "Read its log"),
    ],
)
def test_status_of_a_probe_is_explained(status: int, text: str, advice: str) -> None:
    problem = unready(f"HTTP probe failed with statuscode: {status}").wait()
    assert text in problem.text
    assert advice in problem.advice


@pytest.mark.parametrize("status", [400, 401, 403, 404, 601, 602, 608])
def test_status_of_settings_fails_before_the_deadline(status: int) -> None:
    case = unready(f"HTTP probe failed with statuscode: {status}")
    assert isinstance(case.judge(), model.Waiting)
    assert isinstance(case.judge(later=probes.PATIENCE - 1), model.Waiting)
    assert "its own readiness probe" in case.failure(later=probes.PATIENCE + 1).text


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_status_of_a_starting_project_is_waited_for(status: int) -> None:
    case = unready(f"HTTP probe failed with statuscode: {status}")
    case.judge()
    assert isinstance(case.judge(later=probes.PATIENCE + 1), model.Waiting)


def test_a_pod_that_became_ready_is_no_failure() -> None:
    case = unready("HTTP probe failed with statuscode: 404")
    case.judge()
    next(c for c in case.pod(1)["status"]["conditions"] if c["type"] == "Ready")["status"] = "True"
    assert not isinstance(case.judge(later=probes.PATIENCE + 1), model.Failed)


def test_only_readiness_probes_count() -> None:
    case = unready("HTTP probe failed with statuscode: 404", "Liveness")
    case.judge()
    assert isinstance(case.judge(later=probes.PATIENCE + 1), model.Waiting)
