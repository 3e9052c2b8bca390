"""Scenario `upgrade` of `make prove`: commits, comparisons, and goals, without a cluster."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prove
import pytest
import upgrade
from plays import PROJECT, Failed, Plays
from rows import Load
from test_bench import commit
from upgrade import State

# ---- Earlier commit --------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create a checkout with a collection, an inventory, and figures, in three commits: roles, other files, and
    figures."""
    folder = tmp_path / "project"
    for name in ("roles/web/tasks/main.yml", "bench/prove.json", "plugins/modules/one.py", "inventory/kind/hosts.yml"):
        (folder / name).parent.mkdir(parents=True)
    (folder / "plugins/modules/one.py").write_text('DOCUMENTATION = """\nmodule: one\nshort_description: One\n"""\n')
    (folder / "inventory/kind/hosts.yml").write_text("all: {hosts: {localhost: }}")
    for number in ("1", "2"):
        (folder / "roles/web/tasks/main.yml").write_text(f"# {number}\n")
        commit(folder, number)
    (folder / "bench/prove.json").write_text("{}")
    commit(folder, "figures")
    return folder


def subject(project: Path, revision: str) -> str:
    command = ["git", "log", "-1", "--format=%s", revision]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.strip()


def test_the_site_is_upgraded_from_the_last_figures(project: Path) -> None:
    (project / "roles/web/tasks/main.yml").write_text("# 3\n")
    commit(project, "3")
    assert subject(project, upgrade.commit_before(project=project)) == "figures"


def test_commit_that_deploys_the_same_is_skipped(project: Path) -> None:
    assert subject(project, upgrade.commit_before(project=project)) == "1"
    # Commits that change other files are ignored.
    (project / "README.md").touch()
    commit(project, "README")
    assert subject(project, upgrade.commit_before(project=project)) == "1"
    # Uncommitted changes count.
    (project / "roles/web/tasks/main.yml").write_text("# 3\n")
    assert subject(project, upgrade.commit_before(project=project)) == "figures"


def test_the_commit_to_upgrade_from_can_be_chosen(project: Path) -> None:
    assert subject(project, upgrade.commit_before("HEAD~1", project)) == "2"
    with pytest.raises(Failed, match="UPGRADE_FROM=none is not a commit of this checkout"):
        upgrade.commit_before("none", project)


def test_a_history_without_an_earlier_commit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles/x").touch()
    commit(tmp_path)
    with pytest.raises(Failed, match=r"no earlier commit with other roles, plugins, or playbooks.*UPGRADE_FROM="):
        upgrade.commit_before(project=tmp_path)


