# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The proof that a release answers: a page at the public address, or from a pod where that leads elsewhere."""

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
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import PORTS, cause_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

from .model import Obj, is_terminating, name_of
from .readiness import is_pod_ready

# The front answers a request that has the first one, if its value is right, with the second one. See roles/web.
KEY = "X-Front-Proof"
MARK = "X-Front-Release"
# Seconds for one attempt, and between two.
ATTEMPT = 10.0
PAUSE = 1.0
REDIRECTS = (301, 302, 303, 307, 308)
# Of a gateway, to the same host.
MOST_REDIRECTS = 5
AGAIN = "then run the playbook again"


@dataclass(frozen=True)
class Answer:
    """The beginning of an answer, and the address that it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    url: str


@dataclass(frozen=True)
class Fault:
    """Why an answer proves nothing, and what to do. One that is `final` stays, however often it is tried.

    Args:
        is_ours: whether it was the release that answered.
    """

    reason: str
    next_step: str
    final: bool = False
    is_ours: bool = False


@dataclass(frozen=True)
class Attempted:
    """What became of the public address: the number of attempts, the last answer, and why it proves nothing."""

    attempts: int = 0
    answer: Answer | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Proof:
    """How a page came: the attempts at the public address, the status, the way, and what a user has to know."""

    attempts: int
    status: int
    way: str
    warning: str = ""


Get = Callable[[str, Mapping[str, str], float], Answer]


# --- Requests ---------------------------------------------------------------------------------------------------------


def fetch(url: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """Return the answer to one request, whatever its status. Raises whatever the network raises."""
    try:
        with open_url(
            url, headers=dict(headers), timeout=timeout, follow_redirects="none", use_netrc=False, decompress=False
        ) as answer:
            return Answer(answer.status, answer.headers, url)
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers, url)


def follow(url: str, headers: Mapping[str, str], timeout: float, get: Get = fetch) -> Answer:
    """Return the answer at an address.

    A gateway may send to https or to another path of this host. No other host is asked, since the request has the key
    of the release, and an answer with its mark is one already.
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
    """Return the answer to a request through a socket that leads to a pod, with the host of the public address."""
    parts = urlsplit(url)
    sock.settimeout(timeout)
    if tls:
        # Not verified: the API server leads to the very pod, whatever names its certificate has.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock, server_hostname=parts.hostname)
    # The socket is there, and the address names the host only.
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
    """Return where an answer redirects to; empty if it does not."""
    location = answer.headers.get("Location") if answer.status in REDIRECTS else None
    return urljoin(answer.url, location) if location else ""


def same_page(one: SplitResult, other: SplitResult) -> bool:
    """Tell whether two addresses are those of the same page."""

    def parts(url: SplitResult) -> tuple[Any, ...]:
        return url.scheme, url.hostname, url.port or PORTS.get(url.scheme), url.path or "/", url.query

    return parts(one) == parts(other)


def fault_of(answer: Answer) -> Fault | None:
    """Return what is wrong with the release that gave an answer.

    A redirect to a login, or a page that does not exist or needs a login, is an answer of a site that works.
    """
    host = urlsplit(answer.url).hostname
    if answer.status == 400:
        reason = f"has the status 400, which Django gives to a host that is not in ALLOWED_HOSTS, here {host}"
        step = "Let the project read ALLOWED_HOSTS from DJANGO_PUBLIC_URL, or add the host to it"
        return Fault(reason, step, final=True, is_ours=True)
    if answer.status >= 500:
        return Fault(f"has the status {answer.status}", "See the log of the pods with kubectl logs", is_ours=True)
    target = location_of(answer)
    # A page may set a cookie first, and redirect to itself.
    if target and same_page(urlsplit(answer.url), urlsplit(target)) and "Set-Cookie" not in answer.headers:
        step = "Let the project take the scheme from X-Forwarded-Proto (SECURE_PROXY_SSL_HEADER of Django)"
        reason = f"has the status {answer.status} and redirects to itself"
        return Fault(reason, step, final=True, is_ours=True)
    return None


def judge(answer: Answer, release: str) -> Fault | None:
    """Return why an answer at the public address proves nothing. With a `release`, it must have the mark of that."""
    if not release or answer.headers.get(MARK) == release:
        return fault_of(answer)
    other = "the mark of another release" if MARK in answer.headers else "no mark of this release"
    elsewhere = f" of {answer.url}" if location_of(answer) else ""
    reason = f"has {other}: something else answers there, or removes headers (status {answer.status}{elsewhere})"
    return Fault(reason, "Check DNS, gateways and proxies")


# --- The proof --------------------------------------------------------------------------------------------------------


