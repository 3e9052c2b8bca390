"""Requests to the pods of variants.py in turns, from a generator beside them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import turns
from beside import FILES, pod_beside
from ground import Ground
from plays import PROJECT, Failed, say
from turns import Run, Runs
from variants import GENERATOR, Pods, pods_of_variants

PROGRAM = PROJECT / "bench" / "generator.py"
# More weight than the pods on a busy node, because the generator's own waits would count as latency.
GENERATOR_RESOURCES = {"requests": {"cpu": "200m"}}
CONNECTIONS = 16
WARM_UP_SECONDS = 0.5
# Seconds at the beginning of a run with a rate whose requests are not timed. They open all connections at once.
LEAD_SECONDS = 0.3
# Seconds that a command of the generator may take in addition to its runs.
GRACE = 60.0
# Share of failed requests above which a comparison says nothing.
MOST_FAILED = 0.01

type Execute = Callable[[list[dict[str, Any]], float], list[Run]]


class Serving:
    """Pods of the variants, and a generator of requests."""

    def __init__(self, ground: Ground, pods: Pods, execute: Execute) -> None:
        self.ground, self.pods, self.execute = ground, pods, execute
        self.start_counting()

    def start_counting(self) -> None:
        """Forget the votes and the failed requests so far."""
        # Votes with a successful response, and votes without one, which may or may not have been counted.
        self.acknowledged = self.in_doubt = 0
        # Failed requests of each variant.
        self.failed: Counter[str] = Counter()

    def run(
        self,
        page: str,
        targets: Mapping[str, Sequence[str]],
        rounds: int,
        seconds: float,
        rates: Mapping[str, float] | None = None,
        **options: str,
    ) -> Runs:
        """Return the results of alternating runs.

        Args:
            rates: requests per second of each variant. Without it, the maximum.
            options: further values of a run of the generator.
        """
        order = turns.turns(list(targets), rounds)
        plan = [
            {"targets": targets[name], "page": page, "connections": CONNECTIONS, "seconds": seconds}
            | ({"rate": rates[name], "lead": LEAD_SECONDS} if rates else {})
            | options
            for name in order
        ]
        results = self.execute(plan, len(plan) * seconds + GRACE)
        for name, result in zip(order, results, strict=True):
            failed = sum(result["failed"].values())
            self.failed[name] += failed
            if page == "vote":
                self.acknowledged += result["requests"]
                self.in_doubt += failed
        return turns.by_name(order, results)

    def checked(self, page: str, *arguments: Any, **options: Any) -> Runs:
        """Return the results like `run`. Raises Failed if too many requests to a pod failed."""
        runs = self.run(page, *arguments, **options)
        for name, several in runs.items():
            if problems := turns.failures({name: several}):
                failed = sum(problems.values())
                sent = failed + sum(run["requests"] for run in several)
                text = f"{failed} of {sent} requests of page {page} to pod {name} failed: {problems}"
                if failed > MOST_FAILED * sent:
                    raise Failed(text)
                print(text, file=sys.stderr, flush=True)
        return runs

    def warm_up(self, page: str, targets: Mapping[str, Sequence[str]], **options: str) -> None:
        self.checked(page, targets, 1, WARM_UP_SECONDS, **options)


@contextmanager
def serving(ground: Ground) -> Iterator[Serving]:
    """Yield a generator beside a site whose pods the parts choose."""
    say("Deploying the generator of requests")
    files = {"generator.py": PROGRAM.read_text(encoding="utf-8")}
    wait = ["python", "-c", "import time; time.sleep(7200)"]
    with (
        pods_of_variants(ground) as pods,
        pod_beside(ground, GENERATOR, ground.image(), wait, files, resources=GENERATOR_RESOURCES) as (where, pod),
    ):

        def execute(plan: list[dict[str, Any]], seconds: float) -> list[Run]:
            command = ["python", f"{FILES}/generator.py"]
            ended = where.exec(pod["metadata"]["name"], "main", command, f"{json.dumps(plan)}\n", seconds)
            if ended.code:
                raise Failed(f"The generator of requests failed: {ended.err.strip().splitlines()[-1:]}")
            return json.loads(ended.out)

        yield Serving(ground, pods, execute)
