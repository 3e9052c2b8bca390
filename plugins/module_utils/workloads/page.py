# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Verify that a release answers: at the public URL, or from a pod if the URL leads to something else."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, urljoin, urlsplit

from ansible.module_utils.urls import open_url
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import proxies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import PORTS, cause_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

from .model import Obj, is_terminating, name_of
from .readiness import is_pod_ready

# The front answers a request with the correct value of the first header with the second header. See roles/web.
KEY = "X-Front-Proof"
MARK = "X-Front-Release"
# Seconds for one attempt, and between two attempts.
ATTEMPT = 10.0
PAUSE = 1.0
REDIRECTS = (301, 302, 303, 307, 308)
# Redirects of a gateway to the same host.
MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Answer:
    """Status and headers of an answer, and its URL after redirects."""

    status: int
    headers: Mapping[str, str]
    url: str


@dataclass(frozen=True)
class Fault:
    """Why an answer does not verify the release, and the next step. Retries do not help if it is `final`.

    Args:
        is_from_release: whether the answer came from the release.
    """

    reason: str
    next_step: str
    final: bool = False
    is_from_release: bool = False


@dataclass(frozen=True)
class Attempted:
    """Result of the public URL: the number of attempts, the last answer, and its fault."""

    attempts: int = 0
    answer: Answer | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Proof:
    """How the release was verified: attempts at the public URL, status, way, and a warning for the user."""

    attempts: int
    status: int
    way: str
    warning: str = ""


Get = Callable[[str, Mapping[str, str], float], Answer]


# --- Requests ---------------------------------------------------------------------------------------------------------


def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """Return the answer to one request, with any status. Raises the errors of the network."""
    try:
        with open_url(
            url,
            headers=dict(headers),
            timeout=timeout,
            # Otherwise Ansible loads all certificate authorities of the machine, also for http.
            validate_certs=urlsplit(url).scheme != "http",
            follow_redirects="none",
            use_netrc=False,
            decompress=False,
        ) as answer:
            return Answer(answer.status, answer.headers, url)
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers, url)


def follow(url: str, headers: Mapping[str, str], timeout: float, get: Get = fetch) -> Answer:
    """Return the answer at a URL after redirects.

    A gateway may redirect to https or to another path of this host. Redirects to other hosts are not followed, because
    the request has the key of the release. An answer with the mark of a release is never followed.
    """
    answer = get(url, headers, timeout)
    for _ in range(MOST_REDIRECTS):
        target = location_of(answer)
        old, new = urlsplit(answer.url), urlsplit(target)
        is_safe = new.hostname == old.hostname and new.scheme in (old.scheme, "https")
        if not target or MARK in answer.headers or not is_safe or same_page(old, new):
            return answer
        answer = get(target, headers, timeout)
    return answer


def from_pod(sock: Any, url: str, timeout: float, tls: bool) -> Answer:
    """Return the answer of a pod to a request through a socket, with the host of the public URL."""
    parts = urlsplit(url)
    sock.settimeout(timeout)
    if tls:
        # Not verified, because the API server connects to exactly this pod.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock, server_hostname=parts.hostname)
    # The connection uses the open socket, and needs the host only as a name.
    connection = http.client.HTTPConnection(parts.hostname or "")
    connection.sock = sock
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        connection.request("GET", path, headers={"Host": host, "Accept": "*/*", "X-Forwarded-Proto": parts.scheme})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, url)
    finally:
        connection.close()


# --- Answers ----------------------------------------------------------------------------------------------------------


def location_of(answer: Answer) -> str:
    """Return the target of a redirect. Empty for another answer."""
    location = answer.headers.get("Location") if answer.status in REDIRECTS else None
    return urljoin(answer.url, location) if location else ""


def same_page(one: SplitResult, other: SplitResult) -> bool:
    """Return whether two URLs name the same page."""

    def parts(url: SplitResult) -> tuple[Any, ...]:
        return url.scheme, url.hostname, url.port or PORTS.get(url.scheme), url.path or "/", url.query

    return parts(one) == parts(other)


