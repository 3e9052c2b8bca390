"""A site of its own under load, on the cluster of the Molecule scenario `default`, and a table at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "bench"))

ROWS: list[Any] = []


@pytest.fixture
def keep() -> Callable[[Any], Any]:
    """Print a row at the end of the run, whatever becomes of the test."""

    def kept(row: Any) -> Any:
        ROWS.append(row)
        return row

    return kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the rows."""
    from prove import shown

    for line in shown(ROWS):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def deployed() -> Iterator[Any]:
    """The site."""
    from ground import Ground
    from plays import Plays

    os.environ.update({"MOLECULE_PROJECT_DIRECTORY": str(PROJECT), "MOLECULE_SCENARIO_NAME": "load"})
    inventories = [os.environ.get("TEST_INVENTORY", "inventory/mirrors"), "molecule/inventory"]
    variables = {"image_context": str(PROJECT), "postgresql_storage_size": "1Gi", "web_replicas": 3}
    # Any machine should be able to answer so many, beside all that is done to the site. `make prove` has more.
    ground = Ground(Plays(inventories, variables), rate=60)
    ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
    ground.deploy()
    yield ground
    ground.plays("teardown", teardown_data="purge", teardown_cluster=False)


@pytest.fixture
def ground(deployed: Any) -> Any:
    """The site as it should be, even if the test before has failed."""
    from plays import Failed

    try:
        deployed.wait_until_whole(3, 10)
    except Failed:
        deployed.deploy()
        deployed.wait_until_whole(3)
    deployed.wait_for_old_pods()
    return deployed


@pytest.fixture
def spoiled(ground: Any) -> Iterator[Any]:
    """A site for a test that takes something away from it, which is put back afterwards."""
    yield ground
    ground.deploy()
