"""The script that reads the catalog of a PostgreSQL server, and quoting."""

from __future__ import annotations

import string
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog


def test_the_reading_script_reads_exactly_the_managed_names() -> None:
    roles = tuple(catalog.Role(f"polls_{name}", "read", "s3cret") for name in ("migrate", "app", "read"))
    script = catalog.reading_script(catalog.Wanted("polls", "polls", "polls_owner", roles))
    assert script.endswith("\\q\n")
    assert "ARRAY['polls_owner', 'polls_migrate', 'polls_app', 'polls_read']::text[]" in script
    assert "{" not in script.replace("'{}'", "")
    for word in ("INSERT ", "UPDATE ", "CREATE ", "ALTER ", "GRANT ", "PASSWORD"):
        assert word not in script


def test_answers_are_merged() -> None:
    output = 'Filesystem 1 2 3 4% /\n{"version": 170000}\n\n{"verifiers": {}}\n'
    assert catalog.parsed(output) == {"version": 170000, "verifiers": {}}


@pytest.mark.parametrize(("text", "quoted"), [("a", '"a"'), ('a"b', '"a""b"'), ("a b", '"a b"'), ("", '""')])
def test_identifiers(text: str, quoted: str) -> None:
    assert catalog.ident(text) == quoted


@pytest.mark.parametrize(("text", "quoted"), [("a", "'a'"), ("it's", "'it''s'"), ("\\", "'\\'"), ("", "''")])
def test_literals(text: str, quoted: str) -> None:
    assert catalog.literal(text) == quoted


def test_connection_strings_pass_unchanged_through_psql_and_libpq() -> None:
    assert catalog.conninfo(user="a", password="b") == "'postgresql:///?user=a&password=b'"
    odd = "\"'\\\n:/?#[]@!$&()*+,;=% é"
    made = catalog.conninfo(password=odd)
    assert set(made.strip("'")) <= set(string.ascii_letters + string.digits + ":/?=%_.-")
    assert parse_qs(urlsplit(made.strip("'")).query)["password"] == [odd]


@pytest.mark.parametrize(
    ("name", "good"), [("polls", True), ("_a1", True), ("a" * 63, True), ("a" * 64, False), ("A", False)]
)
def test_names(name: str, good: bool) -> None:
    assert bool(catalog.IDENTIFIER.fullmatch(name)) is good
