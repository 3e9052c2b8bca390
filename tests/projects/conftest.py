"""Public projects on the cluster of the Molecule scenario `default`, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / name) for name in ("projects", "cluster", "security", "load")]

from contexts import NAMES, QUICK, make_contexts  # After the path is set. # noqa: E402


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for the projects of its mark `projects`, by default for all."""
    if "site" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("projects")
    names = mark.args if mark else NAMES
    # All tests have the same list, because pytest deploys a site again if its number in the list differs.
    marks = {name: [pytest.mark.quick] if name in QUICK else [] for name in NAMES}
    skipped = pytest.mark.not_for_this_project
    values = [pytest.param(name, marks=[*marks[name], *([] if name in names else [skipped])]) for name in NAMES]
    metafunc.parametrize("site", values, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remove the tests of other projects, and run all tests of a project before those of the next one."""
    unwanted = [item for item in items if item.get_closest_marker("not_for_this_project")]
    config.hook.pytest_deselected(items=unwanted)
    wanted = [item for item in items if item not in unwanted]
    places = {name: place for place, name in enumerate(NAMES)}
    items[:] = sorted(wanted, key=lambda item: places.get(getattr(item, "callspec", item).params.get("site"), -1))


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the build contexts."""
    return make_contexts(tmp_path_factory.mktemp("projects") / "contexts")


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, contexts: Path) -> Iterator[object]:
    """Return a deployed project."""
    from support_projects import deployed

    with deployed(request.param, contexts.parent, contexts) as found:
        yield found
