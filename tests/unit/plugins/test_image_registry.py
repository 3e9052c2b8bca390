"""Images in a registry, without a container engine. A fake registry answers."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import MachineError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.registry import (
    Registry,
    login_of,
    parse,
    send,
)

LOGIN = base64.b64encode(b"robot:pass:word").decode()
CONFIG = json.dumps({"config": {"User": "django", "Env": ["A=b"]}}).encode()
MANIFEST = json.dumps({"config": {"digest": "sha256:c1"}}).encode()
INDEX = json.dumps({"manifests": [{"digest": "sha256:m1"}, {"digest": "sha256:m2"}]}).encode()
URL = "https://registry.example.org/v2/team/shop"
ANSWERS = {
    f"{URL}/manifests/1.0": INDEX,
    f"{URL}/manifests/sha256:m1": MANIFEST,
    f"{URL}/blobs/sha256:c1": CONFIG,
}
REFERENCE = "registry.example.org/team/shop:1.0"
Answer = tuple[int, Mapping[str, str], bytes]


def registry(answers: Mapping[str, bytes] = ANSWERS, asked: list[str] | None = None) -> Any:
    def answer(url: str, headers: Mapping[str, str]) -> Answer:
        assert "manifest" in headers["Accept"]
        if asked is not None:
            asked.append(url)
        return (200, {}, answers[url]) if url in answers else (404, {}, b"")

    return answer


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("shop", ("docker.io", "library/shop", "latest")),
        ("team/shop:1", ("docker.io", "team/shop", "1")),
        ("localhost:5000/a/b:2", ("localhost:5000", "a/b", "2")),
        ("r.io/shop:1@sha256:d1", ("r.io", "shop", "sha256:d1")),
        ("r.io:443/shop@sha256:d1", ("r.io:443", "shop", "sha256:d1")),
    ],
)
def test_a_reference_has_registry_repository_and_version(reference: str, parts: tuple[str, str, str]) -> None:
    assert parse(reference) == parts


def test_a_copy_has_digest_and_configuration() -> None:
    asked: list[str] = []
    digest = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"
    found = Registry(REFERENCE, send=registry(asked=asked)).copy(with_config=True)
    config = {"User": "django"}
    assert found == {"digest": digest, "ids": [digest], "context": "", "config": config}
    assert asked == list(ANSWERS)
    # One request, because each takes time in each run.
    asked.clear()
    assert Registry(REFERENCE, send=registry(asked=asked)).copy(with_config=False)["config"] == {}
    assert len(asked) == 1


def test_a_missing_image_has_no_copy() -> None:
    assert Registry("registry.example.org/team/shop:2", send=registry()).copy(with_config=True) == {}


@pytest.mark.parametrize(
    ("login", "challenge"),
    [
        (LOGIN, 'Bearer realm="https://auth.example.org/token",service="r",scope="repository:team/shop:pull"'),
        ("", 'Bearer realm="https://auth.example.org/token",service="r",scope="repository:team/shop:pull"'),
        (LOGIN, 'Basic realm="r"'),
    ],
)
def test_a_registry_gets_the_login_that_it_requires(login: str, challenge: str) -> None:
    def answer(url: str, headers: Mapping[str, str]) -> Answer:
        given = headers.get("Authorization", "")
        if url.startswith("https://auth.example.org/token?"):
            assert url.endswith("?service=r&scope=repository%3Ateam%2Fshop%3Apull")
            assert given == (f"Basic {LOGIN}" if login else "")
            return 200, {}, b'{"token": "t1"}'
        wanted = "Bearer t1" if challenge.startswith("Bearer") else f"Basic {LOGIN}"
        return (200, {}, ANSWERS[url]) if given == wanted else (401, {"www-authenticate": challenge}, b"")

    assert Registry(REFERENCE, login, answer).copy(with_config=True)["config"]["User"] == "django"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (401, {}, b""),
            "must not be read with these credentials. Set image_pull_username and image_pull_password, or",
        ),
        ((401, {"www-authenticate": "Basic"}, b""), "must not be read with these credentials"),
        ((403, {}, b""), "must not be read with these credentials"),
        ((500, {}, b""), "cannot be read: status 500. Check that the registry runs, or set django_pin_image to false"),
        ((200, {}, b"<html>"), "does not return JSON"),
        (OSError("no route"), "cannot be read: no route"),
    ],
)
def test_an_unavailable_registry_is_reported(answer: Answer | OSError, words: str) -> None:
    def refuse(url: str, headers: Mapping[str, str]) -> Answer:
        if isinstance(answer, OSError):
            raise answer
        return answer

    with pytest.raises(MachineError) as error:
        Registry(REFERENCE, LOGIN, refuse).copy(with_config=True)
    assert str(error.value).startswith(f"Image {REFERENCE} in the registry {words}")
    assert str(error.value).endswith("then rerun the playbook.")
    assert "pass" not in str(error.value).replace("password", "")


def test_the_login_is_that_of_nodes_or_of_docker(tmp_path: Path) -> None:
    assert login_of(REFERENCE, "robot", "pass:word", tmp_path) == LOGIN
    assert login_of(REFERENCE, "", "", tmp_path) == ""
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"registry.example.org": {"auth": LOGIN}, "https://index.docker.io/v1/": {"auth": "hub"}}})
    )
    assert login_of(REFERENCE, "", "", tmp_path) == LOGIN
    assert login_of("team/shop:1", "", "", tmp_path) == "hub"
    assert login_of("other.example.org/shop:1", "", "", tmp_path) == ""
    (tmp_path / "config.json").write_text("{")
    assert login_of(REFERENCE, "", "", tmp_path) == ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Return the address of a server and its requests. It redirects blobs to another of its names."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            if self.path.endswith("/c1"):
                self.send_response(307)
                self.send_header("Location", f"http://localhost:{served.server_port}/stored")
                self.end_headers()
                return
            found = {"/v2/shop/manifests/1": b'{"config": {"digest": "c1"}}', "/stored": CONFIG}.get(self.path)
            self.send_response(
                401 if self.path == "/v2/shop/manifests/1" and not asked[-1][1] else 200 if found else 404
            )
            self.send_header("WWW-Authenticate", 'Basic realm="r"')
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{served.server_port}", asked
        served.shutdown()


def test_storage_behind_a_redirect_does_not_get_the_login(server: tuple[str, list[tuple[str, str | None]]]) -> None:
    address, asked = server
    found = Registry(f"{address}/shop:1", LOGIN, send).copy(with_config=True)
    assert found["config"]["User"] == "django"
    assert asked[-1] == ("/stored", None)
    assert asked[-2] == ("/v2/shop/blobs/c1", f"Basic {LOGIN}")
