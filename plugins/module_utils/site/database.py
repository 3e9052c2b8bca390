# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of the database and its server."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import (
    secret_problem,
    service_problem,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import IDENTIFIER
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import bounds
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

ROLE_SUFFIXES = ("_owner", "_migrate", "_app", "_read", "_backup")
LONGEST_IDENTIFIER = 63
ADMINISTRATOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
TAKEN_SCHEMAS = ("public", "information_schema")
TAKEN_DATABASES = ("postgres", "template0", "template1")
# Words that PostgreSQL refuses as names of roles even in quotes.
TAKEN_ROLES = ("public", "none", "current_role", "current_user", "session_user")
# A name that exists already can have any characters that one line of a file holds.
EXISTING = re.compile(r"\S([^\0-\x1f\x7f]*\S)?")
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_IDENTIFIER_RULE = "is not 1 to 63 lowercase letters, underscores, and non-leading digits. Choose another name."


# --- Names ------------------------------------------------------------------------------------------------------------


def database_name(database_access: str, database_name: str) -> Iterator[str]:
    """With logins that exist already, the database exists too, under any name."""
    longest = LONGEST_IDENTIFIER - max(map(len, ROLE_SUFFIXES))
    about = f"database_name is {shown(database_name)}"
    if database_access == "given":
        if not EXISTING.fullmatch(database_name):
            yield f"{about}, which is not the name of a database. Set the name of the database that exists already."
    elif not IDENTIFIER.fullmatch(database_name):
        yield f"{about}, which {_IDENTIFIER_RULE}"
    elif len(database_name) > longest:
        yield f"{about}, of {len(database_name)} characters, but its roles leave only {longest}. Shorten it."
    elif database_name in TAKEN_DATABASES:
        yield f"{about}, which is reserved for PostgreSQL. Choose another name."
    elif database_name.startswith("pg_"):
        yield f"{about}, but the prefix pg_ is reserved for PostgreSQL. Choose another name."


def database_schema(database_access: str, database_schema: str, database_name: str) -> Iterator[str]:
    """With logins that exist already, the schema exists too, under any name."""
    about = f"database_schema is {shown(database_schema)}"
    if database_access == "given":
        if not EXISTING.fullmatch(database_schema):
            yield f"{about}, which is not the name of a schema. Set the schema of the logins, for instance public."
    elif database_schema == database_name:
        # This is the default. Errors in the name of the database are reported already.
        if database_schema in TAKEN_SCHEMAS:
            yield f"{about}, the same as database_name, which is reserved for PostgreSQL. Change one of them."
    elif not IDENTIFIER.fullmatch(database_schema):
        yield f"{about}, which {_IDENTIFIER_RULE}"
    elif database_schema in TAKEN_SCHEMAS or database_schema.startswith("pg_"):
        yield f"{about}, which is reserved for PostgreSQL. Choose another name, or remove it to use database_name."


def postgresql_admin_username(postgresql_backend: str, postgresql_admin_username: str) -> Iterator[str]:
    """It must be valid for initdb. For an external server any name is accepted."""
    about = f"postgresql_admin_username is {shown(postgresql_admin_username)}"
    if postgresql_backend != "builtin":
        return
    # All names that initdb and pg_ident.conf accept are valid, because an existing server cannot change its name.
    if not ADMINISTRATOR.fullmatch(postgresql_admin_username):
        yield f"{about}, which is not 1 to 63 letters, digits, underscores, hyphens, and dots. Choose another name."
    elif postgresql_admin_username.startswith("pg_") or postgresql_admin_username in TAKEN_ROLES:
        yield f"{about}, which is reserved for PostgreSQL. Choose another name."


def admin_is_no_role_of_the_site(postgresql_admin_username: str, database_name: str) -> Iterator[str]:
    if postgresql_admin_username in [f"{database_name}{suffix}" for suffix in ROLE_SUFFIXES]:
        yield (
            f"postgresql_admin_username is {shown(postgresql_admin_username)}, which is also a role of the database "
            f"{database_name}. Choose another name."
        )


