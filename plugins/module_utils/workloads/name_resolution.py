# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Find DNS failures in the logs of pods, because no probe and no status of a pod reports them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .model import Obj, Problem, name_of, running_containers

# Messages of C libraries for EAI_AGAIN: no resolver answered. An unknown name is an answer.
UNANSWERED = re.compile(r"Temporary failure in name resolution|EAI_AGAIN|: Try again$")
NAME = re.compile(r"""host(?: name)? ["']([\w.-]+)["']""")
ADVICE = (
    "Check that the cluster DNS runs, and that django_dns_egress allows its address and port. See /etc/resolv.conf in "
    "the pod, and the EndpointSlices of the DNS Service. Correct the cause"
)
LINES = 50


def unresolved(lines: Iterable[str]) -> str | None:
    """Return the last name without an answer from DNS, empty if the log names none. None if DNS works."""
    line = next((line for line in reversed(list(lines)) if UNANSWERED.search(line)), None)
    if line is None:
        return None
    found = NAME.search(line)
    return found[1] if found else ""


def explained(problem: Problem, pods: Sequence[Obj], read: Callable[[str, str, bool], list[str]]) -> Problem:
    """Return the problem, with DNS as its cause if a container of its pod cannot resolve names.

    Args:
        read: returns the last log lines of a container, or those of its previous instance.
    """
    pod = next((pod for pod in pods if name_of(pod) == problem.pod), None)
    if pod is None or not problem.container:
        return problem
    names = [container["name"] for container in running_containers(pod["spec"])]
    for container in dict.fromkeys([problem.container, *names]):
        name = unresolved(read(problem.pod, container, problem.previous)[-LINES:])
        if name is not None:
            about = f" for the name {name}" if name else ""
            text = f"DNS does not answer in pod {problem.pod}{about} ({problem.text})"
            return replace(problem, text=text, advice=ADVICE, container=container)
    return problem
