# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Compile each Jinja template once in a run. By default, Ansible compiles a template for each evaluation.

A compilation takes half a millisecond, and the tasks of site.yml evaluate 1,100 templates, of which 400 differ. Tasks
are forks that return only their results, so compiled templates are stored in a shared file in memory. The templates of
the collection's roles and playbooks are also stored for later runs.
"""

import dataclasses
import fcntl
import marshal
import os
import zlib
from collections.abc import Hashable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import CodeType
from typing import Any

from jinja2.environment import TemplateExpression

ROOTS = {Path(__file__).parents[2], Path(__file__).resolve().parents[2]}
OWN = tuple(f"{root / folder}{os.sep}" for root in ROOTS for folder in ("roles", "playbooks"))
_HEAD = 8  # Bytes before each entry of the file: its length and its checksum.


class SharedTemplates:
    """Compiled templates of this process and of its forks."""

    def __init__(self) -> None:
        # In memory, because a template may come from a vault.
        self.file = os.memfd_create("templates")
        # Otherwise two processes that write at the same time would overwrite each other.
        fcntl.fcntl(self.file, fcntl.F_SETFL, os.O_APPEND)
        self._known: dict[Hashable, CodeType] = {}
        # Templates of the collection's roles and playbooks that no earlier run has stored.
        self.added: dict[Hashable, CodeType] = {}
        self._read = 0

    def get(self, key: Hashable) -> CodeType | None:
        """Return a compiled template; None if no process has added it."""
        if key not in self._known:
            self.load()
        return self._known.get(key)

    def start_with(self, stored: Mapping[Hashable, CodeType]) -> None:
        """Add the templates that an earlier run has stored."""
        self._known |= stored

    def add(self, key: Hashable, code: CodeType, is_own: bool = False) -> None:
        """Add a compiled template for all processes, and with `is_own` for later runs."""
        self._known[key] = code
        entry = marshal.dumps((key, code, is_own))
        with suppress(OSError):
            os.write(self.file, len(entry).to_bytes(4) + zlib.crc32(entry).to_bytes(4) + entry)

    def load(self) -> None:
        """Read the entries of other processes, up to the first incomplete one."""
        with suppress(OSError):
            added = os.pread(self.file, os.fstat(self.file).st_size - self._read, self._read)
            while len(added) > _HEAD:
                end = _HEAD + int.from_bytes(added[:4])
                entry = added[_HEAD:end]
                if not entry or zlib.crc32(entry) != int.from_bytes(added[4:_HEAD]):
                    break
                key, code, is_own = marshal.loads(entry)
                self._known[key] = code
                if is_own:
                    self.added[key] = code
                self._read += end
                added = added[end:]


def is_own(source: str) -> bool:
    """Return whether a template is in a file of the collection's roles or playbooks, which contain no secrets."""
    from ansible._internal._datatag._tags import Origin

    origin = Origin.get_tag(source)
    return bool(origin and origin.path and origin.path.startswith(OWN))


def share_templates() -> SharedTemplates:
    """Make Ansible's Jinja environments share templates. Raises an error if this ansible-core is not supported."""
    from ansible._internal._templating._jinja_bits import (
        _TEMPLATE_OVERRIDE_FIELD_NAMES,
        AnsibleEnvironment,
        _TemplateCompileContext,
    )

    shared = SharedTemplates()
    compile_source, compile_expression = AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression
    # The key of an expression, and whether it is of the collection.
    expression: ContextVar[tuple[Hashable, bool]] = ContextVar("expression", default=(None, False))

    def key_of(environment: Any, kind: str, source: str) -> Hashable:
        context = _TemplateCompileContext.current(optional=True)
        syntax = [getattr(environment, name) for name in _TEMPLATE_OVERRIDE_FIELD_NAMES]
        return kind, str.__str__(source), repr([syntax, context and dataclasses.astuple(context)])

    def compile_source_once(self: Any, source: Any, *others: Any, **named: Any) -> Any:
        key, own = (key_of(self, "template", source), is_own(source)) if isinstance(source, str) else expression.get()
        # Not for templates of files, which have a name, nor for overlays, which change the syntax.
        if key is None or others or named or self.overlayed:
            return compile_source(self, source, *others, **named)
        if not (code := shared.get(key)):
            shared.add(key, code := compile_source(self, source), own)
        return code

    def compile_expression_once(self: Any, source: str, undefined_to_none: bool = True) -> Any:
        key = key_of(self, "expression", source)
        if not self.overlayed and (code := shared.get(key)):
            template = self.template_class.from_code(self, code, self.make_globals(None), None)
            return TemplateExpression(template, undefined_to_none)
        # The original function parses the source and passes the result, which isn't a string, to compile_source_once.
        token = expression.set((key, is_own(source)))
        try:
            return compile_expression(self, source, undefined_to_none)
        finally:
            expression.reset(token)

    expected = _evaluated()
    AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression = compile_source_once, compile_expression_once
    try:
        # Twice, because the second evaluation uses the shared templates.
        if [_evaluated(), _evaluated()] != [expected, expected]:
            raise RuntimeError("Shared templates have different results.")
    except BaseException:
        AnsibleEnvironment.compile, AnsibleEnvironment.compile_expression = compile_source, compile_expression
        raise
    os.register_at_fork(before=shared.load)
    return shared


def _evaluated() -> list[Any]:
    """Return the results of a text, compiled in all different ways."""
    from ansible.template import Templar, trust_as_template

    templar = Templar(None, {"number": 1})
    text = r"'a\tb' ~ number"
    template = trust_as_template(f"{{{{ {text} }}}}")
    return [
        templar.template(template),
        templar.template(template, escape_backslashes=False),
        templar.template(trust_as_template(text)),
        templar.evaluate_expression(trust_as_template(text)),
    ]
