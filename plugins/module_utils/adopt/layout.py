# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Layout of a project: its management command, its server modules, and its settings module."""

import ast
import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.errors import AdoptError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.syntax import default_settings

# Last names of modules for a developer's machine, and of those for a server, the likelier ones first.
DEVELOPMENT = frozenset({"dev", "develop", "development", "local", "base", "common", "test", "testing", "debug", "ci"})
PRODUCTION = ("production", "prod", "deploy", "deployment", "live", "docker", "heroku", "server")
# Directories of tests and examples, whose projects are not the project.
BESIDE = frozenset({"tests", "test", "testing", "docs", "doc", "examples", "example", "sandbox", "demo", "benchmarks"})


@dataclass(frozen=True)
class Layout:
    """The parts of a project that every Django project has."""

    # Directory of Python's imports, relative to the root.
    directory: PurePosixPath
    # The management command, with paths relative to the root; empty if the project has none.
    manage: tuple[str, ...]
    manage_source: str
    # Modules with the callable `application`; empty for none.
    wsgi: str
    asgi: str
    # DJANGO_SETTINGS_MODULE, and where it was found; empty if the project sets it in its own way.
    settings: str
    settings_source: str
    notes: tuple[str, ...] = ()


def module_file(tree: Tree, directory: PurePosixPath, module: str) -> PurePosixPath | None:
    """Return the file of a module; None if it is not one of the project."""
    path = PurePosixPath(*module.split("."))
    for start in dict.fromkeys([directory, PurePosixPath("."), PurePosixPath("src")]):
        for file in (start / path / "__init__.py", start / path.with_suffix(".py")):
            if tree.has(file):
                return file
    return None


def module_name(directory: PurePosixPath, file: PurePosixPath) -> str:
    """Return the name that a file below a directory has for imports."""
    parts = file.with_suffix("").parts
    return ".".join(parts[len(directory.parts) :] if file.is_relative_to(directory) else parts)


def layout(tree: Tree, environment: dict[str, str]) -> Layout:
    """Return the layout of a project. Raises AdoptError if it is none of Django.

    Args:
        environment: the names that the image of the project sets.
    """
    managers = list(_managers(tree))
    scripts = [] if managers else list(_scripts(tree))
    modules = list(_modules(tree))
    servers = {kind: [path for path, name in modules if name == kind] for kind in ("wsgi", "asgi")}
    served = (servers["wsgi"] or servers["asgi"])[:1]
    if not (managers or scripts or served):
        raise AdoptError(
            str(tree.root),
            "has no manage.py, no console script, and no wsgi.py",
            "Set PROJECT to the directory of a Django project, then rerun the command",
        )
    directory, manage, source = _manage(managers, scripts, served)
    inside = {kind: _nearest(directory, paths) for kind, paths in servers.items()}
    first = [path for path in (inside["wsgi"], inside["asgi"], *managers[:1]) if path]
    settings, settings_source = _settings(tree, directory, first + [path for path, _ in scripts], environment)
    notes = [f"{path} is another management command. The inventory uses {managers[0]}." for path in managers[1:]]
    names = {kind: module_name(directory, path) if path else "" for kind, path in inside.items()}
    return Layout(
        directory, manage, source, names["wsgi"], names["asgi"], settings, settings_source, notes=tuple(notes)
    )


def _manage(
    managers: list[PurePosixPath], scripts: list[tuple[PurePosixPath, tuple[str, ...]]], served: list[PurePosixPath]
) -> tuple[PurePosixPath, tuple[str, ...], str]:
    """Return the directory of imports, the management command, and where it was found."""
    if managers:
        return managers[0].parent, ("python", str(managers[0])), str(managers[0])
    if scripts:
        path, command = scripts[0]
        return PurePosixPath("src") if path.parts[0] == "src" else PurePosixPath("."), command, str(path)
    # The module of the server is in the project's package.
    return served[0].parent.parent, (), str(served[0])


