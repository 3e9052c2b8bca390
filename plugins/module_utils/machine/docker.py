# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Output of read-only `docker` commands, directly from the socket of the container engine.

The `docker` command takes 20 ms to start, and an inspection of the control node needs ten calls.
"""

import http.client
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run, execute

SOCKET = "/var/run/docker.sock"


class Docker:
    """A :data:`Run` that starts a command only if the socket of the container engine cannot provide its output."""

    def __init__(self, run: Run = execute, environment: Mapping[str, str] = os.environ) -> None:
        self._run = run
        # Without the command, its failure must be reported.
        self._socket = socket_of(environment) if shutil.which("docker") else ""

    def __call__(self, argv: list[str]) -> tuple[int, str, str]:
        """Return exit code, output, and error output of a command."""
        try:
            output = self._answer(argv) if self._socket else None
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
            # The command prints the best error message.
            output = None
        return self._run(argv) if output is None else (0, output, "")

    def _answer(self, argv: list[str]) -> str | None:
        """Return the output of a command. None for an unknown command, or if it would fail."""
        match argv:
            case ["docker", "image", "ls", "--quiet", "--no-trunc", selection]:
                return "".join(f"{image['Id']}\n" for image in self._listed("images", selection))
            case ["docker", "container", "ls", "--all", selection, "--format={{ .ID }} {{ .State }} {{ .Names }}"]:
                found = self._listed("containers", selection, all="1")
                return "".join(f"{each['Id'][:12]} {each['State']} {each['Names'][0][1:]}\n" for each in found)
            case ["docker", "image" | "container" as kind, "inspect", *names]:
                return json.dumps([self._get(f"/{kind}s/{quote(name, safe='/:@')}/json") for name in names])
            case ["docker", "cp", source, "-"]:
                container, _, path = source.partition(":")
                content = self._request("GET", f"/containers/{container}/archive?{urlencode({'path': path})}")
                return content.decode("utf-8", "replace")
            case ["docker", "exec", container, *command]:
                return self._executed(container, command)
        return None

    def _listed(self, what: str, selection: str, **parameters: str) -> list[dict[str, Any]]:
        """Return images or containers with the label of an option `--filter=label=...`."""
        label = selection.removeprefix("--filter=label=")
        return self._get(f"/{what}/json?{urlencode(parameters | {'filters': json.dumps({'label': [label]})})}")

    def _executed(self, container: str, command: list[str]) -> str | None:
        """Return the output of a command in a container. None if it failed."""
        request = {"AttachStdout": True, "AttachStderr": True, "Cmd": command}
        identifier = json.loads(self._request("POST", f"/containers/{container}/exec", request))["Id"]
        printed = self._request("POST", f"/exec/{identifier}/start", {"Detach": False, "Tty": False})
        if self._get(f"/exec/{identifier}/json")["ExitCode"] != 0:
            return None
        return b"".join(part for stream, part in streams(printed) if stream == 1).decode("utf-8", "replace")

    def _get(self, path: str) -> Any:
        return json.loads(self._request("GET", path))

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Return the content of an answer. Raises ValueError for an unsuccessful status."""
        with closing(_Connection(self._socket)) as connection:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            if answer.status not in (200, 201):
                raise ValueError(answer.reason)
            return answer.read()


class _Connection(http.client.HTTPConnection):
    """A connection to a Unix domain socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def socket_of(environment: Mapping[str, str]) -> str:
    """Return the socket that the command would use. Empty if it would use a context or another connection."""
    if host := environment.get("DOCKER_HOST"):
        return host.removeprefix("unix://") if host.startswith("unix://") else ""
    context = environment.get("DOCKER_CONTEXT")
    configuration = Path(environment.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    try:
        context = context or json.loads((configuration / "config.json").read_bytes()).get("currentContext")
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError):
        return ""
    return SOCKET if context in (None, "", "default") else ""


def streams(printed: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield parts of the output of a command in a container: 1 and its output, or 2 and its error output."""
    while printed:
        size = int.from_bytes(printed[4:8])
        yield printed[0], printed[8 : 8 + size]
        printed = printed[8 + size :]
