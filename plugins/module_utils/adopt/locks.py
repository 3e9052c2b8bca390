# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Lock files of uv, Poetry, and Pipenv, as requirements with exact versions for pip."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet

# Where the site runs, for markers.
TARGET = {
    "implementation_name": "cpython",
    "implementation_version": "3.13.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
    "extra": "",
}


def base_name(requirement: str) -> str:
    """Return the normalized name of a requirement."""
    match = re.match(r"\s*([A-Za-z0-9][\w.-]*)", requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


def applies(marker: Any) -> bool:
    """Return whether a marker is true for the site; a marker that cannot be parsed is."""
    try:
        return not isinstance(marker, str) or not marker or Marker(marker).evaluate(dict(TARGET))
    except InvalidMarker:
        return True


def allows(specifier: str, version: str) -> bool:
    """Return whether a version specifier, also one of Poetry, allows a version."""
    parts = [part.strip() for part in specifier.split(",")]
    try:
        return SpecifierSet(",".join(_of_poetry(part) for part in parts)).contains(version)
    except InvalidSpecifier:
        return True


def _of_poetry(part: str) -> str:
    match = re.fullmatch(r"([\^~])\s*(\d+)(?:\.(\d+))?[\d.]*", part)
    if not match:
        return f"=={part}.*" if re.fullmatch(r"\d+(\.\d+)?", part) else part
    lower = f">={part[1:].strip()}"
    if match[1] == "~" and match[3]:
        return f"{lower},<{match[2]}.{int(match[3]) + 1}"
    return f"{lower},<{int(match[2]) + 1}"


def of_poetry(name: str, value: Any) -> str:
    """Return a dependency of Poetry as a requirement; empty for one that is optional or from a file."""
    table = value if isinstance(value, dict) else {"version": value}
    version = str(table.get("version") or "")
    if table.get("optional") or not isinstance(value, str | dict) or not version:
        return ""
    extras = f"[{','.join(table['extras'])}]" if table.get("extras") else ""
    parts = "" if version == "*" else ",".join(map(_of_poetry, version.split(",")))
    return f"{name}{extras}{parts if not parts or parts[0] in '<>=!~' else f'=={parts}'}"


def uv(tree: Tree, place: PurePosixPath) -> list[str]:
    """Return the packages of uv.lock that the project needs on a server."""
    packages = [each for each in tree.toml(place / "uv.lock").get("package", []) if isinstance(each, dict)]
    roots = [each for each in packages if {"virtual", "editable", "directory"} & set(each.get("source") or {})]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(str(package.get("name")), []).append(package)
    found: dict[str, tuple[dict[str, Any], set[str]]] = {}
    pending = [(root, "") for root in roots if _is_root(tree, place, root, roots)]
    seen: set[tuple[str, str, str]] = set()
    while pending:
        package, extra = pending.pop()
        listed = package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
        for dependency in listed:
            if not applies(dependency.get("marker")):
                continue
            for other in _matching(by_name.get(str(dependency.get("name")), []), dependency):
                _, extras = found.setdefault(str(other["name"]), (other, set()))
                for each in ["", *dependency.get("extra", [])]:
                    extras |= {each} - {""}
                    key = (str(other["name"]), str(other.get("version")), each)
                    if key not in seen:
                        seen.add(key)
                        pending.append((other, each))
    kept = [pair for pair in found.values() if pair[0] not in roots]
    return sorted(line for package, extras in kept if (line := _uv_line(package, extras)))


def _is_root(tree: Tree, place: PurePosixPath, root: Mapping[str, Any], roots: list[dict[str, Any]]) -> bool:
    """Return whether a package is the project, not another one of its workspace."""
    name = tree.toml(place / "pyproject.toml").get("project", {}).get("name", "")
    return len(roots) == 1 or base_name(str(root.get("name"))) == base_name(name)


def _matching(packages: list[dict[str, Any]], dependency: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the package of a dependency, whose version depends on the platform in some locks."""
    for package in packages:
        markers = package.get("resolution-markers", [])
        if "version" in dependency and dependency["version"] != package.get("version"):
            continue
        if not markers or any(map(applies, markers)):
            yield package
            return


def _uv_line(package: Mapping[str, Any], extras: set[str]) -> str:
    name = f"{package['name']}{f'[{",".join(sorted(extras))}]' if extras else ''}"
    source = package.get("source") or {}
    if "git" in source:
        address, _, commit = str(source["git"]).partition("#")
        return f"{name} @ git+{address.partition('?')[0]}@{commit}" if commit else f"{name} @ git+{address}"
    if "url" in source:
        return f"{name} @ {source['url']}"
    return f"{name}=={package['version']}" if package.get("version") and "registry" in source else ""


def poetry(tree: Tree, place: PurePosixPath) -> list[str]:
    """Return the packages of poetry.lock that the project needs on a server."""
    packages = [each for each in tree.toml(place / "poetry.lock").get("package", []) if isinstance(each, dict)]
    data = tree.toml(place / "pyproject.toml")
    direct = data.get("tool", {}).get("poetry", {}).get("dependencies") or {}
    extras = {base_name(name): value.get("extras", []) for name, value in direct.items() if isinstance(value, dict)}
    for requirement in data.get("project", {}).get("dependencies") or []:
        if match := re.match(r"\s*[\w.-]+\s*\[([^\]]+)\]", str(requirement)):
            extras[base_name(str(requirement))] = [each.strip() for each in match[1].split(",")]
    lines = []
    for package in packages:
        groups = package.get("groups", [package.get("category", "main")])
        markers = package.get("markers")
        marker = markers.get("main") if isinstance(markers, dict) else markers
        if "main" not in groups or package.get("optional") or not applies(marker):
            continue
        lines.append(_poetry_line(package, extras.get(base_name(str(package["name"])), [])))
    return sorted(filter(None, lines))


def _poetry_line(package: Mapping[str, Any], extras: list[str]) -> str:
    name = f"{package['name']}{f'[{",".join(sorted(extras))}]' if extras else ''}"
    source = package.get("source") or {}
    if source.get("type") == "git":
        return f"{name} @ git+{source.get('url')}@{source.get('resolved_reference')}"
    if source.get("type") in ("directory", "file"):
        return ""
    return f"{name}=={package.get('version')}"


def pipenv(tree: Tree, place: PurePosixPath) -> list[str]:
    """Return the packages of Pipfile.lock that the project needs on a server."""
    lines = []
    for name, package in (tree.json(place / "Pipfile.lock").get("default") or {}).items():
        if not isinstance(package, dict) or not applies(package.get("markers")):
            continue
        extras = f"[{','.join(sorted(package['extras']))}]" if package.get("extras") else ""
        if "git" in package:
            lines.append(f"{name}{extras} @ git+{package['git']}@{package.get('ref', 'HEAD')}")
        elif package.get("version"):
            lines.append(f"{name}{extras}{package['version']}")
    return sorted(lines)


READERS: dict[str, Callable[[Tree, PurePosixPath], list[str]]] = {
    "uv.lock": uv,
    "poetry.lock": poetry,
    "Pipfile.lock": pipenv,
}
