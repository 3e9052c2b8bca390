"""Files that the front serves for a project, and what it refuses."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable

import pytest
from talk import Answer, get, head, send_raw

from conftest import Pod

HASHED = "app.4f3a2b1c0d9e.css"
WEEK = 7 * 24 * 3600


@pytest.fixture(scope="module")
def files(make_pod: Callable[..., Pod]) -> Pod:
    """Return a pod with uploads in a volume, which is in a mount of every pod, and static files from the image."""
    pod = make_pod(start=False, web_statics={"/media/": "/tmp/media", "/static/": "/app/static"})
    for number, folder in ((0, "media"), (1, "static")):
        root = pod.folder / "statics" / str(number)
        (root / "sub").mkdir(parents=True)
        (root / ".git").mkdir()
        (root / ".git" / "config").write_text("hidden")
        (root / ".env").write_text("hidden")
        (root / "index.html").write_text("<script>1</script>")
        (root / "sub" / "picture.svg").write_text(f"<svg>{folder}</svg>")
        (root / HASHED).write_text("a { color: red }\n" * 100)
        os.utime(root / HASHED, (1e9, 1e9))
    (pod.folder / "statics" / "secret").write_text("secret")
    (pod.folder / "statics" / "1" / f"{HASHED}.gz").write_bytes(gzip.compress(b"packed"))
    pod.start_project()
    pod.start_front()
    return pod


def fetched(pod: Pod, path: str, **headers: str) -> Answer:
    return get(pod.port, path, **headers)


def test_files_are_served(files: Pod) -> None:
    assert fetched(files, "/media/sub/picture.svg").text == "<svg>media</svg>"
    answer = fetched(files, "/static/sub/picture.svg")
    assert answer.text == "<svg>static</svg>"
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert fetched(files, "/static/sub/picture.svg", Range="bytes=0-4").status == 206
    assert fetched(files, "/static/sub/picture.svg", If_None_Match=answer.headers["ETag"]).status == 304


def test_browsers_run_no_uploads(files: Pod) -> None:
    headers = fetched(files, "/media/index.html").headers
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    static = fetched(files, "/static/index.html").headers
    assert static["X-Content-Type-Options"] == "nosniff"
    assert "Content-Security-Policy" not in static


def test_only_hashed_names_of_the_image_stay_in_caches(files: Pod) -> None:
    assert fetched(files, f"/static/{HASHED}").headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert fetched(files, "/static/index.html").headers["Cache-Control"] == "public, max-age=60"
    assert fetched(files, f"/media/{HASHED}").headers["Cache-Control"] == "no-cache"
    assert fetched(files, "/static/none.4f3a2b1c0d9e.css").headers["Cache-Control"] == "no-store"


def test_compressed_files_of_the_image_are_used(files: Pod) -> None:
    answer = fetched(files, f"/static/{HASHED}", Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == b"packed"
    assert fetched(files, f"/static/{HASHED}").text.startswith("a {")


@pytest.mark.parametrize(
    "path",
    [
        "/media/",
        "/media/sub",
        "/media/sub/",
        "/static/",
        "/static/.env",
        "/static/.git/config",
        "/media/.env",
        "/media/.git/config",
        "/media/%2eenv",
        "/media/none",
        "/media/../secret",
        "/media/%2e%2e/secret",
        "/media/..%2fsecret",
        "/media/..%5csecret",
        "/media/sub/../../secret",
        "/media//../secret",
        "/media/%00",
        "/media/....//secret",
        "/MEDIA/../secret",
    ],
)
def test_other_paths_are_refused(files: Pod, path: str) -> None:
    """Neither listings, nor hidden files, nor anything outside."""
    received = send_raw(files.port, head(f"GET {path} HTTP/1.1", "Connection: close"))
    assert b"secret" not in received.partition(b"\r\n\r\n")[2].replace(path.encode(), b"")
    assert b"hidden" not in received
    assert b"index.html" not in received
    assert int(received.split()[1]) in (400, 404) or b"hello" in received


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PROPFIND"])
def test_files_are_only_read(files: Pod, method: str) -> None:
    assert get(files.port, "/media/index.html", method).status == 405
    assert (files.folder / "statics" / "0" / "index.html").exists()


def test_project_does_not_see_these_requests(files: Pod) -> None:
    fetched(files, "/media/index.html")
    fetched(files, "/media/none")
    assert files.seen("/media/index.html") == files.seen("/media/none") == []
    assert fetched(files, "/mediation").text == "hello\n"


def test_files_are_served_while_the_project_is_down(files: Pod) -> None:
    files.kill_project()
    assert fetched(files, "/static/index.html").status == 200
    files.start_project()