def _managers(tree: Tree) -> Iterator[PurePosixPath]:
    """Yield the management commands of Django, those near the root first."""
    found = [path for path in tree.named("manage.py") if "django" in tree.text(path).lower()]
    yield from sorted(found, key=lambda path: (bool(BESIDE & set(path.parts)), len(path.parts)))


def _scripts(tree: Tree) -> Iterator[tuple[PurePosixPath, tuple[str, ...]]]:
    """Yield the file and the command of each console script or package that runs management commands."""
    for path in tree.named("*/__main__.py"):
        if "execute_from_command_line" in tree.text(path):
            module = module_name(PurePosixPath("src" if path.parts[0] == "src" else "."), path.parent / "x.py")
            yield path, ("python", "-m", module.removesuffix(".x"))
    for name, target in _entry_points(tree):
        file = module_file(tree, PurePosixPath("."), target.partition(":")[0].strip())
        if file and re.search(r"execute_from_command_line|ManagementUtility|DJANGO_SETTINGS_MODULE", tree.text(file)):
            yield file, (name,)


def _entry_points(tree: Tree) -> Iterator[tuple[str, str]]:
    data = tree.toml("pyproject.toml")
    for scripts in (data.get("project", {}).get("scripts"), data.get("tool", {}).get("poetry", {}).get("scripts")):
        yield from ((name, target) for name, target in (scripts or {}).items() if isinstance(target, str))
    if tree.has("setup.cfg"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(tree.text("setup.cfg"))
        except configparser.Error:
            return
        lines = parser.get("options.entry_points", "console_scripts", fallback="").splitlines()
        yield from (
            (name.strip(), target.strip()) for name, _, target in (line.partition("=") for line in lines) if target
        )


def _modules(tree: Tree) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield the files that serve the project, and their kind."""
    for path in tree.named("wsgi.py", "asgi.py"):
        if not BESIDE & set(path.parts[:-1]) and re.search(r"get_[aw]sgi_application|django", tree.text(path)):
            yield path, path.stem


def _nearest(directory: PurePosixPath, paths: list[PurePosixPath]) -> PurePosixPath | None:
    return next((path for path in paths if path.is_relative_to(directory)), next(iter(paths), None))


def _settings(
    tree: Tree, directory: PurePosixPath, files: list[PurePosixPath], environment: dict[str, str]
) -> tuple[str, str]:
    """Return the settings module, and where it was found."""
    if module := environment.get("DJANGO_SETTINGS_MODULE", ""):
        return module, "Dockerfile"
    empty: tuple[str, str] = ("", "")
    for file in files:
        syntax = tree.python(file)
        if syntax and (module := default_settings(syntax)):
            path = module_file(tree, directory, module)
            # Another file can name a module in the package.
            if path and _is_empty(tree, path) and not empty[0]:
                empty = (_for_servers(tree, directory, module) or module, str(file))
                continue
            if other := _for_servers(tree, directory, module):
                return other, f"beside {module} of {file}"
            return module, str(file)
    if empty[0]:
        return empty
    for path in tree.named("settings.py", "settings/__init__.py"):
        if path.is_relative_to(directory) and not BESIDE & set(path.parts):
            package = path.parent / "x.py" if path.name == "__init__.py" else path
            return module_name(directory, package).removesuffix(".x"), str(path)
    return "", ""


def _is_empty(tree: Tree, path: PurePosixPath) -> bool:
    """Return whether a file only makes its directory a package."""
    syntax = tree.python(path) if path.name == "__init__.py" else None
    return syntax is not None and all(isinstance(node, ast.Expr) for node in syntax.body)


def _for_servers(tree: Tree, directory: PurePosixPath, module: str) -> str:
    """Return the settings module for servers that is beside one for developers; empty for none."""
    package, _, last = module.rpartition(".")
    file = module_file(tree, directory, module)
    if last not in DEVELOPMENT:
        # A package without content only groups the modules in it.
        if not file or not _is_empty(tree, file):
            return ""
        package = module
    beside = [f"{package}.{name}" if package else name for name in PRODUCTION]
    return next((name for name in beside if module_file(tree, directory, name)), "")