def fault_of(answer: Answer) -> Fault | None:
    """Return the fault that an answer of the release shows, or None.

    A working site may redirect to a login, or have no page at this path.
    """
    host = urlsplit(answer.url).hostname
    if answer.status == 400:
        reason = f"returned status 400, which Django returns if the host {host} is not in ALLOWED_HOSTS"
        step = "Set ALLOWED_HOSTS from DJANGO_PUBLIC_URL in the project, or add the host"
        return Fault(reason, step, final=True, is_from_release=True)
    if answer.status >= 500:
        step = "Read the log of the pods with kubectl logs, and fix the cause"
        return Fault(f"returned status {answer.status}", step, is_from_release=True)
    target = location_of(answer)
    # A page may set a cookie first, and redirect to itself.
    if target and same_page(urlsplit(answer.url), urlsplit(target)) and "Set-Cookie" not in answer.headers:
        step = "Set SECURE_PROXY_SSL_HEADER in the Django settings, so that the scheme comes from X-Forwarded-Proto"
        reason = f"returned status {answer.status} and redirects to itself"
        return Fault(reason, step, final=True, is_from_release=True)
    return None


def judge(answer: Answer, release: str) -> Fault | None:
    """Return the fault of an answer at the public URL, or None. With a `release`, the answer must have its mark."""
    if not release or answer.headers.get(MARK) == release:
        return fault_of(answer)
    other = "the mark of another release" if MARK in answer.headers else "no mark of this release"
    elsewhere = f" of {answer.url}" if location_of(answer) else ""
    reason = f"has {other}: another server answers there, or removes headers (status {answer.status}{elsewhere})"
    return Fault(reason, "Check DNS, gateways, and proxies")


# --- Verification -----------------------------------------------------------------------------------------------------


def try_address(params: Mapping[str, Any], get: Get = fetch, pause: float = PAUSE) -> Attempted:
    """Request the page at the public URL until the release answers, or until the timeout."""
    headers, release = {"Accept": "*/*", "Cache-Control": "no-cache"}, ""
    if params["marked"]:
        headers, release = headers | {KEY: params["configuration_hash"]}, params["release"]
    deadline = time.monotonic() + params["timeout"]
    attempts, pace = 0, Pace()
    while True:
        attempts += 1
        answer = None
        try:
            answer = follow(params["url"], headers, max(1.0, min(ATTEMPT, deadline - time.monotonic())), get)
            fault = judge(answer, release)
        # The errors of URLs, proxies, and certificates have no common base class.
        except Exception as error:
            final = params["address"] == "try" and is_permanent(error)
            step = "Check that the control node can reach the URL"
            fault = Fault(f"cannot be loaded: {error_text(error)}", step, final)
        if fault and not fault.is_from_release and proxies.through(params["url"]):
            fault = replace(fault, next_step=f"{fault.next_step}, or add its host to no_proxy")
        if fault:
            pace.tell(f"The page {params['url']} {fault.reason}")
        if not fault or fault.final or time.monotonic() + pause >= deadline:
            return Attempted(attempts, answer, fault)
        time.sleep(pause)


def inner_of(error: BaseException) -> BaseException:
    """Return the cause of an error that urllib wraps."""
    inner = getattr(error, "reason", None)
    return inner if isinstance(inner, BaseException) else error


