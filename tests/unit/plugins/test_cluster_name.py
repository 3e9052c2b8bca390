"""The name of a cluster after its inventory is unique, valid, and stable."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.filter.cluster_name import cluster_name


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        (None, "cloud-django"),
        ("", "cloud-django"),
        ("/src/inventory/kind", "cloud-django-kind"),
        ("/src/inventory/My_Shop.2", "cloud-django-my-shop-2"),
        ("/src/inventory/Café Ω", "cloud-django-caf"),
        ("/etc/sites/My_Site.1", "cloud-django-my-site-1-f9847b67"),
        ("/inventory", "cloud-django-inventory"),
        ("/", "cloud-django"),
    ],
)
def test_the_name_is_that_of_the_directory(directory: str | None, expected: str) -> None:
    assert cluster_name(directory) == expected


def test_directories_of_the_same_name_outside_of_inventories_differ() -> None:
    assert cluster_name("/one/site") != cluster_name("/two/site")
