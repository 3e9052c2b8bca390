# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Dockerfiles of a project: how its image is built and starts, and what does not fit into a hardened pod."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.files import Tree

# Words in the path of a Dockerfile that is not the one of the site.
OTHERS = re.compile(r"dev|local|test|node|front|nginx|postgres|redis|docs|traefik|caddy|lint|ci\b", re.IGNORECASE)
LOWEST_PORT = 1024


@dataclass
class Stage:
    """A stage of a Dockerfile, with what it has from the stages before it."""

    base: str
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    ports: list[int] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    @property
    def has_workdir(self) -> bool:
        """Whether the working directory is known. Without WORKDIR, or with a variable, only the base image knows it."""
        return self.workdir != "/" and "$" not in self.workdir


@dataclass
class Dockerfile:
    """A Dockerfile of the project."""

    path: PurePosixPath
    stage: Stage
    # Images of other repositories that it starts from or copies from.
    images: list[str]
    arguments: dict[str, str]

    @property
    def is_root(self) -> bool:
        """Whether the image runs as root."""
        return self.stage.user.partition(":")[0] in ("", "0", "root")

    @property
    def user_id(self) -> int | None:
        """UID of the image's user; None for a name that no step of the build shows the UID of."""
        name = self.stage.user.partition(":")[0]
        if name.isdigit():
            return int(name)
        for run in self.stage.runs:
            for match in re.finditer(r"(?:useradd|adduser)\b[^&;|\n]*", run):
                number = re.search(r"(?:-u|--uid)[ =](\d+)", match[0])
                if number and name in match[0].split():
                    return int(number[1])
        return None

    @property
    def low_ports(self) -> list[int]:
        """Ports that only root can listen on."""
        return [port for port in self.stage.ports if 0 < port < LOWEST_PORT]

    @property
    def debian(self) -> list[str]:
        """Debian packages that steps of the build install by name."""
        found: list[str] = []
        for run in self.stage.runs:
            for match in re.finditer(r"apt(?:-get)?\s[^&;|]*?\binstall\s([^&;|]*)", run):
                words = [word for word in match[1].split() if re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", word)]
                found += words
            for match in re.finditer(r"\w*DEPS=\"([^\"]*)\"", run):
                found += [word for word in match[1].split() if re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", word)]
        return list(dict.fromkeys(found))

    @property
    def collects(self) -> bool:
        """Whether the build collects static files."""
        return any("collectstatic" in run for run in self.stage.runs)


def find(tree: Tree) -> Dockerfile | None:
    """Return the Dockerfile of the site; None if the project has none."""
    named = [path for path in tree.files if re.match(r"(Dockerfile|Containerfile)|.*\.Dockerfile$", path.name)]
    found = [path for path in named if re.search(r"python|pip |django|uv |poetry", tree.text(path), re.IGNORECASE)]
    order = sorted(
        (path for path in found if path.suffix not in (".dockerignore", ".md")),
        key=lambda path: (
            bool(OTHERS.search(str(path))),
            "prod" not in str(path),
            len(path.parts),
            len(path.name),
            str(path),
        ),
    )
    # One at the root wins over those in a directory for production of something else.
    root = [path for path in order if len(path.parts) == 1 and not OTHERS.search(str(path))]
    for path in [*root, *order][:1]:
        return parse(path, tree.text(path))
    return None


def parse(path: PurePosixPath, text: str) -> Dockerfile | None:
    """Return the content of a Dockerfile; None for one without a stage."""
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    images: list[str] = []
    arguments: dict[str, str] = {}
    for name, rest in _instructions(text):
        if name == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            base = _filled(words[0], arguments) if words else ""
            current = _inherited(stages.get(base.lower()), base)
            if base.lower() not in stages and base != "scratch":
                images.append(base)
            stages[words[2].lower() if len(words) > 2 else str(len(stages))] = current
        elif name == "ARG" and current is None:
            key, _, value = rest.partition("=")
            arguments[key.strip()] = value.strip().strip("\"'")
        elif current is not None:
            _take(current, name, rest, arguments)
            source = re.match(r"--from=(\S+)", rest) if name == "COPY" else None
            if source and source[1].lower() not in stages and not source[1].isdigit():
                images.append(_filled(source[1], arguments))
    return Dockerfile(path, current, list(dict.fromkeys(images)), arguments) if current else None


def _inherited(before: Stage | None, base: str) -> Stage:
    if before is None:
        return Stage(base)
    return Stage(
        before.base, dict(before.environment), before.workdir, before.user, list(before.ports), list(before.command),
        list(before.entrypoint), list(before.runs),
    )  # fmt: skip


def _take(stage: Stage, name: str, rest: str, arguments: dict[str, str]) -> None:
    match name:
        case "ENV":
            stage.environment |= dict(_pairs(rest))
        case "ARG":
            key, _, value = rest.partition("=")
            arguments.setdefault(key.strip(), value.strip().strip("\"'"))
        case "WORKDIR":
            stage.workdir = str(PurePosixPath(stage.workdir) / _filled(rest.strip(), stage.environment | arguments))
        case "USER":
            stage.user = _filled(rest.strip(), stage.environment | arguments)
        case "EXPOSE":
            filled = _filled(rest, stage.environment | arguments)
            stage.ports += [int(port) for port in re.findall(r"\b(\d+)(?:/tcp)?\b", filled)]
        case "CMD":
            stage.command = _words(rest)
        case "ENTRYPOINT":
            stage.entrypoint, stage.command = _words(rest), []
        case "RUN":
            stage.runs.append(rest)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and arguments of each instruction, without comments, and with the lines of a heredoc."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        while line.rstrip().endswith("\\"):
            following = next(lines, "")
            while following.lstrip().startswith("#"):
                following = next(lines, "")
            line = f"{line.rstrip()[:-1]} {following.strip()}"
        name, _, rest = line.strip().partition(" ")
        for mark in re.findall(r"<<-?[\"']?(\w+)[\"']?", rest):
            body = []
            for each in lines:
                if each.strip() == mark:
                    break
                body.append(each)
            rest = f"{rest}\n" + "\n".join(body)
        yield name.upper(), rest.strip()


def _words(text: str) -> list[str]:
    """Return a command in the form of a list; one for a shell begins with sh -c."""
    try:
        found = json.loads(text)
    except ValueError:
        return ["sh", "-c", text]
    return [str(word) for word in found] if isinstance(found, list) else []


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if words and "=" not in words[0]:
        yield words[0], text.strip().partition(" ")[2].strip()
        return
    yield from ((name, value) for name, mark, value in (word.partition("=") for word in words) if mark)


def _filled(text: str, values: dict[str, str]) -> str:
    """Return a text with the values of its variables; those without one stay."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[3]) or match[2] or match[0]

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)", value, text)
