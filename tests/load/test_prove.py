"""No request fails and no vote is lost: a short form of `make prove`, and proof that each part of it can fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import prove
from ground import DATABASE, Ground, Row, eventually
from plays import copied_context, replace

Keep = Callable[[Row], Row]
CONTAINER = "/spec/template/spec/containers/0"


def test_rollouts(ground: Ground, keep: Keep) -> None:
    assert keep(prove.rollouts(ground, 2)).wrong == []


def test_scaling(ground: Ground, keep: Keep) -> None:
    assert keep(prove.scaling(ground)).wrong == []


def test_pods_that_are_killed(ground: Ground, keep: Keep) -> None:
    """What is sent to a dead pod until the cluster has noticed fails, and no vote is lost."""
    row = keep(prove.kills(ground, each=False))
    assert row.votes_acknowledged <= row.votes_found <= row.votes_acknowledged + row.votes_in_doubt
    assert row.failed < 0.3 * row.requests, row.outcomes


def test_broken_releases(ground: Ground, keep: Keep) -> None:
    assert keep(prove.broken_releases(ground)).wrong == []


def test_a_database_that_is_killed(ground: Ground, keep: Keep) -> None:
    assert keep(prove.database_killed(ground, seconds=8)).wrong == []


# ---- Each of these is needed -----------------------------------------------------------------------------------------


def test_without_the_pause_before_the_end_requests_fail(spoiled: Ground, tmp_path: Path) -> None:
    """Our worker waits as well until nobody comes any more, so that has to go too."""
    context = copied_context(tmp_path / "context")
    replace(
        context / "django_polls/config/worker.py",
        "            self.await_quiet()\n\n",
        "            self.alive = False\n\n",
    )
    spoiled.deploy("--tags=image,web", image_context=str(context))
    spoiled.patch("Deployment", "polls-web", {"op": "remove", "path": f"{CONTAINER}/lifecycle"})
    settled(spoiled)
    with spoiled.load() as load:
        spoiled.deploy("--tags=web")
        spoiled.settle()
    assert "requests failed and 0 may" in str(load.row("without a pause").wrong)


def test_without_the_readiness_gate_requests_fail(spoiled: Ground) -> None:
    """With a start that takes a little longer, since some nodes are no sooner to send visitors than others to start."""
    probes = ("readinessProbe", "startupProbe", "livenessProbe")
    slow = {"op": "add", "path": f"{CONTAINER}/command", "value": ["sh", "-c", "sleep 5; exec gunicorn"]}
    with spoiled.load() as load:
        spoiled.patch(
            "Deployment", "polls-web", slow, *({"op": "remove", "path": f"{CONTAINER}/{probe}"} for probe in probes)
        )
        settled(spoiled)
    # No playbook would: what a manifest does not name is left alone.
    spoiled.patch("Deployment", "polls-web", {"op": "remove", "path": f"{CONTAINER}/command"})
    assert "requests failed and 0 may" in str(load.row("without a gate").wrong)


def test_without_the_transaction_votes_are_lost(spoiled: Ground, tmp_path: Path) -> None:
    """Whoever reads the number, and writes it back when somebody else has, takes that vote away.

    Votes come at even intervals, so whoever takes less than one meets nobody.
    """
    context = copied_context(tmp_path / "context")
    counted = 'return self.choices.filter(pk=choice_id).update(votes=F("votes") + 1) == 1'
    lost = (
        "import time\n            choice = self.choices.get(pk=choice_id)\n            time.sleep(0.5)\n"
        "            choice.votes += 1\n            choice.save()\n            return True"
    )
    replace(context / "django_polls/polls/models.py", counted, lost)
    spoiled.deploy("--tags=image,web", image_context=str(context))
    settled(spoiled)
    with spoiled.load() as load:
        time.sleep(8)
    assert "acknowledged votes are lost" in str(load.row("without a transaction").wrong)


def test_without_a_commit_to_the_disk_votes_are_lost(spoiled: Ground) -> None:
    spoiled.deploy("--tags=postgresql", postgresql_settings={"synchronous_commit": "off", "wal_writer_delay": "10s"})
    with spoiled.load() as load:
        await_write(spoiled)
        # Until the next write, ten seconds later, all votes are in memory only.
        time.sleep(1)
        before = sum(spoiled.restarts(DATABASE).values())
        spoiled.kill("polls-postgresql-0", component=DATABASE)
        eventually(lambda: sum(spoiled.restarts(DATABASE).values()) > before, 60, "the restart of the database")
        eventually(lambda: spoiled.ready(DATABASE) == 1, 60, "the database")
    assert "acknowledged votes are lost" in str(load.row("without a commit", expected=10**6).wrong)


def await_write(ground: Ground) -> None:
    """Wait until the database has written what it kept in memory."""
    kept = [0]

    def fell() -> bool:
        kept.append(int(ground.sql("SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()")))
        return kept[-1] < kept[-2]

    eventually(fell, 30, "a write to the disk")


def settled(ground: Ground) -> None:
    """Wait until a change that no playbook made is rolled out."""
    deployment = ground.get("Deployment", "polls-web")
    eventually(
        lambda: (
            ground.get("Deployment", "polls-web")["status"].get("observedGeneration", 0)
            >= deployment["metadata"]["generation"]
        ),
        30,
        "the controller",
    )
    eventually(
        lambda: ground.get("Deployment", "polls-web")["status"].get("updatedReplicas") == prove.REPLICAS,
        120,
        "new pods",
    )
    ground.wait_until_whole(prove.REPLICAS)
    ground.settle()
