"""Several sites in `make bench`: their inventory, alternation, and removal, without a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import figures
import pytest
import sites
from plays import PROJECT, Failed, Plays, program

NAMES = [sites.namespace(number) for number in range(1, 11)]


def test_each_site_has_a_namespace_and_a_port_of_its_own() -> None:
    hosts = sites.inventory()["cloud_django"]["hosts"]
    assert len(hosts) == 10
    for name in ("app_namespace", "web_node_port"):
        assert len({host[name] for host in hosts.values()}) == 10
    assert all(30_084 < host["web_node_port"] < 32_768 for host in hosts.values())
    assert sites.limit(1, 3) == "--limit=bench-site-1,bench-site-2,bench-site-3"
    assert sites.limit(4, 4) == "--limit=bench-site-4"


def test_sites_have_the_variables_of_the_inventory(tmp_path: Path) -> None:
    """The directory of the additional file must not change the cluster or the image."""
    base = Plays([str(PROJECT / "inventory" / "kind")], {"app_namespace": "other"})
    plays = sites.plays_of(base, tmp_path)
    wanted = ["cluster_name", "cluster_kubeconfig", "image_context", "app_image", "app_namespace", "web_replicas"]
    play = {
        "hosts": "cloud_django",
        "gather_facts": False,
        "roles": [{"role": "cloud_django.kubernetes.cluster", "tags": ["never"]}],
        "tasks": [{"ansible.builtin.debug": {"msg": {name: f"{{{{ {name} }}}}" for name in wanted}}}],
    }
    playbook = tmp_path / "show.yml"
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    command = [program("ansible-playbook"), *plays.inventories, str(playbook), sites.limit(1, 1), "--skip-tags=always"]
    command += ["--extra-vars", json.dumps(plays.variables)]
    environment = plays.environment | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout.partition("=> ")[2].partition("\n}")[0] + "\n}")["msg"]
    expected = base.variables_of(wanted[:4])
    assert {name: shown[name] for name in wanted[:4]} == expected
    assert shown["cluster_name"] == "cloud-django-kind"
    assert (shown["app_namespace"], shown["web_replicas"]) == (sites.namespace(1), 1)


def test_each_number_of_sites_is_measured_before_there_are_more() -> None:
    ran: list[tuple[str, str]] = []
    clock = {"empty": 0.5, "site": 4.0}

    def plays(playbook: Any, limit: str) -> int:
        ran.append((Path(playbook).stem, limit))
        return 0

    def timed(do: Callable[[], Any]) -> float:
        do()
        return clock[ran[-1][0]] * (1 + ran[-1][1].count(","))

    details = sites.deploy_and_rerun(plays, Path("empty.yml"), timed)
    expected = []
    for first, last in ((1, 1), (2, 3), (4, 10)):
        again = [(name, sites.limit(1, last)) for name in ("empty", "site")]
        # The first site alone delivers the image.
        expected += [("site", sites.limit(first, last)), *(again * sites.ROUNDS)]
    assert ran == expected
    assert details["3"] == {"seconds": 12.0, "ratio": 8.0}
    found = sites.figures(details)
    assert found == {
        "sites_1_rerun_seconds": 4.0,
        "sites_1_rerun_ratio": 8.0,
        "sites_3_rerun_seconds": 12.0,
        "sites_3_rerun_ratio": 8.0,
        "sites_10_rerun_seconds": 40.0,
        "sites_10_rerun_ratio": 8.0,
    }
    assert figures.rounded(found) == found


def test_a_worker_and_a_schedule_are_compared_in_turns_with_a_site_without() -> None:
    ran: list[tuple[str, str, bool]] = []

    def plays(playbook: Any, selected: str, **variables: Any) -> int:
        ran.append((Path(playbook).stem, selected, bool(variables)))
        return 0

    def timed(do: Callable[[], Any]) -> float:
        do()
        name, _, with_processes = ran[-1]
        return 0.5 if name == "empty" else 4.1 if with_processes else 4.0

    details = sites.compare_processes(plays, Path("empty.yml"), timed)
    one, two = sites.limit(1, 1), sites.limit(2, 2)
    empty, without, added = ("empty", one, False), ("site", one, False), ("site", two, True)
    turns = [[empty, without, added], [empty, added, without]]
    assert ran == [added, *(run for turn in range(sites.PAIRS) for run in turns[turn % 2])]
    assert details == {"processes": {"seconds": 0.1, "ratio": 0.2}}
    found = sites.figures(details)
    assert found == {"processes_rerun_seconds": 0.1, "processes_rerun_ratio": 0.2}
    assert figures.rounded(found) == found
    assert figures.missed(found) == []
    assert figures.missed({"processes_rerun_ratio": 0.31}) == ["processes_rerun_ratio"]
    assert "| A worker and a schedule more | 0.1 s | 0.2 \u00d7 |" in figures.sites(details)


def test_sites_of_the_comparison_stay_when_the_others_are_removed() -> None:
    cluster = Cluster(cloud_django_bench_site_1=sites.OURS, cloud_django_bench_site_3=sites.OURS)
    sites.remove(SimpleNamespace(cluster=cluster), sites.SITE_WITH_PROCESSES + 1)
    assert cluster.deleted == [NAMES[2]]


def test_a_run_with_changes_fails() -> None:
    run = type("Run", (), {"output": "what it printed", "__call__": lambda self, *_: 2})()
    with pytest.raises(Failed, match="2 tasks reported changes in a run without changes:\nwhat it printed"):
        sites.rerun(run, Path("empty.yml"), lambda do: do() or 1.0, 3)


def test_sites_are_removed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[bool] = []

    def fails(*_: object) -> int:
        raise Failed("no space")

    monkeypatch.setattr(sites, "Ground", lambda base: None)
    monkeypatch.setattr(sites, "plays_of", lambda base, folder: fails)
    monkeypatch.setattr(sites, "remove", lambda ground: removed.append(True))
    with pytest.raises(Failed, match="no space"):
        sites.measure(SimpleNamespace(), lambda do: 1.0)
    # Those of an interrupted measurement, and its own.
    assert removed == [True, True]


class Cluster:
    """A cluster with namespaces, which disappear when they are deleted."""

    def __init__(self, **labels: dict[str, str] | None) -> None:
        self.namespaces = {
            name.replace("_", "-"): {"metadata": {"name": name.replace("_", "-"), "labels": found}}
            for name, found in labels.items()
        }
        self.deleted: list[str] = []

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        assert kind == "Namespace"
        return self.namespaces.get(name)

    def delete(self, kind: str, name: str) -> None:
        self.deleted.append(name)
        del self.namespaces[name]


def test_only_namespaces_of_the_sites_are_removed() -> None:
    cluster = Cluster(cloud_django_bench_site_1=sites.OURS, cloud_django_bench_site_10=sites.OURS, polls=sites.OURS)
    sites.remove(SimpleNamespace(cluster=cluster))
    assert cluster.deleted == [NAMES[0], NAMES[9]]
    assert list(cluster.namespaces) == ["polls"]


@pytest.mark.parametrize("labels", [None, {}, {"app.kubernetes.io/managed-by": "Helm"}])
def test_a_namespace_of_another_owner_is_never_removed(labels: dict[str, str] | None) -> None:
    cluster = Cluster(cloud_django_bench_site_2=labels)
    with pytest.raises(Failed, match="cloud-django-bench-site-2 exists, but this collection did not create it"):
        sites.remove(SimpleNamespace(cluster=cluster))
    assert cluster.deleted == []
