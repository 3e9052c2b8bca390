# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Mask the values of Secrets in messages."""

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

MASK = "********"
# Characters. Shorter values occur in too many words.
SHORTEST_SECRET = 4
# Keys with public values in the Secrets of databases, caches, and certificates. A message without `polls` or `5432`
# would be unreadable.
PUBLIC_KEYS = frozenset(
    {"username", "user", "host", "port", "database", "schema", "role", "owner", "address", "sslmode", "sslrootcert"}
    | {"ca", "ca.crt", "tls.crt"}
)

# Lines of a service file of libpq with such values. The same Secret has them as single values, also the password.
_SERVICE = "[default]\n"
_PUBLIC_LINE = re.compile(r"\[default\]|(host|port|dbname|user|sslmode|sslrootcert)=.*")


def embedded_base64(value: bytes) -> set[str]:
    """Return the parts of longer base64 texts that depend only on this value, for each of three offsets."""
    texts = set()
    for offset, lost in ((0, 0), (1, 2), (2, 3)):
        whole = base64.b64encode(b"\0" * offset + value).decode()
        texts.add(whole[lost : (offset + len(value)) * 8 // 6])
    return {text for text in texts if len(text) >= 8}


def secret_forms(value: str | bytes) -> set[str]:
    """Return the forms of a secret value in a text: plain, as base64, and quoted for URLs or code."""
    raw = value.encode() if isinstance(value, str) else value
    plain = base64.b64encode(raw).decode()
    forms = {plain, plain.rstrip("="), base64.b64encode(raw + b"\n").decode().rstrip("=")} | embedded_base64(raw)
    forms |= {form.translate(str.maketrans("+/", "-_")) for form in forms}
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return forms
    is_service = text.startswith(_SERVICE)
    lines = [line for line in text.splitlines() if not (is_service and _PUBLIC_LINE.fullmatch(line))]
    for part in {text, text.strip(), *(line.strip() for line in lines)}:
        if len(part) < SHORTEST_SECRET:
            continue
        quoted = {quote(part, safe=""), quote(part), quote_plus(part), quote_plus(part, safe="/")}
        quoted |= {re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in quoted}
        dumped = {json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], repr(part)[1:-1]}
        coded = {part.replace("'", "''"), part.replace("'", "'\\''"), html.escape(part), html.escape(part, quote=False)}
        forms |= {part} | quoted | dumped | coded
    return forms


def all_forms(values: Iterable[str | bytes]) -> list[str]:
    """Return all forms of all values that are long enough, longest first."""
    long_enough = [v for v in values if len(v.strip()) >= SHORTEST_SECRET]
    forms = {form for value in long_enough for form in secret_forms(value)}
    return sorted((f for f in forms if len(f) >= SHORTEST_SECRET), key=lambda f: (-len(f), f))


def occurrences(text: str, word: str) -> Iterable[tuple[int, int]]:
    start = text.find(word)
    while start >= 0:
        yield start, start + len(word)
        start = text.find(word, start + 1)


def mask(text: str, forms: Sequence[str], public: Iterable[str] = ()) -> str:
    """Return a text with the given forms masked. Overlapping forms are masked together, so that no end is visible.

    A form strictly inside of a `public` name stays: database `polls` in pod `polls-web-7d9f` isn't secret.
    """
    found = [span for form in forms for span in occurrences(text, form)]
    if not found:
        return text
    kept = [span for name in public for span in occurrences(text, name)]
    hidden = sorted(
        (start, end)
        for start, end in found
        if not any(a <= start and end <= b and end - start < b - a for a, b in kept)
    )
    parts, position, reach = [], 0, -1
    for start, end in hidden:
        if start >= reach:
            parts += [text[position:start], MASK]
        reach = max(reach, end)
        position = reach
    return "".join([*parts, text[position:]])


def balanced(text: str) -> str:
    """Return a text without an unmatched quote, which a cut can leave."""
    for mark in ('"', "`"):
        if text.count(mark) % 2:
            first = text.index(mark)
            # No word follows a closing quote.
            closes = first > 0 and not text[first + 1 : first + 2].isalnum()
            at = first if closes else text.rindex(mark)
            text = text[:at] + text[at + 1 :]
    return text


def shorten(text: str, limit: int = 600) -> str:
    """Return a text on one line of at most `limit` characters. Mask first, because a cut secret is not found."""
    line = " ".join(text.split())
    return balanced(line if len(line) <= limit else f"{line[: limit - 1]}…")
