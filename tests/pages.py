"""Blocks of commands in the pages of the documentation, for the tests that check and run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
# Pages whose commands are run by tests/docs.
RUN = ("README.md", "docs/getting-started.md")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: (\S.+?) -->\n *$")


class Block(NamedTuple):
    """A block of commands in a page."""

    page: str
    code: str
    # Why the block isn't run, or nothing.
    reason: str

    @property
    def lines(self) -> list[str]:
        """Return the lines that a reader copies."""
        return self.code.splitlines()


def blocks(page: Path) -> list[Block]:
    """Return the blocks of commands in a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        if match["language"] in ("bash", "console", "sh"):
            lines = [line.removeprefix(match["indent"]) for line in match["code"].splitlines()]
            reason = NOT_RUN.search(text[: match.start()])
            found.append(Block(str(page.relative_to(PROJECT)), "\n".join(lines), reason[1] if reason else ""))
    return found


def session() -> list[str]:
    """Return the commands of the first pages, in the order in which one shell can run them.

    A command that both pages have runs once, except `make up`, which applies changes. `make down` runs at the end,
    because the pages show it before other commands.
    """
    lines = [line for page in RUN for block in blocks(PROJECT / page) if not block.reason for line in block.lines]
    repeated = [line for index, line in enumerate(lines) if line == "make up" or line not in lines[:index]]
    return [line for line in repeated if line != "make down"] + ["make down"] * ("make down" in lines)
