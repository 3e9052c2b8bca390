"""The hash of a build context: included files, ignored files, and the rules of `.dockerignore`."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import build_context
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.build_context import (
    ContextError,
    context_files,
    find_dockerfile,
    hash_context,
)

FILES = {
    "Dockerfile": "FROM scratch\n",
    "manage.py": "#!/usr/bin/env python\n",
    "polls/views.py": "votes = 1\n",
    "polls/models.py": "votes = 2\n",
}

OWNER = "Correct its owner and mode, then rerun the playbook."


def write(root: Path, files: dict[str, str] | Iterable[str]) -> Path:
    """Write files with the given content, or with their own name as content; return `root`."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name] if isinstance(files, dict) else name, encoding="utf-8")
    return root


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = write(tmp_path / "context", FILES)
    (root / "manage.py").chmod(0o755)
    (root / "latest").symlink_to("polls")
    return root


def touch(root: Path) -> None:
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, (number, number), follow_symlinks=False)


def tighten_other_modes(root: Path) -> None:
    (root / "polls" / "views.py").chmod(0o600)
    (root / "manage.py").chmod(0o711)
    (root / "polls").chmod(0o700)


def loosen_other_modes(root: Path) -> None:
    (root / "polls" / "views.py").chmod(0o666)
    (root / "manage.py").chmod(0o777)


def add_empty_directory(root: Path) -> None:
    (root / "static" / "css").mkdir(parents=True)


@pytest.mark.parametrize("change", [touch, tighten_other_modes, loosen_other_modes, add_empty_directory])
def test_ignored_files_do_not_change_the_hash(context: Path, change: Callable[[Path], None]) -> None:
    before = hash_context(context)
    change(context)
    assert hash_context(context) == before


def test_order_of_creation_and_location_do_not_change_the_hash(tmp_path: Path) -> None:
    first = write(tmp_path / "first", FILES)
    second = write(tmp_path / "elsewhere" / "second", dict(reversed(FILES.items())))
    assert hash_context(first) == hash_context(second)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_umask_does_not_change_the_hash(tmp_path: Path, umask: int) -> None:
    usual = hash_context(write(tmp_path / "usual", FILES))
    former = os.umask(umask)
    try:
        write(tmp_path / "other", FILES)
    finally:
        os.umask(former)
    assert hash_context(tmp_path / "other") == usual


