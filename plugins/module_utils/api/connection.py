# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Connections to the Kubernetes API: cluster selection, time limits, and messages from responses and errors."""

import functools
import json
import os
import queue
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import proxies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import (
    AGAIN,
    ApiError,
    CloudDjangoError,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import shorten

try:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError
except ImportError:  # AnsibleK8SModule reports the missing library.
    ApiException = HTTPError = OSError

# Seconds.
CONNECT_LIMIT = 15.0
PORTS = {"https": 443, "http": 80}

STARTED_BY_MAKE = "If `make up` created the cluster, it also starts the cluster"


def cause_of(error: BaseException) -> str:
    """Return the cause of a client or network error in a few words."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, Exception):
        return cause_of(inner)
    status = getattr(error, "status", None)
    if status:
        try:
            return f"{status} {json.loads(error.body)['message']}"
        except (AttributeError, KeyError, TypeError, ValueError):
            return f"{status} {inner}"
    words = re.sub(r"^\w+\(host=[^)]*\): ", "", str(inner or error).strip()) or type(error).__name__
    system = re.search(r"\[Errno -?\d+\] ([^)]+)", words)
    return shorten(system[1] if system else words, 200)


def same_server(one: str, other: str) -> bool:
    """Return whether two URLs name the same server, regardless of spelling."""

    def parts(address: str) -> tuple[Any, ...]:
        url = urlsplit(address)
        return url.scheme, url.hostname, url.port or PORTS.get(url.scheme), url.path.rstrip("/")

    return parts(one) == parts(other)


def raw_entry(path: Any, context: str, kind: str = "cluster") -> dict[str, Any]:
    """Return a kubeconfig's entry for the cluster or the user of a context; empty if there is none."""
    # Imported here, because kubernetes.core reports a missing library better.
    import yaml

    try:
        document = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
        name = next(entry["context"][kind] for entry in document["contexts"] if entry["name"] == context)
        return dict(next(entry[kind] for entry in document[f"{kind}s"] if entry["name"] == name))
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, StopIteration):
        return {}


def cluster_entry(path: Any, context: str) -> dict[str, Any]:
    """Return a kubeconfig's entry for the cluster of a context; empty if there is none.

    A certificate authority (CA) in a separate file is included, so that the entry works in any other file.
    """
    entry = raw_entry(path, context)
    try:
        if authority := entry.pop("certificate-authority", None):
            file = Path(path).expanduser().parent / authority
            entry["certificate-authority-data"] = b64encode(file.read_bytes()).decode()
    except (OSError, TypeError):
        return {}
    entry.pop("extensions", None)
    return entry


def is_minikube(entry: Mapping[str, Any]) -> bool:
    """Return whether minikube wrote the entry of a cluster; its nodes are then on the control node."""
    return any(
        isinstance(each, dict) and (each.get("extension") or {}).get("provider") == "minikube.sigs.k8s.io"
        for each in entry.get("extensions") or []
    )


def bypass_proxies(path: Any, context: str) -> str:
    """Bypass the proxy for the server of a context if it is on the control node or matches `no_proxy`.

    Returns the end of a phrase that names the proxy otherwise; empty without one.
    """
    if not proxies.uses_any() or not isinstance(path, str | os.PathLike):
        return ""
    entry = raw_entry(path, context)
    server = str(entry.get("server") or "")
    proxies.reach_directly(server, local=is_minikube(entry))
    return proxies.through(server)


def refuse_environment(environment: Mapping[str, str]) -> None:
    """Raise ApiError if the environment would connect a context to another server or as another user.

    kubernetes.core reads each connection option that a task leaves out from such a variable.
    """
    known = {"K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT"}
    foreign = sorted(name for name, value in environment.items() if name.startswith("K8S_AUTH_") and value)
    if unknown := [name for name in foreign if name not in known]:
        raise ApiError(
            f"{', '.join(unknown)} in the environment would lead to another server or user than the kubeconfig. Unset "
            f"{'them' if unknown[1:] else 'it'}, {AGAIN}."
        )


def required_connection(params: dict[str, Any], environment: dict[str, str]) -> tuple[Any, str]:
    """Return kubeconfig and context. Raises ApiError if one is not set, so that no other credentials are used."""
    names = ("kubeconfig", "context")
    kubeconfig, context = (params.get(name) or environment.get(f"K8S_AUTH_{name.upper()}") for name in names)
    if not (kubeconfig and context):
        unset = "neither is" if not (kubeconfig or context) else f"{'context' if kubeconfig else 'kubeconfig'} is not"
        raise ApiError(
            f"This task needs both kubeconfig and context, but {unset} set. Set them in module_defaults of the play, "
            f"for group/cloud_django.kubernetes.k8s, {AGAIN}."
        )
    refuse_environment(environment)
    if isinstance(kubeconfig, str):
        files = [Path(part).expanduser() for part in kubeconfig.split(os.pathsep)]
        if not any(file.exists() for file in files):
            raise ApiError(
                f"The kubeconfig {kubeconfig} for context {context} does not exist. Set up the cluster first, {AGAIN}."
            )
    return kubeconfig, context


def without_retries(client: Any) -> Any:
    """Disable retries of urllib3, which would send a request four times, each time with the full timeout."""
    pools = client.client.rest_client.pool_manager
    pools.connection_pool_kw["retries"] = False
    pools.clear()
    return client


