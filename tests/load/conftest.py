"""Site under load on the cluster of the Molecule scenario `default`, and a table at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "bench"))

ROWS: list[Any] = []


@pytest.fixture
def keep() -> Callable[[Any], Any]:
    """Return a function that adds a row to the table at the end, even if the test fails."""

    def kept(row: Any) -> Any:
        ROWS.append(row)
        return row

    return kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the rows."""
    from rows import shown

    for line in shown(ROWS):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def deployed() -> Any:
    """Return the site. The next run removes it, or the removal of the cluster."""
    from ground import Ground
    from plays import Plays

    os.environ.update({"MOLECULE_PROJECT_DIRECTORY": str(PROJECT), "MOLECULE_SCENARIO_NAME": "load"})
    inventories = [os.environ.get("TEST_INVENTORY", "inventory/mirrors"), "molecule/inventory"]
    variables = {"image_context": str(PROJECT), "postgresql_storage_size": "1Gi", "web_replicas": 3}
    # A rate that each machine can handle beside the actions of the tests. `make prove` has a higher rate.
    ground = Ground(Plays(inventories, variables), rate=60)
    ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
    ground.deploy()
    return ground


@pytest.fixture
def ground(deployed: Any) -> Any:
    """Restore the site if the previous test failed or removed a protection."""
    from plays import Failed

    if deployed.spoiled:
        deployed.deploy("--tags=image,postgresql,web")
        deployed.spoiled = False
    try:
        deployed.wait_until_whole(3, 10)
    except Failed:
        deployed.deploy()
        deployed.wait_until_whole(3)
    deployed.wait_for_old_pods()
    return deployed


@pytest.fixture
def spoiled(deployed: Any) -> Any:
    """Return a site in any state, for a test that deploys it without a protection."""
    deployed.spoiled = True
    return deployed
