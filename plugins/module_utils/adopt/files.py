# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Files of a project, which are read and never imported or run."""

import ast
import json
import os
import stat
import tomllib
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.errors import AdoptError

# Directories that hold no code of the project.
SKIPPED = frozenset(
    {"__pycache__", "node_modules", "site-packages", "bower_components", "htmlcov", "staticfiles", "venv", "virtualenv"}
)
# A larger file is data, and a project with more files is no directory of one project.
LARGEST_FILE = 1_000_000
MOST_FILES = 30_000


class Tree:
    """The files of a project below its root, with notes about those that cannot be read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self._texts: dict[PurePosixPath, str] = {}
        self._modules: dict[PurePosixPath, ast.Module | None] = {}

    @cached_property
    def files(self) -> list[PurePosixPath]:
        """Paths of all regular files, relative to the root, those near it first."""
        found = sorted(self._walk(), key=lambda path: (len(path.parts), str(path)))
        if len(found) > MOST_FILES:
            raise AdoptError(
                f"{self.root}",
                f"has more than {MOST_FILES:,} files",
                "Set PROJECT to the directory of one Django project, then rerun the command",
            )
        return found

    def _walk(self) -> Iterator[PurePosixPath]:
        number = 0

        def unreadable(error: OSError) -> None:
            self.notes.append(f"{self._relative(error.filename)} can't be read: {error.strerror}. It was skipped.")

        for directory, below, names in os.walk(self.root, onerror=unreadable):
            # A hidden directory has tools and caches, not code. A virtual environment can have any name.
            below[:] = sorted(
                name
                for name in below
                if name not in SKIPPED
                and not name.startswith(".")
                and not (Path(directory) / name / "pyvenv.cfg").exists()
            )
            for name in sorted(names):
                path = Path(directory) / name
                if _is_regular(path):
                    yield self._relative(path)
                    number += 1
            if number > MOST_FILES:
                return

    def _relative(self, path: str | Path) -> PurePosixPath:
        return PurePosixPath(Path(path).relative_to(self.root).as_posix())

    def named(self, *patterns: str) -> list[PurePosixPath]:
        """Return the files that match one of the patterns of PurePath.match."""
        return [path for path in self.files if any(path.match(pattern) for pattern in patterns)]

    def has(self, path: PurePosixPath | str) -> bool:
        """Return whether the project has a regular file at a path."""
        return _is_regular(self.root / path)

    def text(self, path: PurePosixPath | str) -> str:
        """Return the text of a file; empty for one that cannot be read, which is noted once."""
        path = PurePosixPath(path)
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: PurePosixPath) -> str:
        try:
            if (self.root / path).stat().st_size > LARGEST_FILE:
                self.notes.append(f"{path} is larger than {LARGEST_FILE:,} bytes. It was skipped.")
                return ""
            return (self.root / path).read_text(encoding="utf-8-sig")
        except OSError as error:
            self.notes.append(f"{path} can't be read: {error.strerror}. It was skipped.")
        except ValueError:
            self.notes.append(f"{path} is not UTF-8. It was skipped.")
        return ""

    def python(self, path: PurePosixPath) -> ast.Module | None:
        """Return the syntax tree of a Python file; None for one with the syntax of Python 2, or with none."""
        if path not in self._modules:
            self._modules[path] = self._parse(path)
        return self._modules[path]

    def _parse(self, path: PurePosixPath) -> ast.Module | None:
        try:
            with warnings.catch_warnings():
                # The project's invalid escapes concern its developers only.
                warnings.simplefilter("ignore")
                return ast.parse(self.text(path))
        except SyntaxError as error:
            self.notes.append(f"{path} has no syntax of Python 3 (line {error.lineno}: {error.msg}). It was skipped.")
        except (ValueError, RecursionError, MemoryError):
            self.notes.append(f"{path} can't be parsed. It was skipped.")
        return None

    def toml(self, path: PurePosixPath | str) -> dict[str, Any]:
        """Return the content of a TOML file; empty for none."""
        return self._data(path, "TOML", tomllib.loads)

    def json(self, path: PurePosixPath | str) -> dict[str, Any]:
        """Return the content of a JSON file; empty for none."""
        return self._data(path, "JSON", json.loads)

    def yaml(self, path: PurePosixPath | str) -> dict[str, Any]:
        """Return the content of a YAML file; empty for none."""
        return self._data(path, "YAML", _yaml)

    def _data(self, path: PurePosixPath | str, language: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        text = self.text(path) if self.has(path) else ""
        if not text:
            return {}
        try:
            found = parse(text)
        except (ValueError, yaml.YAMLError, RecursionError):
            self.notes.append(f"{path} is no valid {language}. It was skipped.")
            return {}
        return found if isinstance(found, dict) else {}


class _Loader(yaml.SafeLoader):
    """Loader that takes the tags of other programs, such as those of Docker Compose, for plain values."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _plain)


def _yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


def _is_regular(path: Path) -> bool:
    """Return whether a path is a file, or a link to one. Opening a pipe would block."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
