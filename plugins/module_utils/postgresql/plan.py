# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Compare what a PostgreSQL server holds with what is wanted, and return the statements that make it so, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import MASK
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import (
    OLDEST_VERSION,
    PREAMBLE,
    QUIET,
    SESSION,
    Wanted,
    ident,
    literal,
)

PUBLIC = ""

# What each kind of access may do with a table and with a sequence.
TABLE_PRIVILEGES = {"write": ("SELECT", "INSERT", "UPDATE", "DELETE"), "read": ("SELECT",), "owner": ()}
SEQUENCE_PRIVILEGES = {"write": ("USAGE",), "read": ("SELECT",), "owner": ()}


@dataclass(frozen=True)
class Change:
    """One statement. `text` tells it to a person, `shown` is the statement without secrets."""

    stage: str
    text: str
    sql: str = field(repr=False)
    secret: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        return self.sql.replace(self.secret, MASK) if self.secret else self.sql


# --- Comparing --------------------------------------------------------------------------------------------------------

_ATTRIBUTES = {
    "login": ("LOGIN", "NOLOGIN"),
    "super": ("SUPERUSER", "NOSUPERUSER"),
    "createdb": ("CREATEDB", "NOCREATEDB"),
    "createrole": ("CREATEROLE", "NOCREATEROLE"),
    "inherit": ("INHERIT", "NOINHERIT"),
    "replication": ("REPLICATION", "NOREPLICATION"),
    "bypassrls": ("BYPASSRLS", "NOBYPASSRLS"),
}
_NEW_DATABASE_ACL = [[PUBLIC, "CONNECT", False], [PUBLIC, "TEMPORARY", False]]
_NEW_DATABASE = {
    "schema": None,
    "public": {"owner": "pg_database_owner", "acl": [[PUBLIC, "USAGE", False]]},
    "defaults": {},
    "extensions": [],
    "relations": [],
}


def attributes(login: bool, connection_limit: int) -> dict[str, Any]:
    return {name: False for name in _ATTRIBUTES} | {
        "login": login,
        "inherit": True,
        "connection_limit": connection_limit,
    }


def _role_changes(
    name: str, wanted: Mapping[str, Any], found: Mapping[str, Any] | None, needs_password: bool, verifier: str
) -> list[Change]:
    """Return what makes a role have its attributes and its password; an empty `verifier` stands for no password."""
    password = f"PASSWORD {literal(verifier)}" if verifier else "PASSWORD NULL"

    def words(names: Iterable[str]) -> list[str]:
        told = [_ATTRIBUTES[key][0 if wanted[key] else 1] for key in names if key in _ATTRIBUTES]
        return told + [f"CONNECTION LIMIT {wanted[key]}" for key in names if key == "connection_limit"]

    if found is None:
        # What is false anyway is left out: who is no superuser may not even mention it.
        told = words(["login", "connection_limit"]) + ([password] if verifier else [])
        return [Change("roles", f"create role {name}", f"CREATE ROLE {ident(name)} {' '.join(told)}", verifier)]
    changes = []
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        told = words(different)
        changes.append(
            Change("roles", f"make role {name} {' '.join(told)}", f"ALTER ROLE {ident(name)} {' '.join(told)}")
        )
    if found.get("expires"):
        sql = f"ALTER ROLE {ident(name)} VALID UNTIL 'infinity'"
        changes.append(Change("roles", f"let the password of role {name} never expire", sql))
    if needs_password:
        text = f"set the password of role {name}" if verifier else f"remove the password of role {name}"
        changes.append(Change("roles", text, f"ALTER ROLE {ident(name)} {password}", verifier))
    return changes


