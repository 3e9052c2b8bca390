# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Names that a project reads from its environment, and whether it starts without them."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.syntax import (
    dotted,
    keyword,
    literal,
    parents_of,
    text_of,
)

# Methods of the readers of django-environ, environs, and decouple, and the type that each returns.
METHODS = {
    "str": "str", "bool": "bool", "int": "int", "float": "float", "decimal": "float", "list": "list", "tuple": "list",
    "dict": "dict", "json": "json", "url": "url", "path": "path", "db": "db", "db_url": "db", "dj_db_url": "db",
    "cache": "cache", "cache_url": "cache", "dj_cache_url": "cache", "email": "email", "email_url": "email",
    "dj_email_url": "email", "search_url": "url", "channels": "cache", "channels_url": "cache", "get_value": "str",
    "enum": "str", "date": "str", "datetime": "str", "timedelta": "str", "uuid": "str", "log_level": "str",
}  # fmt: skip
# Names that a reader of these types reads if it gets none.
IMPLIED = {"db": "DATABASE_URL", "cache": "CACHE_URL", "email": "EMAIL_URL"}
MISSING = object()


@dataclass
class Name:
    """A name in the environment."""

    name: str
    # File and line that reads it first.
    file: str
    line: int
    # Whether the project fails without it.
    is_needed: bool
    kind: str = "str"
    # The default, if it is a literal: None for one that is absent or not known.
    default: Any = None
    # For a list, the text between its elements.
    separator: str = ""
    # Text that the project appends to the value, such as /0.
    suffixes: list[str] = field(default_factory=list)
    # Another name, without which this one is not read.
    condition: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"

    def add(self, other: "Name") -> None:
        """Take in a second place that reads the name."""
        self.is_needed = self.is_needed or other.is_needed
        self.kind = other.kind if self.kind == "str" else self.kind
        self.default = other.default if self.default is None else self.default
        self.separator = self.separator or other.separator
        self.suffixes += other.suffixes
        self.condition = self.condition if other.condition else ""


def merged(names: Iterable[Name]) -> dict[str, Name]:
    """Return all names, each once."""
    found: dict[str, Name] = {}
    for each in names:
        if each.name in found:
            found[each.name].add(each)
        else:
            found[each.name] = each
    return found


