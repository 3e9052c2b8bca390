# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""YAML with comments. All text of a project is data: Ansible must not template it, and no comment may end early."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

WIDTH = 120
# Ansible would run the expressions in a text of the project.
TEMPLATE = ("{{", "{%", "{#")


class Unsafe(str):
    """A string that Ansible does not template."""


class _Dumper(yaml.SafeDumper):
    """Dumper that marks text of the project."""


_Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style="'"))


def guarded(value: Any) -> Any:
    """Return a value whose strings Ansible does not template."""
    if isinstance(value, str):
        return Unsafe(value) if any(mark in value for mark in TEMPLATE) else value
    if isinstance(value, Mapping):
        return {str(key): guarded(inner) for key, inner in value.items()}
    if isinstance(value, Iterable):
        return [guarded(inner) for inner in value]
    return value


def flow(value: Any) -> str:
    """Return a value on one line."""
    text = yaml.dump(
        guarded(value), Dumper=_Dumper, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def plain(text: str) -> str:
    """Return a text on one line, for a comment."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(text)).strip()


class Page:
    """A file of YAML that is written from top to bottom."""

    def __init__(self) -> None:
        self.lines: list[str] = ["---"]

    def comment(self, text: str, indent: str = "") -> None:
        """Add a comment, on as many lines as it needs."""
        line = f"{indent}#"
        for word in plain(text).split():
            if len(line) + 1 + len(word) > WIDTH and line != f"{indent}#":
                self.lines.append(line)
                line = f"{indent}#"
            line = f"{line} {word}"
        self.lines.append(line)

    def gap(self) -> None:
        """Add an empty line."""
        if self.lines[-1]:
            self.lines.append("")

    def title(self, text: str) -> None:
        """Begin a section."""
        self.gap()
        self.lines.append(f"# --- {text} {'-' * max(3, WIDTH - 8 - len(text))}")

    def raw(self, text: str) -> None:
        """Add lines as they are."""
        self.lines += text.splitlines()

    def set(self, name: str, value: Any, comment: str = "", is_active: bool = True) -> None:
        """Add a variable with its comment; one that is not in effect is a comment itself."""
        if comment:
            self.comment(comment)
        line = f"{name}: {flow(value)}"
        if isinstance(value, Mapping | list) and len(line) > WIDTH and value:
            self._long(name, value, is_active)
        else:
            self.lines.append(line if is_active else f"# {plain(line)}")

    def _long(self, name: str, value: Any, is_active: bool) -> None:
        start = "" if is_active else "# "
        self.lines.append(f"{start}{name}:")
        entries = [f"{flow(key)}: {flow(each)}" for key, each in value.items()] if isinstance(value, Mapping) else [
            f"- {flow(each)}" for each in value
        ]  # fmt: skip
        self.lines += [f"{start}  {plain(entry)}" for entry in entries]

    def entry(self, name: str, value: Any, comment: str, is_active: bool = True) -> None:
        """Add an entry of a dictionary, with its comment after it, or above it if the line is long."""
        line = f"{name}: {flow(value)}"
        start = "  " if is_active else "  # "
        if len(start + line) + len(comment) + 4 > WIDTH + 20:
            self.comment(comment, "  ")
            self.lines.append(start + plain(line))
        else:
            self.lines.append(f"{start}{plain(line)}  # {plain(comment)}")

    def block(self, name: str, lines: Iterable[str], comment: str = "") -> None:
        """Add a variable with a text of several lines."""
        if comment:
            self.comment(comment)
        self.lines.append(f"{name}: |")
        self.lines += [f"  {line}" if line else "" for line in lines]

    def number(self, start: str) -> int:
        """Return the number of the first line that begins with a text; 0 for none."""
        return next((index for index, line in enumerate(self.lines, 1) if line.startswith(start)), 0)

    @property
    def text(self) -> str:
        """The whole file."""
        return "\n".join(self.lines).rstrip("\n") + "\n"