def test_the_order_of_the_file_system_does_not_change_the_hash(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_context(context)
    files = list(context_files(context))
    monkeypatch.setattr(build_context, "context_files", lambda *_: reversed(files))
    assert hash_context(context) == before


def test_the_hash_does_not_depend_on_the_platform(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    assert hash_context(tmp_path) == "793ecd5320c317aadb7c418088e22ed196517a85546a82c8ed730b4763bab203"


def change_byte(root: Path) -> None:
    (root / "polls" / "views.py").write_text("votes = 3\n")


def rename(root: Path) -> None:
    (root / "polls" / "views.py").rename(root / "polls" / "view.py")


def move_to_another_directory(root: Path) -> None:
    (root / "polls" / "views.py").rename(root / "views.py")


def make_executable(root: Path) -> None:
    (root / "polls" / "views.py").chmod(0o744)


def make_not_executable(root: Path) -> None:
    (root / "manage.py").chmod(0o655)


def point_link_elsewhere(root: Path) -> None:
    (root / "latest").unlink()
    (root / "latest").symlink_to("polls/views.py")


def put_file_in_place_of_link(root: Path) -> None:
    (root / "latest").unlink()
    (root / "latest").write_text("polls")


def move_content_between_files(root: Path) -> None:
    (root / "polls" / "views.py").write_text("votes = 1")
    (root / "polls" / "models.py").write_text("\nvotes = 2\n")


def swap_content(root: Path) -> None:
    (root / "polls" / "views.py").write_text(FILES["polls/models.py"])
    (root / "polls" / "models.py").write_text(FILES["polls/views.py"])


def add_empty_file(root: Path) -> None:
    (root / "polls" / "__init__.py").touch()


def remove(root: Path) -> None:
    (root / "polls" / "views.py").unlink()


@pytest.mark.parametrize(
    "change",
    [
        change_byte,
        rename,
        move_to_another_directory,
        make_executable,
        make_not_executable,
        point_link_elsewhere,
        put_file_in_place_of_link,
        move_content_between_files,
        swap_content,
        add_empty_file,
        remove,
    ],
)
def test_files_of_a_build_change_the_hash(context: Path, change: Callable[[Path], None]) -> None:
    before = hash_context(context)
    change(context)
    assert hash_context(context) != before


# Ignored files of this tree. The table was verified with the walker of BuildKit (fsutil).
TREE = {
    "README.md",
    "a.go",
    "a.py",
    "ab",
    "axb",
    "docs/README.md",
    "docs/api/index.md",
    "docs/api/v1/old.md",
    "docs/index.html",
    "src/a.py",
    "src/b.go",
    "src/vendor/a.py",
    "src/vendor/deep/b.go",
    "temp",
    "tempa",
    "temporary/x",
    "x/temp",
    "[a]",
    "#a",
    "!a",
    ".hidden",
    "é",
}
MARKDOWN = {"README.md", "docs/README.md", "docs/api/index.md", "docs/api/v1/old.md"}
DOCS = {name for name in TREE if name.startswith("docs/")}
SRC = {name for name in TREE if name.startswith("src/")}

IGNORED: dict[str, tuple[list[str], set[str]]] = {
    # Lines without a pattern.
    "no lines": ([], set()),
    "blank lines and comments": (["", "   ", "# a.py", "#a"], set()),
    "a comment starts in the first column only": ([" #a"], {"#a"}),
    "a comment sign can be escaped": ([r"\#a"], {"#a"}),
    "an exclamation mark can be escaped": ([r"\!a"], {"!a"}),
    "the context itself": (["."], set()),
    "the root": (["/"], set()),
    # Names and directories.
    "a file": (["a.py"], {"a.py"}),
    "a name matches at the top only": (["vendor"], set()),
    "a file in a directory": (["src/a.py"], {"src/a.py"}),
    "a directory takes what is below": (["docs"], DOCS),
    "slash at the start": (["/docs"], DOCS),
    "slash at the end": (["docs/"], DOCS),
    "slash at the end matches a file as well": (["a.py/"], {"a.py"}),
    "several slashes": (["//src//vendor//"], {"src/vendor/a.py", "src/vendor/deep/b.go"}),
    "dots are resolved": (["./src/../a.py"], {"a.py"}),
    "dots that lead out of the root": (["/../a.py"], {"a.py"}),
    "dots that lead out of the context": (["../a.py"], set()),
    "space around a line": (["  a.py\t"], {"a.py"}),
    "carriage return": (["a.py\r"], {"a.py"}),
    "dot is only a dot": (["a.p."], set()),
    "case counts": (["A.PY"], set()),
    "a name outside ASCII": (["é"], {"é"}),
    # Wildcards.
    "star": (["*.md"], {"README.md"}),
    "star does not cross a slash": (["docs/*.md"], {"docs/README.md"}),
    "star matches dot files": (["*hidden"], {".hidden"}),
    "star matches nothing as well": (["a*b"], {"ab", "axb"}),
    "star alone takes everything": (["*"], TREE),
    "star for a directory": (["*/temp*"], {"x/temp"}),
    "stars for two directories": (["*/*/*.md"], {"docs/api/index.md"}),
    "star at the end of a path takes directories": (["src/*"], SRC),
    "question mark": (["temp?"], {"tempa"}),
    "question mark is one letter": (["?"], {"é", "x/temp"}),
    "question mark does not match a slash": (["x?temp"], set()),
    "range": (["[a-c].py"], {"a.py"}),
    "set": (["a.[gp]*"], {"a.go", "a.py"}),
    "negated set": (["a.[^g]*"], {"a.py"}),
    "exclamation mark does not negate a set": (["a.[!g]*"], {"a.go"}),
    "escaped bracket": ([r"\[a\]"], {"[a]"}),
    "two stars at the start": (["**/*.md"], MARKDOWN),
    "two stars match the top too": (["**/README.md"], {"README.md", "docs/README.md"}),
    "two stars and a directory": (["**/vendor"], {"src/vendor/a.py", "src/vendor/deep/b.go"}),
    "two stars in the middle": (["docs/**/old.md"], {"docs/api/v1/old.md"}),
    "two stars in the middle match no directory": (["docs/**/index.html"], {"docs/index.html"}),
    "two stars at the end": (["docs/**"], DOCS),
    "two stars alone": (["**"], TREE),
    "two stars without a slash at the start": (["**.md"], MARKDOWN),
    "two stars without a slash in the middle": (["a**b"], {"ab"}),
    "two stars without a slash at the end": (["temp**"], {"temp", "tempa", "temporary/x"}),
    # Exceptions. The last matching line decides.
    "exception": (["*.md", "!README.md"], set()),
    "exception from a directory": (["docs", "!docs/README.md"], DOCS - {"docs/README.md"}),
    "exception deep in a directory": (["docs", "!docs/api/v1"], DOCS - {"docs/api/v1/old.md"}),
    "all but a directory": (["*", "!src"], TREE - SRC),
    "all but a directory with slashes": (["*", "!/src/"], TREE - SRC),
    "all but a directory, less a part of it": (
        ["*", "!src", "src/vendor"],
        TREE - {"src/a.py", "src/b.go"},
    ),
    "all but names anywhere": (["**", "!**/*.md"], TREE - MARKDOWN),
    "exception with a star": (["*", "!*.py"], TREE - {"a.py"}),
    "space after the exclamation mark": (["*", "! src"], TREE - SRC),
    "an exception before the rule is lost": (["!README.md", "*.md"], {"README.md"}),
    "rule, exception, rule": (["*.md", "!README.md", "READ*"], {"README.md"}),
    "exception, rule, exception": (["*", "!docs", "docs/api", "!docs/api/v1"], TREE - DOCS | {"docs/api/index.md"}),
    "an exception for a directory does not undo rules for what is in it": (["src/*.py", "!src"], {"src/a.py"}),
    "only the first exclamation mark counts": (["*", "!!a"], TREE - {"!a"}),
}


@pytest.mark.parametrize(("lines", "ignored"), IGNORED.values(), ids=IGNORED.keys())
def test_dockerignore_is_read_like_docker(tmp_path: Path, lines: list[str], ignored: set[str]) -> None:
    write(tmp_path, TREE)
    (tmp_path / ".dockerignore").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    assert set(context_files(tmp_path)) - {".dockerignore"} == TREE - ignored


def test_dockerignore_can_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    write(tmp_path, TREE)
    (tmp_path / ".dockerignore").write_text("a.py\nab\n", encoding="utf-8-sig")
    assert not {"a.py", "ab"} & set(context_files(tmp_path))


def test_dockerignore_can_name_files_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    (tmp_path / ".dockerignore").write_bytes(b"caf\xe9\n")
    assert list(context_files(tmp_path)) == [".dockerignore"]


@pytest.mark.parametrize("line", ["[a", "a[b", "[]", "[^]", "[z-a]", "[a-]", "a\\", "!", "!/", "![a"])
def test_malformed_pattern_is_an_error_as_in_docker(tmp_path: Path, line: str) -> None:
    (tmp_path / ".dockerignore").write_text(f"{line}\n")
    (tmp_path / "Dockerfile").touch()
    with pytest.raises(ContextError) as error:
        hash_context(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/.dockerignore has the malformed pattern {line}. Correct or remove it, then rerun the playbook."
    )


def test_ignored_files_do_not_count(context: Path) -> None:
    write(context, {".dockerignore": ".git\n*.log\n"})
    before = hash_context(context)
    write(context, {".git/HEAD": "main", "debug.log": "x"})
    assert hash_context(context) == before


@pytest.mark.parametrize("lines", ["Dockerfile\n", "*\n", "**\n", "Docker*\n!polls\n"])
def test_dockerfile_counts_even_if_it_is_ignored(context: Path, lines: str) -> None:
    write(context, {".dockerignore": lines})
    before = hash_context(context)
    write(context, {"Dockerfile": "FROM busybox\n"})
    assert hash_context(context) != before


def test_dockerfile_of_another_directory_may_be_ignored(context: Path) -> None:
    write(context, {".dockerignore": "**/Dockerfile\n", "other/Dockerfile": "FROM scratch\n"})
    assert "other/Dockerfile" not in set(context_files(context))


def test_dockerignore_does_not_count_when_it_is_ignored(context: Path) -> None:
    write(context, {".dockerignore": ".dockerignore\n"})
    before = hash_context(context)
    write(context, {".dockerignore": "# Who ignores this?\n.dockerignore\n"})
    assert hash_context(context) == before


def test_dockerignore_counts_when_it_is_sent(context: Path) -> None:
    write(context, {".dockerignore": "*.log\n"})
    before = hash_context(context)
    write(context, {".dockerignore": "*.log\n*.pyc\n"})
    assert hash_context(context) != before


def test_dockerignore_in_a_directory_is_a_file_like_any_other(context: Path) -> None:
    write(context, {"polls/.dockerignore": "*\n"})
    assert {"polls/.dockerignore", "polls/views.py"} <= set(context_files(context))


def test_dockerignore_named_after_the_dockerfile_comes_first(context: Path) -> None:
    write(context, {".dockerignore": "polls\n", "Dockerfile.dockerignore": "manage.py\n"})
    files = set(context_files(context))
    assert "polls/views.py" in files
    assert "manage.py" not in files


class Scans:
    """Replaces `os.scandir` and records the directories that were read, relative to a context."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, unreadable: str | None = None) -> None:
        self.names: list[str] = []
        real = os.scandir

        def scandir(path: str | Path = ".") -> object:
            name = os.path.relpath(path, root)
            self.names.append(name)
            if name == unreadable:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)


PRUNED: dict[str, tuple[str, list[str]]] = {
    "ignored directories": (".git\n.venv\nnode_modules\n", [".", "src", "src/app"]),
    "directories below": ("**/app\n.*\nnode_modules\n", [".", "src"]),
    "all but a directory": ("*\n!src\n", [".", "src", "src/app"]),
    "all but a directory further down": ("*\n!src/app\n", [".", "src", "src/app"]),
    "all but what is in a directory": ("*\n!src/**/*.py\n", [".", "src", "src/app"]),
    "all but a file": ("*\n!manage.py\n", ["."]),
    "exceptions that may be anywhere": ("node_modules\n.*\n!**/*.md\n", None),
}


@pytest.mark.parametrize(("lines", "read"), PRUNED.values(), ids=PRUNED.keys())
def test_only_directories_with_possible_matches_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, read: list[str] | None
) -> None:
    write(tmp_path, [".git/objects/ab/cd", ".venv/lib/python/x.py", "node_modules/a/b/c.js", "src/app/views.py"])
    write(tmp_path, {".dockerignore": lines, "Dockerfile": ""})
    everything = [".", *(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir())]
    scans = Scans(tmp_path, monkeypatch)
    hash_context(tmp_path)
    assert sorted(scans.names) == sorted(read or everything)


def test_directory_that_cannot_be_read_is_an_error(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Scans(context, monkeypatch, unreadable="polls")
    with pytest.raises(ContextError) as error:
        hash_context(context)
    assert str(error.value) == (f"Build context file {context}/polls cannot be read: Permission denied. {OWNER}")


def test_ignored_directory_that_cannot_be_read_is_no_error(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(context, {".dockerignore": "polls\n!**/*.md\n"})
    before = hash_context(context)
    scans = Scans(context, monkeypatch, unreadable="polls")
    assert hash_context(context) == before
    assert "polls" in scans.names


def test_file_that_vanishes_meanwhile_is_an_error(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_context, "context_files", lambda *_: iter(["gone.py"]))
    with pytest.raises(ContextError) as error:
        hash_context(context)
    assert str(error.value) == (
        f"Build context file {context}/gone.py cannot be read: No such file or directory. {OWNER}"
    )


def test_file_that_cannot_be_read_is_an_error(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def refuse(path: Path, *arguments: str) -> object:
        if path.name == "views.py":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ContextError) as error:
        hash_context(context)
    assert str(error.value) == (
        f"Build context file {context}/polls/views.py cannot be read: Permission denied. {OWNER}"
    )


def test_path_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as error:
        hash_context(tmp_path / "site")
    assert str(error.value) == (f"Build context {tmp_path}/site is not a directory. {build_context.STEP}")


def test_path_of_a_file_is_an_error(context: Path) -> None:
    with pytest.raises(ContextError, match=r"Dockerfile is not a directory\. "):
        hash_context(context / "Dockerfile")


@pytest.mark.parametrize("target", [".", "..", "loop", "/", "polls/..", "nowhere"])
def test_links_are_not_followed(context: Path, target: str) -> None:
    (context / "polls" / "loop").symlink_to(target)
    names = set(context_files(context))
    assert "polls/loop" in names
    assert not {name for name in names if name.startswith("polls/loop/")}
    assert len(hash_context(context)) == 64


def test_content_of_a_link_to_the_outside_does_not_count(context: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret": "1"})
    (context / "directory").symlink_to(outside)
    (context / "file").symlink_to(outside / "secret")
    before = hash_context(context)
    write(outside, {"secret": "2", "more": "3"})
    assert hash_context(context) == before
    shutil.rmtree(outside)
    assert hash_context(context) == before


def test_link_to_a_directory_can_be_ignored(context: Path) -> None:
    write(context, {".dockerignore": "latest\n"})
    assert "latest" not in set(context_files(context))


def test_context_can_be_a_link(context: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(context)
    assert hash_context(tmp_path / "link") == hash_context(context)


def test_sockets_and_pipes_are_left_out(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_context(context)
    os.mkfifo(context / "pipe")
    # The path of a socket has a low maximum length, so a relative path is used.
    monkeypatch.chdir(context)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert hash_context(context) == before


def test_names_that_are_not_utf_8_count(context: Path) -> None:
    before = hash_context(context)
    hashes = {before}
    for name in (b"caf\xe9", b"caf\xea"):
        path = context / os.fsdecode(name)
        path.write_text("x")
        hashes.add(hash_context(context))
        path.unlink()
    assert len(hashes) == 3
    assert hash_context(context) == before


def unread(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Path | None) -> str:
    """Return the error of a refused context. Fail if a directory was read."""
    monkeypatch.setattr(os, "scandir", lambda _: pytest.fail("It was read."))
    with pytest.raises(ContextError) as error:
        hash_context(root, **options)
    return str(error.value)


def test_no_file_is_read_without_a_dockerfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"secret": "key"})
    assert unread(tmp_path, monkeypatch) == (
        f"Build context {tmp_path} has no Dockerfile. No files were read. {build_context.FILE_STEP}"
    )


def test_dockerfile_is_found_in_the_context_then_beside_the_inventory(context: Path, tmp_path: Path) -> None:
    inventory = write(tmp_path / "inventory", ["Dockerfile", "shop/Dockerfile", "python"])
    write(context, ["docker/web.Dockerfile"])
    found = partial(find_dockerfile, context, inventory=inventory)
    assert found("Dockerfile") == Path("Dockerfile")
    assert found("./docker/../docker/web.Dockerfile") == Path("docker/web.Dockerfile")
    assert found(f"{context}/docker/web.Dockerfile") == Path("docker/web.Dockerfile")
    assert found("shop/Dockerfile") == inventory / "shop" / "Dockerfile"
    assert found("./python") == inventory / "python"
    (context / "Dockerfile").unlink()
    assert found("Dockerfile") == inventory / "Dockerfile"


@pytest.mark.parametrize("file", ["Dockerfile.prod", "/nowhere/Dockerfile"])
def test_a_missing_dockerfile_is_reported_before_a_file_is_read(file: str, context: Path, tmp_path: Path) -> None:
    with pytest.raises(ContextError) as error:
        find_dockerfile(context, file, tmp_path / "inventory")
    relative = f"Build context {context} has no {file}, and neither has the directory {tmp_path}/inventory. "
    absolute = f"Dockerfile {file} does not exist. "
    begin = absolute if file.startswith("/") else relative
    assert str(error.value) == f"{begin}No files were read. {build_context.FILE_STEP}"


def test_ignore_file_of_another_dockerfile_comes_first(context: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "inventory", ["Dockerfile"])
    write(context, {".dockerignore": "polls\n", "web/Dockerfile": "", "web/Dockerfile.dockerignore": "manage.py\n"})
    names = set(context_files(context, Path("web/Dockerfile")))
    assert ("manage.py" in names, "polls/views.py" in names) == (False, True)
    names = set(context_files(context, outside / "Dockerfile"))
    assert ("manage.py" in names, "polls/views.py" in names) == (True, False)
    write(outside, {"Dockerfile.dockerignore": "manage.py\n"})
    names = set(context_files(context, outside / "Dockerfile"))
    assert ("manage.py" in names, "polls/views.py" in names) == (False, True)


@pytest.mark.parametrize("rules", ["web\n", "**\n", "web/*\n"])
def test_dockerfile_in_an_ignored_directory_counts(context: Path, rules: str) -> None:
    write(context, {".dockerignore": rules, "web/Dockerfile": "", "web/other": ""})
    names = set(context_files(context, Path("web/Dockerfile")))
    assert ("web/Dockerfile" in names, "web/other" in names) == (True, False)


def test_default_rules_are_for_a_context_without_its_own(context: Path, tmp_path: Path) -> None:
    rules = write(tmp_path, {"rules": ".env\n"}) / "rules"
    write(context, [".env", "log"])
    assert ".env" not in set(context_files(context, None, rules))
    write(context, {".dockerignore": "log\n"})
    names = set(context_files(context, None, rules))
    assert (".env" in names, "log" in names) == (True, False)


def test_default_rules_do_not_allow_a_home_directory(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(context))
    with pytest.raises(ContextError, match="contains a home directory"):
        hash_context(context, None, context / "Dockerfile")


def test_a_context_of_another_tool_needs_no_dockerfile(tmp_path: Path) -> None:
    assert hash_context(write(tmp_path, {"go.mod": "module polls\n"}), dockerfile=None)


@pytest.mark.parametrize("home", [".", "users/me"])
def test_a_home_directory_is_no_context(home: str, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (context / home).mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("HOME", str(context / home))
    (context / ".dockerignore").unlink(missing_ok=True)
    assert "contains a home directory and has no .dockerignore" in unread(context, monkeypatch)
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(context / home))
    write(context, {".dockerignore": "users\n"})
    assert hash_context(context)
