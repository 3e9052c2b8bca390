# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Wanted state of a PostgreSQL server, and the psql script that reads its current state.

This module has no connection to a server. A catalog is the plain data that `CLUSTER_QUERY` and `DATABASE_QUERY` return.
It needs PostgreSQL 16 or newer, where a membership has the options INHERIT and SET.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

OLDEST_VERSION = 160000
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Role:
    """A login role. With the access `owner`, it can switch to the owner role with SET ROLE."""

    name: str
    access: str
    password: str = field(repr=False)
    connection_limit: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Wanted state of the server. The role `owner` cannot log in."""

    database: str
    schema: str
    owner: str
    roles: tuple[Role, ...]
    extensions: tuple[str, ...] = ()
    connections: int = 0

    @property
    def names(self) -> list[str]:
        return [self.owner, *(role.name for role in self.roles)]


def ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string as an SQL literal. Correct only with standard_conforming_strings on, which each script sets."""
    return "'" + text.replace("'", "''") + "'"


def conninfo(**parameters: str) -> str:
    """Return a libpq connection string as one argument of a psql meta-command.

    It is a URI without characters that psql interprets. \\connect removes double quotes even inside single quotes.
    """
    return "'postgresql:///?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items()) + "'"


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
 'available', (SELECT coalesce(jsonb_agg(name), '[]') FROM pg_available_extensions WHERE name = ANY ({extensions})),
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
# For a superuser. Otherwise, a statement that fails or is logged would appear in the server log with the verifier.
QUIET = "SET log_min_error_statement = panic; SET log_statement = none; SET log_min_duration_statement = -1;\n"
PREAMBLE = "\\set ON_ERROR_STOP on\n\\set SHOW_CONTEXT never\n"


def _array(names: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(literal(name) for name in names)}]::text[]"


def one_line(query: str) -> str:
    return " ".join(query.split())


def reading_script(wanted: Wanted) -> str:
    """Return the psql script that prints the catalog, one JSON object per line, and quits psql."""
    names = _array(wanted.names)

    def acl(expression: str) -> str:
        return _ACL.format(acl=expression, names=names)

    cluster = CLUSTER_QUERY.format(
        names=names,
        owner=literal(wanted.owner),
        database=literal(wanted.database),
        extensions=_array(wanted.extensions),
        acl=acl("coalesce(datacl, acldefault('d', datdba))"),
    )
    database = DATABASE_QUERY.format(
        schema=literal(wanted.schema),
        schema_name=literal(ident(wanted.schema)),
        owner=literal(wanted.owner),
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
    """Return the catalog from the output of the reading script."""
    catalog: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            catalog |= json.loads(line)
    return catalog


def nothing(connections: int = 1 << 30) -> dict[str, Any]:
    """Return the catalog of a new server, for a plan before the server exists."""
    me = {"super": True, "createrole": True, "createdb": True}
    empty = {"roles": {}, "memberships": [], "settings": {}, "database": None, "verifiers": {}}
    return {"version": 170000, "user": "postgres", "connections": connections, "me": me} | empty
