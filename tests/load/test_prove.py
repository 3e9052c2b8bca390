"""No request fails and no vote is lost: a short form of `make prove`."""

from __future__ import annotations

from collections.abc import Callable

import cache_failures
import prove
from ground import Ground
from rows import Row

Keep = Callable[[Row], Row]


# First, because the kubelet restarts a container at once only the first time.
def test_gunicorn_killed(ground: Ground, keep: Keep) -> None:
    assert keep(prove.gunicorn_killed(ground, pods=2)).wrong == []


# Before the rollouts, which reset the changed setting.
def test_cache_frozen_and_killed(ground: Ground, keep: Keep) -> None:
    cache_failures.use_cache(ground)
    with ground.load() as load:
        problems = cache_failures.frozen(ground)
        cache_failures.restart(ground)
    assert keep(load.row("Cache frozen, then killed", problems=problems)).wrong == []


def test_rollouts(ground: Ground, keep: Keep) -> None:
    assert keep(prove.rollouts(ground, 2)).wrong == []


def test_scaling(ground: Ground, keep: Keep) -> None:
    assert keep(prove.scaling(ground)).wrong == []


def test_pods_killed_behind_a_gateway(ground: Ground, keep: Keep) -> None:
    assert keep(prove.kills_behind_gateway(ground, each=False)).wrong == []


def test_forms_around_the_keep_alive_limit(ground: Ground, keep: Keep) -> None:
    assert keep(prove.forms(ground, posts=60)).wrong == []


def test_broken_releases(ground: Ground, keep: Keep) -> None:
    assert keep(prove.broken_releases(ground)).wrong == []


def test_database_killed(ground: Ground, keep: Keep) -> None:
    assert keep(prove.database_killed(ground, seconds=8)).wrong == []
