"""Database settings from separate variables. In a URL, a password would have to be escaped."""

import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from cloud_django.environment import Environment

SSL_MODES = ("verify-full", "verify-ca", "require", "prefer", "allow", "disable")


def database_settings(environment: Environment, application_name: str) -> dict[str, Any]:
    """Return one entry of DATABASES. DATABASE_APPLICATION_NAME overrides the application name."""
    options: dict[str, Any] = {
        "connect_timeout": environment.number("DATABASE_CONNECT_TIMEOUT", 3, least=1, most=60),
        # A lost node does not close its connections. Without these, a worker waits many minutes for a response.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 5_000,
        "sslmode": environment.choice("DATABASE_SSLMODE", "verify-full", SSL_MODES),
        "application_name": environment.text("DATABASE_APPLICATION_NAME", application_name),
    }
    if root_certificate := environment.text("DATABASE_SSLROOTCERT"):
        options["sslrootcert"] = root_certificate
    elif options["sslmode"].startswith("verify-"):
        raise ImproperlyConfigured(
            f"The environment variable DATABASE_SSLROOTCERT is not set, and DATABASE_SSLMODE {options['sslmode']} "
            "needs it. Set it to the path of the server's CA certificate, or to system."
        )
    if server_options := _server_options(environment):
        options["options"] = server_options
    if role := environment.text("DATABASE_ROLE"):
        options["assume_role"] = role
    return {
        "ENGINE": "cloud_django.postgresql",
        "HOST": environment.required("DATABASE_HOST", "the host name of the PostgreSQL server"),
        "PORT": str(environment.number("DATABASE_PORT", 5432, least=1, most=65535)),
        "NAME": environment.required("DATABASE_NAME", "the name of the database"),
        "USER": environment.required("DATABASE_USER", "the role that the site logs in with"),
        "PASSWORD": environment.secret("DATABASE_PASSWORD_FILE", "the password of the database role"),
        "CONN_MAX_AGE": environment.number("DATABASE_CONN_MAX_AGE", 600),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def _server_options(environment: Environment) -> str:
    """Return settings of the server session for its startup packet."""
    options = []
    if schema := environment.text("DATABASE_SCHEMA"):
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise ImproperlyConfigured(
                f"The environment variable DATABASE_SCHEMA is {schema!r}. "
                "Set it to a plain name: at most 63 lowercase letters, digits, and underscores."
            )
        options.append(f"-c search_path={schema}")
    for variable, setting in (
        ("DATABASE_STATEMENT_TIMEOUT", "statement_timeout"),
        ("DATABASE_LOCK_TIMEOUT", "lock_timeout"),
    ):
        if milliseconds := environment.number(variable, 0):
            options.append(f"-c {setting}={milliseconds}")
    return " ".join(options)
