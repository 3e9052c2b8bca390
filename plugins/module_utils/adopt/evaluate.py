# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Values of settings, as far as a syntax tree shows them without running the code."""

import ast
import copy
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.syntax import dotted, keyword

# Functions that return their first argument, or a path of it.
SAME = frozenset(
    {"str", "list", "tuple", "Path", "pathlib.Path", "os.path.abspath", "os.path.realpath", "abspath", "normpath"}
)
LISTS = {"append": "append", "extend": "extend", "insert": "insert"}


@dataclass(frozen=True)
class Unknown:
    """A value that depends on the environment or on code; equal to nothing else."""

    reason: str = "code"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Assigned:
    """The last assignment of a setting."""

    value: Any
    node: ast.expr
    file: PurePosixPath
    line: int
    # Whether it is inside of a condition, so that the value can also be another one.
    is_conditional: bool


class Evaluator:
    """Evaluator of the assignments of settings, one file after another."""

    def __init__(self, root: PurePosixPath) -> None:
        self.root = root
        self.settings: dict[str, Assigned] = {}
        # All values that a setting has in some branch.
        self.history: dict[str, list[Assigned]] = {}

    def run(
        self, file: PurePosixPath, tree: ast.Module, body: list[ast.stmt] | None = None, is_conditional: bool = False
    ) -> None:
        """Take in the assignments of a file."""
        for node in tree.body if body is None else body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(file, target, node.value, is_conditional)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self._assign(file, node.target, node.value, is_conditional)
            elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
                self._extend(file, dotted(node.target), node.value, "extend", is_conditional)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                owner, _, method = dotted(node.value.func).rpartition(".")
                if method in LISTS and node.value.args:
                    self._extend(file, owner, node.value.args[-1], method, is_conditional)
            else:
                for branch in _branches(node):
                    self.run(file, tree, branch, True)

    def value(self, name: str) -> Any:
        """Return the value of a setting; None if it is not set, UNKNOWN if it is not known."""
        return self.settings[name].value if name in self.settings else None

    def values(self, name: str) -> Iterator[Any]:
        """Yield the values of a setting in all branches."""
        yield from (each.value for each in self.history.get(name, []))

    def _assign(self, file: PurePosixPath, target: ast.expr, node: ast.expr, is_conditional: bool) -> None:
        if isinstance(target, ast.Tuple) and isinstance(node, ast.Tuple) and len(target.elts) == len(node.elts):
            for each, value in zip(target.elts, node.elts, strict=True):
                self._assign(file, each, value, is_conditional)
        elif isinstance(target, ast.Subscript):
            self._item(file, target, node, is_conditional)
        elif isinstance(target, ast.Name):
            found = Assigned(self.of(file, node), node, file, node.lineno, is_conditional)
            self.settings[target.id] = found
            self.history.setdefault(target.id, []).append(found)

    def _item(self, file: PurePosixPath, target: ast.Subscript, node: ast.expr, is_conditional: bool) -> None:
        """Change a dictionary, as in STORAGES["default"]["BACKEND"] = …"""
        keys: list[Any] = []
        owner: ast.expr = target
        while isinstance(owner, ast.Subscript):
            keys.insert(0, owner.slice.value if isinstance(owner.slice, ast.Constant) else None)
            owner = owner.value
        name = dotted(owner)
        if not isinstance(self.value(name), dict):
            return
        whole = copy.deepcopy(self.value(name))
        found = whole
        for key in keys[:-1]:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict):
            found[keys[-1]] = self.of(file, node)
            after = Assigned(whole, node, file, node.lineno, is_conditional)
            self.history.setdefault(name, []).append(after)
            # The value without the condition is the one to build on.
            self.settings[name] = self.settings[name] if is_conditional else after

    def _extend(self, file: PurePosixPath, name: str, node: ast.expr, method: str, is_conditional: bool) -> None:
        before, added = self.value(name), self.of(file, node)
        if isinstance(before, list | tuple):
            more = list(added) if isinstance(added, list | tuple) and method == "extend" else [added]
            value = [*more, *before] if method == "insert" else [*before, *more]
            self.settings[name] = Assigned(value, node, file, node.lineno, is_conditional)
            self.history.setdefault(name, []).append(self.settings[name])

    def of(self, file: PurePosixPath, node: ast.AST | None) -> Any:
        """Return the value of an expression in a file."""
        match node:
            case ast.Constant():
                return node.value
            case ast.List() | ast.Tuple() | ast.Set():
                return [item for each in node.elts for item in self._element(file, each)]
            case ast.Dict():
                return {
                    key.value: self.of(file, value)
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant)
                }
            case ast.Name():
                return str(self.root / file) if node.id == "__file__" else self._name(node.id)
            case ast.BinOp():
                return self._operation(file, node)
            case ast.Attribute():
                return _parent(self.of(file, node.value)) if node.attr == "parent" else UNKNOWN
            case ast.Subscript():
                return self._subscript(file, node)
            case ast.Call():
                return self._call(file, node)
            case ast.IfExp():
                return self.of(file, node.orelse if _is_for_developers(node.test) else node.body)
            case ast.JoinedStr():
                parts = [
                    self.of(file, each.value if isinstance(each, ast.FormattedValue) else each) for each in node.values
                ]
                return "".join(map(str, parts)) if UNKNOWN not in parts else UNKNOWN
        return UNKNOWN

    def _name(self, name: str) -> Any:
        return self.settings[name].value if name in self.settings else UNKNOWN

    def _element(self, file: PurePosixPath, node: ast.expr) -> list[Any]:
        value = self.of(file, node.value if isinstance(node, ast.Starred) else node)
        return list(value) if isinstance(node, ast.Starred) and isinstance(value, list | tuple) else [value]

    def _operation(self, file: PurePosixPath, node: ast.BinOp) -> Any:
        left, right = self.of(file, node.left), self.of(file, node.right)
        if isinstance(left, str) and isinstance(right, str):
            return posixpath.join(left, right) if isinstance(node.op, ast.Div) else left + right
        if isinstance(left, list) or isinstance(right, list):
            return [item for side in (left, right) if isinstance(side, list) for item in side]
        return UNKNOWN

    def _subscript(self, file: PurePosixPath, node: ast.Subscript) -> Any:
        # Path(__file__).parents[1]
        if (
            isinstance(node.value, ast.Attribute)
            and node.value.attr == "parents"
            and isinstance(node.slice, ast.Constant)
        ):
            path = self.of(file, node.value.value)
            for _ in range(int(node.slice.value) + 1 if isinstance(node.slice.value, int) else 0):
                path = _parent(path)
            return path
        owner, key = self.of(file, node.value), self.of(file, node.slice)
        return owner.get(key, UNKNOWN) if isinstance(owner, Mapping) and isinstance(key, str) else UNKNOWN

    def _call(self, file: PurePosixPath, node: ast.Call) -> Any:
        function = dotted(node.func)
        arguments = [self.of(file, each) for each in node.args]
        last = function.rpartition(".")[2] or getattr(node.func, "attr", "")
        if last in ("resolve", "absolute") and isinstance(node.func, ast.Attribute):
            return self.of(file, node.func.value)
        if last == "joinpath" and isinstance(node.func, ast.Attribute):
            arguments, last = [self.of(file, node.func.value), *arguments], "join"
        if (default := self._default(file, node)) is not None:
            return default
        if not arguments or not all(isinstance(each, str | list) for each in arguments):
            return UNKNOWN
        if last == "join" and all(isinstance(each, str) for each in arguments):
            return posixpath.normpath(posixpath.join(*arguments))
        if last == "dirname":
            return _parent(arguments[0])
        return arguments[0] if function in SAME or last in ("abspath", "realpath", "normpath") else UNKNOWN

    def _default(self, file: PurePosixPath, node: ast.Call) -> str | None:
        """Return the path that a name in the environment has by default; None for other calls."""
        first = node.args[0] if node.args else None
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.isupper()):
            return None
        given = keyword(node, "default") or (node.args[1] if len(node.args) > 1 else None)
        value = self.of(file, given)
        return value if isinstance(value, str) and value.startswith("/") else None


def _parent(path: Any) -> Any:
    return posixpath.dirname(path) if isinstance(path, str) else UNKNOWN


def _branches(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of a statement that may run."""
    if isinstance(node, ast.If | ast.Try):
        if isinstance(node, ast.If) and _is_for_developers(node.test):
            yield node.orelse
            return
        # The last one has the last word: prefer the first branch of a condition.
        yield node.orelse
        if isinstance(node, ast.Try):
            yield from (handler.body for handler in node.handlers)
        yield node.body
    elif isinstance(node, ast.With):
        yield node.body


def _is_for_developers(test: ast.expr) -> bool:
    """Return whether a condition is only true on the machine of a developer."""
    return dotted(test) in ("DEBUG", "settings.DEBUG", "TESTING", "IS_TESTING")
