# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Python packages of a project, from its lock file or its requirements, and the Debian packages that they need."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import locks
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.locks import base_name

# Debian packages to compile a Python package, and those to run it. Wheels of other packages have both.
COMPILER = ["gcc", "libc6-dev", "python3-dev"]
DEBIAN: dict[str, tuple[list[str], list[str]]] = {
    "psycopg[c]": ([*COMPILER, "libpq-dev"], ["libpq5"]),
    "psycopg-c": ([*COMPILER, "libpq-dev"], ["libpq5"]),
    "psycopg": ([], ["libpq5"]),
    "psycopg2": ([*COMPILER, "libpq-dev"], ["libpq5"]),
    "mysqlclient": ([*COMPILER, "pkg-config", "default-libmysqlclient-dev"], ["libmariadb3"]),
    "xmlsec": ([*COMPILER, "pkg-config", "libxml2-dev", "libxmlsec1-dev"], ["libxml2", "libxmlsec1-openssl"]),
    "python3-saml": ([*COMPILER, "pkg-config", "libxml2-dev", "libxmlsec1-dev"], ["libxml2", "libxmlsec1-openssl"]),
    "pycairo": ([*COMPILER, "pkg-config", "libcairo2-dev"], ["libcairo2"]),
    "cairosvg": ([], ["libcairo2"]),
    "weasyprint": ([], ["libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0"]),
    "python-ldap": ([*COMPILER, "libldap-dev", "libsasl2-dev"], ["libldap2"]),
    "django-auth-ldap": ([*COMPILER, "libldap-dev", "libsasl2-dev"], ["libldap2"]),
    "uwsgi": (COMPILER, ["libpython3.13"]),
    "python-magic": ([], ["libmagic1"]),
    "gdal": ([*COMPILER, "g++", "libgdal-dev"], ["gdal-bin"]),
    "pygraphviz": ([*COMPILER, "libgraphviz-dev"], ["graphviz"]),
    "pyodbc": ([*COMPILER, "g++", "unixodbc-dev"], ["unixodbc"]),
    "gitpython": ([], ["git"]),
    "pytesseract": ([], ["tesseract-ocr"]),
    "pdf2image": ([], ["poppler-utils"]),
}
# Files with requirements for a server, the likelier ones first.
REQUIREMENTS = (
    *("requirements/production.txt", "requirements/prod.txt", "requirements-prod.txt", "requirements-production.txt"),
    *("requirements.txt", "requirements/requirements.txt", "requirements/base.txt", "requirements/common.txt"),
    "requirements/main.txt",
)
VERSION = "3.13"


@dataclass
class Packages:
    """Requirements of a project for pip."""

    # Lines for pip, which begin with -r for a file of the project.
    requirements: list[str] = field(default_factory=list)
    # Where they come from; empty for no source.
    source: str = ""
    # All packages by their base names, with the extras that the project asks for.
    names: set[str] = field(default_factory=set)
    # Versions from a lock, which are written beside the inventory.
    locked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        """Return whether the project has one of the packages."""
        return any(base_name(each) in names for each in self.names)

    @property
    def debian(self) -> tuple[list[str], list[str]]:
        """Debian packages for the build, and for the site."""
        build: list[str] = []
        run: list[str] = []
        for name in sorted(self.names):
            for key in (name, base_name(name)):
                if key in DEBIAN:
                    build += DEBIAN[key][0]
                    run += DEBIAN[key][1]
                    break
        # The wheel has libpq.
        if (
            any(name.startswith("psycopg[") and "binary" in name for name in self.names)
            or "psycopg-binary" in self.names
        ):
            run = [each for each in run if each != "libpq5" or self.has("psycopg2", "psycopg-c")]
        return list(dict.fromkeys(build)), list(dict.fromkeys(run))


def packages(tree: Tree, directory: PurePosixPath) -> Packages:
    """Return the packages of a project, from the first source that it has."""
    found = _found(tree, directory)
    found.notes += _python_notes(tree, directory)
    return found


