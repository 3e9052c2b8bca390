# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What the module rollout returns, without the values of Secrets."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cause_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError

from . import report
from .model import Done, Failed, Problem, Waiting
from .watch import Rollout

# What a Secret with the access to a database or a certificate also holds, and what anybody may read. Masking `polls` or
# `5432` would only make a message unreadable.
PUBLIC_KEYS = frozenset({"username", "host", "port", "database", "schema", "role", "ca.crt", "tls.crt"})


@dataclass(frozen=True)
class Veil:
    """Masks the values of Secrets in whatever is told."""

    forms: Sequence[str] = ()
    public: frozenset[str] = frozenset()
    # Why the API does not answer, if so: not every value is known then.
    silence: str = ""

    def text(self, text: str) -> str:
        return masking.mask(text, self.forms, self.public)

    def problem(self, problem: Problem) -> Problem:
        return replace(problem, text=self.text(problem.text), advice=self.text(problem.advice))


def secret_values(client: Client, names: Iterable[str]) -> tuple[list[bytes], str]:
    """Return the values to mask of the named Secrets, and why the API does not answer if it does not.

    Secrets that do not exist or may not be read have no values. Without an answer the other Secrets are not read.
    """
    values: list[bytes] = []
    for name in sorted(names):
        try:
            data = (client.get("Secret", name) or {}).get("data") or {}
            values += [b64decode(text) for key, text in data.items() if key not in PUBLIC_KEYS]
        except ApiError as error:
            if not error.status:
                return values, cause_of(error.__cause__ or error)
        except ValueError as error:
            return values, cause_of(error)
    return values, ""


def veil(rollout: Rollout, extra: Sequence[str]) -> Veil:
    """Learn what has to be masked when the unfinished workloads are spoken of."""
    names: set[str] = set()
    for workload, verdict in rollout.verdicts.items():
        if not isinstance(verdict, Done):
            names |= report.secrets_of(*workload, rollout.objects, verdict.problem.pod)
    silence = next(iter(rollout.lost.values()), "")
    values, silence = ([], silence) if silence else secret_values(rollout.client, names)
    return Veil(masking.all_forms([*values, *extra]), frozenset(report.public_names(rollout.objects)), silence)


def told(rollout: Rollout, covered: Veil) -> list[dict[str, Any]]:
    """Return the workloads as the module returns them."""
    words = {Done: "done", Waiting: "waiting", Failed: "failed"}
    answers = []
    for workload in rollout.workloads:
        verdict = rollout.verdicts[workload]
        word, reason = words[type(verdict)], ""
        if not isinstance(verdict, Done):
            problem = covered.problem(verdict.problem)
            word = "missing" if problem.code == "NotFound" else word
            reason = masking.shorten(problem.text or f"it {problem.verb}")
        answers.append({**report.summary(*workload, rollout.objects), "state": word, "reason": reason})
    return answers


def failure(rollout: Rollout, timeout: int, log_lines: int, extra: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of fail_json for a rollout that failed or timed out."""
    waited = round(rollout.seconds, 1)
    covered = veil(rollout, extra)
    broken = rollout.of(Failed)
    problems = {w: covered.problem(rollout.verdicts[w].problem) for w in broken or rollout.of(Waiting)}
    if not broken:
        silence = covered.silence and f", and the Kubernetes API does not answer: {covered.silence}"
        verb = f"is not done after {timeout} s"
        problems = {w: replace(p, verb=verb, text=f"{p.text}{silence}") for w, p in problems.items()}
    first, problem = next(iter(problems.items()))
    # Without the Secrets' values nothing can be masked: what the pods said is then kept back.
    told_events = [] if covered.silence else report.recent_events(*first, rollout.objects, problem.pod)
    events = [masking.shorten(covered.text(event)) for event in told_events]
    log: list[str] = []
    if log_lines > 0 and problem.container and not covered.silence:
        log = rollout.client.log(problem.pod, problem.container, problem.previous, log_lines)
        # Masked as a whole, since a value may span lines.
        log = [line[:2000] for line in covered.text("\n".join(log)).splitlines()]
    sentences = [report.sentence(*workload, rollout.client.namespace, p) for workload, p in problems.items()]
    return {
        "msg": report.report(sentences, events, log, f"{problem.pod}/{problem.container}"),
        "reason": problem.code if broken else "Timeout",
        "events": events,
        "log": log,
        "seconds": waited,
        "workloads": told(rollout, covered),
    }


def plan(workloads: Sequence[dict[str, Any]], namespace: str) -> str:
    """Return what check mode says: the present state of each workload, and that it would wait for it."""
    parts = [f"{w['kind']} {w['name']} ({w['state']}{': ' if w['reason'] else ''}{w['reason']})" for w in workloads]
    return f"Would wait in namespace {namespace} for {', '.join(parts)}."
