"""Quantities of Kubernetes."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.filter.quantity import FilterModule

quantity = FilterModule().filters()["quantity"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1", 1),
        (2, 2),
        ("1.5", 1.5),
        (".5", 0.5),
        ("250m", 0.25),
        ("512Mi", 512 * 1024**2),
        ("1Ki", 1024),
        ("1.5Gi", 1536 * 1024**2),
        ("1Ti", 1024**4),
        ("1Ei", 1024**6),
        ("1k", 1000),
        ("128M", 128_000_000),
        ("1G", 10**9),
        ("1E", 10**18),
        ("1e3", 1000),
        ("1E3", 1000),
        ("123456e-3", 123.456),
        (" 1Gi ", 1024**3),
        ("-1Mi", -(1024**2)),
        ("5n", 5e-9),
        ("5u", 5e-6),
    ],
)
def test_quantities(text: object, number: float) -> None:
    assert quantity(text) == number
    assert type(quantity(text)) is type(number)


@pytest.mark.parametrize("text", ["", "much", "1KB", "1 Gi", "1ki", "Gi", "1GiB", None, "1,5", "\uff11"])
def test_invalid_quantities_are_refused(text: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"is not a Kubernetes quantity\. Write for example 512Mi"):
        quantity(text)
