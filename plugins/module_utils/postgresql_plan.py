"""Compare what a PostgreSQL server holds with what is wanted, and tell the statements that make it so.

Nothing here talks to a server: a catalog comes as the plain data that `CLUSTER_QUERY` and `DATABASE_QUERY` return, and
statements leave as text. Needs PostgreSQL 16 or newer, where a membership has the options INHERIT and SET.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

OLDEST_VERSION = 160000
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
MASK = "********"
PUBLIC = ""

# What each kind of access may do with a table and with a sequence.
TABLE_PRIVILEGES = {"write": ("SELECT", "INSERT", "UPDATE", "DELETE"), "read": ("SELECT",), "owner": ()}
SEQUENCE_PRIVILEGES = {"write": ("USAGE",), "read": ("SELECT",), "owner": ()}


@dataclass(frozen=True)
class Role:
    """A role that logs in. With the access `owner` it may become the owner of everything, by SET ROLE."""

    name: str
    access: str
    password: str = field(repr=False)
    connection_limit: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Everything that the server shall hold. `owner` cannot log in."""

    database: str
    schema: str
    owner: str
    roles: tuple[Role, ...]
    extensions: tuple[str, ...] = ()
    connections: int = 0

    @property
    def names(self) -> list[str]:
        return [self.owner, *(role.name for role in self.roles)]


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


class Unsuitable(Exception):
    """The server cannot be made what is wanted; the message says why and what to do."""


# --- Quoting ----------------------------------------------------------------------------------------------------------


def ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL literal. Holds where standard_conforming_strings is on, which each script sees to."""
    return "'" + text.replace("'", "''") + "'"


def conninfo(**parameters: str) -> str:
    """Return a connection string of libpq as one argument of psql's own commands.

    A URI, in which nothing is left that psql would interpret: \\connect drops double quotes even inside of others.
    """
    return "'postgresql:///?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items()) + "'"


# --- Reading ----------------------------------------------------------------------------------------------------------

_ACL = """(SELECT coalesce(jsonb_agg(jsonb_build_array(
 CASE x.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(x.grantee) END, x.privilege_type, x.is_grantable)
 ORDER BY x.grantee, x.privilege_type), '[]') FROM aclexplode({acl}) x
 WHERE x.grantee = 0 OR pg_get_userbyid(x.grantee) = ANY ({names}))"""

CLUSTER_QUERY = """
SELECT jsonb_build_object(
 'version', current_setting('server_version_num')::int,
 'user', current_user,
 'connections', current_setting('max_connections')::int,
 'me', (SELECT jsonb_build_object('super', rolsuper, 'createrole', rolcreaterole, 'createdb', rolcreatedb)
   FROM pg_roles WHERE rolname = current_user),
 'roles', (SELECT coalesce(jsonb_object_agg(rolname, jsonb_build_object('super', rolsuper, 'createrole', rolcreaterole,
   'createdb', rolcreatedb, 'login', rolcanlogin, 'inherit', rolinherit, 'replication', rolreplication,
   'bypassrls', rolbypassrls, 'connection_limit', rolconnlimit,
   'expires', rolvaliduntil IS NOT NULL AND rolvaliduntil <> 'infinity')), '{{}}')
   FROM pg_roles WHERE rolname = ANY ({names})),
 'memberships', (SELECT coalesce(jsonb_agg(jsonb_build_object('role', pg_get_userbyid(roleid),
   'member', pg_get_userbyid(member), 'grantor', pg_get_userbyid(grantor), 'admin', admin_option,
   'inherit', inherit_option, 'set', set_option) ORDER BY oid), '[]') FROM pg_auth_members
   WHERE pg_get_userbyid(member) = ANY ({names})
   OR (pg_get_userbyid(roleid) = {owner} AND pg_get_userbyid(member) = current_user)),
 'settings', (SELECT coalesce(jsonb_object_agg(pg_get_userbyid(s.setrole), s.setconfig), '{{}}')
   FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
   WHERE d.datname = {database} AND pg_get_userbyid(s.setrole) = ANY ({names})),
 'database', (SELECT jsonb_build_object('owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding),
   'acl', {acl}) FROM pg_database WHERE datname = {database}))
"""

VERIFIER_QUERY = """
SELECT jsonb_build_object('verifiers', (SELECT coalesce(jsonb_object_agg(rolname, rolpassword), '{{}}')
 FROM pg_authid WHERE rolname = ANY ({names})))
