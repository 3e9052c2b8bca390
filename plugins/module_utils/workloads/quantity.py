# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Quantities of memory and processors, as Kubernetes writes them."""

import re
from decimal import Decimal
from typing import Any

QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE])?")
POWERS_OF_TEN = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse(value: Any) -> Decimal:
    """Return a quantity such as 512Mi, 1G, or 250m in its base unit: bytes, or processors. Raises ValueError."""
    match = QUANTITY.fullmatch(str(value).strip())
    if not match:
        raise ValueError(f"{value} is not a Kubernetes quantity. Write for example 512Mi or 250m.")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix.endswith("i"):
        return number * 1024 ** ("KMGTPE".index(suffix[0]) + 1)
    if suffix in POWERS_OF_TEN:
        return number * Decimal(10) ** POWERS_OF_TEN[suffix]
    return number * Decimal(10) ** int(suffix[1:])
