"""The changes of a PostgreSQL server, and their statements. Cluster tests check the same on a real server."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog as catalogs
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import plan as planning
from postgresql_plan_cases import TABLE, WANTED, acl, complete_catalog, membership, relation


@pytest.fixture
def catalog() -> dict[str, Any]:
    return complete_catalog()


def plan(catalog: dict[str, Any], *wrong: str, wanted: catalogs.Wanted = WANTED) -> list[planning.Change]:
    return planning.plan(wanted, catalog, wrong, lambda password: f"verifier of {password}")


def sql(catalog: dict[str, Any], *wrong: str) -> list[str]:
    return [change.sql for change in plan(catalog, *wrong)]


def test_no_difference_gives_no_changes(catalog: dict[str, Any]) -> None:
    assert plan(catalog) == []


def test_an_empty_server_gets_everything_in_order() -> None:
    changes = plan(catalogs.nothing())
    stages = [change.stage for change in changes]
    assert stages == sorted(stages, key=["roles", "create", "database"].index)
    statements = [change.sql for change in changes]
    assert statements[:5] == [
        'CREATE ROLE "polls_owner" NOLOGIN CONNECTION LIMIT -1',
        "CREATE ROLE \"polls_migrate\" LOGIN CONNECTION LIMIT 5 PASSWORD 'verifier of m'",
        "CREATE ROLE \"polls_app\" LOGIN CONNECTION LIMIT 29 PASSWORD 'verifier of a'",
        "CREATE ROLE \"polls_read\" LOGIN CONNECTION LIMIT -1 PASSWORD 'verifier of r'",
        'GRANT "polls_owner" TO "polls_migrate" WITH ADMIN FALSE, INHERIT FALSE, SET TRUE',
    ]
    assert 'CREATE DATABASE "polls" OWNER "polls_owner" TEMPLATE template0 ENCODING \'UTF8\'' in statements
    assert 'REVOKE CONNECT, TEMPORARY ON DATABASE "polls" FROM PUBLIC CASCADE' in statements
    assert "REVOKE USAGE ON SCHEMA public FROM PUBLIC CASCADE" in statements
    assert statements.index('CREATE SCHEMA "polls" AUTHORIZATION "polls_owner"') < statements.index(
        'CREATE EXTENSION "citext" SCHEMA "polls"'
    )
    assert not any("WITH INHERIT TRUE" in statement for statement in statements)


def test_a_change_is_shown_without_its_verifier() -> None:
    changes = plan(catalogs.nothing())
    assert all("verifier of" not in change.shown + repr(change) for change in changes)
    assert changes[1].shown == "CREATE ROLE \"polls_migrate\" LOGIN CONNECTION LIMIT 5 PASSWORD '********'"
    assert "password='m'" not in repr(WANTED)


@pytest.mark.parametrize(
    ("name", "attribute", "word"),
    [
        ("polls_app", "super", "NOSUPERUSER"),
        ("polls_app", "createdb", "NOCREATEDB"),
        ("polls_app", "createrole", "NOCREATEROLE"),
        ("polls_app", "replication", "NOREPLICATION"),
        ("polls_app", "bypassrls", "NOBYPASSRLS"),
        ("polls_owner", "login", "NOLOGIN"),
        ("polls_owner", "super", "NOSUPERUSER"),
    ],
)
def test_surplus_attributes_are_revoked(catalog: dict[str, Any], name: str, attribute: str, word: str) -> None:
    catalog["roles"][name][attribute] = True
    assert sql(catalog) == [f'ALTER ROLE "{name}" {word}']


@pytest.mark.parametrize(("attribute", "word"), [("login", "LOGIN"), ("inherit", "INHERIT")])
def test_missing_attributes_are_restored(catalog: dict[str, Any], attribute: str, word: str) -> None:
    catalog["roles"]["polls_app"][attribute] = False
    assert sql(catalog) == [f'ALTER ROLE "polls_app" {word}']


def test_a_limit_below_minus_one_is_relative_to_the_server(catalog: dict[str, Any]) -> None:
    """The limit follows the connections that the server accepts, not the expected ones."""
    roles = tuple(
        catalogs.Role(role.name, role.access, role.password, -15, role.settings) if role.name == "polls_app" else role
        for role in WANTED.roles
    )
    wanted = dataclasses.replace(WANTED, roles=roles)
    assert [change.sql for change in plan(catalog, wanted=wanted)] == ['ALTER ROLE "polls_app" CONNECTION LIMIT 85']
    catalog["connections"] = 500
    assert [change.sql for change in plan(catalog, wanted=wanted)] == ['ALTER ROLE "polls_app" CONNECTION LIMIT 485']
    catalog["roles"]["polls_app"]["connection_limit"] = 485
    assert plan(catalog, wanted=wanted) == []


def test_limits_and_expiry_are_set(catalog: dict[str, Any]) -> None:
    catalog["roles"]["polls_app"] |= {"connection_limit": 3, "expires": True, "super": True}
    assert sql(catalog) == [
        'ALTER ROLE "polls_app" NOSUPERUSER CONNECTION LIMIT 29',
        "ALTER ROLE \"polls_app\" VALID UNTIL 'infinity'",
    ]


def test_only_wrong_passwords_are_set(catalog: dict[str, Any]) -> None:
    assert sql(catalog, "polls_read") == ["ALTER ROLE \"polls_read\" PASSWORD 'verifier of r'"]
    assert sql(catalog, "polls_owner") == ['ALTER ROLE "polls_owner" PASSWORD NULL']
    assert plan(catalog, "polls_read")[0].text == "set the password of role polls_read"
    assert plan(catalog, "polls_owner")[0].text == "remove the password of role polls_owner"
    assert plan(catalog, "polls_owner")[0].shown == 'ALTER ROLE "polls_owner" PASSWORD NULL'


def test_a_missing_role_is_created(catalog: dict[str, Any]) -> None:
    del catalog["roles"]["polls_read"]
    assert sql(catalog) == ["CREATE ROLE \"polls_read\" LOGIN CONNECTION LIMIT -1 PASSWORD 'verifier of r'"]


# --- Memberships ------------------------------------------------------------------------------------------------------


def test_the_login_role_of_the_owner_gets_only_set_role(catalog: dict[str, Any]) -> None:
    grant = 'GRANT "polls_owner" TO "polls_migrate" WITH ADMIN FALSE, INHERIT FALSE, SET TRUE'
    revoke = 'REVOKE "polls_owner" FROM "polls_migrate" GRANTED BY "postgres" CASCADE'
    catalog["memberships"] = []
    assert sql(catalog) == [grant]
    for option, value in (("admin", True), ("inherit", True), ("set", False)):
        catalog["memberships"] = [membership(**{option: value})]
        assert sql(catalog) == [revoke, grant]


def test_a_membership_with_two_grantors_is_not_changed(catalog: dict[str, Any]) -> None:
    catalog["memberships"].append(membership(grantor="other"))
    assert sql(catalog) == []


@pytest.mark.parametrize(
    ("of", "member"),
    [
        ("polls_owner", "polls_app"),
        ("pg_read_all_data", "polls_read"),
        ("postgres", "polls_owner"),
        ("x", "polls_migrate"),
    ],
)
def test_other_memberships_of_managed_roles_are_revoked(catalog: dict[str, Any], of: str, member: str) -> None:
    catalog["memberships"].append(membership(of, member, grantor='o"dd'))
    assert sql(catalog) == [f'REVOKE "{of}" FROM "{member}" GRANTED BY "o""dd" CASCADE']


def test_an_administrator_without_superuser_gets_the_owner_role(catalog: dict[str, Any]) -> None:
    catalog["me"] = {"super": False, "createrole": True, "createdb": True}
    catalog["user"] = "admin"
    grant = 'GRANT "polls_owner" TO "admin" WITH INHERIT TRUE, SET TRUE'
    assert sql(catalog) == [grant]
    made = membership(member="admin", admin=True, set=False)
    for row in (made, made | {"inherit": True}, made | {"set": True}):
        catalog["memberships"] = [membership(), row]
        assert sql(catalog) == [grant]
    catalog["memberships"] = [membership(), made, made | {"inherit": True, "set": True}]
    assert sql(catalog) == []


# --- Grants -----------------------------------------------------------------------------------------------------------


def test_grants_on_the_database(catalog: dict[str, Any]) -> None:
    catalog["database"]["acl"] = acl({"migrate": ["CONNECT"], "read": ["CONNECT", "CREATE"]})
    catalog["database"]["acl"].append(["", "TEMPORARY", False])
    assert sql(catalog) == [
        'GRANT CONNECT ON DATABASE "polls" TO "polls_app"',
        'REVOKE CREATE ON DATABASE "polls" FROM "polls_read" CASCADE',
        'REVOKE TEMPORARY ON DATABASE "polls" FROM PUBLIC CASCADE',
    ]


def test_grants_on_the_schemas(catalog: dict[str, Any]) -> None:
    catalog["schema"]["acl"] = acl({"app": ["USAGE", "CREATE"], "migrate": ["USAGE"]})
    catalog["public"]["acl"] = [
        ["", "USAGE", False],
        ["polls_app", "CREATE", False],
        ["pg_database_owner", "USAGE", False],
    ]
    assert sql(catalog) == [
        'REVOKE CREATE ON SCHEMA "polls" FROM "polls_app" CASCADE',
        'GRANT USAGE ON SCHEMA "polls" TO "polls_read"',
        'REVOKE USAGE ON SCHEMA "polls" FROM "polls_migrate" CASCADE',
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC CASCADE",
        'REVOKE CREATE ON SCHEMA public FROM "polls_app" CASCADE',
    ]


def test_a_grant_option_is_revoked(catalog: dict[str, Any]) -> None:
    catalog["schema"]["acl"] = [["polls_app", "USAGE", True], ["polls_read", "USAGE", False]]
    assert sql(catalog) == [
        'REVOKE USAGE ON SCHEMA "polls" FROM "polls_app" CASCADE',
        'GRANT USAGE ON SCHEMA "polls" TO "polls_app"',
    ]


@pytest.mark.parametrize(("kind", "word", "right"), [("r", "TABLES", "SELECT"), ("S", "SEQUENCES", "SELECT")])
def test_grants_on_future_objects(catalog: dict[str, Any], kind: str, word: str, right: str) -> None:
    held = catalog["defaults"][kind]
    held.remove(["polls_read", right, False])
    held.append(["polls_app", "UPDATE" if kind == "S" else "TRUNCATE", False])
    prefix = 'ALTER DEFAULT PRIVILEGES FOR ROLE "polls_owner" IN SCHEMA "polls"'
    surplus = "UPDATE" if kind == "S" else "TRUNCATE"
    assert sql(catalog) == [
        f'{prefix} REVOKE {surplus} ON {word} FROM "polls_app" CASCADE',
        f'{prefix} GRANT {right} ON {word} TO "polls_read"',
    ]
    del catalog["defaults"][kind]
    assert len(sql(catalog)) == 2


def test_grants_on_tables_and_sequences(catalog: dict[str, Any]) -> None:
    catalog["relations"] = [
        relation("a", acl=acl({"app": ["SELECT"]})),
        relation("b", acl=acl({"app": ["SELECT"]})),
        relation("t", "S", acl=acl({"app": ["USAGE", "UPDATE"], "read": ["SELECT"]})),
        relation('o"dd', acl=[*acl(TABLE), ["", "SELECT", False]]),
    ]
    assert sql(catalog) == [
        'GRANT INSERT, UPDATE, DELETE ON TABLE "polls"."a", "polls"."b" TO "polls_app"',
        'GRANT SELECT ON TABLE "polls"."a", "polls"."b" TO "polls_read"',
        'REVOKE UPDATE ON SEQUENCE "polls"."t" FROM "polls_app" CASCADE',
        'REVOKE SELECT ON TABLE "polls"."o""dd" FROM PUBLIC CASCADE',
    ]
    assert [change.text for change in plan(catalog)][:3] == [
        "grant INSERT, UPDATE, DELETE on 2 tables to polls_app",
        "grant SELECT on 2 tables to polls_read",
        "revoke UPDATE on sequence polls.t from polls_app",
    ]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("r", "TABLE"),
        ("p", "TABLE"),
        ("v", "VIEW"),
        ("m", "MATERIALIZED VIEW"),
        ("f", "FOREIGN TABLE"),
        ("S", "SEQUENCE"),
    ],
)
def test_everything_in_the_schema_belongs_to_the_owner(catalog: dict[str, Any], kind: str, word: str) -> None:
    catalog["relations"] = [relation("a", kind, owner="postgres"), relation("b", kind, owner="postgres", follows=True)]
    assert sql(catalog) == [f'ALTER {word} "polls"."a" OWNER TO "polls_owner"']


def test_owners_of_database_and_schema(catalog: dict[str, Any]) -> None:
    catalog["database"]["owner"] = catalog["schema"]["owner"] = "postgres"
    assert sql(catalog) == [
        'ALTER DATABASE "polls" OWNER TO "polls_owner"',
        'ALTER SCHEMA "polls" OWNER TO "polls_owner"',
    ]


def test_a_dropped_schema_public_is_not_created(catalog: dict[str, Any]) -> None:
    catalog["public"] = None
    assert sql(catalog) == []


# --- Settings and extensions ------------------------------------------------------------------------------------------


def test_settings_of_sessions(catalog: dict[str, Any]) -> None:
    catalog["settings"]["polls_app"] = ["search_path=public", "statement_timeout=30s", "work_mem=4MB"]
    del catalog["settings"]["polls_migrate"]
    prefix = 'IN DATABASE "polls" SET'
    assert sql(catalog) == [
        f'ALTER ROLE "polls_migrate" {prefix} "search_path" TO \'polls\'',
        f'ALTER ROLE "polls_migrate" {prefix} "role" TO \'polls_owner\'',
        f'ALTER ROLE "polls_app" {prefix} "search_path" TO \'polls\'',
    ]


def test_a_setting_that_postgresql_stored_in_quotes_is_the_same(catalog: dict[str, Any]) -> None:
    catalog["settings"]["polls_read"] = ['search_path="polls"']
    assert sql(catalog) == []


def test_a_missing_extension_is_created_if_it_is_installed(catalog: dict[str, Any]) -> None:
    catalog["extensions"] = ["plpgsql"]
    assert sql(catalog) == ['CREATE EXTENSION "citext" SCHEMA "polls"']
    catalog["available"] = []
    with pytest.raises(ServerError, match="Extension citext is not installed on the server"):
        plan(catalog)
    catalog["extensions"] = ["citext"]
    assert sql(catalog) == []


def test_an_extension_that_the_server_lacks_is_refused_before_the_first_change() -> None:
    """The database does not exist yet."""
    with pytest.raises(ServerError, match=r"^Extension citext is not installed on the server\. Use a server with it"):
        plan(catalogs.nothing() | {"available": []})
    several = dataclasses.replace(WANTED, extensions=("citext", "ltree"))
    with pytest.raises(ServerError, match="Extension citext, ltree are not installed on the server"):
        plan(catalogs.nothing() | {"available": []}, wanted=several)


# --- Unsuitable servers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 150009}, "The server runs PostgreSQL 15, but version 16 or newer is required"),
        ({"connections": 38}, "The site may open 39 connections, but the server accepts 38"),
        ({"me": {"super": False, "createrole": False, "createdb": True}}, "lacks CREATEROLE"),
        (
            {"me": {"super": False, "createrole": False, "createdb": False}, "database": None},
            "lacks CREATEROLE and CREATEDB",
        ),
        (
            {"me": {"super": False, "createrole": True, "createdb": False}, "database": None},
            "lacks CREATEDB",
        ),
        ({"database": {"owner": "x", "encoding": "LATIN1", "acl": []}}, "Database polls has the encoding LATIN1"),
    ],
)
def test_an_unsuitable_server_is_refused(catalog: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ServerError, match=words):
        plan(catalog | changes)


def test_a_server_that_just_suffices_is_not_refused(catalog: dict[str, Any]) -> None:
    assert plan(catalog | {"version": 160000, "connections": 39}) == []
    plan(catalog | {"me": {"super": False, "createrole": True, "createdb": False}})


# --- Scripts ----------------------------------------------------------------------------------------------------------


def test_one_transaction_changes_an_existing_database(catalog: dict[str, Any]) -> None:
    catalog["roles"]["polls_app"]["super"] = True
    catalog["schema"]["owner"] = "x"
    script = planning.writing_script(WANTED, plan(catalog), is_superuser=True)
    assert script.count("BEGIN;") == script.count("COMMIT;") == script.count("\\connect") == 1
    assert script.index('\\connect "polls"') < script.index("log_min_error_statement = panic") < script.index("BEGIN;")
    inside = script[script.index("BEGIN;") : script.index("COMMIT;")]
    assert 'ALTER ROLE "polls_app" NOSUPERUSER;' in inside
    assert 'ALTER SCHEMA "polls" OWNER TO "polls_owner";' in inside
    assert script.endswith("\\q\n")


def test_a_new_database_is_created_between_two_transactions() -> None:
    script = planning.writing_script(WANTED, plan(catalogs.nothing()), is_superuser=True)
    assert script.count("BEGIN;") == script.count("COMMIT;") == 2
    order = ["BEGIN;", 'CREATE ROLE "polls_app"', "COMMIT;", "CREATE DATABASE", "\\connect", "BEGIN;", "CREATE SCHEMA"]
    position = 0
    for words in order:
        position = script.index(words, position) + 1


def test_without_superuser_the_log_settings_are_not_changed(catalog: dict[str, Any]) -> None:
    assert "log_statement" not in planning.writing_script(WANTED, plan(catalog, "polls_app"), is_superuser=False)


def test_only_managed_objects_are_dropped() -> None:
    script = planning.removing_script(WANTED)
    assert script.index('DROP DATABASE IF EXISTS "polls" WITH (FORCE);') < script.index("DROP ROLE")
    assert [line for line in script.splitlines() if line.startswith("DROP ROLE")] == [
        f'DROP ROLE IF EXISTS "{name}";' for name in ("polls_read", "polls_app", "polls_migrate", "polls_owner")
    ]


def test_a_plan_does_not_change_the_catalog(catalog: dict[str, Any]) -> None:
    before = copy.deepcopy(catalog)
    plan(catalog)
    assert catalog == before
