"""Wanted state of a PostgreSQL server in the tests of the plan, and the catalog of a server in this state."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import plan as planning
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import Role, Wanted

WANTED = Wanted(
    database="polls",
    schema="polls",
    owner="polls_owner",
    roles=(
        Role("polls_migrate", "owner", "m", 5),
        Role("polls_app", "write", "a", 29, {"statement_timeout": "30s"}),
        Role("polls_read", "read", "r"),
    ),
    extensions=("citext",),
    connections=39,
)
TABLE = {"app": ["SELECT", "INSERT", "UPDATE", "DELETE"], "read": ["SELECT"]}
SEQUENCE = {"app": ["USAGE"], "read": ["SELECT"]}


def acl(rights: dict[str, list[str]], owner: str = "polls_owner") -> list[list[Any]]:
    theirs = [[f"polls_{name}", right, False] for name, all_of in rights.items() for right in all_of]
    return [[owner, "USAGE", False], *theirs]


def role(login: bool = True, limit: int = -1, **changes: Any) -> dict[str, Any]:
    return planning.attributes(login, limit) | {"expires": False} | changes


def relation(name: str, kind: str = "r", **changes: Any) -> dict[str, Any]:
    rights = SEQUENCE if kind == "S" else TABLE
    return {"name": name, "kind": kind, "owner": "polls_owner", "acl": acl(rights), "follows": False} | changes


def complete_catalog() -> dict[str, Any]:
    """Return the catalog of a server in the wanted state."""
    return {
        "version": 170004,
        "user": "postgres",
        "connections": 100,
        "me": {"super": True, "createrole": True, "createdb": True},
        "roles": {
            "polls_owner": role(False),
            "polls_migrate": role(limit=5),
            "polls_app": role(limit=29),
            "polls_read": role(),
        },
        "memberships": [membership()],
        "settings": {
            "polls_migrate": ["search_path=polls", "role=polls_owner"],
            "polls_app": ["search_path=polls", "statement_timeout=30s"],
            "polls_read": ["search_path=polls"],
        },
        "database": {
            "owner": "polls_owner",
            "encoding": "UTF8",
            "acl": acl({"migrate": ["CONNECT"], "app": ["CONNECT"], "read": ["CONNECT"]}),
        },
        "schema": {"owner": "polls_owner", "acl": acl({"app": ["USAGE"], "read": ["USAGE"]})},
        "public": {"owner": "pg_database_owner", "acl": []},
        "defaults": {"r": acl(TABLE), "S": acl(SEQUENCE)},
        "extensions": ["plpgsql", "citext"],
        "available": ["citext"],
        "relations": [relation("question"), relation("ticket", "S"), relation("by_choice", "v")],
    }


def membership(of: str = "polls_owner", member: str = "polls_migrate", **changes: Any) -> dict[str, Any]:
    options = {"admin": False, "inherit": False, "set": True, "grantor": "postgres"}
    return {"role": of, "member": member} | options | changes
