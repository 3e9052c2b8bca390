# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Whether pods cannot resolve names, by what they log: no probe and no status of theirs ever says so."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .model import Obj, Problem, name_of, running_containers

# The words of C libraries for EAI_AGAIN: no resolver answered. That a name is unknown is an answer.
UNANSWERED = re.compile(r"Temporary failure in name resolution|EAI_AGAIN|: Try again$")
NAME = re.compile(r"""host(?: name)? ["']([\w.-]+)["']""")
ADVICE = (
    "Check that the DNS of the cluster runs, and that the rules in django_dns_egress allow its address and port, which "
    "the pod's /etc/resolv.conf and the EndpointSlices of its Service show"
)
LINES = 50


def unresolved(lines: Iterable[str]) -> str | None:
    """Return the last name that no resolver answered for, empty if the log does not say which; None if all is well."""
    line = next((line for line in reversed(list(lines)) if UNANSWERED.search(line)), None)
    if line is None:
        return None
    found = NAME.search(line)
    return found[1] if found else ""


def explained(problem: Problem, pods: Sequence[Obj], read: Callable[[str, str, bool], list[str]]) -> Problem:
    """Return the problem, with DNS as its cause if a container of its pod cannot resolve names.

    Args:
        read: returns the last lines of a container, those before its last crash if that is asked for.
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