class Reader:
    """Reader of the names in one file."""

    def __init__(self, file: str, tree: ast.Module, wrappers: dict[str, "Wrapper"] | None = None) -> None:
        self.file, self.tree, self.wrappers = file, tree, wrappers or {}
        self.parents = parents_of(tree)
        # Variables that are the environment, readers of it, and values from it.
        self.environments = {"os.environ", "environ"}
        self.readers = {"env", "config"} if self._imports_reader() else set()
        self.schemes: dict[str, tuple[str, Any]] = {}
        self.values: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self._assigned(dotted(target), node.value)

    def _imports_reader(self) -> bool:
        """Return whether the file gets a reader from another module."""
        return any(
            alias.name in ("env", "config") or alias.asname in ("env", "config")
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module != "django.conf"
            for alias in node.names
        )

    def _assigned(self, target: str, value: ast.expr) -> None:
        name = dotted(value.func) if isinstance(value, ast.Call) else dotted(value)
        if name in ("os.environ", "environ", "os.environ.copy", "environ.copy"):
            self.environments.add(target)
        elif isinstance(value, ast.Call) and name in ("dict", "ChainMap") and value.args:
            if dotted(value.args[0]) in self.environments:
                self.environments.add(target)
        elif isinstance(value, ast.Call) and name.rpartition(".")[2] in ("Env", "FileAwareEnv", "AutoConfig", "Config"):
            self.readers.add(target)
            for each in value.keywords:
                scheme = each.value.elts if isinstance(each.value, ast.Tuple) else [each.value]
                default = literal(scheme[1]) if len(scheme) > 1 else MISSING
                self.schemes[each.arg or ""] = (METHODS.get(dotted(scheme[0]), "str"), default)

    def names(self) -> Iterator[Name]:
        """Yield each place that reads a name."""
        for node in ast.walk(self.tree):
            found = self._read(node)
            if found is None:
                continue
            found.kind, found.separator = self._used(node, found)
            found.suffixes = list(self._suffixes(node))
            self._guarded(node, found)
            yield found

    def _name(
        self, node: ast.expr | ast.Compare, name: str, is_needed: bool, kind: str = "str", default: Any = None
    ) -> Name:
        return Name(f"{self._prefix(node)}{name}", self.file, node.lineno, is_needed, kind, default)

    def _read(self, node: ast.AST) -> Name | None:
        """Return the name that an expression reads; None for another expression."""
        match node:
            case ast.Subscript(ctx=ast.Load()):
                name = text_of(node.slice) if dotted(node.value) in self.environments else ""
                return self._name(node, name, True) if name else None
            case ast.Compare(ops=[ast.In() | ast.NotIn(), *_]):
                name = text_of(node.left) if dotted(node.comparators[0]) in self.environments else ""
                return self._name(node, name, False) if name else None
            case ast.Call():
                return self._called(node)
        return None

    def _called(self, call: ast.Call) -> Name | None:
        function = dotted(call.func)
        owner, _, method = function.rpartition(".")
        first = text_of(call.args[0]) if call.args else ""
        if function in ("os.getenv", "getenv") or (
            owner in self.environments and method in ("get", "pop", "setdefault")
        ):
            if not first or first == "DJANGO_SETTINGS_MODULE" or method == "setdefault":
                return None
            return self._name(call, first, False, default=self._default(call, 1))
        if function in self.readers or (owner in self.readers and method in METHODS):
            return self._by_reader(call, method if owner in self.readers else "", first)
        if method in ("config", "parse") and owner == "dj_database_url" and method == "config":
            name = text_of(keyword(call, "env")) or first or "DATABASE_URL"
            return self._name(call, name, False, "db", literal(keyword(call, "default")))
        if (wrapper := self.wrappers.get(method)) and first.isupper():
            has_default = len(call.args) > 1 or bool(call.keywords)
            return self._name(call, first, wrapper.is_strict and not has_default, wrapper.kind, self._default(call, 1))
        return None

    def _by_reader(self, call: ast.Call, method: str, first: str) -> Name | None:
        kind, default = self.schemes.get(first, ("str", MISSING))
        kind = METHODS.get(method, kind)
        name = first or ("" if call.args else IMPLIED.get(kind, ""))
        if not name:
            return None
        cast = keyword(call, "cast", "subcast")
        kind = METHODS.get(dotted(cast), kind) if cast is not None and kind == "str" else kind
        if isinstance(cast, ast.Call):
            kind = "list" if dotted(cast.func).endswith("Csv") else kind
        given = keyword(call, "default")
        given = call.args[1] if given is None and len(call.args) > 1 and dotted(call.args[1]) not in METHODS else given
        if given is not None:
            return self._name(call, name, False, kind, literal(given))
        return self._name(call, name, default is MISSING, kind, None if default is MISSING else default)

    def _default(self, call: ast.Call, index: int) -> Any:
        given = call.args[index] if len(call.args) > index else keyword(call, "default")
        return literal(given)

    def _prefix(self, node: ast.AST) -> str:
        """Return the prefix of `with env.prefixed("SHOP_")`."""
        prefix = ""
        for above in self._above(node):
            for item in above.items if isinstance(above, ast.With) else []:
                call = item.context_expr
                if isinstance(call, ast.Call) and dotted(call.func).endswith(".prefixed") and call.args:
                    prefix = text_of(call.args[0]) + prefix
        return prefix

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def _used(self, node: ast.AST, found: Name) -> tuple[str, str]:
        """Return the type of a value and the separator of its list, from the expressions around it."""
        kind, separator = found.kind, ""
        for above in self._above(node):
            if isinstance(above, ast.stmt):
                break
            if not isinstance(above, ast.Call):
                kind = "flag" if isinstance(above, ast.Compare) and kind == "str" and not _is_member(above) else kind
                continue
            function = dotted(above.func) or getattr(above.func, "attr", "")
            last = function.rpartition(".")[2]
            if last == "split":
                kind, separator = "list", text_of(above.args[0]) if above.args else " "
            elif last in ("int", "float", "bool"):
                kind = {"bool": "truth"}.get(last, last)
            elif function == "json.loads":
                kind = "json"
            elif last == "strtobool" or "bool" in last or "truthy" in last:
                kind = "bool"
            elif function == "dj_database_url.parse":
                kind = "db"
        return kind, "," if kind == "list" and not separator else separator

    def _suffixes(self, node: ast.AST) -> Iterator[str]:
        """Yield the texts that the file appends to a value, or to the variable that has it."""
        variable = self._variable(node)
        for each in ast.walk(self.tree):
            pairs: list[tuple[ast.expr, ast.expr]] = []
            if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Add):
                pairs = [(each.left, each.right)]
            elif isinstance(each, ast.JoinedStr):
                parts = zip(each.values, each.values[1:], strict=False)
                pairs = [(part.value, after) for part, after in parts if isinstance(part, ast.FormattedValue)]
            for value, after in pairs:
                is_value = value is node or (bool(variable) and dotted(value) == variable)
                if is_value and text_of(after).startswith("/"):
                    yield text_of(after)

    def _variable(self, node: ast.AST) -> str:
        """Return the variable that a value is assigned to; empty for none."""
        for above in self._above(node):
            if isinstance(above, ast.Assign | ast.NamedExpr):
                return dotted(above.targets[0] if isinstance(above, ast.Assign) else above.target)
            if isinstance(above, ast.stmt):
                break
        return ""

    def _guarded(self, node: ast.AST, found: Name) -> None:
        """Mark a name that is not needed, because a test or an exception handler is around it."""
        child = node
        for above in self._above(node):
            if isinstance(above, ast.Try) and child in above.body and above.handlers:
                found.is_needed = False
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                # Not read when the settings are imported.
                found.is_needed = False
            if isinstance(above, ast.BoolOp) and isinstance(above.op, ast.And):
                # Only read if all operands before are true.
                before = above.values[: [*above.values].index(child)] if child in above.values else []
                found.is_needed = found.is_needed and not any(True for each in before for _ in self._tested(each))
            if isinstance(above, ast.If | ast.IfExp):
                inside = above.body if isinstance(above.body, list) else [above.body]
                tested = list(self._tested(above.test))
                if tested and child in inside:
                    found.is_needed = False
                    found.condition = found.condition or next((name for name in tested if name != found.name), "")
            child = above

    def _tested(self, test: ast.expr) -> Iterator[str]:
        """Yield the names whose presence a condition tests, itself or through a variable."""
        for node in ast.walk(test):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                return
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotIn):
                return
        for node in ast.walk(test):
            if found := self._read(node):
                yield found.name
            elif isinstance(node, ast.Name) and (name := self._value_of(node.id)):
                yield name

    def _value_of(self, variable: str) -> str:
        """Return the name that a variable has its value from, if the value can be empty."""
        if not self.values:
            self.values[""] = ""
            for node in ast.walk(self.tree):
                found = self._read(node)
                if found and not found.is_needed and not found.default and (target := self._variable(node)):
                    self.values.setdefault(target, found.name)
        return self.values.get(variable, "")


