# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Images in a registry, by its HTTP API and without a container engine.

API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md, and for the login
https://distribution.github.io/distribution/spec/auth/token/.
"""

import base64
import hashlib
import json
import re
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import MachineError

from .copies import canonical
from .pods import configuration

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
HUB = "docker.io"
# Seconds for one request.
TIMEOUT = 30
UNVERIFIED_DIGEST = "or set django_pin_image to false"

# Sends a request, and returns the status, the headers with names in lowercase, and the content.
Send = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str], bytes]]


class Name(NamedTuple):
    """The parts of an image reference."""

    host: str
    repository: str
    # A tag, or a digest.
    version: str


def parse(reference: str) -> Name:
    """Return the parts of a reference. A digest decides over a tag, and `latest` is the default, as in Kubernetes."""
    rest, _, digest = canonical(reference).partition("@")
    host, _, path = rest.partition("/")
    repository, colon, tag = path.rpartition(":")
    if not colon:
        repository, tag = path, "latest"
    return Name(host, repository, digest or tag)


def send(url: str, headers: Mapping[str, str], ca_file: str = "") -> tuple[int, Mapping[str, str], bytes]:
    """Send a GET request with the proxies of the environment. Raises OSError if there is no answer.

    Args:
        url: the URL.
        headers: the headers.
        ca_file: certificate authorities, in addition to those of the system.
    """
    trusted = ssl.create_default_context()
    if ca_file:
        trusted.load_verify_locations(Path(ca_file).expanduser())
    request = urllib.request.Request(url)
    for name, value in headers.items():
        # Not forwarded by a redirect, because registries redirect to storage of other hosts.
        request.add_unredirected_header(name, value) if name == "Authorization" else request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=trusted) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def stored_login(host: str, directory: Path) -> str:
    """Return the login that `docker login` stored for a registry, in Base64. Empty if there is none."""
    try:
        stored = json.loads((directory / "config.json").read_text(encoding="utf-8"))["auths"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    keys = [host, f"https://{host}", *([f"https://index.{HUB}/v1/"] if host == HUB else [])]
    return next((entry["auth"] for key in keys if (entry := stored.get(key)) and entry.get("auth")), "")


class Registry:
    """The registry of an image."""

    def __init__(self, reference: str, login: str = "", send: Send = send) -> None:
        """Prepare requests.

        Args:
            reference: the image.
            login: `user:password` in Base64. Empty without one.
            send: sends the requests.
        """
        self.reference, self.name, self._login, self._send = reference, parse(reference), login, send
        self._authorization = ""
        host = f"registry-1.{HUB}" if self.name.host == HUB else self.name.host
        is_local = host.partition(":")[0] in ("localhost", "127.0.0.1")
        self._url = f"{'http' if is_local else 'https'}://{host}/v2/{self.name.repository}"

    def copy(self, with_config: bool) -> dict[str, Any]:
        """Return digest, IDs, context, and configuration of the image. Empty if the registry does not have it.

        Args:
            with_config: whether the configuration is needed, which takes more requests.
        """
        content = self._get(f"manifests/{self.name.version}")
        if content is None:
            return {}
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        config = self._config(self._parsed(content)) if with_config else None
        return {"digest": digest, "ids": [digest], "context": "", "config": configuration(config)}

    def _config(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """Return the configuration of an image, or of the first of several platforms."""
        if platforms := manifest.get("manifests"):
            manifest = self._parsed(self._get(f"manifests/{platforms[0]['digest']}") or b"{}")
        if not (digest := manifest.get("config", {}).get("digest")):
            return None
        return self._parsed(self._get(f"blobs/{digest}") or b"{}").get("config")

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            parsed = json.loads(content)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            return parsed
        raise self._error("does not return JSON", "Check that the name of its registry is correct")

    def _get(self, path: str) -> bytes | None:
        """Return the content at a path of the repository. None if the registry does not have it."""
        status, headers, content = self._request(f"{self._url}/{path}", self._headers())
        if status == 401 and (challenge := headers.get("www-authenticate")):
            self._authorization = self._authorize(challenge)
            status, headers, content = self._request(f"{self._url}/{path}", self._headers())
        if status == 200:
            return content
        if status == 404:
            return None
        if status in (401, 403):
            step = f"Set image_pull_username and image_pull_password, {UNVERIFIED_DIGEST}"
            raise self._error("must not be read with these credentials", step)
        raise self._error(f"cannot be read: status {status}", f"Check that the registry runs, {UNVERIFIED_DIGEST}")

    def _headers(self) -> dict[str, str]:
        accepted = {"Accept": ", ".join(MANIFESTS)}
        return accepted | ({"Authorization": self._authorization} if self._authorization else {})

    def _authorize(self, challenge: str) -> str:
        """Return the header that a registry requires, with a token of its server for tokens."""
        basic = f"Basic {self._login}" if self._login else ""
        if not challenge.lower().startswith("bearer"):
            return basic
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {name: fields[name] for name in ("service", "scope") if name in fields}
        headers = {"Authorization": basic} if basic else {}
        status, _, content = self._request(f"{fields.get('realm', '')}?{urlencode(query)}", headers)
        answer = self._parsed(content) if status == 200 else {}
        token = answer.get("token") or answer.get("access_token")
        return f"Bearer {token}" if token else ""

    def _request(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        try:
            return self._send(url, headers)
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            step = f"Check that the registry runs, {UNVERIFIED_DIGEST}"
            raise self._error(f"cannot be read: {reason}", step) from error

    def _error(self, reason: str, step: str) -> MachineError:
        return MachineError(f"Image {self.reference} in the registry", reason, f"{step}, then rerun the playbook")


def login_of(reference: str, username: str, password: str, directory: Path) -> str:
    """Return the login for the registry of an image: that of the nodes, or else that of `docker login`, in Base64."""
    if username:
        return base64.b64encode(f"{username}:{password}".encode()).decode()
    return stored_login(parse(reference).host, directory)
