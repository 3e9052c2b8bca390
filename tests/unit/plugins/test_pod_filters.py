"""Filters that select and merge parts of manifests."""

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.filter.full_command import full_command
from ansible_collections.cloud_django.kubernetes.plugins.filter.merged import merged
from ansible_collections.cloud_django.kubernetes.plugins.filter.only import only


def test_parts_for_other_pods_are_left_out():
    pod = {
        "volumes": [{"name": "a", "only": ["web"]}, {"name": "b", "only": ["nightly"]}, {"name": "c"}],
        "x": ["only"],
    }

    assert only(pod, "web") == {"volumes": [{"name": "a"}, {"name": "c"}], "x": ["only"]}
    assert only(pod, "nightly")["volumes"] == [{"name": "b"}, {"name": "c"}]


def test_the_word_manage_stands_for_the_management_command():
    assert full_command(["manage", "migrate"], ["python", "-m", "x"]) == ["python", "-m", "x", "migrate"]
    assert full_command(["sh", "-c", "manage"], ["netbox"]) == ["sh", "-c", "manage"]
    assert full_command([], ["netbox"]) == []


@pytest.mark.parametrize(
    ("manifest", "overrides", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        ({"l": [{"name": "a", "x": 1}]}, {"l": [{"name": "a", "y": 2}]}, {"l": [{"name": "a", "x": 1, "y": 2}]}),
        ({"l": [{"name": "a"}]}, {"l": [{"name": "b"}]}, {"l": [{"name": "a"}, {"name": "b"}]}),
        ({"l": [{"name": "a"}, {"name": "b"}]}, {"l": [{"name": "a", "$patch": "delete"}]}, {"l": [{"name": "b"}]}),
        # One volume can have two mounts.
        (
            {"m": [{"name": "v", "mountPath": "/a"}]},
            {"m": [{"name": "v", "mountPath": "/b"}]},
            {"m": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]},
        ),
        ({"l": ["a"]}, {"l": ["b"]}, {"l": ["b"]}),
        ({"l": [{"x": 1}]}, {"l": [{"x": 2}]}, {"l": [{"x": 2}]}),
        ({}, {"a": {"b": None, "c": [{"name": "x", "$patch": "delete"}]}}, {"a": {"c": []}}),
    ],
)
def test_overrides_are_merged(manifest: Any, overrides: Any, result: Any):
    assert merged(manifest, overrides) == result


def test_the_manifest_is_not_changed():
    manifest = {"l": [{"name": "a", "inner": {"x": 1}}]}

    merged(manifest, {"l": [{"name": "a", "inner": {"x": 2}}]})

    assert manifest == {"l": [{"name": "a", "inner": {"x": 1}}]}
