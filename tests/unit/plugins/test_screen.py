"""Lines for a terminal or a pipe, and the order of the lines of an error."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Screen as Destination
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.report import report
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import command, validation
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.screen import (
    Screen,
    arranged,
    columns_of,
    fit,
    plain,
    progress_of,
    row,
    status_of,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_status_is_updated_in_place_on_a_terminal(terminal: Terminal) -> None:
    screen = Screen(terminal)
    screen.status("1 s")
    screen.status("2 s")
    screen.line("done")
    assert terminal.getvalue() == "\r1 s\x1b[K\r2 s\x1b[K\r\x1b[Kdone\n"


def test_status_never_wraps(terminal: Terminal) -> None:
    Screen(terminal).status("x" * 100)
    assert terminal.getvalue() == f"\r{'x' * 36}...\x1b[K"


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_terminal_without_a_cursor_gets_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    screen = Screen(terminal)
    screen.status("1 s")
    screen.line("done")
    assert terminal.getvalue() == "1 s\ndone\n"


def test_pipe_gets_lines_of_a_fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    screen = Screen(stream)
    screen.status("x" * 100)
    assert stream.getvalue() == f"{'x' * 75}...\n"


def test_reader_that_leaves_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        screen = Screen(stream)
        screen.line("first")
        screen.line("second")
        assert screen.is_closed


@pytest.mark.parametrize(("encoding", "line"), [("utf-8", "é?"), ("ascii", "??")])
def test_characters_that_the_screen_lacks_are_replaced(encoding: str, line: str) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding)
    Screen(stream).line("é\udcff")
    assert buffer.getvalue().decode(encoding) == f"{line}\n"


def test_silence_is_measured_from_the_last_line() -> None:
    times = iter([100.0, 104.0, 104.0, 111.0])
    screen = Screen(io.StringIO(), lambda: next(times))
    assert screen.silence == 4
    screen.line("a line")
    assert screen.silence == 7


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("Deploy PostgreSQL", 17, "Deploy PostgreSQL"),
        ("Deploy PostgreSQL", 16, "Deploy Postgr..."),
        ("two\nlines", 20, "two lines"),
        ("\x1b[31mred\x1b[0m\r\x07 text", 20, "red text"),
        ("漢字漢字", 7, "漢字..."),
        ("漢字漢字", 8, "漢字漢字"),
    ],
)
def test_text_fits(text: str, width: int, expected: str) -> None:
    assert fit(text, width) == expected


@pytest.mark.parametrize("width", [39, 78])
@pytest.mark.parametrize("title", ["Web", "Provide the builds from package mirrors", "漢字" * 30])
def test_row_has_the_width_of_the_screen(title: str, width: int) -> None:
    text = "changed  " + row("changed  ", title, 1234.56, width)
    assert columns_of(text) == width
    assert text.endswith(" 1234.6 s")


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (78, "   62 s  Provide the builds: Compile Kubernetes and etcd: 120 of about 3200"),
        (60, "   62 s  Compile Kubernetes and etcd: 120 of about 3200"),
        (40, "   62 s  Compile K...: 120 of about 3200"),
        (30, "   62 s  120 of about 3200"),
        (20, "   62 s  120 of a..."),
    ],
)
def test_status_keeps_the_count_on_a_narrow_screen(width: int, expected: str) -> None:
    parts = ("Provide the builds", "Compile Kubernetes and etcd", "120 of about 3200")
    assert status_of(62.4, parts, width) == expected
    assert status_of(3, ("Web", "Web"), width) == "    3 s  Web"


@contextmanager
def printed() -> Iterator[list[str]]:
    """Collect the lines of waits."""
    lines: list[str] = []
    Destination.show = lines.append
    try:
        yield lines
    finally:
        Destination.show = None


def test_progress_lines_of_the_plugins_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with printed() as lines:
        times = iter([0.0, 12.0, 12.0, 12.0])
        Pace(lambda: next(times)).tell("waiting for pod web-1: pulling")
        monkeypatch.setattr(command.display, "display", lines.append)
        options: dict[str, Any] = {"label": "Image a:b", "interval": 0, "total": 20, "count": "x"}
        progress = command.Progress(options)
        progress.feed("x")
        progress.show()
    assert [progress_of(line) for line in lines] == [
        ("", "waiting for pod web-1: pulling"),
        ("Image a:b", "1 of about 20"),
    ]
    assert progress_of("Site: http://127.0.0.1") is None


def test_escape_sequences_are_removed() -> None:
    assert plain("\x1b[0;31mFailed\x1b[0m\x1b]\x07: a\tb\r\n") == "Failed: a\tb\n"


SENTENCE = "Node image failed with exit code 1: E: no space. The full log is in /x/y.log."


@pytest.mark.parametrize(
    ("message", "details", "lines"),
    [
        ("Task failed: Action failed: A is missing. Create it.", [], ["A is missing. Create it."]),
        (
            "\n".join([f"{SENTENCE} It ended with:", *map(str, range(20))]),
            ["It ended with:", *map(str, range(10, 20))],
            [SENTENCE],
        ),
        (
            "\n".join([SENTENCE, "Free some space. The reason: no space", "It ended with:", *map(str, range(20))]),
            ["It ended with:", *map(str, range(10, 20))],
            [SENTENCE, "Free some space. The reason: no space"],
        ),
        (
            "\n".join(["Validation of arguments failed:", *"abcdef", "Correct this, then rerun the playbook."]),
            [*"abcdef"],
            ["Validation of arguments failed.", "Correct this, then rerun the playbook."],
        ),
        (
            "Validation of arguments failed:\na\nCorrect this, then rerun the playbook.",
            [],
            ["Validation of arguments failed:", "a", "Correct this, then rerun the playbook."],
        ),
        ("a\nb\nc\nd\ne", ["e"], ["a", "b", "c", "d"]),
        ("", [], []),
    ],
)
def test_reason_follows_the_details(message: str, details: list[str], lines: list[str]) -> None:
    assert arranged(message) == (details, lines)


LONG = [f"line {number} of 30: a value" for number in range(30)]
STUCK = [f"Deployment {name} is stuck: no image. Push the image, {AGAIN}." for name in ("web", "worker")]
# The longest messages of the collection.
LONG_MESSAGES = {
    "rollout": report(STUCK[:1], LONG, LONG, "pod web-1"),
    "rollouts": report(STUCK, LONG, LONG, "pod web-1"),
    "arguments": validation.message(LONG),
    "arguments of a role": validation.message(LONG, "web"),
    "manifest": str(
        ApiError("Role web", "may not be changed", f"Grant these permissions, {AGAIN}:\n" + "\n".join(LONG))
    ),
    "reason of several lines": str(ApiError("Role web", "is invalid: " + "\n".join(LONG), f"Correct it, {AGAIN}")),
}


@pytest.mark.parametrize("message", LONG_MESSAGES.values(), ids=LONG_MESSAGES)
def test_next_step_of_a_long_message_is_in_the_last_lines(message: str) -> None:
    details, lines = arranged(message)
    assert AGAIN in " ".join(lines).replace("Correct them, ", "")
    assert len(lines) <= 4
    assert AGAIN not in " ".join(details)
    assert details[-1].strip().startswith(LONG[-1])
