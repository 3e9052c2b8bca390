"""Comparison of pods in `make bench`: alternation, statistics, pods, and figures, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import figures
import pytest
import questions
import serving
import turns
import variants
import without_cache
from plays import PROJECT, Failed
from variants import (
    ALONE,
    BASELINE,
    COMPARED,
    OURS,
    UNCACHED,
    UNCACHED_ALONE,
    VARIANTS,
    WITH_CACHE,
    WITHOUT_CACHE,
    Pods,
)

# ---- Statistics ------------------------------------------------------------------------------------------------------


def run(rate: float, p50: int = 10, p99: int = 20, **failed: int) -> turns.Run:
    """Return a run of 100 requests with these milliseconds."""
    times = [1000 * p50] * 90 + [1000 * p99] * 10
    return {"requests": 100, "seconds": 1.0, "rate": rate, "microseconds": times, "failed": failed}


def test_each_round_starts_with_the_next_name() -> None:
    assert turns.turns(["a", "b", "c"], 4) == [*"abc", *"bca", *"cab", *"abc"]
    assert turns.by_name(["a", "b", "b", "a"], [run(1), run(2), run(3), run(4)]) == {
        "a": [run(1), run(4)],
        "b": [run(2), run(3)],
    }


def test_runs_are_compared_in_pairs() -> None:
    # The machine is half as fast in the second round.
    runs = {"a": [run(900), run(450), run(800)], "b": [run(1000), run(500), run(1000)]}
    assert turns.ratio(runs, "a", "b") == 0.9
    runs = {"a": [run(1, p99=30)], "b": [run(1, p99=20)]}
    assert turns.p99_ratio(runs, "a", "b") == 1.5


def test_percentiles() -> None:
    assert turns.percentile([*range(1, 101)], 99) == 99
    assert turns.percentile([*range(1, 101)], 50) == 50
    assert turns.percentile([*range(1, 1001)], 99) == 990
    assert turns.percentile([1, 2, 3], 50) == 2
    assert turns.percentile([7], 99) == 7


def test_percentiles_are_those_of_the_requests_of_all_rounds() -> None:
    # One round of three is slow, which the median of the rounds would hide.
    runs = [run(10, 1, 1), run(30, 1, 1), run(20, 1, 9)]
    assert turns.medians(runs) == {"rate": 20, "p50": 1, "p99": 9}
    assert turns.spread(runs) == 9


def test_few_requests_have_no_99th_percentile() -> None:
    few = run(10) | {"microseconds": [1000] * 99}
    assert turns.medians([few]) == {"rate": 10, "p50": 1, "p99": None}
    assert turns.medians([few, few])["p99"] == 1
    assert turns.medians([few | {"microseconds": []}]) == {"rate": 10, "p50": None, "p99": None}
    with pytest.raises(Failed, match="fewer than 100 requests"):
        turns.spread([few])


def test_the_total_rate_hides_no_slow_run() -> None:
    slow = run(1) | {"requests": 1, "seconds": 3.0}
    assert turns.total_rate([run(100), run(100), slow]) == 201 / 5


def test_failures_are_added() -> None:
    assert turns.failures({"a": [run(1, reset=2), run(1)], "b": [run(1, reset=1, closed=1)]}) == {
        "reset": 3,
        "closed": 1,
    }


# ---- Pods ------------------------------------------------------------------------------------------------------------


def template(front: bool = True) -> dict[str, Any]:
    """Return a pod template like that of the role web."""
    project = {
        "name": "web",
        "env": [
            {"name": "DATABASE_HOST", "value": "db"},
            {"name": "CACHE_SECRET_DIRECTORY", "value": "/run/secrets/cache"},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "ports": [] if front else [{"name": "http", "containerPort": 8080}],
    }
    containers = {"containers": [project]}
    if front:
        containers = {
            "initContainers": [{"name": "front-program"}, project | {"restartPolicy": "Always"}],
            "containers": [{"name": "front", "ports": [{"name": "http", "containerPort": 8080}]}],
        }
    metadata = {"labels": {"component": "web"}, "annotations": {"cloud-django/release": "abc"}}
    return {"metadata": metadata, "spec": {"serviceAccountName": "polls-web", **containers}}


def project_of(pod: dict[str, Any]) -> dict[str, Any]:
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return next(container for container in containers if container["name"] == "web")


def test_our_pod_is_that_of_the_deployment_with_a_limit_for_the_whole_pod() -> None:
    original = template()
    pod = variants.pod_of(original, "x", VARIANTS[OURS])
    labels = original["metadata"]["labels"] | variants.OF_A_VARIANT
    assert pod["metadata"] == {"name": "x", **original["metadata"], "labels": labels}
    assert pod["spec"].pop("resources") == variants.RESOURCES
    # Only the requests differ.
    for group in ("initContainers", "containers"):
        for container, before in zip(pod["spec"][group], original["spec"][group], strict=True):
            limits = before.get("resources", {}).get("limits", {})
            assert container.pop("resources")["limits"] == limits
            assert container == {key: value for key, value in before.items() if key != "resources"}
    assert original == template()


def test_pods_without_page_caching_have_only_that_setting() -> None:
    ours, uncached = (project_of(variants.pod_of(template(), "x", VARIANTS[name])) for name in (OURS, UNCACHED))
    added = [entry for entry in uncached["env"] if entry not in ours["env"]]
    assert added == [{"name": "DJANGO_PAGE_CACHE_SECONDS", "value": "0"}]
    assert uncached | {"env": ours["env"]} == ours


def test_sync_workers_have_no_cache_and_no_kept_connection() -> None:
    pod = variants.pod_of(template(front=False), "x", VARIANTS[BASELINE])
    project = project_of(pod)
    environment = {entry["name"]: entry["value"] for entry in project["env"]}
    assert len(environment) == len(project["env"])
    assert environment == {
        "DATABASE_HOST": "db",
        "DATABASE_CONN_MAX_AGE": "0",
        "DJANGO_PAGE_CACHE_SECONDS": "0",
        "CACHE_SECRET_DIRECTORY": "",
    }
    # Any number of workers fits.
    assert project["resources"]["limits"] == {"cpu": "1"}
    # TLS and the other settings of the database stay.
    assert project["envFrom"] == [{"configMapRef": {"name": "settings"}}]
    assert project["command"][:2] == ["python", "-c"]


def test_pods_that_lose_the_cache_differ_from_those_without_one_only_in_that() -> None:
    lost, none = (project_of(variants.pod_of(template(), "x", VARIANTS[name])) for name in (WITH_CACHE, WITHOUT_CACHE))
    # Cached pages would need no cache server.
    assert {"name": "DJANGO_PAGE_CACHE_SECONDS", "value": "0"} in lost["env"]
    assert [entry for entry in lost["env"] if entry not in none["env"]] == [
        {"name": "CACHE_SECRET_DIRECTORY", "value": "/run/secrets/cache"}
    ]
    assert [entry for entry in none["env"] if entry not in lost["env"]] == [
        {"name": "CACHE_SECRET_DIRECTORY", "value": ""}
    ]


def test_the_site_reads_each_variable_of_the_pods() -> None:
    documented = (PROJECT / "docs" / "environment-variables.md").read_text(encoding="utf-8")
    names = {name for variant in VARIANTS.values() for name in variant.environment}
    assert len(names) >= 4
    assert [name for name in names if f"| `{name}` |" not in documented] == []


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (2, 3), (4, 7), (64, 127)])
def test_number_of_sync_workers(cpus: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing
    import os

    called: list[list[str]] = []
    monkeypatch.setenv("WEB_BIND", "0.0.0.0:8080")
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: cpus)
    monkeypatch.setattr(os, "execvp", lambda program, arguments: called.append(arguments))
    exec(variants.SYNC_WORKERS, {})
    [arguments] = called
    assert f"--workers={workers}" in arguments
    assert "--bind=0.0.0.0:8080" in arguments
    assert not [argument for argument in arguments if argument.startswith(("--threads", "--worker-class", "--preload"))]


class Ground:
    """A site that records playbooks and pods."""

    app, namespace = "polls", "polls"

    def __init__(self, front: bool = True, limits: bool = True) -> None:
        self.front, self.limits = front, limits
        self.did: list[str] = []
        self.created: dict[str, dict[str, Any]] = {}
        self.cluster = SimpleNamespace(create=self.create, delete=self.delete, list=self.labelled)

    def deploy(self, tags: str, **variables: Any) -> int:
        assert tags == "--tags=web"
        self.did.append(" ".join(f"{name}={value}" for name, value in variables.items()) or "usual")
        return 1

    def template(self) -> dict[str, Any]:
        return template(self.front and "web_front_enabled" not in self.did[-1])

    def create(self, pod: dict[str, Any]) -> None:
        address = f"192.0.2.{len(self.created) + 1}"
        status = {"podIP": address, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        resources = pod["spec"]["resources"] if self.limits else {}
        self.created[pod["metadata"]["name"]] = pod | {
            "spec": pod["spec"] | {"resources": resources},
            "status": status,
        }

    def delete(self, kind: str, name: str, grace: int) -> None:
        self.created.pop(name)

    def labelled(self, kind: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        return [pod for pod in self.created.values() if pod["metadata"]["labels"].items() >= labels.items()]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.created[name]

    def wait_until_whole(self, pods: int) -> None:
        assert pods == 0

    def wait_for_old_pods(self) -> None:
        pass

    def memory(self) -> dict[str, dict[str, float]]:
        return {
            name: {"web": 100.0 + place} | ({"front": 20.0} if "initContainers" in pod["spec"] else {})
            for place, (name, pod) in enumerate(self.created.items())
        }


def test_pods_run_beside_a_site_without_pods_and_are_removed() -> None:
    ground = Ground()
    # Of an interrupted measurement.
    ground.create(variants.pod_of(template(), "polls-web-ours-1", VARIANTS[OURS]))
    usual = {"metadata": {"name": "polls-web-a", "labels": {}}, "spec": {"resources": {}, "containers": []}}
    ground.create(usual)
    with variants.pods_of_variants(ground) as pods:
        assert list(ground.created) == ["polls-web-a"]
        assert ground.did == ["web_front_enabled=False web_replicas=0", "web_replicas=0"]
        pods.start(dict.fromkeys(COMPARED, 1))
        before = list(ground.created)
        assert before == ["polls-web-a", *(f"polls-web-{name}-1" for name in COMPARED)]
        assert list(pods.endpoints(OURS, ALONE)) == [OURS, ALONE]
        assert pods.memory()[BASELINE] == {"web": 104.0}
        # Only these two have no front.
        alone = [name for name, pod in ground.created.items() if "initContainers" not in pod["spec"]]
        assert alone == ["polls-web-a", "polls-web-alone-1", "polls-web-baseline-1"]
        # Those of the next part replace the others, because all of them would not fit on a node.
        pods.start({OURS: 3, BASELINE: 2})
        names = ["ours-1", "baseline-1", "ours-2", "ours-3", "baseline-2"]
        assert list(ground.created) == ["polls-web-a", *(f"polls-web-{name}" for name in names)]
        assert len(set(pods.endpoints(OURS, number=3)[OURS])) == 3
        pods.start({OURS: 1})
        assert list(ground.created) == ["polls-web-a", "polls-web-ours-1"]
    assert list(ground.created) == ["polls-web-a"]
    assert ground.did[-1] == "usual"


def test_memory_is_read_again_until_each_container_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = Pods(Ground(), {True: template(), False: template(front=False)})
    pods.start({OURS: 1, ALONE: 1})
    whole = pods.ground.memory()
    samples = iter([{}, whole | {"polls-web-ours-1": {"web": 100.0}}, whole])
    pods.ground.memory = lambda: next(samples)
    assert pods.memory() == {OURS: {"web": 100.0, "front": 20.0}, ALONE: {"web": 101.0}}
    # An idle front that the kubelet never measures must not count as 0.
    pods.ground.memory = lambda: whole | {"polls-web-ours-1": {"web": 100.0}}
    monkeypatch.setattr(variants, "MEMORY_SECONDS", 0.0)
    with pytest.raises(Failed, match="waiting for the memory of all containers"):
        pods.memory()


@pytest.mark.parametrize(
    ("ground", "message"),
    [
        (Ground(limits=False), "does not support CPU limits of whole pods"),
        (Ground(front=False), "The pods of the site have no front"),
    ],
)
def test_a_site_that_cannot_be_compared_fails_and_gets_its_pods_back(ground: Ground, message: str) -> None:
    with pytest.raises(Failed, match=message), variants.pods_of_variants(ground) as pods:
        pods.start({OURS: 1})
    assert ground.created == {}
    assert ground.did[-1] == "usual"


# ---- Parts -----------------------------------------------------------------------------------------------------------

RATES = {OURS: 1000.0, ALONE: 1100.0, UNCACHED: 400.0, UNCACHED_ALONE: 420.0, BASELINE: 50.0}
ALL_RATES = RATES | {WITH_CACHE: 480.0, WITHOUT_CACHE: 500.0}


class Bench(serving.Serving):
    """Pods of the variants with the rates above, whose runs are recorded."""

    def __init__(self, failing: str = "", failures: int = 2) -> None:
        self.plans: list[list[dict[str, Any]]] = []
        self.failing, self.failures = failing, failures
        ground = Ground()
        ground.image_size = lambda: 200.0
        # Each page without caching is a transaction, of which the last ones are not reported yet.
        transactions = iter([1000, 1070])
        ground.sql = lambda statement: str(next(transactions))
        super().__init__(ground, Pods(ground, {True: template(), False: template(front=False)}), self.answer)

    def name_of(self, target: str) -> str:
        """Return the variant of an address."""
        [name] = [name for name, pod in self.ground.created.items() if f"{pod['status']['podIP']}:8080" == target]
        return name.removeprefix("polls-web-").rpartition("-")[0]

    def answer(self, plan: list[dict[str, Any]], seconds: float) -> list[turns.Run]:
        assert json.dumps(plan)
        assert seconds > sum(entry["seconds"] for entry in plan)
        self.plans.append(plan)
        if "text" in plan[0]:
            return [{"seconds": 0.1}]
        results = []
        for entry in plan:
            name = self.name_of(entry["targets"][0])
            failed = {"reset": self.failures} if name == self.failing else {}
            rate = entry.get("rate") or ALL_RATES[name] * len(entry["targets"])
            requests = round(rate * entry["seconds"])
            results.append(run(rate, 10, 30, **failed) | {"requests": requests, "seconds": entry["seconds"]})
        return results


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "time", SimpleNamespace(sleep=lambda seconds: None))


def test_all_pages_are_compared_at_the_maximum_and_at_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    transactions = iter([0, 1200])
    bench.ground.sql = lambda statement: str(next(transactions))
    found, details = serving.compare(bench)
    for page in serving.PAGES:
        # The front is compared without page caching on the list only.
        number = 5 if page == "list" else 4
        warm, full, half = [plan for plan in bench.plans if plan[0]["page"] == page and len(plan) > 1]
        assert len(warm) == number
        assert len(full) == number * serving.ROUNDS
        assert len(half) == len(serving.HALVED) * serving.HALF_ROUNDS
        assert {bench.name_of(entry["targets"][0]): entry["rate"] for entry in half} == {
            OURS: 500,
            UNCACHED: 200,
            BASELINE: 25,
        }
        assert found[f"serving_{page}_ratio"] == 20
        assert found[f"uncached_{page}_ratio"] == 8
        assert details["pages"][page][OURS] == {"rate": 1000, "p50": 10, "p99": 30, "half_p50": 10, "half_p99": 30}
        assert details["pages"][page][ALONE] == {"rate": 1100, "p50": 10, "p99": 30}
    assert found["front_throughput_ratio"] == pytest.approx(400 / 420)
    assert found["front_cached_throughput_ratio"] == pytest.approx(10 / 11)
    assert found["front_page_milliseconds"] == pytest.approx(1 - 1000 / 1100)
    assert found["half_rate_p99_ratio"] == pytest.approx(3)
    assert found["half_rate_p99_milliseconds"] == 30
    assert found["image_mebibytes"] == 200
    assert found["front_idle_mebibytes"] == 20
    assert found["project_loaded_mebibytes"] == 100
    assert found["baseline_loaded_mebibytes"] == 103
    # All figures have a description.
    assert figures.rounded(found).keys() == found.keys()
    assert figures.missed(found) == []
    assert f"| {figures.variant(UNCACHED_ALONE)} | 420 |" in "\n".join(figures.serving(details))


def test_the_goals_of_the_front_are_for_rendered_pages() -> None:
    full = {page: {name: [run(rate)] for name, rate in RATES.items()} for page in serving.PAGES}
    half = {page: {name: [run(1)] for name in serving.HALVED} for page in serving.PAGES}
    full["list"][OURS] = [run(500, 10, 90)]
    found = serving.compared(full, half)
    assert (found["front_cached_throughput_ratio"], found["front_cached_p99_ratio"]) == (500 / 1100, 4.5)
    assert figures.missed({name: value for name, value in found.items() if name.startswith("front")}) == []
    full["list"][UNCACHED] = [run(300, 10, 90)]
    found = serving.compared(full, half)
    beyond = figures.missed({name: value for name, value in found.items() if name.startswith("front")})
    assert beyond == ["front_throughput_ratio", "front_p99_ratio"]


def test_page_caching_that_stays_on_fails_the_comparison() -> None:
    with pytest.raises(
        Failed, match="Page caching is on in the pods without it: 1600 pages made 70 database transactions"
    ):
        serving.compare(Bench())


def test_the_worst_page_counts_at_half_of_the_rate() -> None:
    full = {page: {name: [run(rate)] for name, rate in RATES.items()} for page in serving.PAGES}
    half = {page: {name: [run(1, 10, 20)] for name in serving.HALVED} for page in serving.PAGES}
    half["vote"][OURS] = [run(1, 10, 50)]
    found = serving.compared(full, half)
    assert found["half_rate_p99_ratio"] == 5
    assert found["half_rate_p99_milliseconds"] == 50


# ---- Failed requests and votes ---------------------------------------------------------------------------------------


def test_many_failed_requests_fail_the_comparison() -> None:
    bench = Bench(failing=BASELINE)
    bench.pods.start({OURS: 1, BASELINE: 1})
    with pytest.raises(Failed, match=r"2 of 102 requests of page list to pod baseline failed: {'reset': 2}"):
        bench.checked("list", bench.pods.endpoints(OURS, BASELINE), 1, 2.0)


@pytest.mark.parametrize(("failing", "missed"), [(OURS, ["serving_failed_requests"]), (BASELINE, [])])
def test_few_failed_requests_are_a_figure(failing: str, missed: list[str]) -> None:
    bench = Bench(failing, failures=1)
    bench.pods.start({OURS: 1, BASELINE: 1})
    bench.checked("list", bench.pods.endpoints(OURS, BASELINE), 3, 4.0)
    found = serving.counted(bench, "serving", 0)
    assert found == {"serving_failed_requests": 3 if missed else 0}
    assert figures.missed(found) == missed
    bench.start_counting()
    assert serving.counted(bench, "serving", 0) == {"serving_failed_requests": 0}


@pytest.mark.parametrize(("votes", "lost"), [(2000, 0), (1999, 1), (2002, 0)])
@pytest.mark.parametrize(("part", "name"), [("serving", ""), ("replicas", "replicas_")])
def test_acknowledged_votes_are_counted_for_each_part(votes: int, lost: int, part: str, name: str) -> None:
    bench = Bench(OURS)
    bench.pods.start({OURS: 1})
    bench.checked("vote", bench.pods.endpoints(OURS), 1, 2.0)
    found = serving.counted(bench, part, votes)
    assert found == {f"{part}_failed_requests": 2, f"{name}votes_acknowledged": 2000, f"{name}votes_lost": lost}
    assert (f"{name}votes_lost" in figures.missed(found)) == bool(lost)
    assert figures.rounded(found).keys() == found.keys()


def test_unexpected_votes_fail() -> None:
    bench = Bench(OURS)
    bench.pods.start({OURS: 1})
    bench.checked("vote", bench.pods.endpoints(OURS), 1, 2.0)
    with pytest.raises(Failed, match="1 unexpected votes were found"):
        serving.counted(bench, "serving", 2003)


def test_each_part_is_attempted_with_its_own_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    votes = iter([100, 110, 110, 110])
    bench.ground.votes = lambda: next(votes)

    @contextmanager
    def ready(_: object) -> Iterator[Any]:
        yield bench

    def voting(bench: Bench) -> tuple[dict[str, float], dict[str, Any]]:
        bench.acknowledged += 10
        return {"serving_vote_ratio": 7.0}, {"x": 1}

    monkeypatch.setattr(serving, "serving", ready)
    monkeypatch.setattr(serving, "PARTS", {"serving": voting, "cache": lambda _: ({}, {"y": 1})})
    found: dict[str, Any] = {}

    def attempt(part: str, do: Any) -> bool:
        found[part] = do()
        return True

    serving.measure(bench.ground, ["serving", "cache"], attempt)
    assert found["serving"].figures == {
        "serving_vote_ratio": 7.0,
        "serving_failed_requests": 0,
        "votes_acknowledged": 10,
        "votes_lost": 0,
    }
    assert (found["cache"].figures, found["cache"].details) == ({}, {"y": 1})


# ---- Memory, pods, and questions -------------------------------------------------------------------------------------


def test_largest_memory_of_all_samples() -> None:
    samples = [{"a": {"web": 90.04, "front": 20.0}}, {"a": {"web": 99.96}}, {}]
    # Not rounded, because a goal is judged by it.
    assert serving.largest(samples) == {"a": {"web": 99.96, "front": 20.0}}


def test_one_to_three_pods_share_the_connections() -> None:
    bench = Bench()
    found, details = serving.replicas(bench)
    assert found == {}
    rates = {number: row["rate"] for number, row in details["vote"][OURS].items()}
    assert rates == {"1": 1000, "2": 2000, "3": 3000}
    assert len(figures.replicas(details)) == 2 + 2 * len(serving.SCALED_PAGES)


def test_lists_of_many_questions_are_compared_with_ten_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    monkeypatch.setattr(serving, "filled", lambda ground, number: numbers.append(number) or f"Question {number}")
    monkeypatch.setattr(serving, "remove_questions", lambda ground: numbers.append(0))
    bench = Bench()
    found, details = serving.questions(bench)
    assert numbers == [10, 1_000, 100_000, 10, 0]
    texts = [plan[0]["text"] for plan in bench.plans if "text" in plan[0]]
    assert texts == ["Question 10", "Question 1000", "Question 100000", "Question 10"]
    assert found == {"questions_ratio": 1, "questions_uncached_ratio": 1}
    assert list(details[OURS]) == ["10", "1000", "100000"]
    assert "| Sync workers | 50/s, p50 10 ms |" in figures.questions(details)[-1]


def test_questions_are_removed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[bool] = []
    monkeypatch.setattr(serving, "filled", lambda ground, number: f"Question {number}")
    monkeypatch.setattr(serving, "remove_questions", lambda ground: removed.append(True))
    with pytest.raises(Failed):
        serving.questions(Bench(failing=OURS, failures=100))
    assert removed == [True]


def test_growth_is_relative_to_the_runs_before_and_after() -> None:
    found = [{OURS: [run(rate)]} for rate in (100.0, 90.0, 50.0, 50.0)]
    assert serving.growth(found, OURS) == pytest.approx(0.02 / 0.015)


class Database:
    """A site with some questions of its own, and statements that were run."""

    app = "polls"

    def __init__(self, others: int) -> None:
        self.others, self.own = others, 0
        self.statements: list[str] = []

    def sql(self, statement: str, seconds: float = 60) -> str:
        self.statements.append(statement.split()[0])
        return str(self.own if "LIKE" in statement else self.others + self.own)


def test_questions_are_written_to_disk_before_the_measurement() -> None:
    database = Database(2)
    assert questions.filled(database, 10) == "Question of make bench 8"
    assert database.statements == ["SELECT", "SELECT", "WITH", "VACUUM", "VACUUM", "CHECKPOINT"]


@pytest.mark.parametrize(
    ("others", "message"),
    [(0, "The site has no question"), (10, "The site has 10 questions of its own, so it cannot have 10")],
)
def test_a_site_with_unsuitable_questions_fails(others: int, message: str) -> None:
    database = Database(others)
    with pytest.raises(Failed, match=message):
        questions.filled(database, 10)
    assert database.statements == ["SELECT", "SELECT"]


# ---- Without the cache -----------------------------------------------------------------------------------------------

SIGNED_IN = {"path": "/admin/", "cookies": "sessionid=abc"}


def lose_cache(bench: Bench) -> list[int]:
    """Give a site a cache; return the numbers of its pods over time, which grow."""
    replicas = [1]
    ground = bench.ground
    pods = ground.get
    ground.cache_workload = lambda: ("Deployment", "polls-cache")
    ground.get = lambda kind, name: {"spec": {"replicas": 1}} if kind == "Deployment" else pods(kind, name)
    ground.patch = lambda kind, name, change: replicas.append(change["value"])
    ground.all_pods = lambda component: ["pod"] * replicas[-1]
    ground.ready = lambda component: replicas[-1]

    def execute(pod: str, container: str, command: list[str]) -> SimpleNamespace:
        assert (pod, container, command[:2]) == ("polls-web-with-cache-1", "web", ["python", "-c"])
        assert replicas == [1]
        return SimpleNamespace(code=0, out=f"a line of the log\n{json.dumps(SIGNED_IN)}\n", err="")

    ground.cluster.exec = execute
    return replicas


def test_each_request_without_the_cache_needs_it() -> None:
    bench = Bench()
    replicas = lose_cache(bench)
    found, details = without_cache.cache_down(bench)
    assert replicas == [1, 0, 1]
    assert found == {"cache_down_failed_requests": 0, "cache_down_ratio": pytest.approx(0.96)}
    signed_in = [entry for plan in bench.plans for entry in plan if entry["page"] == "admin"]
    # A warm-up with the cache, and the runs without it.
    assert len(signed_in) == 2 * (1 + without_cache.ROUNDS)
    assert all(entry.items() >= SIGNED_IN.items() for entry in signed_in)
    assert not [entry for plan in bench.plans for entry in plan if entry["page"] == "list" and "cookies" in entry]
    assert len(figures.cache(details)) == 2 + len(without_cache.PAGES)


def test_failed_requests_without_the_cache_are_counted() -> None:
    bench = Bench(failing=WITH_CACHE, failures=1)
    lose_cache(bench)
    found, _ = without_cache.cache_down(bench)
    assert found["cache_down_failed_requests"] == without_cache.ROUNDS * len(without_cache.PAGES)
    assert figures.missed(found) == ["cache_down_failed_requests"]


@pytest.mark.parametrize("place", range(without_cache.ROUNDS))
def test_a_pause_in_one_round_of_one_page_misses_the_goal(place: int) -> None:
    """A median of the rounds would hide the requests that notice the failure."""

    def runs(pause: float) -> turns.Runs:
        several = [run(100) for _ in range(without_cache.ROUNDS)]
        several[place] |= {"requests": round(100 - 100 * pause)}
        return {WITH_CACHE: several, WITHOUT_CACHE: [run(100) for _ in range(without_cache.ROUNDS)]}

    calm = runs(0.0)
    assert figures.missed(without_cache.compared({"list": calm, "admin": runs(0.4)})) == []
    assert figures.missed(without_cache.compared({"list": calm, "admin": runs(0.6)})) == ["cache_down_ratio"]


def test_a_sign_in_that_fails_names_the_reason() -> None:
    bench = Bench()
    lose_cache(bench)
    bench.ground.cluster.exec = lambda *_: SimpleNamespace(code=1, out="", err="Traceback\nOperationalError: x\n")
    with pytest.raises(Failed, match=r"A user cannot be signed in: .*OperationalError: x"):
        without_cache.cache_down(bench)


def test_all_runs_take_less_than_eight_minutes() -> None:
    planned = serving.planned_seconds()
    assert planned.keys() == serving.PARTS.keys()
    assert sum(planned.values()) < 8 * 60
