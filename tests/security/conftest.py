"""Site for the attacks, and the table of figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))

FIGURES: list[str] = []


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Return a function that adds a figure to the table at the end, even if the test fails."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def site() -> Iterator[object]:
    """Return the site under attack, with special characters in its passwords."""
    from support_security import deployed

    yield from deployed()
