"""Comparison of pods in `make bench`: alternation, statistics, pods, and figures, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import figures
import pytest
import serving
import turns
import variants
from plays import PROJECT, Failed
from variants import ALONE, BASELINE, COMPARED, OURS, UNCACHED, VARIANTS, WITH_CACHE, WITHOUT_CACHE, Pods

# ---- Statistics ------------------------------------------------------------------------------------------------------


def run(rate: float, p50: float = 0.01, p99: float = 0.02, **failed: int) -> turns.Run:
    return {"requests": 100, "rate": rate, "p50": p50, "p99": p99, "failed": failed}


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
    runs = {"a": [run(1, p99=0.03)], "b": [run(1, p99=0.02)]}
    assert turns.ratio(runs, "a", "b", "p99") == 1.5


def test_medians_and_spread() -> None:
    runs = [run(10, 0.001, 0.005), run(30, 0.002, 0.004), run(20, 0.003, 0.009)]
    assert turns.medians(runs) == {"rate": 20, "p50": 2, "p99": 5}
    assert turns.spread(runs) == pytest.approx(3)


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
    assert pod["metadata"] == {"name": "x", **original["metadata"]}
    assert pod["spec"].pop("resources") == {"limits": {"cpu": "1"}}
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
    # TLS and the other settings of the database stay.
    assert project["envFrom"] == [{"configMapRef": {"name": "settings"}}]
    assert project["command"][:2] == ["python", "-c"]


def test_pods_that_lose_the_cache_differ_from_those_without_one_only_in_that() -> None:
    lost, none = (project_of(variants.pod_of(template(), "x", VARIANTS[name])) for name in (WITH_CACHE, WITHOUT_CACHE))
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


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (2, 3), (4, 7), (64, 9)])
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
        self.cluster = SimpleNamespace(
            create=self.create, delete=self.delete, get=lambda _, name: self.created.get(name)
        )

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

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.created[name]

    def wait_until_whole(self, pods: int) -> None:
        assert pods == 0

    def wait_for_old_pods(self) -> None:
        pass

    def memory(self) -> dict[str, dict[str, float]]:
        return {name: {"web": 100.0 + place, "front": 20.0} for place, name in enumerate(self.created)}


def test_pods_run_beside_a_site_without_pods_and_are_removed() -> None:
    ground = Ground()
    with variants.pods_of_variants(ground) as pods:
        assert ground.did == ["web_front_enabled=False web_replicas=0", "web_replicas=0"]
        pods.start(dict.fromkeys(COMPARED, 1))
        pods.start({OURS: 3, BASELINE: 2})
        assert list(ground.created) == [
            *(f"polls-web-{name}-1" for name in COMPARED),
            "polls-web-ours-2",
            "polls-web-ours-3",
            "polls-web-baseline-2",
        ]
        assert pods.endpoints(OURS, ALONE) == {OURS: ["192.0.2.1:8080"], ALONE: ["192.0.2.2:8080"]}
        assert pods.endpoints(OURS, number=3)[OURS] == ["192.0.2.1:8080", "192.0.2.5:8080", "192.0.2.6:8080"]
        assert pods.memory()[BASELINE] == {"web": 103.0, "front": 20.0}
        # Only these two have no front.
        alone = [name for name, pod in ground.created.items() if "initContainers" not in pod["spec"]]
        assert alone == ["polls-web-alone-1", "polls-web-baseline-1", "polls-web-baseline-2"]
    assert ground.created == {}
    assert ground.did[-1] == "usual"


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

RATES = {OURS: 1000.0, ALONE: 1100.0, UNCACHED: 400.0, BASELINE: 50.0}
ALL_RATES = RATES | {WITH_CACHE: 480.0, WITHOUT_CACHE: 500.0}


class Bench(serving.Serving):
    """Pods of the variants with the rates above, whose runs are recorded."""

    def __init__(self, failing: str = "") -> None:
        self.plans: list[list[dict[str, Any]]] = []
        self.failing = failing
        ground = Ground()
        ground.image_size = lambda: 200.0
        # Each page without caching is a transaction, of which the last ones are not reported yet.
        transactions = iter([100, 107])
        ground.sql = lambda statement: str(next(transactions))
        pods = Pods(ground, {True: template(), False: template(front=False)})
        pods.start(dict.fromkeys(VARIANTS, 1))
        super().__init__(ground, pods, self.answer)
        self.names = {pods.endpoints(name)[name][0]: name for name in VARIANTS}

    def answer(self, plan: list[dict[str, Any]], seconds: float) -> list[turns.Run]:
        assert json.dumps(plan)
        assert seconds > sum(entry["seconds"] for entry in plan)
        self.plans.append(plan)
        if "text" in plan[0]:
            return [{"seconds": 0.1}]
        results = []
        for entry in plan:
            name = self.names[entry["targets"][0]]
            failed = {"reset": 2} if name == self.failing else {}
            rate = entry.get("rate") or ALL_RATES[name] * len(entry["targets"])
            results.append(run(rate, 0.01, 0.03) | {"failed": failed, "requests": 10})
        return results


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "time", SimpleNamespace(sleep=lambda seconds: None))


def test_all_pages_are_compared_at_the_maximum_and_at_half_of_it() -> None:
    bench = Bench()
    found, details = serving.compare(bench)
    for page in serving.PAGES:
        warm, full, half = [plan for plan in bench.plans if plan[0]["page"] == page and len(plan) > 1]
        assert len(warm) == 4
        assert len(full) == 4 * serving.ROUNDS
        assert len(half) == 4 * serving.HALF_ROUNDS
        assert {bench.names[entry["targets"][0]]: entry["rate"] for entry in half} == {
            name: rate / 2 for name, rate in RATES.items()
        }
        assert found[f"serving_{page}_ratio"] == 20
        assert found[f"uncached_{page}_ratio"] == 8
        assert details["pages"][page][OURS] == {"rate": 1000, "p50": 10, "p99": 30, "half_p50": 10, "half_p99": 30}
    assert found["front_throughput_ratio"] == pytest.approx(10 / 11)
    assert found["front_page_milliseconds"] == pytest.approx(1 - 1000 / 1100)
    assert found["half_rate_p99_ratio"] == pytest.approx(3)
    assert found["half_rate_p99_milliseconds"] == 30
    assert found["image_mebibytes"] == 200
    assert found["project_loaded_mebibytes"] == 100
    assert found["baseline_loaded_mebibytes"] == 103
    # All figures have a description.
    assert figures.rounded(found).keys() == found.keys()
    # 4 variants: a warm-up, 5 rounds, and 3 rounds at half of the rate.
    assert bench.acknowledged == 4 * 9 * 10


def test_page_caching_that_stays_on_fails_the_comparison() -> None:
    bench = Bench()
    transactions = iter([100, 104])
    bench.ground.sql = lambda statement: str(next(transactions))
    with pytest.raises(
        Failed, match="Page caching is on in the pods without it: 10 pages made 4 database transactions"
    ):
        serving.compare(bench)


def test_the_worst_page_counts_at_half_of_the_rate() -> None:
    full = {page: {name: [run(rate)] for name, rate in RATES.items()} for page in serving.PAGES}
    half = {page: {name: [run(1, 0.01, 0.02)] for name in RATES} for page in serving.PAGES}
    half["vote"][OURS] = [run(1, 0.01, 0.05)]
    found = serving.compared(full, half)
    assert found["half_rate_p99_ratio"] == 5
    assert found["half_rate_p99_milliseconds"] == 50


def test_a_failed_request_fails_the_comparison() -> None:
    with pytest.raises(Failed, match=r"Requests of page list failed: {'reset': 2}"):
        serving.compare(Bench(failing=BASELINE))


def test_largest_memory_of_all_samples() -> None:
    samples = [{"a": {"web": 90.04, "front": 20.0}}, {"a": {"web": 99.96}}, {}]
    assert serving.largest(samples) == {"a": {"web": 100.0, "front": 20.0}}


def test_one_to_three_pods_share_the_connections() -> None:
    bench = Bench()
    bench.pods.endpoints = lambda *names, number: {name: bench_targets(bench, name, number) for name in names}
    found, details = serving.replicas(bench)
    assert found == {}
    rates = {number: row["rate"] for number, row in details["vote"][OURS].items()}
    assert rates == {"1": 1000, "2": 2000, "3": 3000}
    assert len(figures.replicas(details)) == 2 + 2 * len(serving.PAGES)


def bench_targets(bench: Bench, name: str, number: int) -> list[str]:
    target = next(target for target, known in bench.names.items() if known == name)
    return [target] * number


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
        serving.questions(Bench(failing=OURS))
    assert removed == [True]


def test_growth_is_relative_to_the_runs_before_and_after() -> None:
    found = [{OURS: [run(rate)]} for rate in (100.0, 90.0, 50.0, 50.0)]
    assert serving.growth(found, OURS) == pytest.approx(0.02 / 0.015)


class Cache:
    """A site whose cache is a Deployment."""

    def __init__(self) -> None:
        self.replicas = [1]

    def cache_workload(self) -> tuple[str, str]:
        return "Deployment", "polls-cache"

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return {"spec": {"replicas": self.replicas[-1]}}

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        self.replicas.append(change["value"])

    def all_pods(self, component: str) -> list[str]:
        return ["pod"] * self.replicas[-1]

    def ready(self, component: str) -> int:
        return self.replicas[-1]


def test_failed_requests_without_the_cache_are_counted() -> None:
    bench = Bench(failing=WITH_CACHE)
    bench.ground = Cache()
    found, details = serving.cache_down(bench)
    assert bench.ground.replicas == [1, 0, 1]
    assert found["cache_down_failed_requests"] == 2 * serving.ROUNDS * len(serving.PAGES)
    assert found["cache_down_ratio"] == 0.96
    assert figures.missed(figures.rounded(found)) == ["cache_down_failed_requests"]
    assert len(figures.cache(details)) == 2 + len(serving.PAGES)


@pytest.mark.parametrize(("found", "lost"), [(130, 0), (129, 1), (132, 0)])
def test_acknowledged_votes_are_counted_afterwards(found: int, lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = SimpleNamespace(acknowledged=130, in_doubt=2)

    @contextmanager
    def ready(_: object) -> Iterator[Any]:
        yield bench

    votes = iter([1000, 1000 + found])
    monkeypatch.setattr(serving, "serving", ready)
    monkeypatch.setattr(serving, "PARTS", {"serving": lambda _: ({"serving_vote_ratio": 7.0}, {"x": 1})})
    measured, details = serving.measure(SimpleNamespace(votes=lambda: next(votes)), ["serving"])
    assert measured == {"serving_vote_ratio": 7.0, "votes_acknowledged": 130, "votes_lost": lost}
    assert details == {"serving": {"x": 1}}
    assert figures.missed(measured) == (["votes_lost"] if lost else [])


def test_unexpected_votes_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def ready(_: object) -> Iterator[Any]:
        yield SimpleNamespace(acknowledged=130, in_doubt=2)

    votes = iter([0, 133])
    monkeypatch.setattr(serving, "serving", ready)
    with pytest.raises(Failed, match="1 unexpected votes were found"):
        serving.measure(SimpleNamespace(votes=lambda: next(votes)), [])


def test_all_runs_take_less_than_eight_minutes() -> None:
    assert serving.planned_seconds() < 8 * 60
