"""The files of a container build context, and a hash of them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

IGNORE_FILE = ".dockerignore"


class ContextError(Exception):
    """A build context that cannot be read; the message is a sentence for the user."""


def hash_context(root: Path) -> str:
    """Return the SHA-256, in hexadecimal, of what a build would be sent from the directory `root`."""
    if not root.is_dir():
        raise ContextError(f"Build context {root} is not a directory: give the folder that holds the Dockerfile.")
    digest = hashlib.sha256()
    for path in sorted(context_files(root)):
        for field in (path.encode("utf-8", "surrogateescape"), *_fingerprint(root / path)):
            # The length keeps apart what would otherwise read the same, such as "ab" + "c" and "a" + "bc".
            digest.update(b"%d:" % len(field))
            digest.update(field)
    return digest.hexdigest()


def _fingerprint(path: Path) -> tuple[bytes, bytes]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return b"link", os.fsencode(path.readlink())
    kind = b"program" if status.st_mode & stat.S_IXUSR else b"file"
    try:
        with path.open("rb") as content:
            return kind, hashlib.file_digest(content, "sha256").digest()
    except OSError as error:
        raise ContextError(
            f"Build context file {path} cannot be read: {error.strerror}; check its owner and mode."
        ) from error


def context_files(root: Path) -> Iterator[str]:
    """Yield the POSIX paths, relative to `root`, of the files and links that `.dockerignore` leaves in the context."""
    rules = read_ignore_file(root / IGNORE_FILE)
    for directory, directories, files in os.walk(root):
        relative = Path(directory).relative_to(root)
        # os.walk lists links to directories among the directories, and does not follow them.
        links = [name for name in directories if (Path(directory) / name).is_symlink()]
        for name in files + links:
            path = (relative / name).as_posix()
            status = (root / path).lstat()
            if (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)) and not is_ignored(path, rules):
                yield path
        if not any(keep for _, keep in rules):
            # Without exceptions an ignored directory holds nothing that counts; most are large.
            directories[:] = [name for name in directories if not is_ignored((relative / name).as_posix(), rules)]


def read_ignore_file(path: Path) -> list[tuple[re.Pattern[str], bool]]:
    """Return the rules of a `.dockerignore` as (pattern, whether a match is kept); none if there is no such file."""
    if not path.is_file():
        return []
    rules = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        keep = pattern.startswith("!")
        pattern = os.path.normpath(pattern.lstrip("!").strip().strip("/") or ".").replace(os.sep, "/")
        if pattern != ".":
            rules.append((_compile(pattern), keep))
    return rules


def is_ignored(path: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Tell whether the last rule that matches `path`, or a directory above it, ignores it."""
    ignored = False
    parts = path.split("/")
    prefixes = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    for pattern, keep in rules:
        if any(pattern.fullmatch(prefix) for prefix in prefixes):
            ignored = not keep
    return ignored


def _compile(pattern: str) -> re.Pattern[str]:
    """Translate Docker's pattern language: Go's filepath.Match, and `**` for any number of directories."""
    result, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**/", position):
            result += "(?:.*/)?"
            position += 3
        elif pattern.startswith("**", position):
            result += ".*"
            position += 2
        elif character == "*":
            result += "[^/]*"
            position += 1
        elif character == "?":
            result += "[^/]"
            position += 1
        elif character == "[" and (end := pattern.find("]", position + 1)) > 0:
            result += "[" + pattern[position + 1 : end].replace("\\", "\\\\") + "]"
            position = end + 1
        elif character == "\\" and position + 1 < len(pattern):
            result += re.escape(pattern[position + 1])
            position += 2
        else:
            result += re.escape(character)
            position += 1
    return re.compile(result, re.DOTALL)
