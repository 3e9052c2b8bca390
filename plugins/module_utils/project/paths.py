# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Paths in the pods of a project: files, writable directories, and volumes must not hide each other."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Directories of the roles and of the system.
RESERVED = ("/run/secrets", "/run/cloud-django", "/run/front", "/proc", "/sys", "/dev")
SYSTEM = ("/", "/bin", "/etc", "/lib", "/lib64", "/opt", "/root", "/run", "/sbin", "/usr", "/usr/bin", "/usr/lib")
SYSTEM += ("/usr/local", "/usr/local/bin", "/usr/local/lib", "/var")
# Working directories of usual images.
WORKING = ("/app", "/code", "/src", "/usr/src/app", "/opt/app", "/workspace")


@dataclass(frozen=True)
class Place:
    """A path that a variable claims.

    Args:
        about: variable and entry, for errors.
        kind: `file`, `directory`, or `read_only` for a directory in which nothing can be mounted.
    """

    path: str
    about: str
    kind: str


def places(files: Mapping[str, Any], writable: Mapping[str, Any], volumes: Mapping[str, Any]) -> list[Place]:
    """Return the paths of all entries that are valid otherwise."""
    found = [Place(path, "django_files", "file") for path, entry in files.items() if entry is not None]
    found += [Place(path, "django_writable", "directory") for path, entry in writable.items() if entry is not None]
    for name, volume in volumes.items():
        if isinstance(volume, Mapping) and isinstance(volume.get("path"), str):
            read_only = volume.get("read_only", "secret" in volume or "config_map" in volume)
            found.append(Place(volume["path"], f"django_volumes.{name}", "read_only" if read_only else "directory"))
    return [place for place in found if isinstance(place.path, str)]


def errors(found: Sequence[Place], python_path: Sequence[str] = ()) -> Iterator[str]:
    """Yield the errors in paths, and the conflicts between them."""
    for place in found:
        if problem := path_problem(place):
            yield f"{place.about} has the path {place.path}, which {problem}."
        elif place.kind != "file" and (hidden := hidden_by(place.path, python_path)):
            yield (
                f"{hidden} is the working directory of the image, or of usual ones, and {place.about} would hide what "
                f"is in {place.path}. Name only the directory that the project writes to."
            )
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            if problem := conflict(one, other):
                yield problem


def path_problem(place: Place) -> str:
    """Return why no file or directory can be at a path, with the next step; empty if one can."""
    path = place.path
    if not path.startswith("/") or posixpath.normpath(path) != path or ":" in path or "\0" in path:
        return "is not an absolute path without .., //, a colon, or a slash at its end. Correct it"
    if any(is_below(path, reserved) or path == reserved for reserved in RESERVED):
        return "is reserved for the roles or the system. Choose another"
    if place.kind != "file" and path == "/tmp":
        return "is always writable. Set django_tmp_size for its size, and remove the entry"
    if place.kind != "file" and path in SYSTEM:
        return "has programs of the image, which it would hide. Name a directory below it"
    return ""


def hidden_by(path: str, python_path: Sequence[str]) -> str:
    """Return the directory of the project's code that a directory at a path would hide; empty if there is none."""
    known = (*WORKING, *(posixpath.normpath(each) for each in python_path))
    return next((code for code in known if code == path or is_below(code, path)), "")


def conflict(one: Place, other: Place) -> str:
    """Return why two entries cannot both be in a pod; empty if they can."""
    if one.path == other.path:
        return f"{one.about} and {other.about} both claim {one.path}. Keep one."
    inner, outer = (one, other) if is_below(one.path, other.path) else (other, one)
    if is_below(inner.path, outer.path) and outer.kind in ("file", "read_only"):
        reason = "is a file" if outer.kind == "file" else "is read-only"
        return (
            f"{inner.about} has {inner.path} below {outer.path} of {outer.about}, which {reason}, so nothing can be "
            "mounted there. Choose another path."
        )
    return ""


def is_below(path: str, directory: str) -> bool:
    """Return whether a path is inside of a directory."""
    return path.startswith(f"{directory.rstrip('/')}/") and path != directory
