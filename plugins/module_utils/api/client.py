# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Client of the Kubernetes API on top of that of kubernetes.core: plain objects, no models, errors for the user."""

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
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace

Obj = dict[str, Any]

# The one field manager of the collection.
FIELD_MANAGER = "cloud-django"
AGAIN = "then rerun the playbook"
UNKNOWN_KIND = "Install what brings it, or turn off what needs it"

# All in seconds: to connect, and to wait for an answer, which to a write an admission webhook may delay by 30.
REQUEST_LIMIT = (5.0, 15.0)
WRITE_LIMIT = (5.0, 35.0)
# The server renews a watch every WATCH_LENGTH; one that is silent for longer than that is dead.
WATCH_LENGTH = 60
WATCH_LIMIT = (5.0, WATCH_LENGTH + 10.0)
# How often it may be time for a line about a program that goes on.
LOOK = 1.0
# Bytes of a container's log.
LOG_BYTES = 1 << 20
# How the kubelet begins what it answers with status 200 instead of a log, also while the file of a crash is renamed.
KUBELET_ERRORS = ("unable to retrieve container logs", "failed to try resolving symlinks in path")


class Expired(Exception):
    """The resource version of a watch is too old; the objects must be listed again."""


@dataclass(frozen=True)
class Listing:
    """Objects of one kind, the resource version to watch from, and the server's time in seconds since the epoch."""

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
    """Requests to one cluster, by default about the objects of one namespace.

    Each method returns decoded JSON, None where an object does not exist, and raises ApiError for everything else that
    the API refuses or the network loses.

    Args:
        dynamic: the dynamic client of kubernetes.core.
        namespace: of the objects, unless a manifest or a call names another one.
        where: how errors name the cluster.
        dry_run: whether the API server only checks what is written.
    """

    dynamic: Any
    namespace: str = ""
    where: str = "the cluster"
    dry_run: bool = False
    # Values that errors must not show, and names inside of which they may.
    secret_values: list[str | bytes] = field(default_factory=list)
    public_names: set[str] = field(default_factory=set)
    plurals: dict[tuple[str, str], str] = field(default_factory=lambda: dict(endpoints.PLURALS))
    cluster_wide: set[tuple[str, str]] = field(default_factory=lambda: set(endpoints.CLUSTER_WIDE))

    # --- Requests -----------------------------------------------------------------------------------------------------

    def raw(self, method: str, path: str, **options: Any) -> Any:
        """Return the response as it is. Raises whatever the client or the network raises."""
        options.setdefault("_request_timeout", REQUEST_LIMIT if method == "get" else WRITE_LIMIT)
        return self.dynamic.request(method, path, serialize=False, **options)

    def request(self, method: str, path: str, about: str = "", **options: Any) -> Any:
        """Return the decoded answer, None if there is no such thing; `about` begins the sentence of a refusal."""
        try:
            return json.loads(self.raw(method, path, **options).data)
        except ApiException as error:
            if error.status == 404:
                return None
            about = about or f"The Kubernetes API of {self.where} refuses to {method} {path}"
            raise self.refusal(error, about) from None
        except (HTTPError, OSError, ValueError) as error:
            is_json = not isinstance(error, json.JSONDecodeError)
            cause = connection.cause_of(error) if is_json else "what it answers is not JSON"
            raise connection.unreachable(self.where, cause) from error

    def refusal(self, error: Any, about: str) -> ApiError:
        """Return the error for a request that the API refused, without the values of Secrets."""
        said = masking.mask(connection.cause_of(error), masking.all_forms(self.secret_values), self.public_names)
        said = masking.shorten(said).rstrip(".")
        if error.status == 401:
            thing = f"The Kubernetes API refuses the credentials of {self.where}."
            return ApiError(thing, "", f"Renew them, {AGAIN}", error.status)
        return ApiError(f"{about}:", said, f"{connection.advice(error.status, said)}, {AGAIN}", error.status)

    def hide(self, secret: Obj) -> None:
        """Mask the values of a Secret in all errors from now on."""
        for key, value in (secret.get("data") or {}).items():
            with contextlib.suppress(ValueError):
                if key not in masking.PUBLIC_KEYS and (raw := base64.b64decode(value)) not in self.secret_values:
                    self.secret_values.append(raw)

    # --- Paths --------------------------------------------------------------------------------------------------------

    def plural(self, api_version: str, kind: str) -> str | None:
        """Return what the API calls objects of a kind in a path, after asking it if need be; None if it has none."""
        if (api_version, kind) not in self.plurals:
            about = f"The kinds of {api_version} cannot be listed"
            found = self.request("get", endpoints.root(api_version), about) or {}
            # Also remembered if the API has none, so that it is asked once.
            self.plurals[api_version, kind] = ""
            for resource in found.get("resources") or []:
                if resource["kind"] == kind and "/" not in resource["name"]:
                    self.plurals[api_version, kind] = resource["name"]
                    if not resource["namespaced"]:
                        self.cluster_wide.add((api_version, kind))
        return self.plurals[api_version, kind] or None

    def is_cluster_wide(self, api_version: str, kind: str) -> bool:
        """Tell whether objects of a kind belong to no namespace."""
        self.plural(api_version, kind)
        return (api_version, kind) in self.cluster_wide

    def path(self, kind: str, name: str = "", api_version: str = "", namespace: str | None = None) -> str:
        """Return the path of the objects of a kind or of one of them, by default in the client's namespace."""
        api_version = api_version or endpoints.VERSIONS[kind]
        plural = self.plural(api_version, kind)
        if not plural:
            raise ApiError("The cluster", f"knows no {kind} of {api_version}", UNKNOWN_KIND)
        place = self.namespace if namespace is None else namespace
        return endpoints.path_of(api_version, plural, "" if self.is_cluster_wide(api_version, kind) else place, name)

    def path_to(self, obj: Mapping[str, Any]) -> str:
        """Return the path of the object of a manifest."""
        metadata = obj["metadata"]
        return self.path(obj["kind"], metadata["name"], obj["apiVersion"], metadata.get("namespace"))

    def about(self, obj: Mapping[str, Any], verb: str) -> str:
        """Return the beginning of the sentence for an object that cannot be read, applied or removed."""
        place = "" if self.is_cluster_wide(obj["apiVersion"], obj["kind"]) else obj["metadata"].get("namespace")
        place = f" in namespace {place or self.namespace}" if place is None or place else ""
        return f"{obj['kind']} {obj['metadata']['name']}{place} cannot be {verb}"

    # --- Objects ------------------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str, api_version: str = "", namespace: str | None = None) -> Obj | None:
        """Return an object, None if it does not exist."""
        metadata = {"name": name} | ({} if namespace is None else {"namespace": namespace})
        return self.read({"apiVersion": api_version or endpoints.VERSIONS[kind], "kind": kind, "metadata": metadata})

    def read(self, manifest: Mapping[str, Any]) -> Obj | None:
        """Return the object of a manifest, None if it does not exist. Mask the values of a Secret from then on."""
        found = self.request("get", self.path_to(manifest), self.about(manifest, "read"))
        if found and manifest["kind"] == "Secret":
            self.hide(found)
        return found

    def namespace_exists(self) -> bool:
        """Tell whether the client's namespace exists."""
        return self.get("Namespace", self.namespace) is not None

    def list(self, kind: str, api_version: str = "", namespace: str | None = None, **selectors: Any) -> list[Obj]:
        """Return the objects of a kind; none of a kind that the cluster does not know.

        Args:
            selectors: `labels`, a dictionary; `field_selector` and `label_selector`, as the API takes them.
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
        """Return the events about an object, oldest first."""
        found = self.list("Event", field_selector=f"involvedObject.kind={kind},involvedObject.name={name}")
        return sorted(found, key=lambda event: event.get("lastTimestamp") or "")

    def apply(self, manifest: Mapping[str, Any], manager: str = FIELD_MANAGER, force: bool = True) -> Obj:
        """Apply a manifest on the server's side and return the object. Mask the values of a Secret from then on."""
        if manifest["kind"] == "Secret":
            self.hide(manifest)
        return self.write(
            "patch",
            self.path_to(manifest),
            self.about(manifest, "applied"),
            # A string, since the client would not know how to send a dictionary of this type.
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
        """Change fields of an object and return it, None if it does not exist."""
        return self.request("patch", self.path(kind, name), body=body, content_type=content_type, **self.dry_options)

    def delete(self, kind: str, name: str, grace: int | None = None) -> None:
        """Delete an object by its name; `grace` is in seconds."""
        options = {} if grace is None else {"grace_period_seconds": grace}
        self.request("delete", self.path(kind, name), **options, **self.dry_options)

    def remove(self, obj: Mapping[str, Any]) -> None:
        """Delete this very object, and before it what it owns."""
        # Foreground, so that an object that is gone has taken its pods along; by its UID, so that it is this one. A dry
        # run is named here, since the API does not read the query of a request that has options in its body.
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
        """Send a request that writes. Raises ApiError if its namespace is gone, or if the cluster lacks the kind."""
        written = self.request(method, path, about, **options, **self.dry_options)
        if written is None and "/namespaces/" not in path:
            raise ApiError(f"{about}:", "the cluster does not know its kind", UNKNOWN_KIND, 404)
        if written is None:
            raise ApiError(f"{about}:", "its namespace does not exist", "Create it, with the role namespace", 404)
        return written

    # --- Streams ------------------------------------------------------------------------------------------------------

    def listing(self, kind: str, **selectors: Any) -> Listing:
        """List the objects of a kind, to watch them. Raises whatever the client or the network raises."""
        response = self.raw("get", self.path(kind), **selectors)
        body = json.loads(response.data)
        stamp = response.headers.get("Date")
        server_time = parsedate_to_datetime(stamp).timestamp() if stamp else time.time()
        return Listing(body["items"], body["metadata"]["resourceVersion"], server_time)

    def watch(self, kind: str, version: str, **selectors: Any) -> Iterator[tuple[str, Obj]]:
        """Yield the changes of a kind until the server ends the watch.

        Raises Expired when the version is too old, else whatever the client or the network raises.
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
        """Return the last lines that a container wrote, those before its last crash if there are any."""
        # After a second or two the kubelet knows the new name of a file that it has just renamed.
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
        """Run a program in a container and send it `stdin`, which must by itself end the program.

        Args:
            timeout: seconds until it counts as an error that the program goes on.
        """
        # Not by the generated client, whose models take longer to import than everything else here together.
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
                f"No program can be run in container {container} of pod {pod}:",
                connection.short(connection.handshake(error.reason)),
                f"Check that the pod runs and that the user may exec into it, {AGAIN}",
                error.status or 0,
            ) from error
        try:
            if stdin:
                socket.write_stdin(stdin.encode())
            pace = Pace()
            while socket.is_open() and (left := timeout - pace.seconds) > 0:
                socket.run_forever(timeout=min(left, LOOK))
                pace.tell(f"{command[0]} in container {container} of pod {pod} has not ended")
            if socket.is_open():
                thing, reason = f"Program {command[0]} in pod {pod}", f"did not end within {timeout:g} s"
                raise ApiError(thing, reason, f"Look for what it waits for, {AGAIN}")
            out, err = (connection.as_text(socket.read_channel(channel)) for channel in (1, 2))
            return Result(connection.exit_code(socket.read_channel(3)), out, err)
        finally:
            socket.close()

    @contextlib.contextmanager
    def forward(self, pod: str, port: int, timeout: float = REQUEST_LIMIT[1]) -> Iterator[Any]:
        """Yield a socket that leads to a port of a pod, whatever its NetworkPolicy says; `timeout` is in seconds."""
        from kubernetes.stream.ws_client import portforward_call

        query = [("ports", str(port))]
        call = functools.partial(
            portforward_call, *self.stream_to(pod, "portforward"), query_params=query, headers=self.credentials()
        )
        try:
            # The library sets no limit to the time that it takes to connect.
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
        """Return configuration, method and address of a stream to a pod."""
        configuration = self.dynamic.configuration
        return configuration, "GET", f"{configuration.host}{self.path('Pod', pod)}/{verb}"

    def credentials(self) -> dict[str, str]:
        """Return the headers that a stream needs."""
        # By the settings, since releases of the client differ in what they call a token.
        ways = self.dynamic.configuration.auth_settings().values()
        return {way["key"].lower(): way["value"] for way in ways if way["in"] == "header" and way["value"]}


def connect(module: Any, dry_run: bool = False) -> Client:
    """Return the client for the cluster and the namespace that a module's options name, if it has that option."""
    with connection.explained(module.params) as where:
        namespace = module.params.get("namespace") or ""
        return Client(connection.open_client(module), namespace, where, dry_run, public_names={namespace} - {""})