def _role_keys(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    if unknown := [str(key) for key in given if key not in ("migrate", "app", "read", "backup")]:
        yield f"{name} has {shown(', '.join(unknown))}, which is not a login role. Use migrate, app, read, or backup."


def database_connection_limits(database_connection_limits: Mapping[str, Any]) -> Iterator[str]:
    yield from _role_keys("database_connection_limits", database_connection_limits)


def database_role_settings(database_role_settings: Mapping[str, Any]) -> Iterator[str]:
    yield from _role_keys("database_role_settings", database_role_settings)


# --- Logins -----------------------------------------------------------------------------------------------------------


def _password(name: str, password: str) -> Iterator[str]:
    """A service file of libpq holds each login's password."""
    if problem := secret_problem(password) or service_problem(password):
        yield f"{name} {problem}."


def postgresql_admin_password(postgresql_admin_password: str) -> Iterator[str]:
    if problem := secret_problem(postgresql_admin_password):
        yield f"postgresql_admin_password {problem}."


def database_passwords(database_passwords: Mapping[str, str]) -> Iterator[str]:
    for name, password in database_passwords.items():
        yield from _password(f"database_passwords.{name}", password or "")


def database_access(
    database_access: str,
    database_backend: str,
    database_logins: Mapping[str, Any],
    database_passwords: Mapping[str, str],
) -> Iterator[str]:
    """Each kind of access has variables of its own."""
    named = [name for name, login in database_logins.items() if any(_login(login).values())]
    if database_access == "managed":
        if named:
            yield (
                "database_logins is set, but database_access is managed, which creates its own logins. Set "
                "database_access to given, or remove database_logins."
            )
        return
    if database_backend == "builtin":
        yield (
            "database_access is given, but postgresql_backend is builtin, a new server without logins. Set "
            "postgresql_backend to external, or remove database_access."
        )
    if any(database_passwords.values()):
        yield (
            "database_passwords is set, but database_access is given, which sets no passwords. Name the passwords in "
            "database_logins, and remove database_passwords."
        )
    if "app" not in named:
        yield (
            "database_logins.app is not set, but database_access is given. Set its username, and its secret or "
            "password."
        )


def _login(login: Any) -> dict[str, str]:
    """Return the parts of a login that name it."""
    return {part: str((login or {}).get(part) or "") for part in ("username", "secret", "password")}


def database_logins(database_logins: Mapping[str, Any]) -> Iterator[str]:
    """A login has a username, and one source of its password."""
    for key, login in database_logins.items():
        parts, name = _login(login), f"database_logins.{key}"
        if not any(parts.values()):
            continue
        if not EXISTING.fullmatch(parts["username"]):
            yield f"{name}.username is {shown(parts['username'])}, which is not the name of a login role. Set its name."
        if parts["secret"] and parts["password"]:
            yield f"{name} has both secret and password. Keep one."
        elif not (parts["secret"] or parts["password"]):
            yield f"{name} has neither secret nor password. Set one."
        yield from bounds.object_name(f"{name}.secret", parts["secret"])
        yield from _password(f"{name}.password", parts["password"])


# --- TLS --------------------------------------------------------------------------------------------------------------


def database_sslmode(database_sslmode: str, database_backend: str) -> Iterator[str]:
    if database_sslmode == "disable" and database_backend == "builtin":
        yield (
            "database_sslmode is disable, but the built-in server refuses connections without TLS. Remove "
            "database_sslmode."
        )


def database_ca_bundle(database_ca_bundle: str, database_sslmode: str) -> Iterator[str]:
    """The word `system` is libpq's own, with this limit."""
    if database_ca_bundle == "system":
        if database_sslmode == "verify-ca":
            yield (
                "database_ca_bundle is system, but database_sslmode is verify-ca, and libpq allows system only with "
                "verify-full. Set the path of the bundle, or remove database_sslmode."
            )
    elif not EXISTING.fullmatch(database_ca_bundle) or not database_ca_bundle.startswith("/"):
        yield (
            f"database_ca_bundle is {shown(database_ca_bundle)}, which is not an absolute path. Set the path of the CA "
            "bundle in the images, for instance /etc/ssl/certs/ca-certificates.crt."
        )


def postgresql_ca_certificate(postgresql_backend: str, postgresql_ca_certificate: str) -> Iterator[str]:
    """A path is a frequent mistake, and libpq would report it only after roles are changed."""
    text = postgresql_ca_certificate
    if postgresql_backend == "external" and text not in ("", "system") and CERTIFICATE not in text:
        yield (
            f"postgresql_ca_certificate is {shown(text)}, which is not a certificate in PEM. Set the content of the "
            "file, for instance with the lookup ansible.builtin.file, or system for the CA bundle of the images."
        )


RULES: list[Callable[..., Iterator[str]]] = [
    database_name,
    database_schema,
    postgresql_admin_username,
    admin_is_no_role_of_the_site,
    database_connection_limits,
    database_role_settings,
    postgresql_admin_password,
    database_passwords,
    database_access,
    database_logins,
    database_sslmode,
    database_ca_bundle,
    postgresql_ca_certificate,
]