"""

DATABASE_QUERY = """
SELECT jsonb_build_object(
 'schema', (SELECT jsonb_build_object('owner', pg_get_userbyid(nspowner), 'acl', {schema_acl})
   FROM pg_namespace WHERE nspname = {schema}),
 'public', (SELECT jsonb_build_object('owner', pg_get_userbyid(nspowner), 'acl', {schema_acl})
   FROM pg_namespace WHERE nspname = 'public'),
 'defaults', (SELECT coalesce(jsonb_object_agg(defaclobjtype, {default_acl}), '{{}}') FROM pg_default_acl
   WHERE pg_get_userbyid(defaclrole) = {owner} AND defaclnamespace = to_regnamespace({schema_name})),
 'extensions', (SELECT coalesce(jsonb_agg(extname), '[]') FROM pg_extension),
 'available', (SELECT coalesce(jsonb_agg(name), '[]') FROM pg_available_extensions WHERE name = ANY ({extensions})),
 'relations', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', c.relname, 'kind', c.relkind,
   'owner', pg_get_userbyid(c.relowner), 'acl', {relation_acl},
   'follows', c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d
     WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
     AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))) ORDER BY c.relname), '[]')
   FROM pg_class c WHERE c.relnamespace = to_regnamespace({schema_name}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND NOT EXISTS (SELECT FROM pg_depend d
     WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')))
"""

SESSION = """SET standard_conforming_strings = on;
SET search_path = pg_catalog;
SET lock_timeout = '10s';
SET statement_timeout = '60s';
"""
PREAMBLE = "\\set ON_ERROR_STOP on\n\\set SHOW_CONTEXT never\n"


def _array(names: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(literal(name) for name in names)}]::text[]"


def one_line(query: str) -> str:
    return " ".join(query.split())


def reading_script(wanted: Wanted) -> str:
    """Return the script for psql that prints the catalog, one JSON object a line. It ends psql by itself."""
    names = _array(wanted.names)

    def acl(expression: str) -> str:
        return _ACL.format(acl=expression, names=names)

    cluster = CLUSTER_QUERY.format(
        names=names,
        owner=literal(wanted.owner),
        database=literal(wanted.database),
        acl=acl("coalesce(datacl, acldefault('d', datdba))"),
    )
    database = DATABASE_QUERY.format(
        schema=literal(wanted.schema),
        schema_name=literal(ident(wanted.schema)),
        owner=literal(wanted.owner),
        extensions=_array(wanted.extensions),
        schema_acl=acl("coalesce(nspacl, acldefault('n', nspowner))"),
        default_acl=acl("defaclacl"),
        relation_acl=acl(
            "coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))"
        ),
    )
    return f"""{PREAMBLE}{SESSION}SELECT current_setting('server_version_num')::int >= {OLDEST_VERSION} AS new_enough,
 has_table_privilege('pg_authid', 'SELECT') AS readable,
 EXISTS (SELECT FROM pg_database WHERE datname = {literal(wanted.database)}) AS there \\gset
\\if :new_enough
{one_line(cluster)};
\\if :readable
{one_line(VERIFIER_QUERY.format(names=names))};
\\endif
\\if :there
\\connect {ident(wanted.database)}
{SESSION}{one_line(database)};
\\endif
\\else
SELECT jsonb_build_object('version', current_setting('server_version_num')::int);
\\endif
\\q
"""


def parsed(output: str) -> dict[str, Any]:
    """Return the catalog from what the reading script printed."""
    catalog: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            catalog |= json.loads(line)
    return catalog


def nothing(user: str = "postgres", connections: int = 1 << 30) -> dict[str, Any]:
    """Return the catalog of a server that is as good as new, for a plan when there is none yet."""
    me = {"super": True, "createrole": True, "createdb": True}
    return {
        "version": 170000,
        "user": user,
        "connections": connections,
        "me": me,
        "roles": {},
        "memberships": [],
        "settings": {},
        "database": None,
        "verifiers": {},
    }


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
    stage: str,
    what: str,
    found: Sequence[Sequence[Any]],
    wanted: Mapping[str, Sequence[str]],
    owner: str,
    grant: Callable[[str, str], str],
    revoke: Callable[[str, str], str],
) -> list[Change]:
    """Return what makes exactly the `wanted` privileges of each grantee hold; the owner's own are left alone."""
    changes = []
    held: dict[str, dict[str, bool]] = {}
    for grantee, privilege, grantable in found:
        if grantee != owner:
            held.setdefault(grantee, {})[privilege] = grantable
    for grantee in [*wanted, *sorted(held.keys() - wanted.keys())]:
        to = ident(grantee) if grantee else "PUBLIC"
        has, right = held.get(grantee, {}), wanted.get(grantee, ())
        # A privilege that may be handed on is taken away whole, and given again without that.
        surplus = sorted(p for p, grantable in has.items() if p not in right or grantable)
        missing = [p for p in right if p not in has or has[p]]
        if surplus:
            told = ", ".join(surplus)
            changes.append(Change(stage, f"revoke {told} on {what} from {grantee or 'PUBLIC'}", revoke(told, to)))
        if missing:
            told = ", ".join(missing)
            changes.append(Change(stage, f"grant {told} on {what} to {grantee or 'PUBLIC'}", grant(told, to)))
    return changes


def _simple_grants(stage: str, what: str, found: Any, wanted: Mapping[str, Sequence[str]], owner: str, target: str):
    return _grant_changes(
        stage,
        what,
        found,
        wanted,
        owner,
        lambda told, to: f"GRANT {told} ON {target} TO {to}",
        lambda told, to: f"REVOKE {told} ON {target} FROM {to} CASCADE",
    )


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
        privileges = SEQUENCE_PRIVILEGES if is_sequence else TABLE_PRIVILEGES
        rights = {role.name: privileges[role.access] for role in wanted.roles if privileges[role.access]}
        word = "SEQUENCE" if is_sequence else "TABLE"
        for change in _grant_changes(
            "database",
            "{}",
            relation["acl"],
            rights,
            wanted.owner,
            lambda told, to, word=word: f"GRANT {told} ON {word} {{}} TO {to}",
            lambda told, to, word=word: f"REVOKE {told} ON {word} {{}} FROM {to} CASCADE",
        ):
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
    changes += _simple_grants("database", f"schema {wanted.schema}", acl, usage, wanted.owner, f"SCHEMA {schema}")
    if found["public"]:
        public = found["public"]
        changes += _simple_grants("database", "schema public", public["acl"], {}, public["owner"], "SCHEMA public")
    for name in wanted.extensions:
        if name not in found["extensions"]:
            if name not in found.get("available", [name]):
                raise Unsuitable(
                    f"Extension {name} is not installed on the server. Take an image that has it, "
                    "or remove it from database_extensions."
                )
            sql = f"CREATE EXTENSION {ident(name)} SCHEMA {schema}"
            changes.append(Change("database", f"create extension {name}", sql))
    for kind, word, privileges in (("r", "TABLES", TABLE_PRIVILEGES), ("S", "SEQUENCES", SEQUENCE_PRIVILEGES)):
        rights = {role.name: privileges[role.access] for role in wanted.roles if privileges[role.access]}
        prefix = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema}"
        changes += _grant_changes(
            "database",
            f"future {word.lower()}",
            found["defaults"].get(kind, []),
            rights,
            wanted.owner,
            lambda told, to, word=word, prefix=prefix: f"{prefix} GRANT {told} ON {word} TO {to}",
            lambda told, to, word=word, prefix=prefix: f"{prefix} REVOKE {told} ON {word} FROM {to} CASCADE",
        )
    return changes + _relation_changes(wanted, found["relations"])


def refuse_unsuitable(wanted: Wanted, catalog: Mapping[str, Any]) -> None:
    """Raise Unsuitable if the server or the administrator's role cannot do what is wanted."""
    if catalog["version"] < OLDEST_VERSION:
        raise Unsuitable(
            f"The server runs PostgreSQL {catalog['version'] // 10000}, and {OLDEST_VERSION // 10000} or newer "
            "is needed. Upgrade it first."
        )
    if wanted.connections > catalog["connections"]:
        raise Unsuitable(
            f"The site may open {wanted.connections} connections, and the server accepts {catalog['connections']}. "
            "Raise its max_connections, or lower replicas, workers or threads."
        )
    database = catalog["database"]
    if database and database["encoding"] != "UTF8":
        raise Unsuitable(
            f"Database {wanted.database} has the encoding {database['encoding']}, and UTF8 is needed. "
            "Choose another database_name, or dump, make and load it anew."
        )
    me = catalog["me"]
    lacking = [] if me["super"] or me["createrole"] else ["CREATEROLE"]
    lacking += [] if me["super"] or me["createdb"] or database else ["CREATEDB"]
    if lacking:
        raise Unsuitable(
            f"The administrator's role {catalog['user']} lacks the right {' and '.join(lacking)}. "
            "Give it that, or name another role in the admin Secret."
        )


def plan(
    wanted: Wanted, catalog: Mapping[str, Any], wrong_passwords: Iterable[str], verifier: Callable[[str], str]
) -> list[Change]:
    """Return the changes, in the order in which they are to be made. Raises Unsuitable.

    `wrong_passwords` names the roles that exist and whose password is not the wanted one; `verifier` makes the text
    that the server stores of a password.
    """
    refuse_unsuitable(wanted, catalog)
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
    changes += _simple_grants(
        "database", f"database {wanted.database}", acl, connect, wanted.owner, f"DATABASE {target}"
    )
    changes += _setting_changes(wanted, catalog["settings"])
    return changes + _content_changes(wanted, catalog if database else _NEW_DATABASE)


# --- Writing ----------------------------------------------------------------------------------------------------------


def writing_script(wanted: Wanted, changes: Sequence[Change], is_superuser: bool) -> str:
    """Return the script for psql that makes the changes: in one transaction, or two around a CREATE DATABASE."""
    stages = {
        stage: [change.sql for change in changes if change.stage == stage] for stage in ("roles", "create", "database")
    }
    # A statement that fails, or that the server is told to log, would stand in its log with the verifier.
    quiet = "SET log_min_error_statement = panic; SET log_statement = none; SET log_min_duration_statement = -1;\n"
    start = SESSION + (quiet if is_superuser else "")
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
