# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Login roles that exist already: try each of them, and write its Secret. Nothing is changed on the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import data_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import catalog, login_secrets, logins
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import Server, explain

# Not after catalog.SESSION, because that sets search_path.
QUERY = """SELECT jsonb_build_object('schema', current_schema(),
 'creates', coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
 'extensions', (SELECT coalesce(jsonb_agg(extname), '[]') FROM pg_extension))"""


@dataclass(frozen=True)
class Login:
    """A login role that exists already, and the Secret to write."""

    name: str
    access: str
    secret: str
    password: str = field(repr=False)

    @property
    def title(self) -> str:
        return f"Login {self.name}"


def password_of(client: Client, option: Mapping[str, Any]) -> str:
    """Return the password of a login, given or from a Secret of the user. Raises ManifestError if it is missing."""
    source = option.get("source") or {}
    if not source.get("secret"):
        return option["password"] or ""
    name, key = source["secret"], source.get("key") or "password"
    secret = client.get("Secret", name)
    thing, user = f"Secret {name} in namespace {client.namespace}", f"login {option['name']} in database_logins"
    if secret is None:
        step = f"Create it, or correct the name, {AGAIN}"
        raise ManifestError(thing, f"does not exist, but {user} needs its key {key}", step)
    # A line break at the end of a file is not a part of the password.
    if not (password := data_of(secret).get(key, "").rstrip("\r\n")):
        raise ManifestError(thing, f"has no key {key}, which {user} needs", f"Add it, or correct the name, {AGAIN}")
    return password


def logins_of(client: Client, params: Mapping[str, Any]) -> list[Login]:
    """Return the logins with their passwords. Raises ManifestError if a password is missing or unfit."""
    found = []
    for option in params["roles"]:
        password = password_of(client, option)
        if not password:
            step = f"Set its password or secret in database_logins, {AGAIN}"
            raise ManifestError(f"Login {option['name']}", "has no password", step)
        logins.refuse_unfit(f"The password of role {option['name']}", password)
        found.append(Login(option["name"], option["access"], option["secret"], password))
    return found


def tried(server: Server, database: str, login: Login) -> dict[str, Any]:
    """Log in, and return what the login can do in the database. Raises ServerError if the server refuses it."""
    script = f"{catalog.PREAMBLE}{catalog.one_line(QUERY)};\n\\q\n"
    ended = server.log_in(database, login.name, login.password, script)
    if ended.code:
        raise explain(ended.err, server.where, server.external, f"login {login.name}", "its entry in database_logins")
    return catalog.parsed(ended.out)


def refuse_unsuitable(login: Login, found: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Raise ServerError if a login cannot do what its pods need."""
    database, schema = params["database"], params["schema"]
    if missing := sorted(set(params["extensions"]) - set(found["extensions"])):
        command = "; ".join(f"CREATE EXTENSION {catalog.ident(name)}" for name in missing)
        reason = f"is missing in database {database}, which the project needs"
        thing = f"Extension {', '.join(missing)}"
        raise ServerError(thing, reason, f"Have an administrator run `{command}` in the database, {AGAIN}")
    if found["schema"] != schema:
        uses = f"uses schema {found['schema']}" if found["schema"] else "has no schema in its search_path"
        role = f"ALTER ROLE {catalog.ident(login.name)} IN DATABASE {catalog.ident(database)}"
        step = f"Set database_schema, or run `{role} SET search_path TO {catalog.ident(schema)}`, {AGAIN}"
        raise ServerError(login.title, f"{uses} in database {database}, not {schema}", step)
    if login.access == "owner" and not found["creates"]:
        step = f"Grant CREATE on the schema to it, or name another login as database_logins.migrate, {AGAIN}"
        raise ServerError(login.title, f"cannot create tables in schema {schema} of database {database}", step)


def present(params: dict[str, Any], check_mode: bool, client: Client) -> dict[str, Any]:
    """Try the logins, write their Secrets, and return the result of the module."""
    # In check mode, the namespace or the Secret of the certificate authority may not exist yet.
    if check_mode and not login_secrets.is_readable(client, params):
        return login_secrets.result([f"create Secret {role['secret']}" for role in params["roles"]], [])
    before = login_secrets.held(client, params)
    found = logins_of(client, params)
    owner = next((login.name for login in found if login.access == "owner"), "")
    endpoint = login_secrets.endpoint(client, params, owner)
    with login_secrets.connected(client, params) as server:
        answers: dict[tuple[str, str], dict[str, Any]] = {}
        for login in found:
            name = login.name, login.password
            answers[name] = answers.get(name) or tried(server, params["database"], login)
            refuse_unsuitable(login, answers[name], params)
    # Such a login owns the tables itself, and can switch to itself.
    wanted = {
        login.secret: endpoint.values(login.name, login.password, login.name if login.access == "owner" else "")
        for login in found
    }
    return login_secrets.result(login_secrets.write(client, params, before, wanted, check_mode), [])
