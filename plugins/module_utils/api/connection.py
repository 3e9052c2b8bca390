# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Connections to the Kubernetes API: which cluster a task means, its time limit, and what answers and errors say."""

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
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import shorten

try:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError
except ImportError:  # AnsibleK8SModule names the missing library.
    ApiException = HTTPError = OSError

# In seconds.
CONNECT_LIMIT = 15.0
PORTS = {"https": 443, "http": 80}


def cause_of(error: BaseException) -> str:
    """Return an error of the client or of the network in a few words."""
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
    """Tell whether two addresses are those of the same server, however they are written."""

    def parts(address: str) -> tuple[Any, ...]:
        url = urlsplit(address)
        return url.scheme, url.hostname, url.port or PORTS.get(url.scheme), url.path.rstrip("/")

    return parts(one) == parts(other)


def raw_entry(path: Any, context: str, kind: str = "cluster") -> dict[str, Any]:
    """Return what a kubeconfig holds about the cluster or the user of a context; nothing if it does not say so."""
    # With the client, whose absence is told better by kubernetes.core.
    import yaml

    try:
        document = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
        name = next(entry["context"][kind] for entry in document["contexts"] if entry["name"] == context)
        return dict(next(entry[kind] for entry in document[f"{kind}s"] if entry["name"] == name))
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, StopIteration):
        return {}


def cluster_entry(path: Any, context: str) -> dict[str, Any]:
    """Return how a kubeconfig says that the server of a context is reached; nothing if it does not say so.

    A certificate authority in a file of its own is read, so that the entry can stand anywhere.
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
    """Tell whether minikube wrote the entry of a cluster, whose nodes are on this machine then."""
    return any(
        isinstance(each, dict) and (each.get("extension") or {}).get("provider") == "minikube.sigs.k8s.io"
        for each in entry.get("extensions") or []
    )


def bypass_proxies(path: Any, context: str) -> str:
    """Have requests to the server of a context use no proxy if it is on this machine or `no_proxy` stands for it.

    Returns the proxy that they use otherwise, as the end of a phrase; empty without one.
    """
    if not proxies.uses_any() or not isinstance(path, str | os.PathLike):
        return ""
    entry = raw_entry(path, context)
    server = str(entry.get("server") or "")
    proxies.reach_directly(server, local=is_minikube(entry))
    return proxies.through(server)


def refuse_environment(environment: Mapping[str, str]) -> None:
    """Raise ApiError if the environment would lead a context to another server, or sign in there as another user.

    kubernetes.core takes each option of a connection that a task leaves out from a variable of this name.
    """
    known = {"K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT"}
    foreign = sorted(name for name, value in environment.items() if name.startswith("K8S_AUTH_") and value)
    if unknown := [name for name in foreign if name not in known]:
        raise ApiError(
            f"{', '.join(unknown)} in the environment would lead to another server or sign in as somebody else than "
            "the kubeconfig says. Unset that, then rerun the playbook."
        )


def required_connection(params: dict[str, Any], environment: dict[str, str]) -> tuple[Any, str]:
    """Return kubeconfig and context. Raises ApiError if one is not set, so that no other credentials are ever tried."""
    names = ("kubeconfig", "context")
    kubeconfig, context = (params.get(name) or environment.get(f"K8S_AUTH_{name.upper()}") for name in names)
    if not (kubeconfig and context):
        unset = "neither is" if not (kubeconfig or context) else f"{'context' if kubeconfig else 'kubeconfig'} is not"
        raise ApiError(
            f"This task needs both kubeconfig and context, and {unset} set. "
            "Set them in module_defaults of the play, for group/cloud_django.kubernetes.k8s."
        )
    refuse_environment(environment)
    if isinstance(kubeconfig, str):
        files = [Path(part).expanduser() for part in kubeconfig.split(os.pathsep)]
        if not any(file.exists() for file in files):
            raise ApiError(
                f"The kubeconfig {kubeconfig}, wanted for context {context}, does not exist. "
                "Set up the cluster first, then rerun the playbook."
            )
    return kubeconfig, context


def without_retries(client: Any) -> Any:
    """Have a request fail once its time is over: urllib3 would by itself try it four times, each for the whole time."""
    pools = client.client.rest_client.pool_manager
    pools.connection_pool_kw["retries"] = False
    pools.clear()
    return client


class DeferredDiscovery:
    """Discovery of the kinds of an API that waits until a kind is looked up.

    kubernetes.core asks for version and groups of the API whenever it makes a client. This client knows the kinds that
    it uses, so that each task would send two requests and read a file of all kinds for nothing.
    """

    def __init__(self, discoverer: Callable[..., Any], client: Any, cache_file: str | None) -> None:
        discover = functools.partial(discoverer, client, cache_file)
        self._discover = functools.cache(functools.partial(within, CONNECT_LIMIT, discover))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._discover(), name)


def defer_discovery(core: Any) -> None:
    """Have kubernetes.core make clients with :class:`DeferredDiscovery`; one without this name discovers as before."""
    discoverer = getattr(core, "LazyDiscoverer", None)
    if isinstance(discoverer, type):
        core.LazyDiscoverer = functools.partial(DeferredDiscovery, discoverer)


def open_client(module: Any, limit: float = CONNECT_LIMIT) -> Any:
    """Return kubernetes.core's client. Raises what it raises, or TimeoutError after `limit` seconds.

    A plugin for credentials runs when the client is made, and may take its time.
    """
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    defer_discovery(core)
    return within(limit, lambda: without_retries(core.get_api_client(module=module).client))


def within(limit: float, work: Callable[[], Any]) -> Any:
    """Return what a function returns. Raises what it raises, or TimeoutError after `limit` seconds."""
    answer: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(work())
        except BaseException as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True, name="connect").start()
    try:
        got = answer.get(timeout=limit)
    except queue.Empty:
        raise TimeoutError(f"no answer within {limit:g} s") from None
    if isinstance(got, BaseException):
        raise got
    return got


def place(kubeconfig: Any, context: str) -> str:
    """Return how a cluster is called in a sentence."""
    return f"context {context}" + (f" of {kubeconfig}" if isinstance(kubeconfig, str) else "")


@contextmanager
def explained(params: dict[str, Any]) -> Iterator[str]:
    """Turn whatever the client or the network raises into ApiError with a sentence; the value names the cluster.

    Raises ApiError at once if the options name no cluster.
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
    """Return the error for an API that does not answer."""
    step = (
        "Check that the cluster runs and that this is its kubeconfig, then rerun the playbook. If `make up` made "
        "the cluster, that starts it"
    )
    return ApiError(f"The Kubernetes API of {where}", f"cannot be reached: {cause}", step)


