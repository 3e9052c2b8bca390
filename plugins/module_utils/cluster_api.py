"""Plain access to the Kubernetes API: read, apply, delete, run a program in a container. No discovery, no models."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import (
    ApiException,
    HTTPError,
    Trouble,
    explained,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import connect as open_client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.endpoints import path_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.masking import shorten

FIELD_MANAGER = "cloud-django"
OURS = ("app.kubernetes.io/managed-by", "cloud-django")
# Connecting and reading, in seconds.
REQUEST_LIMIT = (5.0, 20.0)


@dataclass(frozen=True)
class Ended:
    """What became of a program in a container."""

    code: int
    out: str
    err: str


@dataclass
class Cluster:
    """What our modules ask of one namespace; `client` is kubernetes.core's dynamic client."""

    client: Any
    namespace: str
    where: str = "the cluster"
    written: list[str] = field(default_factory=list)

    def request(self, method: str, path: str, **params: Any) -> Any:
        """Return the decoded answer, or None if the object does not exist. Raises Trouble for every other refusal."""
        params.setdefault("_request_timeout", REQUEST_LIMIT)
        try:
            answer = self.client.request(method, path, serialize=False, **params)
            return json.loads(answer.data)
        except ApiException as error:
            if error.status == 404:
                return None
            raise Trouble(refusal(error, method, path, self.where)) from error
        except (HTTPError, OSError) as error:
            raise Trouble(
                f"The Kubernetes API of {self.where} does not answer: {error}. "
                "Check that the cluster runs, then run the playbook again."
            ) from error

    def path(self, kind: str, name: str = "") -> str:
        return path_of(kind, self.namespace, name)

    def namespace_exists(self) -> bool:
        return self.request("get", f"/api/v1/namespaces/{self.namespace}") is not None

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.request("get", self.path(kind, name))

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """Return the events about an object, oldest first."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = self.request("get", self.path("Event"), field_selector=selector) or {}
        return sorted(found.get("items") or [], key=lambda event: event.get("lastTimestamp") or "")

    def storage_classes(self) -> list[dict[str, Any]]:
        return (self.request("get", "/apis/storage.k8s.io/v1/storageclasses") or {}).get("items") or []

    def apply(self, manifest: Mapping[str, Any], force: bool = True) -> dict[str, Any]:
        """Apply a manifest as our field manager, on the server's side."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        answer = self.request(
            "patch",
            self.path(kind, name),
            # A string, since the client would not know how to send a dictionary of this type.
            body=json.dumps(manifest),
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            force_conflicts=str(force).lower(),
        )
        self.written.append(f"{kind}/{name}")
        return answer

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        return self.request("post", self.path(manifest["kind"]), body=manifest)

    def annotate(self, kind: str, name: str, annotations: Mapping[str, str]) -> None:
        body = {"metadata": {"annotations": dict(annotations)}}
        self.request("patch", self.path(kind, name), body=body, content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str, grace: int | None = None) -> None:
        params = {} if grace is None else {"grace_period_seconds": grace}
        self.request("delete", self.path(kind, name), **params)

    def run(self, pod: str, container: str, command: Sequence[str], stdin: str = "", timeout: float = 60.0) -> Ended:
        """Run a program in a container and feed it `stdin`. The caller's input must by itself end the program."""
        # Not by the generated client, whose models take longer to import than everything else here together.
        from kubernetes.stream.ws_client import websocket_call

        configuration = self.client.configuration
        query = [("container", container), ("command", list(command)), ("stdin", str(bool(stdin)).lower())]
        query += [("stdout", "true"), ("stderr", "true"), ("tty", "false")]
        # By the settings, since releases of the client differ in what they call a token.
        sent = [way for way in configuration.auth_settings().values() if way["in"] == "header" and way["value"]]
        try:
            socket = websocket_call(
                configuration,
                "GET",
                f"{configuration.host}{self.path('Pod', pod)}/exec",
                query_params=query,
                headers={way["key"].lower(): way["value"] for way in sent},
                binary=True,
                _preload_content=False,
            )
        except ApiException as error:
            raise Trouble(
                f"No program can be run in container {container} of pod {pod}: {short(handshake(error.reason))}. "
                "Check that the pod runs and that the user may exec into it, then run the playbook again."
            ) from error
        try:
            if stdin:
                socket.write_stdin(stdin.encode())
            socket.run_forever(timeout=timeout)
            if socket.is_open():
                raise Trouble(
                    f"Program {command[0]} in pod {pod} did not end within {timeout:g} s. "
                    "Look for what it waits for, then run the playbook again."
                )
            out, err = socket.read_channel(1), socket.read_channel(2)
            return Ended(exit_code(socket.read_channel(3)), as_text(out), as_text(err))
        finally:
            socket.close()

    def wait_until_running(self, pod: str, timeout: float) -> None:
        """Wait for a pod's containers. Raises Trouble at the timeout, or at once if the pod ended or cannot start."""
        until = time.monotonic() + timeout
        while True:
            status = (self.get("Pod", pod) or {}).get("status", {})
            waiting = [s["state"].get("waiting") or {} for s in status.get("containerStatuses") or []]
            reason = next((f"{w['reason']} {w.get('message', '')}" for w in waiting if w.get("reason")), "")
            if status.get("phase") == "Running" and not any(waiting):
                return
            hopeless = any(word in reason for word in ("ErrImage", "ImagePull", "ConfigError", "RunContainerError"))
            if hopeless or status.get("phase") in ("Failed", "Succeeded") or time.monotonic() > until:
                cause = reason or next((c["message"] for c in status.get("conditions") or [] if c.get("message")), "")
                raise Trouble(
                    f"Pod {pod} does not start: {short(cause or status.get('phase', 'it is missing'))}. "
                    "Mend that, then run the playbook again."
                )
            time.sleep(0.2)


def short(text: Any, limit: int = 400) -> str:
    """Return a text on one line, without a full stop at its end."""
    return shorten(str(text or "").rstrip().rstrip("."), limit)


def as_text(data: bytes | str) -> str:
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


def refusal(error: Any, method: str, path: str, where: str) -> str:
    """Return the sentence for a request that the API refused."""
    try:
        told = json.loads(error.body)["message"]
    except (AttributeError, KeyError, TypeError, ValueError):
        told = error.reason
    if error.status == 401:
        return f"The Kubernetes API refuses the credentials of {where}. Renew them, then run the playbook again."
    return (
        f"The Kubernetes API of {where} refuses to {method} {path}: {short(told)}. "
        "Mend that, then run the playbook again."
    )


def is_ours(item: Mapping[str, Any]) -> bool:
    """Tell whether an object carries the label that this collection gives to what it makes."""
    return (item["metadata"].get("labels") or {}).get(OURS[0]) == OURS[1]


def secret_data(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return a Secret's values as text. Raises Trouble if one of them is no text."""
    try:
        return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError) as error:
        name = secret["metadata"]["name"]
        raise Trouble(
            f"Secret {name} holds something that is no text. Mend or delete it, then run the playbook again."
        ) from error


def secret_manifest(name: str, namespace: str, labels: Mapping[str, str], values: Mapping[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())}
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def connect(module: Any) -> Cluster:
    """Return the cluster and namespace that the module's options name. Raises Trouble if it cannot be used."""
    with explained(module.params) as where:
        return Cluster(open_client(module), module.params["namespace"], where)