def test_make_forwards_the_commit(tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--always-make", "prove", "ROWS=upgrade", "UPGRADE_FROM=abc"]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert "--upgrade-from=abc" in told.split()


def test_unknown_commit_fails_before_the_first_scenario() -> None:
    command = [sys.executable, str(PROJECT / "bench" / "prove.py"), "inventory/none", "--upgrade-from=none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("UPGRADE_FROM=none is not a commit")


def test_the_old_playbooks_use_their_own_collection_and_inventory(project: Path) -> None:
    plays = Plays([str(project / "inventory/kind")], {"cluster_name": "prove"}, project=project)
    with upgrade.checked_out("HEAD~2", project) as tree:
        assert (tree / "roles/web/tasks/main.yml").read_text() == "# 1\n"
        old = upgrade.plays_of(tree, plays, {"cluster_kubeconfig": "/k"})
        assert upgrade.collection_directory(old) == tree
        assert old.project == tree
        assert old.inventories == [f"--inventory={tree}/inventory/kind"]
        assert old.variables == {"cluster_name": "prove", "cluster_kubeconfig": "/k", "image_context": str(tree)}
    assert not tree.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=project, capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1


def test_current_collection_in_place_of_the_old_one_fails(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulate that the directory of collections has no effect, so that site-packages comes first.
    monkeypatch.setattr(upgrade, "Plays", lambda inventories, variables, environment, tree: Plays([], {}, {}, tree))
    (project / "plugins/modules/one.py").rename(project / "plugins/modules/apply.py")
    commit(project)
    with (
        upgrade.checked_out("HEAD", project) as tree,
        pytest.raises(Failed, match=r"use the collection cloud_django.kubernetes in \S+ instead of their own"),
    ):
        upgrade.plays_of(tree, Plays([], {}, project=project), {})


def test_an_inventory_that_the_old_commit_lacks_is_refused(project: Path) -> None:
    assert upgrade.counterpart("/elsewhere/hosts.yml", project / "tree", project) == "/elsewhere/hosts.yml"
    with pytest.raises(Failed, match="has no inventory/kind"):
        upgrade.counterpart("inventory/kind", project / "tree", project)


# ---- Scenario --------------------------------------------------------------------------------------------------------


def secret(name: str, kind: str = "Opaque", **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": name}, "type": kind, "data": encoded}


def test_passwords_are_compared_and_certificates_are_not() -> None:
    secrets = [
        secret("polls-database-app", password="p", username="u"),
        secret("polls-postgresql-tls", "kubernetes.io/tls", **{"tls.crt": "-----BEGIN CERTIFICATE-----"}),
        secret("account", "kubernetes.io/service-account-token", token="t"),
        {"metadata": {"name": "empty"}},
    ]
    hashes = upgrade.password_hashes(secrets)
    assert hashes.keys() == {"polls-database-app/password", "polls-database-app/username"}
    assert hashes["polls-database-app/password"] == hashlib.sha256(b"p").hexdigest()


def load(*failures: tuple[float, str]) -> Load:
    """Return a load of 60 s in which votes are found and some other requests fail at the given times."""
    requests = [
        {"started": moment, "ended": moment + 0.1, "path": path, "outcome": "ok", "is_vote": path == "/v"}
        for at in range(60)
        for moment, path in ((at, "/"), (at + 0.5, "/v"))
    ]
    requests += [
        {"started": moment - 0.1, "ended": moment, "path": "/r", "outcome": outcome, "is_vote": False}
        for moment, outcome in failures
    ]
    return Load(6.0, 100, 0.0, requests, closed=60.0, ended=61.0, votes_after=160)


SAME = State(["a"], {"app/password": "1"})
REPLACED = State(["b"], {"app/password": "1"})
PAGE = "unavailable"


@pytest.mark.parametrize(
    ("failures", "after", "again", "wrong"),
    [
        ([], SAME, 0, ""),
        ([], REPLACED, 0, ""),
        # Outage pages are allowed while the database pod is replaced, for a limited time.
        ([(10.0, PAGE), (15.0, PAGE)], REPLACED, 0, ""),
        ([(10.0, PAGE), (15.2, PAGE)], REPLACED, 0, "the outage page was shown for 5.2 s, and 5 s are allowed"),
        ([(10.0, PAGE)], SAME, 0, "1 requests failed, 0 are allowed"),
        ([(10.0, PAGE), (20.0, PAGE)], SAME, 0, "2 requests failed, 0 are allowed"),
        # Other failures are not allowed.
        ([(10.0, PAGE), (11.0, "reset")], REPLACED, 0, "2 requests failed, 1 are allowed"),
        ([(11.0, "reset")], REPLACED, 0, "1 requests failed, 0 are allowed"),
        ([(11.0, "status 503")], SAME, 0, "1 requests failed, 0 are allowed"),
        ([], State(["a"], {"app/password": "2"}), 0, "these passwords changed: app/password"),
        ([], State(["a"], {}), 0, "these passwords changed: app/password"),
        # A password that the new release adds has not changed.
        ([], State(["a"], {"app/password": "1", "cache/password": "3"}), 0, ""),
        ([], SAME, 2, "the second run reported 2 changes"),
    ],
)
def test_missed_goals_of_an_upgrade(failures: list[tuple[float, str]], after: State, again: int, wrong: str) -> None:
    row = upgrade.judged(load(*failures), "abc", SAME, after, again)
    assert wrong in str(row.wrong)
    assert bool(row.wrong) == bool(wrong), row.wrong


def test_upgrade_that_loses_votes_fails() -> None:
    lost = load()
    lost.votes_after -= 1
    assert upgrade.judged(lost, "abc", SAME, SAME, 0).wrong == ["1 acknowledged votes are lost"]


def test_upgrade_without_passwords_to_compare_fails() -> None:
    assert upgrade.judged(load(), "abc", State(["a"]), State(["a"]), 0).wrong == ["no passwords were found"]


def test_the_note_has_the_pages_and_the_seconds() -> None:
    row = upgrade.judged(load((10.0, PAGE), (12.5, PAGE)), "abc, 9 changes", SAME, REPLACED, 0)
    assert row.note == "from abc, 9 changes; 2 outage pages in 2.5 s, database pod replaced"
    assert (row.failed, row.failures_expected) == (2, 2)
    assert upgrade.judged(load(), "abc", SAME, SAME, 0).note.endswith(
        "0 outage pages in 0.0 s, database pod not replaced"
    )


def test_scenario_runs_by_default() -> None:
    assert prove.ROWS["upgrade"] is upgrade.upgrade


def test_the_old_site_is_deployed_before_the_load_and_upgraded_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    changes = iter([7, 0])

    class Old:
        def __call__(self, playbook: str, *arguments: str) -> int:
            done.append(f"old {playbook} {' '.join(arguments)}")
            return 30

        def address(self) -> str:
            return "http://192.0.2.1:30000"

    class Site:
        upgrade_from = "0123456789abcdef"
        address = ""
        cluster = SimpleNamespace(list=lambda kind: [secret("app", password="p")])

        def __init__(self) -> None:
            self.plays = type("Present", (), {"__call__": self.play, "variables_of": lambda self, names: {}})()

        @staticmethod
        def play(_: object, playbook: str, **variables: Any) -> None:
            done.append(f"{playbook} {variables['teardown_data']} {variables['teardown_cluster']}")

        def pods(self, component: str) -> list[dict[str, Any]]:
            return [{"metadata": {"uid": component}}]

        def ready(self, component: str) -> int:
            return 1

        def deploy(self) -> int:
            done.append("site")
            return next(changes)

        def wait_until_whole(self, pods: int) -> None:
            assert pods == prove.REPLICAS

        def wait_for_old_pods(self) -> None:
            pass

        @contextmanager
        def load(self) -> Any:
            assert self.address == "http://192.0.2.1:30000"
            done.append("load")
            yield load()
            done.append("end of load")

    @contextmanager
    def checked_out(wanted: str) -> Any:
        done.append(f"checkout {wanted}")
        yield Path("/tree")

    monkeypatch.setattr(upgrade, "checked_out", checked_out)
    monkeypatch.setattr(upgrade, "plays_of", lambda tree, plays, shared: Old())
    monkeypatch.setattr(upgrade, "CALM", 0)
    row = upgrade.upgrade(Site())
    assert done == [
        "checkout 0123456789abcdef",
        "teardown purge False",
        f"old site {upgrade.PREPARED}",
        "load",
        "site",
        "end of load",
        "site",
    ]
    assert row.wrong == []
    assert row.note.startswith("from 0123456789, 7 changes; 0 outage pages")
