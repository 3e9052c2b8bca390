"""DNS failures in the logs of pods, and their place in the error of a rollout."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, name_resolution

PSYCOPG = (
    "WARNING Not ready: the database does not answer: failed to resolve host 'polls-postgresql.polls.svc': [Errno -3] "
    "Temporary failure in name resolution"
)
LIBPQ = 'could not translate host name "db.example.org" to address: Temporary failure in name resolution'
POD = {
    "metadata": {"name": "web-1"},
    "spec": {
        "initContainers": [{"name": "front-program"}, {"name": "web", "restartPolicy": "Always"}],
        "containers": [{"name": "front"}],
    },
}
NOT_READY = model.Problem(
    "NotReady", "pod web-1 runs but is not ready: status 503", advice="Read its log", pod="web-1", container="front"
)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ([PSYCOPG], "polls-postgresql.polls.svc"),
        ([PSYCOPG, LIBPQ, "later"], "db.example.org"),
        (["redis: Error -3 connecting to cache:6379. Temporary failure in name resolution."], ""),
        (["Error: getaddrinfo EAI_AGAIN db"], ""),
        (["could not translate host name 'db' to address: Try again"], "db"),
        ([], None),
        (["could not translate host name 'db' to address: Name or service not known"], None),
        (["connection refused"], None),
    ],
)
def test_a_log_shows_whether_no_resolver_answered(lines: list[str], name: str | None) -> None:
    assert name_resolution.unresolved(lines) == name


def test_the_log_of_the_project_explains_why_the_front_is_not_ready() -> None:
    logs = {"front": ["status 503"], "web": [PSYCOPG]}
    found = name_resolution.explained(NOT_READY, [POD], lambda pod, container, *_: logs[container])
    assert found.text == (
        "DNS does not answer in pod web-1 for the name polls-postgresql.polls.svc "
        "(pod web-1 runs but is not ready: status 503)"
    )
    assert "django_dns_egress" in found.advice
    assert found.container == "web", "its log follows the sentence"


@pytest.mark.parametrize(("pods", "lines"), [([POD], ["status 503"]), ([], [PSYCOPG])])
def test_another_problem_is_not_changed(pods: list[model.Obj], lines: list[str]) -> None:
    assert name_resolution.explained(NOT_READY, pods, lambda *_: lines) == NOT_READY


def test_a_problem_without_a_container_needs_no_log() -> None:
    problem = model.Problem("FailedCreate", "a quota", pod="web-1")
    assert name_resolution.explained(problem, [POD], lambda *_: pytest.fail("no log is read")) == problem
