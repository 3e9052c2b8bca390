"""Project that reports the requests that it gets: a WSGI application without a database, for gunicorn as in a pod."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

# A line for each request to the application: method, path, and length of the body.
SEEN = Path(os.environ["SEEN"])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Respond by path."""
    path, query = environ["PATH_INFO"], parse_qs(environ.get("QUERY_STRING", ""))
    body = environ["wsgi.input"].read()
    with SEEN.open("a") as seen:
        seen.write(f"{environ['REQUEST_METHOD']} {path} {len(body)} {environ.get('CONTENT_LENGTH', '')}\n")
    if path == "/environ":
        told = {name: value for name, value in environ.items() if isinstance(value, str)}
        return answer(start_response, json.dumps(told).encode(), "application/json")
    if path == "/wait":
        time.sleep(float(query["seconds"][0]))
        return answer(start_response, b"waited\n")
    if path == "/large":
        return answer(start_response, b"x" * int(query["bytes"][0]), "application/octet-stream")
    if path in ("/error", "/admin/login/") and "status" in query:
        return answer(start_response, b"own page\n", status=query["status"][0])
    if path == "/style.css":
        return answer(start_response, b"a { color: red }\n" * 500, "text/css")
    if path == "/page":
        return answer(start_response, b"<p>secret</p>\n" * 500, "text/html")
    if path == "/die":
        os.kill(os.getpid(), 9)
    if path == "/echo":
        return answer(start_response, body)
    return answer(start_response, b"hello\n")


def answer(
    start_response: Callable[..., Any], body: bytes, kind: str = "text/plain", status: str = "200"
) -> Iterable[bytes]:
    start_response(f"{status} Told", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
