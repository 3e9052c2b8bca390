"""Figures of `make bench` and their goals, without a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench
import plays
import pytest
import yaml
from plays import Failed, Plays

INVENTORY = """
cloud_django:
  hosts:
    controller:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    file = tmp_path / "hosts.yml"
    file.write_text(INVENTORY)
    return str(file)


def commit(project: Path, message: str = "x") -> str:
    """Commit all files of a repository, which is created first; return the commit."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--allow-empty", "-m", message]):
        subprocess.run([*git, *command], cwd=project, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.strip()


# ---- Playbooks -------------------------------------------------------------------------------------------------------


def test_empty_play_has_the_hosts_of_the_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plays, "site_play", lambda: {"hosts": "cloud_django"})
    [play] = yaml.safe_load(plays.empty_play(tmp_path).read_text())
    assert play["hosts"] == "cloud_django"
    assert play["gather_facts"] is False
    assert [task["ansible.builtin.meta"] for task in play["tasks"]] == ["noop"]


def test_callback_of_the_user_hides_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "cloud_django.kubernetes.steps")
    assert Plays([], {}).environment["ANSIBLE_STDOUT_CALLBACK"] == "ansible.builtin.default"


def test_site_play_is_the_one_with_roles(tmp_path: Path) -> None:
    site = tmp_path / "playbooks" / "site.yml"
    site.parent.mkdir()
    tasks = ", ".join(f"{{ansible.builtin.import_role: {{name: {name}}}}}" for name in "aba")
    site.write_text(
        f"[{{import_playbook: a.yml}}, {{hosts: localhost}}, {{hosts: sites, tasks: [{{meta: noop}}, {tasks}]}}]"
    )
    play = plays.site_play(tmp_path)
    assert play["hosts"] == "sites"
    assert plays.role_names(play) == ["a", "b"]
    site.write_text("[{import_playbook: a.yml}]")
    with pytest.raises(Failed, match="no play with hosts"):
        plays.site_play(tmp_path)


def test_an_empty_play_has_one_task(inventory: str, tmp_path: Path) -> None:
    figures = started(inventory, plays.empty_play(tmp_path))
    assert figures["api_tasks"] == 0
    assert [name for name, _ in figures["seconds"]] == ["Do nothing"]


def test_variables_come_from_the_inventory_and_from_defaults_of_roles(inventory: str) -> None:
    run = Plays([inventory], {"app_name": "a{b}"})
    assert run.variables_of(["app_name", "web_timeout", "no_such_variable"]) == {
        "app_name": "a{b}",
        "web_timeout": "300",
    }
    with pytest.raises(Failed, match="Variable no_such_variable is not defined"):
        run.variable("no_such_variable")


# ---- Tasks -----------------------------------------------------------------------------------------------------------


def started(inventory: str, playbook: Path) -> dict[str, Any]:
    """Run a playbook with the callback; return the figures that it wrote."""
    figures = playbook.with_name("figures.json")
    environment = {
        "ANSIBLE_CALLBACK_PLUGINS": str(plays.PROJECT / "bench" / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "tasks_started",
        "TASKS_STARTED_FILE": str(figures),
    }
    Plays([inventory], {}, environment)(playbook)
    return json.loads(figures.read_text())


def test_run_skipped_and_included_tasks_are_counted(inventory: str, tmp_path: Path) -> None:
    (tmp_path / "included.yml").write_text(
        yaml.safe_dump([{"name": "Wait", "ansible.builtin.wait_for": {"timeout": 1}}])
    )
    tasks = [
        {"name": "Run", "ansible.builtin.debug": {}},
        {"name": "Skip", "ansible.builtin.debug": {}, "when": False},
        {"name": "Include", "ansible.builtin.include_tasks": "included.yml"},
        {"name": "Do nothing", "ansible.builtin.meta": "noop"},
        {"name": "Skip a request", "kubernetes.core.k8s_info": {"kind": "Pod"}, "when": False},
        {
            "name": "Loop",
            "ansible.builtin.debug": {},
            "loop": [1, 2],
            "changed_when": True,
            "notify": "Handle",
        },
    ]
    handlers = [{"name": "Handle", "ansible.builtin.debug": {}}]
    playbook = tmp_path / "tasks.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks, "handlers": handlers}]))
    figures = started(inventory, playbook)
    seconds = dict(figures["seconds"])
    assert [name for name, _ in figures["seconds"]] == [
        "Run",
        "Skip",
        "Include",
        "Wait",
        "Do nothing",
        "Skip a request",
        "Loop",
        "Handle",
    ]
    # Only the task that sleeps takes time.
    assert seconds["Wait"] >= 1
    assert max(seconds, key=seconds.__getitem__) == "Wait"
    assert figures["api_tasks"] == 0


def test_tasks_that_use_the_api_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(plays.PROJECT / "bench" / "callback_plugins"))
    import tasks_started

    callback = tasks_started.CallbackModule()
    for action in (
        "cloud_django.kubernetes.apply",
        "cloud_django.kubernetes.rollout",
        "kubernetes.core.k8s_info",
        "cloud_django.kubernetes.run_with_progress",
        "ansible.builtin.debug",
    ):
        callback.v2_runner_on_ok(SimpleNamespace(task=SimpleNamespace(resolved_action=action, action="")))
    assert callback.api_tasks == 3


def test_the_slowest_tasks_are_the_medians_of_all_runs() -> None:
    runs = [
        [("a", 1.0), ("twice", 0.1), ("b", 9.0), ("twice", 3.0)],
        [("a", 1.2), ("twice", 0.2), ("b", 0.3), ("twice", 2.0)],
        [("a", 5.0), ("twice", 0.3), ("b", 0.2), ("twice", 2.5)],
        # A task that only one run has must not fail the comparison.
        [("c", 0.0), ("d", 0.0), ("e", 0.0)],
    ]
    assert bench.slowest(runs)[:3] == [("twice", 2.5), ("a", 1.2), ("b", 0.3)]
    assert len(bench.slowest(runs)) == bench.SLOWEST


# ---- Figures ---------------------------------------------------------------------------------------------------------


def test_each_measurement_is_divided_by_its_own_empty_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "timed", lambda do: do())
    ratio = bench.Ratio()
    # The machine is half as fast for the second pair.
    empties = iter([1.0, 3.0, 4.0, 4.0, 1.0, 1.0])
    for seconds in (20.0, 40.0, 100.0):
        bench.between(lambda: next(empties), lambda seconds=seconds: seconds, ratio)
    assert ratio.empty == [2.0, 4.0, 1.0]
    assert ratio.figures("x") == {"x_seconds": 40.0, "x_ratio": 10.0}


@pytest.mark.parametrize(("seconds", "budget", "further"), [(28, 120, 2), (60, 120, 2), (61, 120, 0), (30, 59, 0)])
def test_slow_measurements_are_not_repeated(seconds: float, budget: float, further: int) -> None:
    assert bench.repeats(seconds, budget) == further


class Recorded:
    """A site whose playbooks only record their runs."""

    def __init__(self, started: Path, changed: Mapping[str, int]) -> None:
        self.started, self.changed, self.ran, self.output = started, changed, [], "what it printed"

    def __call__(self, playbook: str | Path, *_: object, **__: object) -> int:
        self.ran.append(Path(playbook).stem)
        self.started.write_text(json.dumps({"api_tasks": 2, "seconds": [["a", 1.0], ["b", 2.0]]}))
        return self.changed.get(self.ran[-1], 0)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    site = Recorded(tmp_path / "started.json", {})
    kubectl = SimpleNamespace(objects=lambda: "", apply=lambda objects: site.ran.append("kubectl"))
    monkeypatch.setattr(bench, "Kubectl", lambda plays: kubectl)
    clock = {"empty": 0.5, "site": 4.0, "kubectl": 0.25}

    def timed(do: Any) -> float:
        do()
        return clock[site.ran[-1]]

    monkeypatch.setattr(bench, "timed", timed)
    return site


def test_reruns_alternate_with_empty_plays_and_kubectl(recorded: Recorded) -> None:
    figures, tasks = bench.rerun(recorded, lambda: bench.timed(lambda: recorded("empty")), recorded.started)
    assert recorded.ran == ["empty", "site", "kubectl"] * bench.REPEATS
    assert figures == {
        "empty_play_seconds": 0.5,
        "site_rerun_seconds": 4.0,
        "site_rerun_ratio": 8.0,
        "site_rerun_tasks": 2,
        "site_rerun_api_tasks": 2,
        "kubectl_apply_seconds": 0.25,
        "site_rerun_kubectl_ratio": 16.0,
    }
    assert tasks == [("b", 2.0), ("a", 1.0)]


def test_rerun_with_changes_fails(recorded: Recorded) -> None:
    recorded.changed = {"site": 3}
    with pytest.raises(Failed, match="3 tasks reported changes in a run without changes:\nwhat it printed"):
        bench.rerun(recorded, lambda: bench.timed(lambda: recorded("empty")), recorded.started)


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("site_rerun_ratio", 8),
        ("site_rerun_tasks", 50),
        ("image_change_ratio", 60),
        ("teardown_ratio", 30),
        ("front_p99_ratio", 1.3),
        ("front_idle_mebibytes", 40),
    ],
)
def test_figure_above_its_maximum_is_reported(name: str, goal: float) -> None:
    good = {key: limit or 0 for key, (_, limit) in bench.FIGURES.items()}
    assert bench.missed(good) == []
    assert bench.missed(good | {name: goal + 0.01}) == [name]


def test_figure_below_its_minimum_is_reported() -> None:
    good = {key: limit or 0 for key, (_, limit) in bench.FIGURES.items()}
    assert bench.missed(good | {"front_throughput_ratio": 0.87}) == ["front_throughput_ratio"]
    assert bench.missed(good | {"front_throughput_ratio": 1.0}) == []


def test_the_table_has_units_and_goals() -> None:
    lines = bench.shown(dict.fromkeys(bench.FIGURES, 7.0))
    assert "| The site again, with nothing to change | 7 s |  |" in lines
    assert "| The same as a multiple of an empty play | 7 \u00d7 | ≤ 8 \u00d7 |" in lines
    assert "| Tasks that it runs or skips | 7 | ≤ 50 |" in lines
    assert "| The same as a multiple of such a pod without a front | 7 \u00d7 | \u2265 0.88 \u00d7 |" in lines
    assert "| List pages per second of a pod with one CPU and its front | 7/s |  |" in lines
    assert "| Working set of a front without load | 7 MiB | ≤ 40 MiB |" in lines


def test_tables_and_headlines_replace_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = "<!-- figures: written by `make bench` -->"
    (tmp_path / "figures.md").write_text(f"# Figures\n{mark}\nold\n{mark}\nrest\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(f"a\n{plays.HEADLINES}\nold\n{plays.HEADLINES}\nb\n", encoding="utf-8")
    (tmp_path / "bench").mkdir()
    figures = {"site_first_seconds": 34.32, "site_rerun_seconds": 3.52, "site_rerun_ratio": 7.83}
    rows = [{"kind": kind, "name": kind, "requests": 67506, "failed": 0} for kind in ("rollouts", "kills")]
    (tmp_path / "bench" / "results.json").write_text(json.dumps({"figures": figures}), encoding="utf-8")
    (tmp_path / "bench" / "prove.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    monkeypatch.setattr(plays, "PROJECT", tmp_path)
    monkeypatch.setattr(plays, "PAGE", tmp_path / "figures.md")
    monkeypatch.setattr(plays, "README", tmp_path / "README.md")
    plays.put_into_readme("make bench", ["| new |"])
    assert (tmp_path / "figures.md").read_text(encoding="utf-8") == f"# Figures\n{mark}\n| new |\n{mark}\nrest\n"
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "old" not in readme
    assert "| 34 s |" in readme
    assert "| 7.8 \u00d7, 3.5 s |" in readme
    assert "| 0 of 67,506 |" in readme
    assert "kills" not in readme


@pytest.mark.parametrize("command", ["make bench", "make prove"])
def test_the_page_of_figures_has_a_table_of_each_command(command: str) -> None:
    _, table, _ = plays.PAGE.read_text(encoding="utf-8").split(f"<!-- figures: written by `{command}` -->")
    assert len(table.splitlines()) > 10


def test_the_readme_has_the_headlines_of_the_last_measurements() -> None:
    results, proof = (
        json.loads((plays.PROJECT / "bench" / name).read_text(encoding="utf-8"))
        for name in ("results.json", "prove.json")
    )
    _, table, _ = plays.README.read_text(encoding="utf-8").split(plays.HEADLINES)
    assert table.split("\n")[1:-1] == plays.headlines(results["figures"], proof["rows"])


def test_figures_name_the_commit_and_what_differs_from_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a")
    (tmp_path / "role.yml").write_text("a")
    head = commit(tmp_path)
    assert plays.measured_commit(tmp_path) == head
    # Files that the measurement writes do not count.
    (tmp_path / "README.md").write_text("b")
    assert plays.measured_commit(tmp_path) == head
    (tmp_path / "role.yml").write_text("b")
    assert plays.measured_commit(tmp_path) == f"{head}-dirty"
    (tmp_path / "role.yml").write_text("a")
    (tmp_path / "new.yml").touch()
    assert plays.measured_commit(tmp_path) == f"{head}-dirty"


def test_figures_without_a_commit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match="git rev-parse failed"):
        plays.measured_commit(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed, match="git is not installed"):
        plays.measured_commit(tmp_path)


@pytest.mark.parametrize(
    ("change", "removal", "ran"),
    [
        # Both are repeated, only the change, or none.
        (20.0, 10.0, ["change", "change", "change", "teardown", "site", "teardown", "site", "teardown"]),
        (30.0, 10.0, ["change", "change", "change", "teardown"]),
        (61.0, 60.0, ["change", "teardown"]),
    ],
)
def test_all_figures_are_measured(
    change: float, removal: float, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"empty": 0.5, "site": 25.0, "change": change, "teardown": removal, "kubectl": 0.25}
    sites: list[Recorded] = []

    def plays_of(inventories: list[str], variables: Mapping[str, Any], environment: Mapping[str, str]) -> Recorded:
        assert variables["app_namespace"] == bench.NAMESPACE
        sites.append(Recorded(Path(environment["TASKS_STARTED_FILE"]), {}))
        sites[0].address = lambda: "http://192.0.2.1"
        return sites[0]

    def timed(do: Any) -> float:
        do()
        return clock[sites[0].ran[-1]]

    kubectl = SimpleNamespace(objects=lambda: "", apply=lambda objects: sites[0].ran.append("kubectl"))
    monkeypatch.setattr(bench, "Plays", plays_of)
    monkeypatch.setattr(bench, "Kubectl", lambda plays: kubectl)
    monkeypatch.setattr(bench, "vote", lambda site: None)
    monkeypatch.setattr(bench, "change_image", lambda plays, copy: plays.ran.append("change"))
    monkeypatch.setattr(bench, "timed", timed)
    # Between the changes and the removals.
    front = {name: 1.0 for name in bench.FIGURES if name.startswith("front_")}
    monkeypatch.setattr(bench, "throughput", lambda plays: plays.ran.append("front") or front)
    figures, _ = bench.measure("inventory/x")
    assert list(figures) == list(bench.FIGURES)
    expected = {
        "site_first_seconds": 25.0,
        "site_rerun_ratio": 50.0,
        "site_rerun_kubectl_ratio": 100.0,
        "image_change_seconds": change,
        "image_change_ratio": 2 * change,
        "teardown_ratio": 2 * removal,
    }
    assert {name: figures[name] for name in expected} == expected
    after_reruns = sites[0].ran[len(sites[0].ran) - sites[0].ran[::-1].index("kubectl") :]
    ran.insert(ran.index("teardown"), "front")
    assert [name for name in after_reruns if name != "empty"] == ran
    # Each change and each removal is between two empty plays.
    for place, name in enumerate(after_reruns):
        if name not in ("empty", "site", "front"):
            assert after_reruns[place - 1] == after_reruns[place + 1] == "empty"


def test_changed_copy_has_a_unique_word(tmp_path: Path) -> None:
    copies = [bench.changed_copy(tmp_path, word) for word in ("one", "two")]
    page = "django_polls/polls/templates/polls/index.html"
    assert [f"What do you think, {copy.name}?" in (copy / page).read_text() for copy in copies] == [True, True]