class DeferredDiscovery:
    """Discovery of the kinds of an API, delayed until the first lookup of a kind.

    kubernetes.core requests version and groups of the API for each new client. The collection's client knows the kinds
    that it uses, so two requests and a file with all kinds would be wasted in each task.
    """

    def __init__(self, discoverer: Callable[..., Any], client: Any, cache_file: str | None) -> None:
        discover = functools.partial(discoverer, client, cache_file)
        self._discover = functools.cache(functools.partial(within, CONNECT_LIMIT, discover))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._discover(), name)


def defer_discovery(core: Any) -> None:
    """Make kubernetes.core use :class:`DeferredDiscovery`; a release without `LazyDiscoverer` is left unchanged."""
    discoverer = getattr(core, "LazyDiscoverer", None)
    if isinstance(discoverer, type):
        core.LazyDiscoverer = functools.partial(DeferredDiscovery, discoverer)


def open_client(module: Any, limit: float = CONNECT_LIMIT) -> Any:
    """Return kubernetes.core's client. Raises its errors, or TimeoutError after `limit` seconds.

    A credential plugin runs when the client is created, and may be slow.
    """
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    defer_discovery(core)
    return within(limit, lambda: without_retries(core.get_api_client(module=module).client))


def within(limit: float, work: Callable[[], Any]) -> Any:
    """Return the result of a function. Raises its error, or TimeoutError after `limit` seconds."""
    results: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            results.put(work())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=run, daemon=True, name="connect").start()
    try:
        result = results.get(timeout=limit)
    except queue.Empty:
        raise TimeoutError(f"no response within {limit:g} s") from None
    if isinstance(result, BaseException):
        raise result
    return result


def place(kubeconfig: Any, context: str) -> str:
    """Return the name of a cluster for messages."""
    return f"context {context}" + (f" of {kubeconfig}" if isinstance(kubeconfig, str) else "")


@contextmanager
def explained(params: dict[str, Any]) -> Iterator[str]:
    """Convert errors of the client and the network to ApiError; the value is the name of the cluster.

    Raises ApiError if the options select no cluster.
    """
    kubeconfig, context = required_connection(params, dict(os.environ))
    where = place(kubeconfig, context) + bypass_proxies(kubeconfig, context)
    try:
        yield where
    except CloudDjangoError:
        raise
    except Exception as error:
        raise explain(error, where) from error


def unreachable(where: str, cause: str) -> ApiError:
    """Return the error for an API that does not respond."""
    step = f"Check that the cluster runs and that this is its kubeconfig, {AGAIN}. {STARTED_BY_MAKE}"
    return ApiError(f"The Kubernetes API of {where}", f"cannot be reached: {cause}", step)


def explain(error: Exception, where: str) -> ApiError:
    """Return the error for a connection that cannot be established."""
    status, cause = getattr(error, "status", None), cause_of(error)
    if status == 401:
        return ApiError("The Kubernetes API", f"refuses the credentials of {where}", f"Renew them, {AGAIN}")
    if status:
        return ApiError(f"The Kubernetes API of {where}", f"returned {cause}", f"Fix the cause, {AGAIN}")
    if isinstance(error, HTTPError | OSError | ApiException):
        return unreachable(where, cause)
    # `minikube stop` removes the context of its profile.
    step = f"Correct kubeconfig or context, {AGAIN}. {STARTED_BY_MAKE} and restores its context"
    return ApiError(f"The {where}", f"cannot be used: {cause}", step)


# --- Responses: streams, statuses, refusals ---------------------------------------------------------------------------


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream, each as soon as it is complete."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def short(text: Any, limit: int = 400) -> str:
    """Return a text on one line, without a period at its end."""
    return shorten(str(text or "").rstrip().rstrip("."), limit)


def as_text(data: bytes | str) -> str:
    """Return the output of a program as text."""
    return data.decode(errors="replace") if isinstance(data, bytes) else data


def handshake(reason: Any) -> str:
    """Return the API's message about a refused connection, without the headers that the client puts before it."""
    text = str(reason)
    found = re.search(r'"message": ?"((?:[^"\\]|\\.)*)"', text)
    return json.loads(f'"{found[1]}"') if found else text


def exit_code(status: bytes | str) -> int:
    """Return a program's exit code from the final status of the API; 255 if the status has none."""
    try:
        result = json.loads(as_text(status))
    except ValueError:
        return 255
    if result.get("status") == "Success":
        return 0
    causes = (result.get("details") or {}).get("causes") or []
    code = next((c.get("message", "") for c in causes if c.get("reason") == "ExitCode"), "")
    return int(code) if code.isdigit() else 255


def advice(status: int, words: str) -> str:
    """Return the next step after a refused request, from its status and the API's message."""
    steps = (
        (status == 401, "Renew the credentials"),
        ("exceeded quota" in words or "failed quota" in words, "Request fewer resources, or raise the quota"),
        ("is being terminated" in words, "Wait until the namespace is deleted"),
        ("admission webhook" in words or "admission policy" in words, "Follow the policy's message or ask its owner"),
        (status == 403, "Grant this permission to the user of the kubeconfig"),
        (status == 409, "Make sure that only one run is active and that no other client changes the object"),
        ("expected numeric" in words or "expected boolean" in words, "Write it without quotes, and as JSON with -e"),
        (status in (400, 422), "Correct this part of the manifest"),
        (status == 429 or status >= 500, "Check the health of the cluster"),
    )
    return next((step for applies, step in steps if applies), "Fix the cause")