def explain(error: Exception, where: str) -> ApiError:
    """Return the error for an API that cannot be used at the start."""
    status, cause = getattr(error, "status", None), cause_of(error)
    if status == 401:
        step = "Renew them, then rerun the playbook"
        return ApiError("The Kubernetes API", f"refuses the credentials of {where}", step)
    if status:
        return ApiError(f"The Kubernetes API of {where}", f"returned {cause}", "Fix the cause, then rerun the playbook")
    if isinstance(error, HTTPError | OSError | ApiException):
        return unreachable(where, cause)
    step = "Correct kubeconfig or context, then rerun the playbook"
    return ApiError(f"The {where}", f"cannot be used: {cause}", step)


# --- Answers: streams, statuses, refusals -----------------------------------------------------------------------------


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream as soon as each is whole."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def short(text: Any, limit: int = 400) -> str:
    """Return a text on one line, without a full stop at its end."""
    return shorten(str(text or "").rstrip().rstrip("."), limit)


def as_text(data: bytes | str) -> str:
    """Return what a program printed as text."""
    return data.decode(errors="replace") if isinstance(data, bytes) else data


def handshake(reason: Any) -> str:
    """Return why a connection was refused, without the headers that the client puts before the API's own words."""
    words = str(reason)
    told = re.search(r'"message": ?"((?:[^"\\]|\\.)*)"', words)
    return json.loads(f'"{told[1]}"') if told else words


def exit_code(status: bytes | str) -> int:
    """Return a program's exit code from the status that the API sends at its end; 255 if it tells none."""
    try:
        told = json.loads(as_text(status))
    except ValueError:
        return 255
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or []
    code = next((c.get("message", "") for c in causes if c.get("reason") == "ExitCode"), "")
    return int(code) if code.isdigit() else 255


def advice(status: int, words: str) -> str:
    """Return the next step after the API refused something, from what it said."""
    told = (
        (status == 401, "Renew the credentials"),
        ("exceeded quota" in words or "failed quota" in words, "Ask for less, or have the quota raised"),
        ("is being terminated" in words, "Wait until the namespace is gone"),
        ("admission webhook" in words or "admission policy" in words, "Do as it says, or ask who looks after it"),
        (status == 403, "Have the user of this kubeconfig allowed to do that"),
        (status == 409, "Another client changed it meanwhile: make sure that only one run is active"),
        ("expected numeric" in words or "expected boolean" in words, "Write it without quotes, with -e as JSON"),
        (status in (400, 422), "Correct what the manifest says there"),
        (status == 429 or status >= 500, "See whether the cluster is well"),
    )
    return next((step for fits, step in told if fits), "Correct the cause")