def _membership_changes(wanted: Wanted, catalog: Mapping[str, Any]) -> list[Change]:
    """Let those with the access `owner` become the owner, without having its rights before; nobody else is a member."""
    changes = []
    right = {"admin": False, "inherit": False, "set": True}
    expected = {role.name for role in wanted.roles if role.access == "owner"}
    satisfied = set()
    mine = False
    for row in catalog["memberships"]:
        if row["role"] == wanted.owner and row["member"] == catalog["user"]:
            mine = mine or (row["inherit"] and row["set"])
        elif row["role"] == wanted.owner and row["member"] in expected and right.items() <= row.items():
            satisfied.add(row["member"])
        elif row["member"] in wanted.names:
            sql = f"REVOKE {ident(row['role'])} FROM {ident(row['member'])} GRANTED BY {ident(row['grantor'])} CASCADE"
            changes.append(Change("roles", f"revoke membership in {row['role']} from {row['member']}", sql))
    for name in sorted(expected - satisfied):
        sql = f"GRANT {ident(wanted.owner)} TO {ident(name)} WITH ADMIN FALSE, INHERIT FALSE, SET TRUE"
        changes.append(Change("roles", f"let role {name} become {wanted.owner}", sql))
    if not catalog["me"]["super"] and not mine:
        sql = f"GRANT {ident(wanted.owner)} TO {ident(catalog['user'])} WITH INHERIT TRUE, SET TRUE"
        changes.append(Change("roles", f"let role {catalog['user']} act for {wanted.owner}", sql))
    return changes


def _grant_changes(
    what: str,
    found: Sequence[Sequence[Any]],
    wanted: Mapping[str, Sequence[str]],
    owner: str,
    target: str,
    prefix: str = "",
) -> list[Change]:
    """Return what makes exactly the `wanted` privileges of each grantee hold; the owner's own are left alone.

    Args:
        what: how a person calls `target`, which is the object in SQL.
        prefix: what begins each statement.
    """
    changes = []
    held: dict[str, dict[str, bool]] = {}
    for grantee, privilege, grantable in found:
        if grantee != owner:
            held.setdefault(grantee, {})[privilege] = grantable
    for grantee in [*wanted, *sorted(held.keys() - wanted.keys())]:
        name, to = (grantee, ident(grantee)) if grantee else ("PUBLIC", "PUBLIC")
        has, right = held.get(grantee, {}), wanted.get(grantee, ())
        # A privilege that may be handed on is taken away whole, and given again without that.
        surplus = ", ".join(sorted(p for p, grantable in has.items() if p not in right or grantable))
        missing = ", ".join(p for p in right if p not in has or has[p])
        if surplus:
            sql = f"{prefix}REVOKE {surplus} ON {target} FROM {to} CASCADE"
            changes.append(Change("database", f"revoke {surplus} on {what} from {name}", sql))
        if missing:
            sql = f"{prefix}GRANT {missing} ON {target} TO {to}"
            changes.append(Change("database", f"grant {missing} on {what} to {name}", sql))
    return changes


