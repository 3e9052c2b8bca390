# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Parts of Python's syntax trees that several readers use."""

import ast
import re
from collections.abc import Iterator
from typing import Any


def dotted(node: ast.AST) -> str:
    """Return a name with dots, such as os.environ.get; empty for another expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def literal(node: ast.AST | None) -> Any:
    """Return the value of a literal; None for another expression."""
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def text_of(node: ast.AST | None) -> str:
    """Return a literal string; empty for another expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """Return the value of a keyword argument."""
    return next((each.value for each in call.keywords if each.arg in names), None)


def strings(node: ast.AST) -> Iterator[str]:
    """Yield all literal strings in a tree."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def parents_of(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    """Return the parent of each node."""
    return {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def calls(tree: ast.AST, *endings: str) -> Iterator[ast.Call]:
    """Yield the calls of functions whose last name is one of those given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in endings:
            yield node


def default_settings(tree: ast.AST) -> str:
    """Return the module that a file sets in DJANGO_SETTINGS_MODULE; empty for none."""
    for call in calls(tree, "setdefault"):
        if len(call.args) == 2 and text_of(call.args[0]) == "DJANGO_SETTINGS_MODULE":
            return text_of(call.args[1]) or _default_of(call.args[1])
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Subscript(slice=key)]) if text_of(key) == "DJANGO_SETTINGS_MODULE":
                return text_of(node.value) or _default_of(node.value)
    return ""


def _default_of(node: ast.AST) -> str:
    """Return the last string in an expression that can be the name of a module."""
    found = [text for text in strings(node) if re.fullmatch(r"[a-z_]\w*(\.\w+)+", text)]
    return found[-1] if found else ""
