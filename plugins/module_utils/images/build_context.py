"""Files of a container build context, and their hash."""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError

DOCKERFILE = Path("Dockerfile")
STEP = "Set image_context to the directory of the project, then rerun the playbook."
FILE_STEP = (
    "Set image_context to the directory of the Dockerfile, or image_file to its path, or image_file to python for a "
    "ready-made one, then rerun the playbook."
)

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
    """A build context that cannot be read. Its message is for the user."""


class Rule(NamedTuple):
    """One line of a `.dockerignore`."""

    pattern: re.Pattern[str]
    # Whether the line is an exception, whose matches stay in the context.
    keep: bool
    # Prefix of each match.
    head: str


def find_dockerfile(root: Path, file: str, inventory: Path | None = None) -> Path:
    """Return the path of a Dockerfile: relative to the context if it is inside of it, else absolute.

    Args:
        root: the build context.
        file: a relative path in the context or, if it has no such file, in the directory of the inventory; or an
            absolute path.
        inventory: the directory of the inventory.

    Raises ContextError if there is no such file.
    """
    refuse_directory(root)
    folders = [root] if inventory is None else [root, inventory]
    candidates = list(dict.fromkeys(_normal(folder / Path(file).expanduser()) for folder in folders))
    found = next((path for path in candidates if path.is_file()), None)
    if found is None and Path(file).expanduser().is_absolute():
        raise ContextError(f"Dockerfile {file} does not exist. No files were read. {FILE_STEP}")
    if found is None:
        others = "".join(f", and neither has the directory {path.parent}" for path in candidates[1:])
        raise ContextError(f"Build context {root} has no {file}{others}. No files were read. {FILE_STEP}")
    base = _normal(root)
    return found.relative_to(base) if found.is_relative_to(base) else found


def _normal(path: Path) -> Path:
    # Not resolve(), because Docker looks for a file beside a link, not beside its target.
    return Path(os.path.normpath(path.absolute()))


def ignore_files(root: Path, dockerfile: Path | None) -> list[Path]:
    """Return the files whose first existing one has the rules of a build: that of the Dockerfile has precedence."""
    own = [root / f"{dockerfile}.dockerignore"] if dockerfile else []
    return [*own, root / ".dockerignore"]


def hash_context(root: Path, dockerfile: Path | None = DOCKERFILE, default_rules: Path | None = None) -> str:
    """Return the SHA-256, in hexadecimal, of the files that a build gets from the directory `root`.

    Args:
        root: the build context.
        dockerfile: the Dockerfile, as :func:`find_dockerfile` returns it. None if the build has none of its own.
        default_rules: ignore file for a context that has none.

    Raises ContextError before it reads a file if the directory is no build context.
    """
    refuse_context(root, dockerfile)
    digest = hashlib.sha256()
    for path in sorted(context_files(root, dockerfile, default_rules)):
        for field in (path.encode("utf-8", "surrogateescape"), *_fingerprint(root / path)):
            # Without the length, "ab" + "c" and "a" + "bc" would have the same hash.
            digest.update(b"%d:" % len(field))
            digest.update(field)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file outside of the build context."""
    return _fingerprint(path)[1].hex()


def refuse_directory(root: Path) -> None:
    """Raise ContextError for a path that is not a directory."""
    if not root.is_dir():
        raise ContextError(f"Build context {root} is not a directory. {STEP}")


def refuse_context(root: Path, dockerfile: Path | None = DOCKERFILE) -> None:
    """Raise ContextError for a directory that is unlikely to be a build context, such as the parent of an inventory."""
    refuse_directory(root)
    if dockerfile and not (root / dockerfile).is_file():
        raise ContextError(f"Build context {root} has no {dockerfile}. No files were read. {FILE_STEP}")
    # Otherwise, a misplaced Dockerfile would send the keys of the user to the build.
    if holds_home(root) and not any(path.is_file() for path in ignore_files(root, dockerfile)):
        raise ContextError(
            f"Build context {root} contains a home directory and has no .dockerignore. No files were read. {STEP}"
        )


def holds_home(root: Path) -> bool:
    """Return whether a directory is the home directory of the user or a parent of it."""
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
    return ContextError(
        f"Build context file {path} cannot be read: {error.strerror}. "
        "Correct its owner and mode, then rerun the playbook."
    )


def context_files(root: Path, dockerfile: Path | None = DOCKERFILE, default_rules: Path | None = None) -> Iterator[str]:
    """Yield the POSIX paths, relative to `root`, of the files and links that the build gets.

    These are all that the ignore file does not ignore, and always a Dockerfile in the context.
    """
    candidates = ignore_files(root, dockerfile) + ([default_rules] if default_rules else [])
    rules = next((read_ignore_file(candidate) for candidate in candidates if candidate.is_file()), [])
    always = dockerfile.as_posix() if dockerfile else ""
    above_always = {parent.as_posix() for parent in dockerfile.parents} if dockerfile else set()
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
                if not ignored or path in above_always or _may_hold_exceptions(path, rules):
                    pending.append((path, ignored, matched))
            elif (entry.is_file(follow_symlinks=False) or entry.is_symlink()) and (not ignored or path == always):
                yield path


def read_ignore_file(path: Path) -> list[Rule]:
    """Return the rules of a `.dockerignore`."""
    try:
        # File names may not be valid UTF-8.
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
            raise ContextError(
                f"{path} has the malformed pattern {line.strip()}. Correct or remove it, then rerun the playbook."
            )
        rules.append(Rule(pattern, keep, re.split(r"[*?\[\\]", text, maxsplit=1)[0]))
    return rules


def apply_rules(path: str, rules: list[Rule], above: list[bool]) -> tuple[bool, list[bool]]:
    """Return whether a path is ignored, and which rules match it. The last rule that matches it or a parent decides.

    Args:
        above: for each rule, whether it matches the directory of the path.

    As in Docker, an exception matches only a path that an earlier rule ignores.
    """
    ignored, matched = False, list(above)
    for number, rule in enumerate(rules):
        matched[number] = matched[number] or (rule.keep == ignored and bool(rule.pattern.fullmatch(path)))
        if matched[number]:
            ignored = not rule.keep
    return ignored, matched


def _may_hold_exceptions(directory: str, rules: list[Rule]) -> bool:
    """Return whether an exception may match a path below an ignored directory."""
    inside = directory + "/"
    return any(rule.keep and (rule.head.startswith(inside) or inside.startswith(rule.head)) for rule in rules)


def _compile(text: str) -> re.Pattern[str] | None:
    """Return one of Docker's patterns as a regular expression. None if it is malformed."""
    result, position = "", 0
    # At the start of a pattern without other wildcards, `**` needs no slash after it.
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
