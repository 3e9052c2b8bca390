# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Secrets of the login roles: the same connection as single values, as URLs, and as a service file of libpq.

A service file has no quotes and no escapes, so that a password reaches the server as it is. `search_path` and the owner
role are in none of them, because the server sets both for each session by `ALTER ROLE … IN DATABASE`.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import (
    refuse_unreadable,
    service_problem,
)

VERIFYING = ("verify-full", "verify-ca")


@dataclass(frozen=True)
class Endpoint:
    """The database as its clients reach it.

    Args:
        ca: the CA certificate in PEM. Empty if clients need none, or use a bundle of their image.
        ca_file: path of the CA certificates in the pods of clients.
    """

    host: str
    port: int
    database: str
    schema: str
    owner: str
    sslmode: str = "verify-full"
    ca: str = ""
    ca_file: str = ""

    @property
    def tls(self) -> dict[str, str]:
        """Return the parameters of TLS.

        Only modes that verify have a CA file, because libpq verifies in the mode `require` as well if it finds one.
        """
        return {"sslmode": self.sslmode} | ({"sslrootcert": self.ca_file} if self.sslmode in VERIFYING else {})

    def address(self, user: str, password: str | None = None, scheme: str = "postgres") -> str:
        """Return the URL of the database for a user, with the password and the parameters of TLS if one is given."""
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        url = f"{scheme}://{login}@{host}:{self.port}/{quote(self.database, safe='')}"
        return url if password is None else f"{url}?{urlencode(self.tls, safe='/', quote_via=quote)}"

    def service(self, user: str, password: str) -> str:
        """Return the service file for a user, whose only section is `default`."""
        values = {"host": self.host, "port": str(self.port), "dbname": self.database, "user": user}
        lines = [f"{name}={value}\n" for name, value in (values | {"password": password} | self.tls).items()]
        return f"[default]\n{''.join(lines)}"

    def values(self, user: str, password: str, role: str = "") -> dict[str, str]:
        """Return the values of a login's Secret.

        Args:
            role: the role that owns the tables; empty for logins that create none.
        """
        values = {
            "host": self.host,
            "port": str(self.port),
            "database": self.database,
            "schema": self.schema,
            "owner": self.owner,
            "username": user,
            "password": password,
            "sslmode": self.sslmode,
            "sslrootcert": self.tls.get("sslrootcert", ""),
            "ca.crt": self.ca,
            "url": self.address(user, password),
            "uri": self.address(user, password, "postgresql"),
            "address": self.address(user),
            "service": self.service(user, password),
        }
        return values | ({"role": role} if role else {})


def refuse_unfit(thing: str, password: str) -> None:
    """Raise ManifestError for a password that the server and a service file would not read alike, without it."""
    refuse_unreadable(thing, password)
    if problem := service_problem(password):
        reason, _, step = problem.partition(". ")
        raise ManifestError(thing, reason, f"{step}, {AGAIN}")
