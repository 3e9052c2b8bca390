# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Paths of a project's site: its health check, its admin, and its login page."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.layout import Layout, module_file
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.settings import Settings
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.syntax import calls, dotted, text_of

# Paths that only tell whether the site works, those that check more first.
HEALTH = re.compile(
    r"^(readyz|readiness|ready|-/readiness|health[\w-]*|ht|livez|-/healthy|status|ping|up|_health|version)/?$"
)
ORDER = ("ready", "health", "ht", "_health", "livez", "-/", "status", "ping", "up", "version")
MOST_FILES = 60


@dataclass(frozen=True)
class Ready:
    """The path of the readiness probe, and where it was found."""

    path: str
    source: str


def ready(tree: Tree, found: Layout, settings: Settings) -> Ready:
    """Return the path of a page that answers with 200 without a login."""
    routes = list(_routes(tree, _start(tree, found, settings), ""))
    health = [(route, place) for route, place, _ in routes if HEALTH.match(route.lstrip("/"))]
    if health:
        route, place = min(health, key=lambda each: _rank(each[0]))
        return Ready(f"/{route.lstrip('/')}", place)
    for route, place, target in routes:
        if target.endswith("site.urls"):
            return Ready(f"/{route.lstrip('/')}login/", f"the admin in {place}")
    for route, place, _ in routes:
        if re.fullmatch(r"([\w-]+/)?(login|sign-?in)/?", route):
            return Ready(f"/{route}", f"the login page in {place}")
    login = settings.text("LOGIN_URL")
    if login.startswith("/"):
        return Ready(login, "LOGIN_URL")
    return Ready("/", "a guess, because no health check, admin, or login page was found")


def _rank(route: str) -> int:
    return next((index for index, start in enumerate(ORDER) if route.lstrip("/").startswith(start)), len(ORDER))


def _start(tree: Tree, found: Layout, settings: Settings) -> PurePosixPath | None:
    urls = settings.text("ROOT_URLCONF")
    if urls and (file := module_file(tree, found.directory, urls)):
        return file
    return next((path for path in tree.named("urls.py") if path.is_relative_to(found.directory)), None)


def _routes(tree: Tree, start: PurePosixPath | None, prefix: str, depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield route, place, and target of each URL pattern, also of included modules."""
    syntax = tree.python(start) if start else None
    if start is None or syntax is None or depth > 3:
        return
    for call in calls(syntax, "path", "re_path", "url"):
        if len(call.args) < 2:
            continue
        route = _route(call)
        target = call.args[1]
        place = f"{start}:{call.lineno}"
        if isinstance(target, ast.Call) and dotted(target.func).endswith("include") and target.args:
            included = text_of(target.args[0])
            # The application django-health-check answers at its root.
            if included.startswith("health_check") and route is not None:
                yield f"{prefix}{route}", place, included
            file = module_file(tree, PurePosixPath("."), included) if included else None
            file = file or _beside(tree, start, included)
            if file and file != start and route is not None:
                yield from _routes(tree, file, f"{prefix}{route}", depth + 1)
        elif route is not None:
            yield f"{prefix}{route}", place, dotted(target)


def _beside(tree: Tree, start: PurePosixPath, module: str) -> PurePosixPath | None:
    """Return the file of a module in the directory of the project's imports."""
    for directory in start.parents:
        if module and (file := module_file(tree, directory, module)):
            return file
    return None


def _route(call: ast.Call) -> str | None:
    """Return the text of a route without variable parts; None for another route."""
    route = call.args[0]
    if not isinstance(route, ast.Constant) or not isinstance(route.value, str):
        return None
    text = route.value
    if not dotted(call.func).endswith("path") or dotted(call.func).endswith("re_path"):
        text = text.removeprefix("^").removesuffix("$").removesuffix("?").replace(r"\.", ".").replace("\\-", "-")
    return None if re.search(r"[<>()\[\]*+|^$\\]", text) else text
