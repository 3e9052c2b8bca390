"""Client pod, logins, and Secrets of the role database, by its kind of access and the TLS of its clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rendering import rendered_in_play

NAMES = {
    "pod": "__database_client_pod",
    "names": "__database_roles | map(attribute='name')",
    "roles": "__database_given_roles",
    "needs": "__database_required_secrets",
    "has_ca": "__database_has_ca",
    "schema": "database_schema",
    "weaker": "__database_weaker_tls[database_sslmode] | default('')",
}
SERVER = {"has_administrator": "__postgresql_has_administrator", "has_ca": "__postgresql_has_authority"}
SITE = {"app_name": "shop", "app_namespace": "shop", "django_image_pull_secrets": ["registry"]}
EXTERNAL = SITE | {"postgresql_backend": "external", "postgresql_host": "db.example.org"}
GIVEN = EXTERNAL | {"database_access": "given"}


def database(folder: Path, **variables: Any) -> dict[str, Any]:
    return rendered_in_play(folder, NAMES, {"database": "main.yml", "postgresql": "main.yml"}, variables)


def environment(found: dict[str, Any]) -> dict[str, str]:
    [container] = found["pod"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def test_an_administrator_has_a_secret_and_a_ca(tmp_path: Path) -> None:
    found = database(tmp_path, **EXTERNAL)
    assert found["needs"] == {"shop-postgresql-admin": ["username", "password"], "shop-postgresql-ca": ["tls.crt"]}
    assert [volume["name"] for volume in found["pod"]["spec"]["volumes"]] == ["admin", "ca"]
    assert found["pod"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert environment(found)["PGSSLROOTCERT"] == "/run/secrets/ca/tls.crt"
    assert "PGUSER" in environment(found)
    assert found["names"] == ["shop_migrate", "shop_app", "shop_read", "shop_backup"]
    assert (found["schema"], found["weaker"]) == ("shop", "")


def test_logins_that_exist_already_need_no_administrator(tmp_path: Path) -> None:
    logins = {"app": {"username": "shop", "secret": "rds-shop"}}
    bundle = {"postgresql_ca_certificate": "system", "database_client_pull_secrets": ["other"]}
    found = database(tmp_path, **GIVEN, **bundle, database_logins=logins)
    assert (found["needs"], found["has_ca"], found["schema"]) == ({}, False, "public")
    assert found["pod"]["spec"]["volumes"] == found["pod"]["spec"]["containers"][0]["volumeMounts"] == []
    assert found["pod"]["spec"]["imagePullSecrets"] == [{"name": "other"}]
    assert environment(found) == {
        "PGHOST": "db.example.org",
        "PGPORT": "5432",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/ssl/certs/ca-certificates.crt",
        "PGCONNECT_TIMEOUT": "5",
    }
    source = {"secret": "rds-shop", "key": "password"}
    assert found["roles"] == [
        {"name": "shop", "access": "owner", "secret": "shop-database-migrate", "source": source},
        {"name": "shop", "access": "write", "secret": "shop-database-app", "source": source},
    ]


@pytest.mark.parametrize("mode", ["verify-ca", "require", "disable"])
def test_weaker_tls_is_named(tmp_path: Path, mode: str) -> None:
    logins = {"app": {"username": "shop", "password": "a"}, "migrate": {"username": "boss", "secret": "s", "key": "k"}}
    found = database(tmp_path, **GIVEN, database_logins=logins, database_sslmode=mode)
    assert found["has_ca"] is (mode == "verify-ca")
    assert ("PGSSLROOTCERT" in environment(found)) is (mode == "verify-ca")
    assert f"because database_sslmode is {mode}." in found["weaker"]
    assert found["names"] == ["boss", "shop"]
    assert found["roles"][0]["source"] == {"secret": "s", "key": "k"}
    assert found["roles"][1]["password"] == "a"


@pytest.mark.parametrize(
    ("variables", "administrator", "ca"),
    [
        (SITE, True, True),
        (EXTERNAL, True, True),
        (GIVEN, False, True),
        (GIVEN | {"database_sslmode": "require"}, False, False),
        (EXTERNAL | {"postgresql_ca_certificate": "system"}, True, False),
    ],
)
def test_a_server_has_only_the_secrets_that_its_clients_need(
    tmp_path: Path, variables: dict[str, Any], administrator: bool, ca: bool
) -> None:
    found = rendered_in_play(tmp_path, SERVER, {"postgresql": "main.yml"}, variables)
    assert list(found.values()) == [administrator, ca]
