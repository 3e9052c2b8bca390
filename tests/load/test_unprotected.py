"""Without a protection of the site, requests fail and votes are lost. So the checks of the other tests can fail.

Each test removes a different protection, and the next one deploys the site again without restoring it first.
"""

from __future__ import annotations

import time
from pathlib import Path

from ground import DATABASE, Ground, eventually
from plays import copied_context, replace

MOST_ROLLOUTS = 6
# Statements of django_polls/polls/models.py that count a vote.
COUNTED = """with connection.cursor() as cursor:
        cursor.execute(COUNT_VOTE, [choice_id, question_id, now, now])
        return cursor.rowcount == 1
"""


def test_requests_fail_without_the_readiness_gate(ground: Ground) -> None:
    """The front starts later, because some nodes need longer to send traffic.

    The image of the project has a shell for the delay, and a volume contains the program of the front.
    """
    ground.spoiled = True
    front = ground.path("front")
    slow = "sleep 5; exec /front/caddy run --config /etc/front/caddy.json"
    probes = ("readinessProbe", "startupProbe", "livenessProbe")
    with ground.load() as load:
        ground.patch(
            "Deployment",
            "polls-web",
            {"op": "replace", "path": f"{front}/image", "value": ground.image()},
            {"op": "replace", "path": f"{front}/command", "value": ["sh", "-c", slow]},
            *({"op": "remove", "path": f"{front}/{probe}"} for probe in probes),
        )
        ground.await_rollout()
    assert "requests failed, 0 are allowed" in str(load.row("without a gate").wrong)


def test_requests_fail_without_the_stop_delay(spoiled: Ground) -> None:
    """The front closes its port at once, before the nodes know that the pod terminates.

    The delay of the nodes varies: in some rollouts each of them is fast enough, so the test may repeat the rollout.
    """
    spoiled.deploy("--tags=image,postgresql,web", web_stop_delay=0)
    spoiled.wait_for_old_pods()
    with spoiled.load() as load:
        for _ in range(MOST_ROLLOUTS):
            spoiled.replace_pods()
            if load.failed():
                break
    assert "requests failed, 0 are allowed" in str(load.row("without a pause").wrong)


def test_votes_are_lost_without_the_transaction(spoiled: Ground, tmp_path: Path) -> None:
    """A request that writes back an old number overwrites a vote of another request.

    Votes come at regular intervals, so requests shorter than one interval never overlap.
    """
    context = copied_context(tmp_path / "context")
    lost = """import time
    choice = Choice.objects.get(pk=choice_id)
    time.sleep(0.5)
    choice.votes += 1
    choice.save()
    return True
"""
    replace(context / "django_polls/polls/models.py", COUNTED, lost)
    spoiled.deploy("--tags=image,web", image_context=str(context))
    spoiled.await_rollout()
    with spoiled.load() as load:
        time.sleep(8)
    assert "acknowledged votes are lost" in str(load.row("without a transaction").wrong)


def test_votes_are_lost_without_a_commit_to_the_disk(spoiled: Ground) -> None:
    settings = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
    spoiled.deploy("--tags=image,postgresql,web", postgresql_settings=settings)
    spoiled.wait_for_old_pods()
    with spoiled.load() as load:
        await_write(spoiled)
        # Until the next write, 10 s later, all votes are only in memory.
        time.sleep(1)
        before = sum(spoiled.restarts(DATABASE).values())
        spoiled.kill("polls-postgresql-0")
        eventually(lambda: sum(spoiled.restarts(DATABASE).values()) > before, 60, "the restart of the database")
        eventually(lambda: spoiled.ready(DATABASE) == 1, 60, "the database")
    assert "acknowledged votes are lost" in str(load.row("without a commit", expected=10**6).wrong)


def await_write(ground: Ground) -> None:
    """Wait until the database has written its memory to the disk."""
    kept = [0]

    def fell() -> bool:
        kept.append(int(ground.sql("SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()")))
        return kept[-1] < kept[-2]

    eventually(fell, 30, "a write to the disk")
