"""The files of a container build context, and a hash of them."""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError

DOCKERFILE = "Dockerfile"
# The first that exists counts.
IGNORE_FILES = (f"{DOCKERFILE}.dockerignore", ".dockerignore")

# Docker's pattern language: Go's filepath.Match, and `**` for any number of directories.
_SET_ITEM = r"(?:\\.|[^\]\\-])"
_TOKEN = re.compile(
    rf"""
    (?P<deep>\*\*/?) | (?P<some>\*) | (?P<one>\?)
    | \[ (?P<negated>\^?+) (?P<set>(?:{_SET_ITEM}(?:-{_SET_ITEM})?)+) \]
    | \\(?P<escaped>.) | (?P<plain>[^\[\\])
    """,
    re.VERBOSE | re.DOTALL,
)


class ContextError(CloudDjangoError):
    """A build context that cannot be read; the message is a sentence for the user."""


class Rule(NamedTuple):
    """One line of a `.dockerignore`."""

    pattern: re.Pattern[str]
    # Whether the line is an exception, so that a match stays in the context.
    keep: bool
    # What each match begins with.
    head: str


def hash_context(root: Path, dockerfile: bool = True) -> str:
    """Return the SHA-256, in hexadecimal, of what a build would be sent from the directory `root`.

    Raises ContextError before anything is read if that is no directory for a build, which may need no `dockerfile`.
    """
    refuse_context(root, dockerfile)
    digest = hashlib.sha256()
    for path in sorted(context_files(root)):
        for field in (path.encode("utf-8", "surrogateescape"), *_fingerprint(root / path)):
            # The length keeps apart what would otherwise read the same, such as "ab" + "c" and "a" + "bc".
            digest.update(b"%d:" % len(field))
            digest.update(field)
    return digest.hexdigest()


def refuse_context(root: Path, dockerfile: bool = True) -> None:
    """Raise ContextError for what cannot be meant as a build context, such as the folder above an inventory."""
    advice = "set image_context to the folder that holds the Dockerfile"
    if not root.is_dir():
        raise ContextError(f"Build context {root} is not a directory: give the folder that holds the Dockerfile.")
    if dockerfile and not (root / DOCKERFILE).is_file():
        raise ContextError(f"Build context {root} has no {DOCKERFILE}, so nothing of it was read: {advice}.")
    # A stray Dockerfile there would send the keys of a user to the build.
    if holds_home(root) and not any((root / name).is_file() for name in IGNORE_FILES):
        raise ContextError(
            f"Build context {root} holds a whole home directory and no .dockerignore, so nothing of it was read: "
            f"{advice}."
        )


def holds_home(root: Path) -> bool:
    """Tell whether a directory is the home directory of the user or above it."""
    try:
        return Path.home().resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def _fingerprint(path: Path) -> tuple[bytes, bytes]:
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return b"link", os.fsencode(path.readlink())
        kind = b"program" if status.st_mode & stat.S_IXUSR else b"file"
        with path.open("rb") as content:
            return kind, hashlib.file_digest(content, "sha256").digest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ContextError:
    return ContextError(f"Build context file {path} cannot be read: {error.strerror}; check its owner and mode.")


def context_files(root: Path) -> Iterator[str]:
    """Yield the POSIX paths, relative to `root`, of the files and links that the build is sent.

    That is what `.dockerignore` leaves over, and the Dockerfile even if it is ignored.
    """
    candidates = [root / name for name in IGNORE_FILES]
    rules = next((read_ignore_file(candidate) for candidate in candidates if candidate.is_file()), [])
    pending = [("", False, [False] * len(rules))]
    while pending:
        directory, is_left_out, above = pending.pop()
        try:
            with os.scandir(root / directory) as listing:
                entries = list(listing)
        except OSError as error:
            if is_left_out:
                continue
            raise _unreadable(root / directory, error) from error
        for entry in entries:
            path = posixpath.join(directory, entry.name)
            ignored, matched = apply_rules(path, rules, above)
            if entry.is_dir(follow_symlinks=False):
                if not ignored or _may_hold_exceptions(path, rules):
                    pending.append((path, ignored, matched))
            elif (entry.is_file(follow_symlinks=False) or entry.is_symlink()) and (not ignored or path == DOCKERFILE):
                yield path


def read_ignore_file(path: Path) -> list[Rule]:
    """Return the rules of a `.dockerignore`."""
    try:
        # Names of files need not be UTF-8.
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise _unreadable(path, error) from error
    rules = []
    for line in lines:
        text = line.strip()
        if not text or line.startswith("#"):
            continue
        keep = text.startswith("!")
        text = text.removeprefix("!").strip()
        is_empty = not text.strip("/")
        text = posixpath.normpath(text).lstrip("/")
        pattern = _compile(text)
        if pattern is None or (keep and is_empty):
            raise ContextError(f"{path} has the malformed pattern {line.strip()}: correct or remove it.")
        rules.append(Rule(pattern, keep, re.split(r"[*?\[\\]", text, maxsplit=1)[0]))
    return rules


def apply_rules(path: str, rules: list[Rule], above: list[bool]) -> tuple[bool, list[bool]]:
    """Return whether the last rule that matches `path`, or a directory above it, ignores it, and which rules match.

    Those of `above` match its directory. As in Docker, an exception matches only what something else has ignored.
    """
    ignored, matched = False, list(above)
    for number, rule in enumerate(rules):
        matched[number] = matched[number] or (rule.keep == ignored and bool(rule.pattern.fullmatch(path)))
        if matched[number]:
            ignored = not rule.keep
    return ignored, matched


def _may_hold_exceptions(directory: str, rules: list[Rule]) -> bool:
    """Tell whether an exception may match something below an ignored directory."""
    inside = directory + "/"
    return any(rule.keep and (rule.head.startswith(inside) or inside.startswith(rule.head)) for rule in rules)


def _compile(text: str) -> re.Pattern[str] | None:
    """Translate one of Docker's patterns; return none if it is malformed."""
    result, position = "", 0
    # At the start of a pattern without other wildcards `**` needs no slash after it.
    is_suffix = text.startswith("**") and not re.search(r"[*?\[\]\\]", text[2:])
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        position = token.end()
        if token["deep"]:
            anything = position == len(text) or (is_suffix and token["deep"] == "**")
            result += ".*" if anything else "(?:.*/)?"
        elif token["some"]:
            result += "[^/]*"
        elif token["one"]:
            result += "[^/]"
        elif token["set"]:
            items = re.sub(r"\\?([^-])", lambda item: re.escape(item[1]), token["set"])
            result += f"[{token['negated']}{items}]"
        else:
            result += re.escape(token["escaped"] or token["plain"])
    try:
        return re.compile(result, re.DOTALL)
    except re.error:
        return None