def try_address(params: Mapping[str, Any], get: Get = fetch, pause: float = PAUSE) -> Attempted:
    """Ask at the public address until the release answers, or until the time is over."""
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
        # What a URL, a proxy or a certificate can raise is no one family of errors.
        except Exception as error:
            final = params["address"] == "try" and lasts(error)
            fault = Fault(f"does not come: {words_of(error)}", "Check that this machine reaches that address", final)
        if fault and not fault.is_ours and proxies.through(params["url"]):
            fault = replace(fault, next_step=f"{fault.next_step}, or name its host in no_proxy")
        if fault:
            pace.tell(f"The page {params['url']} {fault.reason}")
        if not fault or fault.final or time.monotonic() + pause >= deadline:
            return Attempted(attempts, answer, fault)
        time.sleep(pause)


def inner_of(error: BaseException) -> BaseException:
    """Return the error that urllib puts another one around."""
    inner = getattr(error, "reason", None)
    return inner if isinstance(inner, BaseException) else error


def words_of(error: BaseException) -> str:
    """Return an error of the network in a few words."""
    cause = inner_of(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here ({getattr(cause, 'verify_message', '') or cause_of(cause)})"
    return cause_of(error)


def lasts(error: BaseException) -> bool:
    """Tell whether an error of the network is about a name or a certificate, which take longer than a run to come."""
    cause = inner_of(error)
    is_unknown = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
    return is_unknown or isinstance(cause, ssl.SSLCertVerificationError)


def in_words(params: Mapping[str, Any], tried: Attempted) -> str:
    """Return why the public address proves nothing, after how many attempts, and through which proxy."""
    fault = tried.fault
    if not fault:
        return ""
    through = "" if fault.is_ours else proxies.through(params["url"])
    within = f" ({tried.attempts} attempts within {params['timeout']:g} s)" if tried.attempts > 1 else ""
    return f"The page {params['url']}{through} {fault.reason}{within}"


def pod_of(client: Client, params: Mapping[str, Any]) -> str:
    """Return the name of a ready pod of the release. Raises CloudDjangoError if there is none."""

    def is_of_release(pod: Obj) -> bool:
        there = pod["metadata"].get("annotations") or {}
        return all(there.get(key) == value for key, value in params["annotations"].items())

    pods = [pod for pod in client.list("Pod", labels=params["labels"]) if is_of_release(pod)]
    names = sorted(name_of(pod) for pod in pods if is_pod_ready(pod) and not is_terminating(pod))
    if not names:
        step = f"See why with kubectl describe and kubectl logs, {AGAIN}"
        raise CloudDjangoError("No pod of this release", "is ready", step)
    return names[0]


def try_pod(client: Client, params: Mapping[str, Any], pause: float = PAUSE) -> tuple[str, int]:
    """Return the pod of the release that answered through a port-forward, and the status.

    Raises CloudDjangoError with what is wrong, once the time for one attempt is over.
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
            fault = Fault(f"does not come: {cause_of(error)}", "See the log of the pod with kubectl logs")
        if fault.final or time.monotonic() + pause >= deadline:
            thing = f"The page {params['url']} of this release, from pod {pod} through a port-forward,"
            raise CloudDjangoError(thing, fault.reason, f"{fault.next_step}, {AGAIN}")
        time.sleep(pause)


def prove(
    params: Mapping[str, Any], open_client: Callable[[], Client], get: Get = fetch, pause: float = PAUSE
) -> Proof:
    """Return how the release was proven to answer. Raises CloudDjangoError if it was not.

    Args:
        params: the options of the module, and `annotations`, which the pods of the release have.
        open_client: opens the client of the API, which takes time and is only needed where the address proves little.
    """
    tried = Attempted() if params["address"] == "skip" else try_address(params, get, pause)
    fault, answer, why = tried.fault, tried.answer, in_words(params, tried)
    if answer and not fault and params["marked"]:
        return Proof(tried.attempts, answer.status, "address")
    # Without a mark it may be another site that is wrong.
    if fault and (params["address"] == "require" or (params["marked"] and fault.is_ours)):
        raise CloudDjangoError(f"{why}.", "", f"{fault.next_step}, {AGAIN}")
    try:
        pod, status = try_pod(open_client(), params, pause)
    except CloudDjangoError as error:
        if answer and not fault and isinstance(error, ApiError):
            # A user who may not forward a port has to be content with that.
            unknown = f"The page {params['url']} comes, but without a front no answer tells which release it is from"
            return Proof(tried.attempts, answer.status, "address", f"{unknown}. {error}")
        raise CloudDjangoError(f"{why}. {error}" if fault else str(error)) from error
    # Without a fault there is nothing to warn of in each run: without a front both answer well, and a Service that only
    # the cluster reaches has no other way.
    if not fault:
        return Proof(tried.attempts, answer.status if answer else status, "address" if answer else "port-forward")
    itself = f"This release works: its pod {pod} answers with status {status} through a port-forward"
    return Proof(tried.attempts, status, "port-forward", f"{why}. {itself}. {fault.next_step}.")
