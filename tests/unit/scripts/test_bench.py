"""Figures of `make bench` and their goals, without a cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench
import figures
import playbook_runs
import plays
import pytest
import report
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from figures import FIGURES, Figure
from plays import Failed, Plays
from report import Result

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
    assert playbook_runs.slowest(runs)[:3] == [("twice", 2.5), ("a", 1.2), ("b", 0.3)]
    assert len(playbook_runs.slowest(runs)) == playbook_runs.SLOWEST


# ---- Figures ---------------------------------------------------------------------------------------------------------


def test_each_measurement_is_divided_by_its_own_empty_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbook_runs, "timed", lambda do: do())
    ratio = playbook_runs.Ratio()
    # The machine is half as fast for the second pair.
    empties = iter([1.0, 3.0, 4.0, 4.0, 1.0, 1.0])
    for seconds in (20.0, 40.0, 100.0):
        playbook_runs.between(lambda: next(empties), lambda seconds=seconds: seconds, ratio)
    assert ratio.empty == [2.0, 4.0, 1.0]
    assert ratio.figures("x") == {"x_seconds": 40.0, "x_ratio": 10.0}


@pytest.mark.parametrize(("seconds", "budget", "further"), [(28, 120, 2), (60, 120, 2), (61, 120, 0), (30, 59, 0)])
def test_slow_measurements_are_not_repeated(seconds: float, budget: float, further: int) -> None:
    assert playbook_runs.repeats(seconds, budget) == further


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
    monkeypatch.setattr(playbook_runs, "Kubectl", lambda plays: kubectl)
    clock = {"empty": 0.5, "site": 4.0, "kubectl": 0.25}

    def timed(do: Any) -> float:
        do()
        return clock[site.ran[-1]]

    monkeypatch.setattr(playbook_runs, "timed", timed)
    return site


def test_reruns_alternate_with_empty_plays_and_kubectl(recorded: Recorded) -> None:
    figures, tasks = playbook_runs.rerun(
        recorded, lambda: playbook_runs.timed(lambda: recorded("empty")), recorded.started
    )
    assert recorded.ran == ["empty", "site", "kubectl"] * playbook_runs.REPEATS
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
        playbook_runs.rerun(recorded, lambda: playbook_runs.timed(lambda: recorded("empty")), recorded.started)


GOOD = {name: figure.goal or 0 for name, figure in FIGURES.items()}


@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if figure.goal is not None])
def test_a_missed_goal_is_reported(name: str) -> None:
    assert figures.missed(GOOD) == []
    worse = -0.01 if FIGURES[name].at_least else 0.01
    assert figures.missed(GOOD | {name: GOOD[name] + worse}) == [name]
    assert figures.missed(GOOD | {name: GOOD[name] - worse}) == []


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("site_rerun_ratio", "≤ 8 \u00d7"),
        ("site_rerun_tasks", "≤ 50"),
        ("image_change_ratio", "≤ 60 \u00d7"),
        ("teardown_ratio", "≤ 30 \u00d7"),
        ("front_throughput_ratio", "\u2265 0.88 \u00d7"),
        ("front_cached_throughput_ratio", ""),
        ("front_cached_p99_ratio", ""),
        ("serving_failed_requests", "≤ 0"),
        ("replicas_failed_requests", "≤ 0"),
        ("replicas_votes_lost", "≤ 0"),
        ("questions_uncached_ratio", ""),
        ("questions_failed_requests", "≤ 0"),
        ("front_p99_ratio", "≤ 1.3 \u00d7"),
        ("front_idle_mebibytes", "≤ 40 MiB"),
        ("serving_list_ratio", "\u2265 12 \u00d7"),
        ("serving_question_ratio", "\u2265 8 \u00d7"),
        ("serving_results_ratio", "\u2265 8 \u00d7"),
        ("serving_vote_ratio", "\u2265 6 \u00d7"),
        ("half_rate_p99_ratio", "≤ 4 \u00d7"),
        ("half_rate_p99_milliseconds", "≤ 60 ms"),
        ("project_loaded_mebibytes", "≤ 120 MiB"),
        ("votes_lost", "≤ 0"),
        ("questions_ratio", "≤ 1.2 \u00d7"),
        ("cache_down_failed_requests", "≤ 0"),
        ("cache_down_ratio", "\u2265 0.95 \u00d7"),
        ("front_pages_per_second", ""),
    ],
)
def test_the_table_has_the_goals(name: str, goal: str) -> None:
    [_, _, line] = figures.shown({name: 7.0})
    unit = {"ratio": " \u00d7", "mebibytes": " MiB", "milliseconds": " ms", "second": "/s"}.get(
        name.rpartition("_")[2], ""
    )
    assert line == f"| {FIGURES[name].text} | 7{unit} | {goal} |"


def test_goals_for_milliseconds_are_for_fast_machines() -> None:
    figure = Figure("x", 60, fast_only=True)
    assert [figure.is_missed(61, empty) for empty in (0.4, 0.7, 0.71, None)] == [True, True, False, False]


def test_the_table_has_only_measured_figures() -> None:
    assert len(figures.shown({})) == 2
    assert figures.shown({"votes_acknowledged": 12345.0})[-1].endswith("| 12,345 |  |")
    assert figures.rounded({"teardown_ratio": 1.239, "site_rerun_ratio": 2.0}) == {
        "site_rerun_ratio": 2.0,
        "teardown_ratio": 1.24,
    }
    with pytest.raises(KeyError, match="unknown_ratio"):
        figures.rounded({"unknown_ratio": 1.0})


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
def test_all_playbooks_are_measured(
    change: float, removal: float, ran: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = {"empty": 0.5, "site": 25.0, "change": change, "teardown": removal, "kubectl": 0.25}

    def plays_of(inventories: list[str], variables: Mapping[str, Any], environment: Mapping[str, str]) -> Recorded:
        assert variables["app_namespace"] == playbook_runs.NAMESPACE
        recorded = Recorded(Path(environment["TASKS_STARTED_FILE"]), {})
        recorded.address = lambda: "http://192.0.2.1"
        return recorded

    monkeypatch.setattr(playbook_runs, "Plays", plays_of)
    site = playbook_runs.Site("inventory/x", tmp_path)

    def timed(do: Any) -> float:
        do()
        return clock[site.plays.ran[-1]]

    kubectl = SimpleNamespace(objects=lambda: "", apply=lambda objects: site.plays.ran.append("kubectl"))
    monkeypatch.setattr(playbook_runs, "Kubectl", lambda plays: kubectl)
    monkeypatch.setattr(playbook_runs, "vote", lambda address: None)
    monkeypatch.setattr(playbook_runs, "change_image", lambda plays, copy: plays.ran.append("change"))
    monkeypatch.setattr(playbook_runs, "timed", timed)
    measured = playbook_runs.Playbooks(site)
    measured.deployments()
    measured.removals()
    assert figures.rounded(measured.figures).keys() == measured.figures.keys()
    assert (
        measured.figures
        | {
            "site_first_seconds": 25.0,
            "site_rerun_ratio": 50.0,
            "site_rerun_kubectl_ratio": 100.0,
            "image_change_seconds": change,
            "image_change_ratio": 2 * change,
            "teardown_ratio": 2 * removal,
        }
        == measured.figures
    )
    everything = site.plays.ran
    after_reruns = everything[len(everything) - everything[::-1].index("kubectl") :]
    assert [name for name in after_reruns if name != "empty"] == ran
    # Each change and each removal is between two empty plays.
    for place, name in enumerate(after_reruns):
        if name not in ("empty", "site"):
            assert after_reruns[place - 1] == after_reruns[place + 1] == "empty"


# ---- Parts -----------------------------------------------------------------------------------------------------------


class Steps:
    """Site of `make bench` that records the steps of a measurement."""

    def __init__(self, inventory: str, folder: Path) -> None:
        STEPS.clear()
        self.plays = SimpleNamespace(variable=VARIABLES.__getitem__)

    def empty(self) -> float:
        return 0.5

    def __getattr__(self, name: str) -> Any:
        return lambda: step(name)


STEPS: list[str] = []
VARIABLES = {"cluster_provider": "kind", "cache_state": "present", "cache_backend": "builtin"}
# Step that fails, and how.
FAILING: dict[str, BaseException] = {}


def step(name: str, **found: float) -> Result:
    STEPS.append(name)
    if name in FAILING:
        raise FAILING[name]
    return Result(found)


class Deployments:
    """Part `playbooks` that records its steps."""

    def __init__(self, site: Steps) -> None:
        pass

    def deployments(self) -> Result:
        return step("deployments", site_first_seconds=30.0)

    def removals(self) -> Result:
        return step("removals", teardown_ratio=20.0)


class Recording(report.Report):
    """Report that keeps the results instead of storing them."""

    def __init__(self) -> None:
        super().__init__("abc")
        self.parts: list[str] = []

    def attempt(self, part: str, do: Any) -> bool:
        is_done = super().attempt(part, do)
        self.parts += [part] if is_done else []
        return is_done


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    def served(ground: object, parts: list[str], attempt: Any) -> None:
        step("pods")
        for part in parts:
            attempt(part, lambda part=part: step(part, serving_vote_ratio=7.0))

    monkeypatch.setattr(bench, "Site", Steps)
    monkeypatch.setattr(bench, "Playbooks", Deployments)
    monkeypatch.setattr(bench, "Ground", lambda plays: None)
    monkeypatch.setattr(bench.serving, "measure", served)
    monkeypatch.setattr(bench.sites, "measure", lambda plays, timed: step("sites", sites_10_rerun_ratio=9.0))
    monkeypatch.setattr(report, "store", lambda part, result, commit: None)
    monkeypatch.setattr(report.documents, "publish", lambda: None)
    before = dict(VARIABLES)
    yield STEPS
    VARIABLES.update(before)
    FAILING.clear()


def test_what_an_interrupted_measurement_left_is_removed_before_the_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []
    site = playbook_runs.Site("inventory/x", tmp_path)
    site.plays = lambda playbook, *_, **__: ran.append(playbook)
    monkeypatch.setattr(playbook_runs, "Ground", lambda plays: None)
    monkeypatch.setattr(playbook_runs, "remove_leftovers", lambda ground: ran.append("pods"))
    monkeypatch.setattr(playbook_runs.sites, "remove", lambda ground: ran.append("sites"))
    site.prepare()
    # The tags of running pods cannot be removed.
    assert ran == ["site", "pods", "sites", "teardown"]


SERVING = ["serving", "replicas", "questions", "cache"]


def test_a_complete_run_measures_all_parts(steps: list[str]) -> None:
    measured = Recording()
    bench.measure("inventory/x", bench.PARTS, measured)
    assert steps == ["prepare", "deployments", "pods", *SERVING, "removals", "sites", "remove"]
    assert set(measured.figures) == {
        "site_first_seconds",
        "serving_vote_ratio",
        "teardown_ratio",
        "sites_10_rerun_ratio",
    }
    assert measured.problems() == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["playbooks"], ["prepare", "deployments", "removals", "remove"]),
        (["serving", "cache"], ["prepare", "deploy", "pods", "serving", "cache", "remove"]),
        (["serving", "sites"], ["prepare", "deploy", "pods", "serving", "remove", "sites", "remove"]),
        # The image of the sites is removed with a site that does not exist.
        (["sites"], ["prepare", "sites", "remove"]),
    ],
)
def test_some_parts_deploy_and_remove_the_site(parts: list[str], expected: list[str], steps: list[str]) -> None:
    measured = Recording()
    bench.measure("inventory/x", parts, measured)
    assert steps == expected
    if "playbooks" not in parts:
        assert measured.figures["empty_play_seconds"] == 0.5


@pytest.mark.parametrize(
    ("failing", "failed", "expected"),
    [
        ("replicas", ["replicas"], ["deployments", "pods", *SERVING, "removals", "sites"]),
        # The site of the part is deployed again for the next ones, and then removed.
        ("deployments", ["playbooks"], ["deployments", "deploy", "pods", *SERVING, "remove", "sites"]),
        ("pods", [f"setup of {', '.join(SERVING)}"], ["deployments", "pods", "removals", "sites"]),
        ("removals", ["playbooks"], ["deployments", "pods", *SERVING, "removals", "remove", "sites"]),
        ("sites", ["sites"], ["deployments", "pods", *SERVING, "removals", "sites"]),
    ],
)
@pytest.mark.parametrize("error", [Failed("no space"), ApiError("Pod x", "is forbidden", "Allow it.", 403), OSError()])
def test_a_failed_part_does_not_prevent_the_next_ones(
    failing: str,
    failed: list[str],
    expected: list[str],
    error: Exception,
    steps: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    FAILING[failing] = error
    measured = Recording()
    bench.measure("inventory/x", bench.PARTS, measured)
    assert steps == ["prepare", *expected, "remove"]
    assert measured.failed == failed
    assert measured.problems() == [f"Parts failed: {failed[0]}."]
    assert f"Part {failed[0]} failed: {error}" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit("Terminated."), KeyError("x")])
def test_an_interrupted_measurement_leaves_no_site(error: BaseException, steps: list[str]) -> None:
    FAILING["serving"] = error
    with pytest.raises(type(error)):
        bench.measure("inventory/x", bench.PARTS, Recording())
    assert steps == ["prepare", "deployments", "pods", "serving", "remove"]


def test_existing_clusters_get_no_questions_and_no_further_sites(steps: list[str]) -> None:
    VARIABLES["cluster_provider"] = "existing"
    with pytest.raises(Failed, match="The parts questions and sites create many questions or sites"):
        bench.measure("inventory/x", bench.PARTS, Recording())
    assert steps == []
    bench.measure("inventory/x", ["serving"], Recording())
    assert steps == ["prepare", "deploy", "pods", "serving", "remove"]


@pytest.mark.parametrize(("name", "value"), [("cache_state", "absent"), ("cache_backend", "external")])
def test_a_cache_that_cannot_be_stopped_is_noticed_before_any_change(name: str, value: str, steps: list[str]) -> None:
    VARIABLES[name] = value
    with pytest.raises(Failed, match=f"{name} is {value}"):
        bench.measure("inventory/x", ["serving", "cache"], Recording())
    assert steps == []
    bench.measure("inventory/x", ["serving"], Recording())


# ---- Report ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report.documents, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(report.documents, "publish", lambda: None)
    return tmp_path / "results.json"


def test_each_part_is_stored_with_the_others(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    details = {"3": {"seconds": 2, "ratio": 4}}
    report.Report("abc").attempt("playbooks", lambda: Result({"teardown_ratio": 20.004}, tasks=[("task", 1.0)]))
    report.Report("abc").attempt("sites", lambda: Result({"sites_3_rerun_ratio": 5.0}, details))
    later = report.Report("def")
    later.attempt("sites", lambda: Result({"sites_3_rerun_ratio": 4.0}, details))
    kept = json.loads(results.read_text())
    assert kept.pop("machine") == plays.machine()
    assert kept == {
        "commits": {"playbooks": "abc", "sites": "def"},
        "figures": {"teardown_ratio": 20.0, "sites_3_rerun_ratio": 4.0},
        "slowest_tasks": [{"task": "task", "seconds": 1.0}],
        "details": {"sites": details},
    }
    # A failed part changes nothing.
    FAILING.clear()

    def fails() -> Result:
        raise Failed("no space")

    assert not later.attempt("playbooks", fails)
    assert json.loads(results.read_text())["figures"] == kept["figures"]
    # Figures that no longer exist are dropped, and so are those of another machine.
    results.write_text(json.dumps({"machine": plays.machine(), **kept, "figures": {"old_ratio": 1.0}}))
    later.attempt("playbooks", lambda: Result({"teardown_ratio": 21.0}))
    assert json.loads(results.read_text())["figures"] == {"teardown_ratio": 21.0}
    monkeypatch.setattr(report.documents, "machine", lambda: {"cpus": 99})
    later.attempt("sites", lambda: Result({"sites_3_rerun_ratio": 4.0}, details))
    assert json.loads(results.read_text())["figures"] == {"sites_3_rerun_ratio": 4.0}


def test_a_part_is_printed_before_it_is_stored(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise OSError("no space")

    monkeypatch.setattr(report.documents, "publish", fails)
    details = {"3": {"seconds": 2, "ratio": 4}}
    with pytest.raises(OSError, match="no space"):
        report.Report("abc").attempt(
            "sites", lambda: Result({"sites_3_rerun_ratio": 4.0, "votes_lost": 1.0}, details, [("task", 1.0)])
        )
    output = capsys.readouterr().out
    assert "| Votes of them that the database lacks | 1 | ≤ 0 |" in output
    assert "| 3 | 2 s | 4 \u00d7 |" in output
    assert "  1.00  task" in output


def test_goals_are_judged_before_rounding(results: Path) -> None:
    measured = report.Report("abc")
    measured.attempt("serving", lambda: Result({"front_p99_ratio": 1.304, "front_throughput_ratio": 0.8799}))
    assert measured.problems() == ["Goals missed: front_p99_ratio, front_throughput_ratio."]
    assert json.loads(results.read_text())["figures"] == {"front_throughput_ratio": 0.88, "front_p99_ratio": 1.3}


@pytest.mark.parametrize(
    ("found", "message"),
    [({}, ""), ({"votes_lost": 1.0}, r"Goals missed: votes_lost\.")],
)
def test_a_missed_goal_fails_the_command(
    found: dict[str, float], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["bench.py", "inventory/x", "serving"])
    monkeypatch.setattr(bench, "measured_commit", lambda: "abc")
    monkeypatch.setattr(bench, "measure", lambda inventory, parts, report: report.figures.update(found))
    try:
        if message:
            with pytest.raises(SystemExit, match=message):
                bench.main()
        else:
            bench.main()
        # `kill` removes the site, like Ctrl-C.
        assert signal.getsignal(signal.SIGTERM) is plays.ended
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_unknown_part_fails() -> None:
    command = [sys.executable, str(plays.PROJECT / "bench" / "bench.py"), "inventory/none", "serve"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Unknown part serve. Choose from playbooks, serving, replicas, ")


def test_changed_copy_has_a_unique_word(tmp_path: Path) -> None:
    copies = [playbook_runs.changed_copy(tmp_path, word) for word in ("one", "two")]
    page = "django_polls/polls/templates/polls/index.html"
    assert [f"What do you think, {copy.name}?" in (copy / page).read_text() for copy in copies] == [True, True]
