# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lines for a terminal, a pipe, or a log: one that is updated in place, and those that stay."""

import os
import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

# Longer lines are hard to read, and output that is no terminal has no width.
_WIDEST = 78
_NARROWEST = 20
# Columns below which a part of a line says nothing.
_SHORTEST = 10
_ELLIPSIS = "..."
# Terminals that cannot move the cursor.
_DUMB = ("", "dumb", "unknown")
# Lines of a command's output that a failure shows; the log has all of them.
_MOST_DETAILS = 10
# A longer message has its reason at its end, where a user looks for it.
_LONGEST_MESSAGE = 4
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
# The last sentence of a line that ends with a colon, and what is before it.
_LABEL = re.compile(r"(?:(.*\.) )?([^.]*:|.*:)")
# A line of prose that announces the output of a command or a manifest, unlike a key of YAML.
_ANNOUNCEMENT = re.compile(r"[^\s-].* .*:")
_SENTENCE_END = re.compile(r"(?<=[.:]) (?=[A-Z])")
# The start of a next step, or its end.
_NEXT_STEP = re.compile(r"\brerun the \w|\b[Rr]un:? `?(?:make|scripts/|playbooks/|ansible-playbook)\b")
_PREFIX = re.compile(r"(?:(?:Task|Action|Module) failed: )+")
_PROGRESS = re.compile(r"  (?:(?P<label>.*?): )?(?P<seconds>\d+) s[,:] (?P<text>.*)")


class Screen:
    """Standard output: lines that stay, and, on a terminal, a last line that is overwritten."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.monotonic = stream, monotonic
        self.is_live = stream.isatty() and os.environ.get("TERM", "") not in _DUMB
        self.printed = monotonic()
        self.has_status = False
        self.is_closed = False

    @property
    def width(self) -> int:
        """The columns of a line that stays within the terminal."""
        if not self.stream.isatty():
            return _WIDEST
        try:
            columns = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        columns = columns or shutil.get_terminal_size().columns
        return max(_NARROWEST, min(columns - 1, _WIDEST))

    @property
    def silence(self) -> float:
        """How long no line has been printed, in seconds."""
        return self.monotonic() - self.printed

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        self.printed = self.monotonic()
        self._write(f"{text}\n")

    def status(self, text: str) -> None:
        """Update the last line of the terminal in place; elsewhere, print a line."""
        if self.is_live:
            self._write(f"\r{fit(text, self.width)}\x1b[K")
            self.has_status = True
        else:
            self.line(fit(text, self.width))

    def clear(self) -> None:
        """Remove the line that is updated in place."""
        if self.has_status:
            self.has_status = False
            self._write("\r\x1b[K")

    def clear_echo(self) -> None:
        """Remove what the terminal printed for a Ctrl-C, or leave its line."""
        if self.stream.isatty():
            self._write("\r\x1b[K" if self.is_live else "\n")

    def _write(self, text: str) -> None:
        """Write at once. A reader that has left, as `head` does, must not stop a deployment."""
        if self.is_closed:
            return
        # A name that is not valid UTF-8 must not stop it either.
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(encoding, errors="replace").decode(encoding))
            self.stream.flush()
        except OSError:
            self.is_closed = True
            # Python would write what is left in the buffer when it exits, and fail.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)


def plain(text: str) -> str:
    """Return a text without escape sequences and other characters that control a terminal."""
    return "".join(each for each in _ESCAPE.sub("", text) if each.isprintable() or each in "\n\t")


def without_controls(text: str) -> str:
    """Return a text without control characters. All others stay, because the text can be a password."""
    return "".join(each for each in text if each in "\n\t" or unicodedata.category(each) != "Cc")


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def fit(text: str, width: int) -> str:
    """Return a text in one line, shortened to a number of columns."""
    text = " ".join(plain(text).split("\n")).rstrip()
    if columns_of(text) <= width:
        return text
    while text and columns_of(text) > width - len(_ELLIPSIS):
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


def row(mark: str, title: str, seconds: float, width: int) -> str:
    """Return the line of a step that has ended, without its mark, which may get a color."""
    time_taken = f"{seconds:.1f} s"
    room = width - len(mark) - len(time_taken) - 1
    title = fit(title, room)
    return title + " " * (room - columns_of(title) + 1) + time_taken


def status_of(seconds: float, parts: Sequence[str], width: int) -> str:
    """Return the line of a step that goes on: how long it has taken, and parts of which the last matters most."""
    head = f"{f'{seconds:.0f} s':>7}  "
    room = width - len(head)
    parts = [part for part in dict.fromkeys(parts) if part]
    while len(parts) > 1 and columns_of(": ".join(parts)) > room:
        rest = room - columns_of(f": {parts[-1]}")
        if len(parts) > 2 or rest < _SHORTEST:
            parts.pop(0)
        else:
            parts = [fit(parts[0], rest), parts[-1]]
    return head + fit(": ".join(parts), room)


def progress_of(text: str) -> tuple[str, str] | None:
    """Return the label and the text of a task's progress line; None if a text is no such line."""
    found = _PROGRESS.fullmatch(text.rstrip("\n"))
    return (found["label"] or "", found["text"]) if found else None


def arranged(message: str) -> tuple[list[str], list[str]]:
    """Return the details of an error, and the lines that must be read: the thing, the reason, and the next step.

    The output of a command or a manifest follows a line that ends with a colon. It comes first, because the last lines
    are those that a user sees.
    """
    lines = [line.rstrip() for line in _PREFIX.sub("", plain(message), count=1).strip().splitlines()]
    if len(lines) <= _LONGEST_MESSAGE:
        return [], lines
    colon = next((index for index, line in enumerate(lines) if _ANNOUNCEMENT.fullmatch(line)), None)
    if colon is None:
        label, head, tail = "", lines[:_LONGEST_MESSAGE], lines[_LONGEST_MESSAGE:]
    else:
        head, tail = lines[:colon], lines[colon + 1 :]
        thing, label = _LABEL.fullmatch(lines[colon]).groups()
        if thing or not head:
            head.append(thing or f"{label[:-1]}.")
            label = label if thing else ""
    head, tail, step = _without_step(head, [*filter(None, [label]), *tail])
    label = label if tail[:1] == [label] else ""
    details = [*filter(None, [label]), *tail[bool(label) :][-_MOST_DETAILS:]]
    return [*head[_LONGEST_MESSAGE - len(step) :], *details], [*head[: _LONGEST_MESSAGE - len(step)], *step]


def _without_step(head: list[str], tail: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the first lines and the others without the next step, and the next step if a user would not see it."""
    if any(map(_NEXT_STEP.search, head[:_LONGEST_MESSAGE])):
        return head, tail, []
    for lines in (tail, head):
        for index, line in reversed([*enumerate(lines)]):
            sentences = _SENTENCE_END.split(line.strip())
            first = next((number for number, text in enumerate(sentences) if _NEXT_STEP.search(text)), None)
            if first is not None:
                # The last line says first that nothing was changed.
                first = 0 if index == len(lines) - 1 and line[0].isupper() else first
                rest = " ".join(sentences[:first])
                lines[index : index + 1] = [rest] if rest else []
                step = " ".join(sentences[first:])
                return head, tail, [f"{step[:-1]}." if step.endswith(":") else step]
    return head, tail, []
