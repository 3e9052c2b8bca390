"""A site of their own for the attacks, and the figures that come of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))

FIGURES: list[str] = []


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Print a figure at the end of the run, whatever becomes of the test."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def site() -> Iterator[object]:
    """The site under attack, with odd passwords."""
    from support_security import deployed

    yield from deployed()
