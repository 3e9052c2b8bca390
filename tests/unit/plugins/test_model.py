"""The watched kinds, and the times of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": "2026-11-25T02:00:00Z", "eventTime": None},
        {"eventTime": "2026-11-25T02:00:00.000000Z", "lastTimestamp": None},
        {"series": {"lastObservedTime": "2026-11-25T02:00:00.000000Z"}, "eventTime": "2026-11-25T01:00:00Z"},
        {"metadata": {"creationTimestamp": "2026-11-25T02:00:00Z"}},
    ],
)
def test_the_time_of_an_event_is_read_for_each_event_api(times: dict[str, Any]) -> None:
    assert model.event_time(times) == datetime(2026, 11, 25, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("kinds", "watched"),
    [
        (["Deployment", "Deployment"], ["Deployment", "ReplicaSet", "Pod", "Event", "ResourceQuota"]),
        (["Job"], ["Job", "Pod", "Event", "ResourceQuota"]),
        (["DaemonSet"], ["DaemonSet", "ControllerRevision", "Pod", "Event", "ResourceQuota"]),
        ([], []),
    ],
)
def test_only_the_needed_kinds_are_watched(kinds: list[str], watched: list[str]) -> None:
    assert model.kinds_to_watch(kinds) == watched