def _rights(wanted: Wanted, privileges: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return what each role may do, by what each kind of access may do."""
    return {role.name: privileges[role.access] for role in wanted.roles if privileges[role.access]}


def _setting_changes(wanted: Wanted, found: Mapping[str, Sequence[str]]) -> list[Change]:
    changes = []
    for role in wanted.roles:
        settings = {"search_path": wanted.schema} | dict(role.settings)
        if role.access == "owner":
            # What it makes belongs to the owner even if a client forgets SET ROLE.
            settings["role"] = wanted.owner
        held = dict(setting.split("=", 1) for setting in found.get(role.name) or [])
        for name, value in settings.items():
            if held.get(name) not in (value, ident(value)):
                where = f"ALTER ROLE {ident(role.name)} IN DATABASE {ident(wanted.database)}"
                sql = f"{where} SET {ident(name)} TO {literal(value)}"
                changes.append(Change("database", f"set {name} of role {role.name} to {value}", sql))
    return changes


def _relation_changes(wanted: Wanted, relations: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Return what gives each table and sequence in the schema its owner and grants; equal ones share a statement."""
    changes: list[Change] = []
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for relation in relations:
        name = f"{wanted.schema}.{relation['name']}"
        target = f"{ident(wanted.schema)}.{ident(relation['name'])}"
        is_sequence = relation["kind"] == "S"
        if relation["owner"] != wanted.owner and not relation["follows"]:
            word = {"S": "SEQUENCE", "v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}.get(
                relation["kind"], "TABLE"
            )
            sql = f"ALTER {word} {target} OWNER TO {ident(wanted.owner)}"
            changes.append(Change("database", f"give {name} to {wanted.owner}", sql))
        rights = _rights(wanted, SEQUENCE_PRIVILEGES if is_sequence else TABLE_PRIVILEGES)
        word = "SEQUENCE" if is_sequence else "TABLE"
        for change in _grant_changes("{}", relation["acl"], rights, wanted.owner, f"{word} {{}}"):
            grouped.setdefault((change.text, change.sql, word.lower()), []).append(target)
    for (text, sql, word), targets in grouped.items():
        what = f"{word} {targets[0]}".replace('"', "") if len(targets) == 1 else f"{len(targets)} {word}s"
        changes.append(Change("database", text.format(what), sql.format(", ".join(targets))))
    return changes


def _content_changes(wanted: Wanted, found: Mapping[str, Any]) -> list[Change]:
    """Return what makes the inside of the database right."""
    changes: list[Change] = []
    schema, owner = ident(wanted.schema), ident(wanted.owner)
    if not found["schema"]:
        sql = f"CREATE SCHEMA {schema} AUTHORIZATION {owner}"
        changes.append(Change("database", f"create schema {wanted.schema}", sql))
    elif found["schema"]["owner"] != wanted.owner:
        sql = f"ALTER SCHEMA {schema} OWNER TO {owner}"
        changes.append(Change("database", f"give schema {wanted.schema} to {wanted.owner}", sql))
    usage = {role.name: ("USAGE",) for role in wanted.roles if role.access != "owner"}
    acl = found["schema"]["acl"] if found["schema"] else []
    changes += _grant_changes(f"schema {wanted.schema}", acl, usage, wanted.owner, f"SCHEMA {schema}")
    if found["public"]:
        public = found["public"]
        changes += _grant_changes("schema public", public["acl"], {}, public["owner"], "SCHEMA public")
    for name in wanted.extensions:
        if name not in found["extensions"]:
            if name not in found.get("available", [name]):
                raise ServerError(
                    f"Extension {name}",
                    "is not installed on the server",
                    f"Take an image that has it, or remove it from database_extensions, {AGAIN}",
                )
            sql = f"CREATE EXTENSION {ident(name)} SCHEMA {schema}"
            changes.append(Change("database", f"create extension {name}", sql))
    for kind, word, privileges in (("r", "TABLES", TABLE_PRIVILEGES), ("S", "SEQUENCES", SEQUENCE_PRIVILEGES)):
        held, prefix = found["defaults"].get(kind, []), f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} "
        rights = _rights(wanted, privileges)
        changes += _grant_changes(f"future {word.lower()}", held, rights, wanted.owner, word, prefix)
    return changes + _relation_changes(wanted, found["relations"])


def refuse_unfit(wanted: Wanted, catalog: Mapping[str, Any]) -> None:
    """Raise ServerError if the server or the administrator's role cannot do what is wanted."""
    if catalog["version"] < OLDEST_VERSION:
        raise ServerError(
            f"The server runs PostgreSQL {catalog['version'] // 10000},",
            f"and {OLDEST_VERSION // 10000} or newer is needed",
            f"Upgrade it first, {AGAIN}",
        )
    if wanted.connections > catalog["connections"]:
        raise ServerError(
            f"The site may open {wanted.connections} connections,",
            f"and the server accepts {catalog['connections']}",
            f"Raise its max_connections, or lower replicas, workers or threads, {AGAIN}",
        )
    database = catalog["database"]
    if database and database["encoding"] != "UTF8":
        raise ServerError(
            f"Database {wanted.database}",
            f"has the encoding {database['encoding']}, and UTF8 is needed",
            f"Choose another database_name, or dump, create and load it again, {AGAIN}",
        )
    me = catalog["me"]
    lacking = [] if me["super"] or me["createrole"] else ["CREATEROLE"]
    lacking += [] if me["super"] or me["createdb"] or database else ["CREATEDB"]
    if lacking:
        raise ServerError(
            f"The administrator's role {catalog['user']}",
            f"lacks the right {' and '.join(lacking)}",
            f"Give it that, or name another role in the admin Secret, {AGAIN}",
        )