def error_text(error: BaseException) -> str:
    """Return a short description of a network error."""
    cause = inner_of(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = getattr(cause, "verify_message", "") or cause_of(cause)
        return f"its certificate is not trusted on the control node ({reason})"
    return cause_of(error)


def is_permanent(error: BaseException) -> bool:
    """Return whether a network error is about a name or a certificate, which do not appear during a run."""
    cause = inner_of(error)
    is_unknown = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
    return is_unknown or isinstance(cause, ssl.SSLCertVerificationError)


def describe(params: Mapping[str, Any], tried: Attempted) -> str:
    """Return the fault at the public URL, with the number of attempts and the proxy."""
    fault = tried.fault
    if not fault:
        return ""
    through = "" if fault.is_from_release else proxies.through(params["url"])
    within = f" ({tried.attempts} attempts within {params['timeout']:g} s)" if tried.attempts > 1 else ""
    return f"The page {params['url']}{through} {fault.reason}{within}"


def pod_of(client: Client, params: Mapping[str, Any]) -> str:
    """Return the name of a ready pod of the release. Raises CloudDjangoError if none is ready."""

    def is_of_release(pod: Obj) -> bool:
        there = pod["metadata"].get("annotations") or {}
        return all(there.get(key) == value for key, value in params["annotations"].items())

    pods = [pod for pod in client.list("Pod", labels=params["labels"]) if is_of_release(pod)]
    names = sorted(name_of(pod) for pod in pods if is_pod_ready(pod) and not is_terminating(pod))
    if not names:
        step = f"Find the cause with kubectl describe and kubectl logs, {AGAIN}"
        raise CloudDjangoError("No pod of this release", "is ready", step)
    return names[0]


def try_pod(client: Client, params: Mapping[str, Any], pause: float = PAUSE) -> tuple[str, int]:
    """Return the pod of the release that answered through a port-forward, and the status.

    Raises CloudDjangoError with the fault, after the time for one attempt.
    """
    deadline = time.monotonic() + ATTEMPT
    while True:
        pod = pod_of(client, params)
        left = max(1.0, deadline - time.monotonic())
        try:
            with client.forward(pod, params["port"], left) as sock:
                answer = from_pod(sock, params["url"], left, params["tls"])
            if not (fault := fault_of(answer)):
                return pod, answer.status
        except (OSError, http.client.HTTPException) as error:
            fault = Fault(f"cannot be loaded: {cause_of(error)}", "Read the log of the pod with kubectl logs")
        if fault.final or time.monotonic() + pause >= deadline:
            thing = f"The page {params['url']} of this release, from pod {pod} through a port-forward,"
            raise CloudDjangoError(thing, fault.reason, f"{fault.next_step}, {AGAIN}")
        time.sleep(pause)


def prove(
    params: Mapping[str, Any], open_client: Callable[[], Client], get: Get = fetch, pause: float = PAUSE
) -> Proof:
    """Return how the release was verified. Raises CloudDjangoError if it was not.

    Args:
        params: the options of the module, and `annotations`, which the pods of the release have.
        open_client: opens the client of the API, which takes time and is needed only if the URL does not suffice.
    """
    tried = Attempted() if params["address"] == "skip" else try_address(params, get, pause)
    fault, answer, why = tried.fault, tried.answer, describe(params, tried)
    if answer and not fault and params["marked"]:
        return Proof(tried.attempts, answer.status, "address")
    # Without a mark, the fault may be that of another site.
    if fault and (params["address"] == "require" or (params["marked"] and fault.is_from_release)):
        raise CloudDjangoError(f"{why}.", "", f"{fault.next_step}, {AGAIN}")
    try:
        pod, status = try_pod(open_client(), params, pause)
    except CloudDjangoError as error:
        if answer and not fault and isinstance(error, ApiError):
            # Without permission for a port-forward, the answer at the URL has to suffice.
            unknown = f"The page {params['url']} was loaded, but without a front its release is unknown"
            return Proof(tried.attempts, answer.status, "address", f"{unknown}. {error}")
        raise CloudDjangoError(f"{why}. {error}" if fault else str(error)) from error
    # No warning without a fault, because it would appear in each run. Without a front both ways work, and a Service
    # that only the cluster can reach has no other way.
    if not fault:
        return Proof(tried.attempts, answer.status if answer else status, "address" if answer else "port-forward")
    itself = f"This release works: its pod {pod} returned status {status} through a port-forward"
    return Proof(tried.attempts, status, "port-forward", f"{why}. {itself}. {fault.next_step}.")
