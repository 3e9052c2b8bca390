# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Readiness probes that a site answers with a status other than success.

The front of a web pod adds 300 to the status of a redirect, because the kubelet would count the redirect as a success.
"""

import re
from collections.abc import Sequence

from . import model
from .model import Obj, Problem, View, holds, is_terminating, name_of

STATUS = re.compile(r"Readiness probe failed: HTTP probe failed with statuscode: (\d{3})")
REDIRECTS = range(601, 609)
# Seconds that a status of settings may last, because some projects answer their first requests with another one.
PATIENCE = 20.0
# For each status of a project's settings, which will not change by itself, the next step.
SETTLED = {
    400: "Django does not accept the host. Set its allowed hosts, for instance to {from: site.hosts} in "
    "django_environment",
    401: "Set web_ready_path to a path without a login",
    403: "Set web_ready_path to a path without a login",
    404: "Set web_ready_path to a path of the project",
}
REDIRECTED = (
    "The settings of the project redirect this path. If they redirect to https, set app_public_url to an https address "
    "and SECURE_PROXY_SSL_HEADER in the project, or turn the redirect off. Otherwise set web_ready_path to another path"
)
SILENT = "Let its server listen on 127.0.0.1 and on the port in web_port, and read its log"


def refusal(pod: Obj, event: Obj) -> Problem | None:
    """Return the problem of a pod whose last event is a readiness probe with another status than success, or None."""
    found = STATUS.search(event.get("message") or "")
    if not found:
        return None
    status = int(found[1])
    told = status - 300 if status in REDIRECTS else status
    text = f"the site answers {told} to its own readiness probe"
    advice, is_settled = "Read its log and fix the cause", status in REDIRECTS or status in SETTLED
    if is_settled:
        advice = SETTLED.get(status, REDIRECTED)
    elif status == 502:
        text, advice = "the project does not accept the connection of its readiness probe", SILENT
    elif status == 504:
        text = "the project does not answer its readiness probe in time"
    return Problem(
        code="NotReady",
        text=f"pod {name_of(pod)} is not ready, because {text}",
        advice=advice,
        key=f"probe/{model.uid(pod)}" if is_settled else "",
        pod=name_of(pod),
        timeout=PATIENCE,
    )


def settled_refusals(it: View) -> Sequence[Problem]:
    """Return the problems of pods whose readiness probes get a status that only other settings can change."""
    pods = [pod for pod in it.current if not holds(pod, "Ready") and not is_terminating(pod)]
    events = [(pod, model.newest_event(it.events, pod, "Unhealthy")) for pod in pods]
    found = [refusal(pod, event) for pod, event in events if event]
    return [problem for problem in found if problem and problem.key]
