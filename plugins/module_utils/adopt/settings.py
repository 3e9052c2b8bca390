# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Settings of a project: the files that a settings module consists of, and the values that matter for a site."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.evaluate import Evaluator
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.layout import Layout, module_file
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.names import Name, Reader, merged, wrappers
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.syntax import dotted, strings, text_of

# Storages that keep uploads on another server.
REMOTE_STORAGES = ("s3", "gcloud", "azure", "dropbox", "google", "libcloud", "cloudinary", "swift", "minio")
# Directories without code that runs in the site.
NOT_RUN = frozenset({"tests", "test", "testing", "docs", "doc", "scripts", "examples", "e2e", "benchmarks", "fixtures"})
NOT_RUN_FILES = frozenset(
    {"setup.py", "conftest.py", "fabfile.py", "tasks.py", "noxfile.py", "manage.py", "pavement.py"}
)


@dataclass
class Settings:
    """The facts about a site in the settings of its project."""

    files: list[PurePosixPath]
    evaluated: Evaluator
    names: dict[str, Name] = field(default_factory=dict)
    # Files and lines that read the environment.
    places: set[tuple[str, int]] = field(default_factory=set)

    def value(self, name: str) -> Any:
        """Return the value of a setting; None if it is not set, UNKNOWN if it is not known."""
        return self.evaluated.value(name)

    def text(self, name: str) -> str:
        """Return a setting that is a string; empty for another value."""
        value = self.value(name)
        return value if isinstance(value, str) else ""

    def words(self, name: str) -> list[str]:
        """Return the strings of a setting in all of its branches."""
        lists = [value for value in self.evaluated.values(name) if isinstance(value, list)]
        return [each for value in lists for each in value if isinstance(each, str)]

    def is_from_environment(self, name: str) -> bool:
        """Return whether a setting depends on the environment in one of its branches, itself or by a variable."""
        return self._depends(name, set())

    def _depends(self, name: str, seen: set[str]) -> bool:
        seen.add(name)
        for each in self.evaluated.history.get(name, []):
            lines = range(each.node.lineno, (each.node.end_lineno or each.node.lineno) + 1)
            if any((str(each.file), line) in self.places for line in lines):
                return True
            variables = {node.id for node in ast.walk(each.node) if isinstance(node, ast.Name)} - seen
            if any(self._depends(variable, seen) for variable in sorted(variables)):
                return True
        return False

    @property
    def apps(self) -> list[str]:
        """Installed applications."""
        return self.words("INSTALLED_APPS")

    @property
    def engines(self) -> set[str]:
        """Database engines in all branches, as the last part of their names."""
        found = set()
        for each in self.evaluated.history.get("DATABASES", []):
            for text in strings(each.node):
                if ".backends." in text or text.startswith("sqlite:"):
                    found.add("sqlite3" if text.startswith("sqlite:") else text.rpartition(".")[2])
        return found

    @property
    def has_whitenoise(self) -> bool:
        """Whether WhiteNoise serves static files."""
        return any("whitenoise" in each.lower() for each in self.words("MIDDLEWARE"))

    @property
    def storages(self) -> list[str]:
        """Storage classes of uploads in all branches."""
        found = [value for value in self.evaluated.values("DEFAULT_FILE_STORAGE") if isinstance(value, str)]
        for value in self.evaluated.values("STORAGES"):
            default = value.get("default") if isinstance(value, dict) else None
            backend = default.get("BACKEND") if isinstance(default, dict) else None
            found += [backend] if isinstance(backend, str) else []
        return found

    @property
    def has_remote_uploads(self) -> bool:
        """Whether uploads are stored by another server in each case."""
        return bool(self.storages) and all(
            any(name in each.lower() for name in REMOTE_STORAGES) for each in self.storages
        )

    @property
    def has_hashed_statics(self) -> bool:
        """Whether pages fail as long as static files are not collected."""
        texts = [value for value in self.evaluated.values("STATICFILES_STORAGE") if isinstance(value, str)]
        for value in self.evaluated.values("STORAGES"):
            texts += [str(value.get("staticfiles"))] if isinstance(value, dict) else []
        return any("Manifest" in text for text in texts)

    @property
    def log_files(self) -> dict[str, str]:
        """Files that the handlers of LOGGING write to, by the names of the handlers."""
        logging = self.value("LOGGING")
        handlers = logging.get("handlers") if isinstance(logging, dict) else None
        found = handlers.items() if isinstance(handlers, dict) else []
        files = {str(name): each.get("filename") for name, each in found if isinstance(each, dict)}
        return {name: file for name, file in files.items() if isinstance(file, str) and file.startswith("/")}


def settings(tree: Tree, found: Layout, root: PurePosixPath) -> Settings:
    """Read the settings module of a project, with the modules that it imports everything from.

    Args:
        root: the directory of the project in the image.
    """
    files: list[PurePosixPath] = []
    evaluated = Evaluator(root)
    if found.settings and (start := module_file(tree, found.directory, found.settings)):
        _include(tree, found, start, files, evaluated)
    result = Settings(files, evaluated)
    trees = {path: syntax for path in _code(tree, found, files) if (syntax := tree.python(path))}
    readers = wrappers(trees.values())
    names = [name for path, syntax in trees.items() for name in Reader(str(path), syntax, readers).names()]
    result.places = {(name.file, name.line) for name in names}
    result.names = merged(names)
    return result


def _include(tree: Tree, found: Layout, file: PurePosixPath, files: list[PurePosixPath], evaluated: Evaluator) -> None:
    """Take in a file of the settings after those that it imports."""
    syntax = tree.python(file)
    if file in files or syntax is None:
        return
    files.append(file)
    for other in _imported(tree, found, file, syntax):
        _include(tree, found, other, files, evaluated)
    evaluated.run(file, syntax)


def _imported(tree: Tree, found: Layout, file: PurePosixPath, syntax: ast.Module) -> Iterator[PurePosixPath]:
    """Yield the files of the project that a file of the settings imports from."""
    for node in ast.walk(syntax):
        if isinstance(node, ast.ImportFrom):
            directory = found.directory
            if node.level:
                directory = file.parents[node.level - 1]
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            for module in modules:
                other = module_file(tree, directory, module)
                if other and (not node.level or other.is_relative_to(directory)):
                    yield other
        # django-split-settings
        elif isinstance(node, ast.Call) and dotted(node.func) == "include":
            for pattern in map(text_of, node.args):
                yield from (path for path in tree.named(str(file.parent / pattern)) if pattern and path.suffix == ".py")


def _code(tree: Tree, found: Layout, files: list[PurePosixPath]) -> Iterator[PurePosixPath]:
    """Yield the files of the settings, then other code of the site that reads the environment."""
    yield from files
    beside = {path.parent for path in files if path.name != "__init__.py"} if len(files) > 1 else set()
    for path in tree.named("*.py"):
        if path in files or not path.is_relative_to(found.directory):
            continue
        is_run = (
            not NOT_RUN & set(path.parts[:-1]) and path.name not in NOT_RUN_FILES and "migrations" not in path.parts
        )
        # Settings of developers and of tests are in the same directory.
        is_run = is_run and path.parent not in beside and not path.name.startswith("test_")
        if is_run and re.search("environ|getenv", tree.text(path)):
            yield path