def plan(
    wanted: Wanted, catalog: Mapping[str, Any], wrong_passwords: Iterable[str], verifier: Callable[[str], str]
) -> list[Change]:
    """Return the changes, in the order in which they are to be made. Raises ServerError.

    `wrong_passwords` names the roles that exist and whose password is not the wanted one; `verifier` makes the text
    that the server stores of a password.
    """
    refuse_unfit(wanted, catalog)
    wrong, roles = set(wrong_passwords), catalog["roles"]
    changes = _role_changes(wanted.owner, attributes(False, -1), roles.get(wanted.owner), wanted.owner in wrong, "")
    for role in wanted.roles:
        found = roles.get(role.name)
        stored = verifier(role.password) if found is None or role.name in wrong else ""
        limit = role.connection_limit if role.connection_limit >= -1 else catalog["connections"] + role.connection_limit
        changes += _role_changes(role.name, attributes(True, limit), found, role.name in wrong, stored)
    changes += _membership_changes(wanted, catalog)
    database, target = catalog["database"], ident(wanted.database)
    if not database:
        # From template0, so that nothing that somebody put into template1 comes along.
        sql = f"CREATE DATABASE {target} OWNER {ident(wanted.owner)} TEMPLATE template0 ENCODING 'UTF8'"
        changes.append(Change("create", f"create database {wanted.database}", sql))
    elif database["owner"] != wanted.owner:
        sql = f"ALTER DATABASE {target} OWNER TO {ident(wanted.owner)}"
        changes.append(Change("database", f"give database {wanted.database} to {wanted.owner}", sql))
    connect = {role.name: ("CONNECT",) for role in wanted.roles}
    acl = database["acl"] if database else _NEW_DATABASE_ACL
    changes += _grant_changes(f"database {wanted.database}", acl, connect, wanted.owner, f"DATABASE {target}")
    changes += _setting_changes(wanted, catalog["settings"])
    return changes + _content_changes(wanted, catalog if database else _NEW_DATABASE)


# --- Writing ----------------------------------------------------------------------------------------------------------


def writing_script(wanted: Wanted, changes: Sequence[Change], is_superuser: bool) -> str:
    """Return the script for psql that makes the changes: in one transaction, or two around a CREATE DATABASE."""
    stages = {
        stage: [change.sql for change in changes if change.stage == stage] for stage in ("roles", "create", "database")
    }
    start = SESSION + (QUIET if is_superuser else "")
    # Two plays at the same time take turns.
    lock = "SELECT pg_advisory_xact_lock(hashtext('cloud-django')) \\g /dev/null"
    connect = f"\\connect {ident(wanted.database)}\n{start}"

    def transaction(statements: Sequence[str]) -> str:
        return "\n".join(["BEGIN;", lock, *(f"{sql};" for sql in statements), "COMMIT;", ""])

    if stages["create"]:
        first = transaction(stages["roles"]) + "".join(f"{sql};\n" for sql in stages["create"])
        return PREAMBLE + start + first + connect + transaction(stages["database"]) + "\\q\n"
    return PREAMBLE + connect + transaction([*stages["roles"], *stages["database"]]) + "\\q\n"


def removing_script(wanted: Wanted) -> str:
    """Return the script that drops the database and its roles, whatever of them exists."""
    drops = [f"DROP DATABASE IF EXISTS {ident(wanted.database)} WITH (FORCE);"]
    drops += [f"DROP ROLE IF EXISTS {ident(name)};" for name in reversed(wanted.names)]
    return PREAMBLE + SESSION + "\n".join(drops) + "\n\\q\n"