@dataclass(frozen=True)
class Wrapper:
    """A function of the project that reads the name which it gets."""

    is_strict: bool
    kind: str = "str"


def wrappers(trees: Iterable[ast.Module]) -> dict[str, Wrapper]:
    """Return the functions of the project that read a name in their first parameter."""
    found: dict[str, Wrapper] = {}
    functions = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.args.args
    ]
    # Twice, because one can call another.
    for function in functions * 2:
        if wrapper := _wrapper(function, found):
            found[function.name] = wrapper
    return found


def _wrapper(function: ast.FunctionDef, known: Mapping[str, Wrapper]) -> Wrapper | None:
    first = next((each.arg for each in function.args.args if each.arg not in ("self", "cls")), "")
    is_reader = is_strict = False
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and dotted(node.value).endswith("environ") and dotted(node.slice) == first:
            is_reader = is_strict = True
        if isinstance(node, ast.Call) and node.args and dotted(node.args[0]) == first:
            name = dotted(node.func)
            is_reader = is_reader or name in ("os.getenv", "getenv", "os.environ.get", "environ.get") or name in known
        # One that composes the name, for example with a prefix.
        if "env" in function.name.lower() and isinstance(node, ast.Attribute | ast.Name):
            is_reader = is_reader or dotted(node) in ("os.environ", "os.getenv")
    has_default = bool(function.args.defaults)
    kind = "bool" if "bool" in function.name else "list" if "list" in function.name else "str"
    # `get` is the method of every dictionary.
    return Wrapper(is_strict and not has_default, kind) if first and is_reader and function.name != "get" else None


def _is_member(compare: ast.Compare) -> bool:
    """Return whether a comparison tests the environment itself."""
    return dotted(compare.comparators[0]).endswith("environ")