def _found(tree: Tree, directory: PurePosixPath) -> Packages:
    for place in dict.fromkeys([PurePosixPath("."), directory, directory.parent]):
        for name, read in locks.READERS.items():
            if tree.has(place / name) and (locked := read(tree, place)):
                return Packages(locked, str(place / name), {_with_extras(line) for line in locked}, locked)
        for name in REQUIREMENTS:
            if tree.has(place / name):
                path = place / name
                lines = list(_requirement_lines(tree, path))
                # The image applies constraints.txt at the root by itself.
                pins = PurePosixPath(place / "requirements/constraints.txt")
                more = [f"-c {pins}"] if tree.has(pins) else []
                return Packages([f"-r {path}", *more], str(path), set(map(_with_extras, lines)))
        if declared := _declared(tree, place):
            return Packages(declared, str(place / "pyproject.toml"), set(map(_with_extras, declared)))
    return Packages()


def _declared(tree: Tree, place: PurePosixPath) -> list[str]:
    """Return the dependencies in pyproject.toml, for a project without a lock."""
    data = tree.toml(place / "pyproject.toml")
    dependencies = data.get("project", {}).get("dependencies") or []
    if not dependencies:
        poetry = data.get("tool", {}).get("poetry", {}).get("dependencies") or {}
        dependencies = [locks.of_poetry(name, value) for name, value in poetry.items() if name.lower() != "python"]
    return [each for each in dependencies if isinstance(each, str) and each]


def _requirement_lines(tree: Tree, path: PurePosixPath, seen: frozenset[PurePosixPath] = frozenset()) -> Iterator[str]:
    """Yield the requirements in a file and in those that it names."""
    for line in re.sub(r"\\\n", " ", tree.text(path)).splitlines():
        line = line.partition(" #")[0].strip()
        match = re.match(r"(?:-r|--requirement)[ =]?(\S+)", line)
        if match and path not in seen:
            yield from _requirement_lines(tree, path.parent / match[1], seen | {path})
        elif line and not line.startswith(("-", "#")):
            yield line


def _with_extras(line: str) -> str:
    """Return name and extras of a requirement."""
    match = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?", line)
    if not match:
        return ""
    extras = ",".join(sorted(re.sub(r"[\s\[\]]", "", match[2] or "").split(",")))
    return base_name(match[1]) + (f"[{extras}]" if extras else "")


def _python_notes(tree: Tree, directory: PurePosixPath) -> Iterator[str]:
    """Yield a note if the project excludes the Python of the images."""
    wanted: dict[str, Any] = {}
    for place in dict.fromkeys([PurePosixPath("."), directory]):
        data = tree.toml(place / "pyproject.toml")
        wanted["requires-python"] = data.get("project", {}).get("requires-python")
        wanted["python"] = data.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
        for value in filter(None, wanted.values()):
            if isinstance(value, str) and not locks.allows(value, f"{VERSION}.0"):
                yield (
                    f"{place / 'pyproject.toml'} asks for Python {value}, and the image has {VERSION}. "
                    "Set BASE_IMAGE in image_build_arguments to another one, or test the project with it."
                )
                return


def driver_missing(found: Packages) -> bool:
    """Return whether no package connects to PostgreSQL."""
    return not any(
        base_name(each) in ("psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary") for each in found.names
    )


def extensions(tree: Tree) -> list[str]:
    """Return the PostgreSQL extensions that the migrations of the project create."""
    operations: Mapping[str, str] = {
        "TrigramExtension": "pg_trgm",
        "CITextExtension": "citext",
        "HStoreExtension": "hstore",
        "CryptoExtension": "pgcrypto",
        "BtreeGinExtension": "btree_gin",
        "BtreeGistExtension": "btree_gist",
        "UnaccentExtension": "unaccent",
        "BloomExtension": "bloom",
        "LtreeExtension": "ltree",
    }
    found: set[str] = set()
    for path in tree.named("migrations/*.py", "migrations/**/*.py", "sql/*.sql"):
        text = tree.text(path)
        if "xtension" not in text and "EXTENSION" not in text:
            continue
        found |= {name for operation, name in operations.items() if f"{operation}(" in text}
        found |= set(re.findall(r"CreateExtension\(\s*(?:name=)?[\"']([\w-]+)[\"']", text))
        found |= set(re.findall(r"CREATE EXTENSION (?:IF NOT EXISTS )?[\\\"']*([\w-]+)", text, re.IGNORECASE))
    return sorted(name.lower() for name in found)


def without(requirements: Iterable[str], *names: str) -> list[str]:
    """Return requirements without some packages."""
    return [line for line in requirements if base_name(line) not in names]
