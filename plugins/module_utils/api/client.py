# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Client of the Kubernetes API, based on kubernetes.core: plain objects, no models, and errors for the user."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import connection, endpoints, masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import ApiException, HTTPError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

Obj = dict[str, Any]

# The field manager of all objects that the collection applies.
FIELD_MANAGER = "cloud-django"
UNKNOWN_KIND = f"Install its API, or disable the option that needs it, {AGAIN}"

# Seconds to connect, and to wait for a response. An admission webhook may delay the response to a write by 30 s.
REQUEST_LIMIT = (5.0, 15.0)
WRITE_LIMIT = (5.0, 35.0)
# The server ends a watch after WATCH_LENGTH seconds. A watch that is silent for longer has lost its connection.
WATCH_LENGTH = 60
WATCH_LIMIT = (5.0, WATCH_LENGTH + 10.0)
# Seconds between two checks whether a progress line is due.
LOOK = 1.0
# Largest size of a container's log, in bytes.
LOG_BYTES = 1 << 20
# Error messages that the kubelet returns with status 200 instead of a log, for instance while it renames the file.
KUBELET_ERRORS = ("unable to retrieve container logs", "failed to try resolving symlinks in path")


class Expired(Exception):
    """The resource version of a watch is too old. The objects must be listed again."""


@dataclass(frozen=True)
class Listing:
    """Objects of one kind, the resource version to watch from, and the server's clock in seconds since the epoch."""

    items: list[Obj]
    version: str
    server_time: float


@dataclass(frozen=True)
class Result:
    """Exit code and output of a program in a container."""

    code: int
    out: str
    err: str


