"""gunicorn as in a pod: its configuration, its logs, and its behavior without the database."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from polls.models import Question
from testing import Server, run_python


def test_configuration_from_environment(tmp_path: Path) -> None:
    chosen = {"WEB_CONCURRENCY": "3", "WEB_THREADS": "5", "WEB_BIND": None}
    result = run_python("-m", "gunicorn", "--print-config", "config.wsgi", **chosen)
    assert result.returncode == 0, result.stderr
    values = dict(line.split("=", 1) for line in result.stdout.replace(" ", "").splitlines() if "=" in line)
    expected = {
        "workers": "3",
        "threads": "5",
        "worker_class": "gthread",
        "worker_connections": "5",
        "keepalive": "0",
        "preload_app": "True",
        "worker_tmp_dir": "/dev/shm",
        "control_socket_disable": "True",
        "max_requests": "0",
        "proxy_protocol": "off",
        "graceful_timeout": "25",
        "accesslog": "-",
        "bind": "['127.0.0.1:8000']",
    }
    assert {name: values[name] for name in expected} == expected


@pytest.mark.django_db(transaction=True)
def test_pages_static_files_and_logs(start: Callable[..., Server], question: Question) -> None:
    server = start(DJANGO_PUBLIC_URL="http://testserver")
    status, headers, page = server.get("/?password=sentinel", Referer="http://x/?token=sentinel")
    assert status == 200
    assert question.text in page

    asset = page.split('rel="stylesheet" href="')[1].split('"')[0]
    status, static, _ = server.get(asset, **{"Accept-Encoding": "gzip"})
    assert (status, static["content-encoding"]) == (200, "gzip")
    assert "immutable" in static["cache-control"]
    assert int(static["cache-control"].split("max-age=")[1].split(",")[0]) >= 365 * 24 * 3600

    other_release = asset.split(".")[0] + ".0123456789ab.css"
    status, static, _ = server.get(other_release)
    assert (status, static["cache-control"]) == (200, "no-store")
    assert server.get("/static/polls/none.0123456789ab.css")[0] == 404
    assert server.get("/static/../config/settings.py")[0] == 404

    assert server.get("/", Host="evil.example")[0] == 400
    assert server.get("/", method="HEAD")[0] == 200
    assert server.get("/favicon.ico")[1]["location"].endswith(".svg")
    assert server.get("/readyz", Host="10.0.0.1:8000")[0] == 200

    time.sleep(0.2)
    assert "sentinel" not in server.log.read_text()
    lines = server.lines()
    [first] = [line for line in lines if line.get("path") == "/" and line["status"] == 200 and line["method"] == "GET"]
    assert first["request_id"] == headers["x-request-id"]
    assert first["milliseconds"] > 0
    assert not [line for line in lines if line.get("path") in {"/livez", "/readyz"}]
    assert {line["logger"] for line in lines if line["level"] not in {"DEBUG", "INFO"}} == {"django.request"}


@pytest.mark.django_db(transaction=True)
def test_closed_database_connection_is_replaced(start: Callable[..., Server], question: Question) -> None:
    server = start(DATABASE_APPLICATION_NAME="dropped", WEB_CONCURRENCY="1", WEB_THREADS="1")
    assert server.get("/")[0] == 200
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE application_name = 'dropped'"
        )
        # The connection has been closed by then.
        assert cursor.fetchall() == [(True,)]
    assert server.get("/")[0] == 200


def test_missing_database_gives_503_page(start: Callable[..., Server], dead_database: dict[str, str]) -> None:
    server = start(**dead_database)
    status, headers, page = server.get("/")
    assert (status, headers["retry-after"]) == (503, "10")
    assert "We will be right back" in page
    asset = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert server.get(asset)[0] == 200
    assert server.get("/livez")[0] == 200
    status, _, reason = server.get("/readyz")
    assert (status, reason) == (503, "database unavailable\n")
    time.sleep(0.2)
    assert [line for line in server.lines() if line["message"].startswith("The database does not answer")]
    assert "Traceback" not in server.log.read_text()


def test_admin_path_from_environment(start: Callable[..., Server], dead_database: dict[str, str]) -> None:
    server = start(DJANGO_ADMIN_PATH="/back/office", **dead_database)
    assert "Polls administration" in server.get("/back/office/login/")[2]
    assert server.get("/admin/login/")[0] == 404


def test_https_behind_a_proxy(start: Callable[..., Server], dead_database: dict[str, str]) -> None:
    server = start(DJANGO_PUBLIC_URL="https://testserver", **dead_database)
    status, headers, _ = server.get("/polls/1/?a=b")
    assert (status, headers["location"]) == (301, "https://testserver/polls/1/?a=b")
    status, headers, _ = server.get("/", **{"X-Forwarded-Proto": "https"})
    assert status == 503
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert server.get("/livez")[0] == 200


@pytest.fixture
def silent_server() -> Iterator[dict[str, str]]:
    """Return the settings of a server that accepts connections and never responds, like a lost node."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield {"DATABASE_HOST": "localhost", "DATABASE_PORT": str(listener.getsockname()[1])}


def test_unresponsive_database_gives_503_page_quickly(
    start: Callable[..., Server], silent_server: dict[str, str]
) -> None:
    server = start(**silent_server, WEB_CONCURRENCY="1", WEB_THREADS="2", DATABASE_CONNECT_TIMEOUT="2")
    answers: list[tuple[int, float]] = []

    def ask() -> None:
        started = time.monotonic()
        status, headers, _ = server.get("/")
        assert headers["retry-after"] == "10"
        answers.append((status, time.monotonic() - started))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {503}
    assert len(answers) == 40
    # The first two attempts time out. All attempts in a row would take 40 seconds.
    assert max(seconds for _, seconds in answers) < 6
