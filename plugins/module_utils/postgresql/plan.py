# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Compare the current with the wanted state of a PostgreSQL server, and return the SQL statements of the difference."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.masking import MASK
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import Wanted, ident, literal

PUBLIC = ""

# Privileges of each kind of access on tables and on sequences.
TABLE_PRIVILEGES = {"write": ("SELECT", "INSERT", "UPDATE", "DELETE"), "read": ("SELECT",), "owner": ()}
SEQUENCE_PRIVILEGES = {"write": ("USAGE",), "read": ("SELECT",), "owner": ()}

_ATTRIBUTES = ("login", "super", "createdb", "createrole", "inherit", "replication", "bypassrls")
_OWNER_WORDS = {"S": "SEQUENCE", "v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}
_NEW_DATABASE_ACL = [[PUBLIC, "CONNECT", False], [PUBLIC, "TEMPORARY", False]]
_NEW_DATABASE = {
    "schema": None,
    "public": {"owner": "pg_database_owner", "acl": [[PUBLIC, "USAGE", False]]},
    "defaults": {},
    "extensions": [],
    "relations": [],
}


@dataclass(frozen=True)
class Change:
    """One statement. `text` describes it, and `shown` is the statement without secrets."""

    stage: str
    text: str
    sql: str = field(repr=False)
    secret: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        return self.sql.replace(self.secret, MASK) if self.secret else self.sql


# Statements about roles run before the database exists, the others inside of it.
_outside, _inside = partial(Change, "roles"), partial(Change, "database")


def attributes(login: bool, connection_limit: int) -> dict[str, Any]:
    wanted = {"login": login, "inherit": True, "connection_limit": connection_limit}
    return dict.fromkeys(_ATTRIBUTES, False) | wanted


def _words(wanted: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return attributes of a role as SQL."""
    words = []
    for name in names:
        if name == "connection_limit":
            words.append(f"CONNECTION LIMIT {wanted[name]}")
        else:
            words.append(("" if wanted[name] else "NO") + {"super": "SUPERUSER"}.get(name, name.upper()))
    return " ".join(words)


def _role_changes(
    name: str, wanted: Mapping[str, Any], found: Mapping[str, Any] | None, needs_password: bool, verifier: str
) -> Iterator[Change]:
    """Yield the changes of a role's attributes and password. An empty `verifier` means no password."""
    password = f"PASSWORD {literal(verifier)}" if verifier else "PASSWORD NULL"
    if found is None:
        # Attributes that are false by default are omitted, because only a superuser can name some of them.
        options = _words(wanted, ["login", "connection_limit"]) + (f" {password}" if verifier else "")
        yield _outside(f"create role {name}", f"CREATE ROLE {ident(name)} {options}", verifier)
        return
    alter = f"ALTER ROLE {ident(name)}"
    if options := _words(wanted, [key for key in wanted if found.get(key) != wanted[key]]):
        yield _outside(f"set {options} of role {name}", f"{alter} {options}")
    if found.get("expires"):
        yield _outside(f"remove the expiry of the password of role {name}", f"{alter} VALID UNTIL 'infinity'")
    if needs_password:
        yield _outside(
            f"{'set' if verifier else 'remove'} the password of role {name}", f"{alter} {password}", verifier
        )


def _membership_changes(wanted: Wanted, found: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the changes of memberships, so that only roles with the access `owner` can switch to the owner role.

    They do not inherit its permissions. All other memberships are revoked.
    """
    right = {"admin": False, "inherit": False, "set": True}
    expected = {role.name for role in wanted.roles if role.access == "owner"}
    satisfied, mine = set(), False
    for row in found["memberships"]:
        if row["role"] == wanted.owner and row["member"] == found["user"]:
            mine = mine or (row["inherit"] and row["set"])
        elif row["role"] == wanted.owner and row["member"] in expected and right.items() <= row.items():
            satisfied.add(row["member"])
        elif row["member"] in wanted.names:
            sql = f"REVOKE {ident(row['role'])} FROM {ident(row['member'])} GRANTED BY {ident(row['grantor'])} CASCADE"
            yield _outside(f"revoke membership in {row['role']} from {row['member']}", sql)
    grant = f"GRANT {ident(wanted.owner)} TO"
    for name in sorted(expected - satisfied):
        sql = f"{grant} {ident(name)} WITH ADMIN FALSE, INHERIT FALSE, SET TRUE"
        yield _outside(f"allow role {name} to switch to role {wanted.owner}", sql)
    if not found["me"]["super"] and not mine:
        sql = f"{grant} {ident(found['user'])} WITH INHERIT TRUE, SET TRUE"
        yield _outside(f"grant membership in {wanted.owner} to role {found['user']}", sql)


def _grant_changes(
    what: str,
    found: Sequence[Sequence[Any]],
    wanted: Mapping[str, Sequence[str]],
    owner: str,
    target: str,
    prefix: str = "",
) -> Iterator[Change]:
    """Yield the changes after which each grantee has exactly the `wanted` privileges. The owner's are not changed.

    Args:
        what: description of the object.
        target: the object in SQL.
        prefix: beginning of each statement.
    """
    held: dict[str, dict[str, bool]] = {}
    for grantee, privilege, grantable in found:
        if grantee != owner:
            held.setdefault(grantee, {})[privilege] = grantable
    for grantee in [*wanted, *sorted(held.keys() - wanted.keys())]:
        name, to = (grantee, ident(grantee)) if grantee else ("PUBLIC", "PUBLIC")
        has, right = held.get(grantee, {}), wanted.get(grantee, ())
        # A privilege with grant option is revoked, and granted again without the option.
        if surplus := ", ".join(sorted(p for p, grantable in has.items() if p not in right or grantable)):
            sql = f"{prefix}REVOKE {surplus} ON {target} FROM {to} CASCADE"
            yield _inside(f"revoke {surplus} on {what} from {name}", sql)
        if missing := ", ".join(p for p in right if p not in has or has[p]):
            yield _inside(f"grant {missing} on {what} to {name}", f"{prefix}GRANT {missing} ON {target} TO {to}")


def _rights(wanted: Wanted, privileges: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the privileges of each role, by its kind of access."""
    return {role.name: privileges[role.access] for role in wanted.roles if privileges[role.access]}


def _setting_changes(wanted: Wanted, found: Mapping[str, Sequence[str]]) -> Iterator[Change]:
    for role in wanted.roles:
        # Objects that such a role creates belong to the owner role even without SET ROLE.
        own = {"role": wanted.owner} if role.access == "owner" else {}
        held = dict(setting.split("=", 1) for setting in found.get(role.name) or [])
        for name, value in ({"search_path": wanted.schema} | dict(role.settings) | own).items():
            if held.get(name) not in (value, ident(value)):
                where = f"ALTER ROLE {ident(role.name)} IN DATABASE {ident(wanted.database)}"
                yield _inside(
                    f"set {name} of role {role.name} to {value}", f"{where} SET {ident(name)} TO {literal(value)}"
                )


def _relation_changes(wanted: Wanted, relations: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    """Yield changes of owner and grants of each table and sequence in the schema. Equal changes share a statement."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for relation in relations:
        name, kind = relation["name"], relation["kind"]
        target = f"{ident(wanted.schema)}.{ident(name)}"
        if relation["owner"] != wanted.owner and not relation["follows"]:
            sql = f"ALTER {_OWNER_WORDS.get(kind, 'TABLE')} {target} OWNER TO {ident(wanted.owner)}"
            yield _inside(f"change the owner of {wanted.schema}.{name} to {wanted.owner}", sql)
        word, privileges = ("SEQUENCE", SEQUENCE_PRIVILEGES) if kind == "S" else ("TABLE", TABLE_PRIVILEGES)
        rights = _rights(wanted, privileges)
        for change in _grant_changes("{}", relation["acl"], rights, wanted.owner, f"{word} {{}}"):
            grouped.setdefault((change.text, change.sql, word.lower()), []).append(target)
    for (text, sql, word), targets in grouped.items():
        what = f"{word} {targets[0]}".replace('"', "") if len(targets) == 1 else f"{len(targets)} {word}s"
        yield _inside(text.format(what), sql.format(", ".join(targets)))


def _content_changes(wanted: Wanted, found: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the changes inside of the database."""
    schema, owner = ident(wanted.schema), ident(wanted.owner)
    if not found["schema"]:
        yield _inside(f"create schema {wanted.schema}", f"CREATE SCHEMA {schema} AUTHORIZATION {owner}")
    elif found["schema"]["owner"] != wanted.owner:
        text = f"change the owner of schema {wanted.schema} to {wanted.owner}"
        yield _inside(text, f"ALTER SCHEMA {schema} OWNER TO {owner}")
    usage = {role.name: ("USAGE",) for role in wanted.roles if role.access != "owner"}
    acl = found["schema"]["acl"] if found["schema"] else []
    yield from _grant_changes(f"schema {wanted.schema}", acl, usage, wanted.owner, f"SCHEMA {schema}")
    if public := found["public"]:
        yield from _grant_changes("schema public", public["acl"], {}, public["owner"], "SCHEMA public")
    for name in wanted.extensions:
        if name not in found["extensions"]:
            yield _inside(f"create extension {name}", f"CREATE EXTENSION {ident(name)} SCHEMA {schema}")
    for kind, word, privileges in (("r", "TABLES", TABLE_PRIVILEGES), ("S", "SEQUENCES", SEQUENCE_PRIVILEGES)):
        held, prefix = found["defaults"].get(kind, []), f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} "
        rights = _rights(wanted, privileges)
        yield from _grant_changes(f"future {word.lower()}", held, rights, wanted.owner, word, prefix)
    yield from _relation_changes(wanted, found["relations"])


def refuse_unfit(wanted: Wanted, found: Mapping[str, Any]) -> None:
    """Raise ServerError if the server or the administrator's role does not meet the requirements."""
    if found["version"] < catalog.OLDEST_VERSION:
        thing = f"The server runs PostgreSQL {found['version'] // 10000},"
        oldest = catalog.OLDEST_VERSION // 10000
        raise ServerError(thing, f"but version {oldest} or newer is required", f"Upgrade it, {AGAIN}")
    if wanted.connections > found["connections"]:
        thing = f"The site may open {wanted.connections} connections,"
        step = f"Raise its max_connections, or lower replicas, workers, or threads, {AGAIN}"
        raise ServerError(thing, f"but the server accepts {found['connections']}", step)
    # Before the first change, because CREATE EXTENSION would fail after roles and the database are created.
    available = {*found.get("available", wanted.extensions), *found.get("extensions", ())}
    if missing := [name for name in wanted.extensions if name not in available]:
        verb, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        step = f"Use a server with {them}, or remove {them} from database_extensions, {AGAIN}"
        raise ServerError(f"Extension {', '.join(missing)}", f"{verb} not installed on the server", step)
    database = found["database"]
    if database and database["encoding"] != "UTF8":
        reason = f"has the encoding {database['encoding']}, but UTF8 is required"
        step = f"Choose another database_name, or dump, recreate, and restore the database, {AGAIN}"
        raise ServerError(f"Database {wanted.database}", reason, step)
    me = found["me"]
    lacking = [] if me["super"] or me["createrole"] else ["CREATEROLE"]
    lacking += [] if me["super"] or me["createdb"] or database else ["CREATEDB"]
    if lacking:
        step = f"Add the missing attributes, or set another role in the admin Secret, {AGAIN}"
        raise ServerError(f"The administrator's role {found['user']}", f"lacks {' and '.join(lacking)}", step)


def plan(
    wanted: Wanted, found: Mapping[str, Any], wrong_passwords: Iterable[str], verifier: Callable[[str], str]
) -> list[Change]:
    """Return the changes in the order in which to apply them. Raises ServerError.

    Args:
        wrong_passwords: existing roles with a wrong password.
        verifier: returns the string that the server stores for a password.
    """
    refuse_unfit(wanted, found)
    wrong, roles, owner = set(wrong_passwords), found["roles"], wanted.owner
    changes = [*_role_changes(owner, attributes(False, -1), roles.get(owner), owner in wrong, "")]
    for role in wanted.roles:
        is_wrong = role.name in wrong
        stored = verifier(role.password) if role.name not in roles or is_wrong else ""
        limit = role.connection_limit if role.connection_limit >= -1 else found["connections"] + role.connection_limit
        changes += _role_changes(role.name, attributes(True, limit), roles.get(role.name), is_wrong, stored)
    changes += _membership_changes(wanted, found)
    database, target = found["database"], ident(wanted.database)
    if not database:
        # From template0, because template1 may have objects that an administrator added.
        sql = f"CREATE DATABASE {target} OWNER {ident(owner)} TEMPLATE template0 ENCODING 'UTF8'"
        changes.append(Change("create", f"create database {wanted.database}", sql))
    elif database["owner"] != owner:
        sql = f"ALTER DATABASE {target} OWNER TO {ident(owner)}"
        changes.append(_inside(f"change the owner of database {wanted.database} to {owner}", sql))
    connect = {role.name: ("CONNECT",) for role in wanted.roles}
    acl = database["acl"] if database else _NEW_DATABASE_ACL
    changes += _grant_changes(f"database {wanted.database}", acl, connect, owner, f"DATABASE {target}")
    changes += _setting_changes(wanted, found["settings"])
    return [*changes, *_content_changes(wanted, found if database else _NEW_DATABASE)]


def writing_script(wanted: Wanted, changes: Sequence[Change], is_superuser: bool) -> str:
    """Return the psql script that applies the changes: in one transaction, or two around a CREATE DATABASE."""
    roles, create, inside = ([c.sql for c in changes if c.stage == stage] for stage in ("roles", "create", "database"))
    start = catalog.SESSION + (catalog.QUIET if is_superuser else "")
    # Makes plays that run at the same time wait for each other.
    lock = "SELECT pg_advisory_xact_lock(hashtext('cloud-django')) \\g /dev/null"
    connect = f"\\connect {ident(wanted.database)}\n{start}"

    def transaction(statements: Sequence[str]) -> str:
        return "\n".join(["BEGIN;", lock, *(f"{sql};" for sql in statements), "COMMIT;", ""])

    if create:
        first = transaction(roles) + "".join(f"{sql};\n" for sql in create)
        return catalog.PREAMBLE + start + first + connect + transaction(inside) + "\\q\n"
    return catalog.PREAMBLE + connect + transaction([*roles, *inside]) + "\\q\n"


def removing_script(wanted: Wanted) -> str:
    """Return the script that drops the database and its roles if they exist."""
    drops = [f"DROP DATABASE IF EXISTS {ident(wanted.database)} WITH (FORCE);"]
    drops += [f"DROP ROLE IF EXISTS {ident(name)};" for name in reversed(wanted.names)]
    return catalog.PREAMBLE + catalog.SESSION + "\n".join(drops) + "\n\\q\n"