@dataclass
class Client:
    """Client for one cluster, by default for the objects of one namespace.

    Methods return decoded JSON, or None if the object does not exist. They raise ApiError for any other error of the
    API or the network.

    Args:
        dynamic: the dynamic client of kubernetes.core.
        namespace: namespace of the objects, unless a manifest or an argument names another one.
        where: the cluster's name in errors.
        dry_run: whether the API server only validates writes.
    """

    dynamic: Any
    namespace: str = ""
    where: str = "the cluster"
    dry_run: bool = False
    # Values that errors must not show, and public names, which may contain such a value.
    secret_values: list[str | bytes] = field(default_factory=list)
    public_names: set[str] = field(default_factory=set)
    plurals: dict[tuple[str, str], str] = field(default_factory=lambda: dict(endpoints.PLURALS))
    cluster_wide: set[tuple[str, str]] = field(default_factory=lambda: set(endpoints.CLUSTER_WIDE))

    # --- Requests -----------------------------------------------------------------------------------------------------

    def raw(self, method: str, path: str, **options: Any) -> Any:
        """Return the response unchanged. Raises the errors of the client and the network."""
        options.setdefault("_request_timeout", REQUEST_LIMIT if method == "get" else WRITE_LIMIT)
        return self.dynamic.request(method, path, serialize=False, **options)

    def request(self, method: str, path: str, about: str = "", **options: Any) -> Any:
        """Return the decoded response, or None for status 404. `about` begins the message of an error."""
        try:
            return json.loads(self.raw(method, path, **options).data)
        except ApiException as error:
            if error.status == 404:
                return None
            about = about or f"The Kubernetes API of {self.where} refused to {method} {path}"
            raise self.refusal(error, about) from None
        except (HTTPError, OSError, ValueError) as error:
            is_json = not isinstance(error, json.JSONDecodeError)
            cause = connection.cause_of(error) if is_json else "its response is not JSON"
            raise connection.unreachable(self.where, cause) from error

    def refusal(self, error: Any, about: str) -> ApiError:
        """Return the error for a request that the API refused, without values of Secrets."""
        reason = masking.mask(connection.cause_of(error), masking.all_forms(self.secret_values), self.public_names)
        reason = masking.shorten(reason).rstrip(".")
        if error.status == 401:
            thing = f"The Kubernetes API refuses the credentials of {self.where}."
            return ApiError(thing, "", f"Renew them, {AGAIN}", error.status)
        return ApiError(f"{about}:", reason, f"{connection.advice(error.status, reason)}, {AGAIN}", error.status)

    def hide(self, secret: Obj) -> None:
        """Mask the values of a Secret in all later errors."""
        for key, value in (secret.get("data") or {}).items():
            with contextlib.suppress(ValueError):
                if key not in masking.PUBLIC_KEYS and (raw := base64.b64decode(value)) not in self.secret_values:
                    self.secret_values.append(raw)

    # --- Paths --------------------------------------------------------------------------------------------------------

    def plural(self, api_version: str, kind: str) -> str | None:
        """Return the plural of a kind for paths, from the API if necessary; None if the API lacks the kind."""
        if (api_version, kind) not in self.plurals:
            about = f"The kinds of {api_version} cannot be listed"
            found = self.request("get", endpoints.root(api_version), about) or {}
            # Stored for a missing kind as well, so that the API is queried only once.
            self.plurals[api_version, kind] = ""
            for resource in found.get("resources") or []:
                if resource["kind"] == kind and "/" not in resource["name"]:
                    self.plurals[api_version, kind] = resource["name"]
                    if not resource["namespaced"]:
                        self.cluster_wide.add((api_version, kind))
        return self.plurals[api_version, kind] or None

    def is_cluster_wide(self, api_version: str, kind: str) -> bool:
        """Return whether a kind is cluster-scoped."""
        self.plural(api_version, kind)
        return (api_version, kind) in self.cluster_wide

    def path(self, kind: str, name: str = "", api_version: str = "", namespace: str | None = None) -> str:
        """Return the path of all objects of a kind or of one, by default in the client's namespace."""
        api_version = api_version or endpoints.VERSIONS[kind]
        plural = self.plural(api_version, kind)
        if not plural:
            raise ApiError("The cluster", f"has no kind {kind} of {api_version}", UNKNOWN_KIND)
        place = self.namespace if namespace is None else namespace
        return endpoints.path_of(api_version, plural, "" if self.is_cluster_wide(api_version, kind) else place, name)

    def path_to(self, obj: Mapping[str, Any]) -> str:
        """Return the path of a manifest's object."""
        metadata = obj["metadata"]
        return self.path(obj["kind"], metadata["name"], obj["apiVersion"], metadata.get("namespace"))

    def about(self, obj: Mapping[str, Any], verb: str) -> str:
        """Return the beginning of the error for an object that cannot be read, applied, or removed."""
        place = "" if self.is_cluster_wide(obj["apiVersion"], obj["kind"]) else obj["metadata"].get("namespace")
        place = f" in namespace {place or self.namespace}" if place is None or place else ""
        return f"{obj['kind']} {obj['metadata']['name']}{place} cannot be {verb}"

    # --- Objects ------------------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str, api_version: str = "", namespace: str | None = None) -> Obj | None:
        """Return an object, None if it does not exist."""
        metadata = {"name": name} | ({} if namespace is None else {"namespace": namespace})
        return self.read({"apiVersion": api_version or endpoints.VERSIONS[kind], "kind": kind, "metadata": metadata})

    def read(self, manifest: Mapping[str, Any]) -> Obj | None:
        """Return a manifest's object, None if it does not exist. Mask the values of a Secret from then on."""
        found = self.request("get", self.path_to(manifest), self.about(manifest, "read"))
        if found and manifest["kind"] == "Secret":
            self.hide(found)
        return found

    def namespace_exists(self) -> bool:
        """Return whether the client's namespace exists."""
        return self.get("Namespace", self.namespace) is not None

    def list(self, kind: str, api_version: str = "", namespace: str | None = None, **selectors: Any) -> list[Obj]:
        """Return the objects of a kind; an empty list if the cluster lacks the kind.

        Args:
            selectors: `labels`, a dictionary; `field_selector` and `label_selector`, in the syntax of the API.
        """
        api_version = api_version or endpoints.VERSIONS[kind]
        if not self.plural(api_version, kind):
            return []
        if labels := selectors.pop("labels", None):
            selectors["label_selector"] = ",".join(f"{key}={value}" for key, value in labels.items())
        place = self.namespace if namespace is None else namespace
        about = f"The {kind}s in namespace {place} cannot be listed" if place else ""
        found = self.request("get", self.path(kind, "", api_version, namespace), about, **selectors)
        return [{"apiVersion": api_version, "kind": kind} | item for item in (found or {}).get("items") or []]

    def events(self, kind: str, name: str) -> list[Obj]:
        """Return the events of an object, oldest first."""
        found = self.list("Event", field_selector=f"involvedObject.kind={kind},involvedObject.name={name}")
        return sorted(found, key=lambda event: event.get("lastTimestamp") or "")

    def apply(self, manifest: Mapping[str, Any], manager: str = FIELD_MANAGER, force: bool = True) -> Obj:
        """Apply a manifest by server-side apply and return the object. Mask the values of a Secret from then on."""
        if manifest["kind"] == "Secret":
            self.hide(manifest)
        return self.write(
            "patch",
            self.path_to(manifest),
            self.about(manifest, "applied"),
            # A string, because the client cannot send a dictionary with this content type.
            body=json.dumps(manifest),
            content_type="application/apply-patch+yaml",
            field_manager=manager,
            force_conflicts=str(force).lower(),
        )

    def create(self, manifest: Mapping[str, Any]) -> Obj:
        """Create an object and return it."""
        path = self.path(manifest["kind"], "", manifest["apiVersion"], manifest["metadata"].get("namespace"))
        return self.write(
            "post", path, self.about(manifest, "created"), body=dict(manifest), field_manager=FIELD_MANAGER
        )

    def patch(self, kind: str, name: str, body: Any, content_type: str = "application/merge-patch+json") -> Obj | None:
        """Change fields of an object and return the object, None if it does not exist."""
        return self.request("patch", self.path(kind, name), body=body, content_type=content_type, **self.dry_options)

    def delete(self, kind: str, name: str, grace: int | None = None) -> None:
        """Delete an object by name; `grace` is in seconds."""
        options = {} if grace is None else {"grace_period_seconds": grace}
        self.request("delete", self.path(kind, name), **options, **self.dry_options)

    def remove(self, obj: Mapping[str, Any]) -> None:
        """Delete exactly this object, after the objects that it owns."""
        # Foreground, so that the pods are deleted before the object. The UID, so that no later object of the same name
        # is deleted. dryRun, because the API ignores the query of a request that has options in its body.
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": obj["metadata"]["uid"]},
            "dryRun": list(self.dry_options.values()),
        }
        self.request("delete", self.path_to(obj), self.about(obj, "removed"), body=body)

    @property
    def dry_options(self) -> dict[str, str]:
        return {"dry_run": "All"} if self.dry_run else {}

    def write(self, method: str, path: str, about: str, **options: Any) -> Obj:
        """Send a write request. Raises ApiError if its namespace does not exist or the cluster lacks the kind."""
        written = self.request(method, path, about, **options, **self.dry_options)
        if written is None and "/namespaces/" not in path:
            raise ApiError(f"{about}:", "the cluster does not have its kind", UNKNOWN_KIND, 404)
        if written is None:
            step = f"Create it with the role namespace, {AGAIN}"
            raise ApiError(f"{about}:", "its namespace does not exist", step, 404)
        return written

    # --- Streams ------------------------------------------------------------------------------------------------------

    def listing(self, kind: str, **selectors: Any) -> Listing:
        """List the objects of a kind before a watch. Raises the errors of the client and the network."""
        response = self.raw("get", self.path(kind), **selectors)
        body = json.loads(response.data)
        stamp = response.headers.get("Date")
        server_time = parsedate_to_datetime(stamp).timestamp() if stamp else time.time()
        return Listing(body["items"], body["metadata"]["resourceVersion"], server_time)

    def watch(self, kind: str, version: str, **selectors: Any) -> Iterator[tuple[str, Obj]]:
        """Yield the changes of a kind until the server ends the watch.

        Raises Expired if the version is too old, and the errors of the client and the network.
        """
        options = {"watch": True, "resource_version": version, "allow_watch_bookmarks": True}
        options |= {"timeout_seconds": WATCH_LENGTH, "_request_timeout": WATCH_LIMIT}
        try:
            response = self.raw("get", self.path(kind), **options, **selectors)
        except ApiException as error:
            if error.status == 410:
                raise Expired from error
            raise
        try:
            for line in connection.lines_of(response.stream(amt=None, decode_content=False)):
                change = json.loads(line)
                if change["type"] == "ERROR":
                    if change["object"].get("code") == 410:
                        raise Expired
                    raise OSError(change["object"].get("message", "the watch failed"))
                yield change["type"], change["object"]
        finally:
            response.close()
            response.release_conn()

    def log(self, pod: str, container: str, previous: bool, lines: int) -> list[str]:
        """Return the last lines of a container's log, with `previous` those of its last crash if there are any."""
        # With retries, because the kubelet cannot read a file for a second or two after it has renamed the file.
        for pause, before in ((0, True), (0, False), *(((1, True), (0, False)) * 2)) if previous else ((0, False),):
            time.sleep(pause)
            query = [("container", container), ("tailLines", lines), ("limitBytes", LOG_BYTES)]
            query += [("previous", "true")] if before else []
            with contextlib.suppress(ApiException, HTTPError, OSError):
                response = self.raw("get", f"{self.path('Pod', pod)}/log", query_params=query)
                text = response.data.decode(errors="replace")
                if not text.startswith(KUBELET_ERRORS):
                    return text.splitlines()[-lines:]
        return []

    def exec(self, pod: str, container: str, command: Sequence[str], stdin: str = "", timeout: float = 60.0) -> Result:
        """Run a program in a container and send it `stdin`, after which the program must exit.

        Args:
            timeout: seconds until a program that still runs is an error.
        """
        # Without the generated client, because its models take longer to import than everything else here together.
        from kubernetes.stream.ws_client import websocket_call

        query = [("container", container), ("command", list(command)), ("stdin", str(bool(stdin)).lower())]
        query += [("stdout", "true"), ("stderr", "true"), ("tty", "false")]
        try:
            socket = websocket_call(
                *self.stream_to(pod, "exec"),
                query_params=query,
                headers=self.credentials(),
                binary=True,
                _preload_content=False,
            )
        except ApiException as error:
            raise ApiError(
                f"{command[0]} cannot run in container {container} of pod {pod}:",
                connection.short(connection.handshake(error.reason)),
                f"Check that the pod runs and that the user may create pods/exec, {AGAIN}",
                error.status or 0,
            ) from error
        try:
            if stdin:
                socket.write_stdin(stdin.encode())
            pace = Pace()
            while socket.is_open() and (left := timeout - pace.seconds) > 0:
                socket.run_forever(timeout=min(left, LOOK))
                pace.tell(f"{command[0]} in container {container} of pod {pod} is still running")
            if socket.is_open():
                thing, reason = f"Program {command[0]} in pod {pod}", f"did not exit within {timeout:g} s"
                raise ApiError(thing, reason, f"Find out why it blocks, {AGAIN}")
            out, err = (connection.as_text(socket.read_channel(channel)) for channel in (1, 2))
            return Result(connection.exit_code(socket.read_channel(3)), out, err)
        finally:
            socket.close()

    @contextlib.contextmanager
    def forward(self, pod: str, port: int, timeout: float = REQUEST_LIMIT[1]) -> Iterator[Any]:
        """Yield a socket to a port of a pod, which no NetworkPolicy blocks; `timeout` is in seconds."""
        from kubernetes.stream.ws_client import portforward_call

        query = [("ports", str(port))]
        call = functools.partial(
            portforward_call, *self.stream_to(pod, "portforward"), query_params=query, headers=self.credentials()
        )
        try:
            # The library has no timeout for connecting.
            forwarded = connection.within(timeout, call)
        except (ApiException, TimeoutError) as error:
            raise ApiError(
                f"Port {port} of pod {pod} cannot be forwarded:",
                connection.short(connection.handshake(getattr(error, "reason", error))),
                f"Check that the pod runs and that the user may create pods/portforward, {AGAIN}",
                getattr(error, "status", 0) or 0,
            ) from error
        try:
            yield forwarded.socket(port)
        finally:
            forwarded.close()

    def stream_to(self, pod: str, verb: str) -> tuple[Any, str, str]:
        """Return configuration, method, and URL of a stream to a pod."""
        configuration = self.dynamic.configuration
        return configuration, "GET", f"{configuration.host}{self.path('Pod', pod)}/{verb}"

    def credentials(self) -> dict[str, str]:
        """Return the headers that a stream needs."""
        # From the settings, because the name of the token differs between releases of the client.
        ways = self.dynamic.configuration.auth_settings().values()
        return {way["key"].lower(): way["value"] for way in ways if way["in"] == "header" and way["value"]}


def connect(module: Any, dry_run: bool = False) -> Client:
    """Return the client for the cluster and, if there is such an option, the namespace of a module."""
    with connection.explained(module.params) as where:
        namespace = module.params.get("namespace") or ""
        return Client(connection.open_client(module), namespace, where, dry_run, public_names={namespace} - {""})
