# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Sources of values for the names that a project reads from its environment."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.names import Name

# Names that the roles set in the pods of each project.
OF_THE_ROLES = frozenset(
    {
        "PORT",
        "WEB_CONCURRENCY",
        "FORWARDED_ALLOW_IPS",
        "PGSERVICEFILE",
        "PGAPPNAME",
        "PGOPTIONS",
        "HOME",
        "PATH",
        "HOSTNAME",
        "DJANGO_SETTINGS_MODULE",
        "PYTHONPATH",
        "KUBERNETES_SERVICE_HOST",
        "GUNICORN_CMD_ARGS",
        "TMPDIR",
        "USER",
        "LANG",
        "TZ",
        "VIRTUAL_ENV",
        "WEB_BIND",
    }
)
DATABASE = r"(?:^|_)(?:DB|DATABASE|POSTGRES|POSTGRESQL|POSTGRE|PG|PGSQL|SQL|RDS|PSQL|DATABASES?_DEFAULT)_?"
CACHE_URL = re.compile(
    r"(REDIS|BROKER|CACHE|VALKEY|RESULT_BACKEND|RQ|CHANNEL_LAYER)\w*_(URL|URI|LOCATION)$|"
    r"(BROKER|CELERY)_?(URL|RESULT_BACKEND|BROKER)$"
)
CACHE = r"(?:^|_)(?:REDIS|VALKEY|CACHE)_?"
SECRET = re.compile(r"(TOKEN|KEY|SECRET|DSN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PRIVATE|SALT|PEPPER)($|_)")
NO_SECRET = re.compile(
    r"(KEY_PREFIX|PUBLIC_KEY|KEY_ID|TOKEN_(URL|TTL|LIFETIME|EXPIR\w*)|SECRETS?_DIR|KEY_FUNCTION|_FILE$|PASSWORD_\w+)"
)
# A longer default is in the file that the comment names.
LONGEST_DEFAULT = 60
OTHER_SERVER = re.compile(
    r"AWS|S3|MAIL|CSP|CDN|COOKIE|SENTRY|OAUTH|OIDC|SAML|LDAP|API|STATIC|MEDIA|SEARCH|ELASTIC|SOLR|PROXY|WEBHOOK|HEALTH|FLOWER|DOCS|SUPPORT"
)
UNSAFE = re.compile(r"change.?me|insecure|secret|example|your[-_ ]|password|dummy|todo", re.IGNORECASE)
MAIL_NAME = re.compile(
    r"(?:^|_)(?:EMAIL|MAIL|SMTP)_(HOST_USERNAME|HOST_USER|HOST_PASSWORD|HOST|SERVER|PORT|USERNAME|USER|PASSWORD)$"
)
MAIL = {
    "HOST": "host", "SERVER": "host", "PORT": "port", "HOST_USER": "user", "USER": "user", "USERNAME": "user",
    "HOST_PASSWORD": "password", "PASSWORD": "password", "HOST_USERNAME": "user",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """The value of a name in django_environment.

    Args:
        value: what to write; None if a person has to fill it in.
        comment: why, or what the value means.
        is_active: whether the value is in effect, or only a comment.
        needs: the part of the site that the value comes from, such as cache or email.
    """

    value: Any
    comment: str = ""
    is_active: bool = True
    needs: str = ""


@dataclass(frozen=True)
class Context:
    """The facts that answers depend on."""

    app: str
    names: Mapping[str, Name]
    # Names that the image of the project sets.
    image: Mapping[str, str]
    # Numbers of the cache's databases by name.
    numbers: Mapping[str, int]

    def has(self, name: str) -> bool:
        """Return whether the project reads a name."""
        return name in self.names


Rule = Callable[[Name, Context], Answer | None]


def answer(name: Name, context: Context) -> Answer:
    """Return the value of a name, from the first rule that knows it."""
    found = next((each for rule in RULES if (each := rule(name, context))), None)
    if found is None:
        return Answer(None, _about(name), is_active=False)
    condition = context.names.get(name.condition)
    if found.is_active and condition and not name.is_needed and not answer(condition, context).is_active:
        return replace(found, comment=_about(name), is_active=False)
    return found


def _about(name: Name) -> str:
    """Return what is known about a name without an answer."""
    if name.is_needed:
        return "needed, the project does not start without it"
    parts = ["optional"]
    if name.condition:
        parts.append(f"read if {name.condition} is set")
    default = repr(name.default)
    if name.default not in (None, "") and not is_secret(name) and len(default) <= LONGEST_DEFAULT:
        parts.append(f"default {default}")
    return ", ".join(parts)


def is_secret(name: Name) -> bool:
    """Return whether the value of a name is likely to be secret."""
    is_number = name.kind in ("bool", "truth", "int", "float") or isinstance(name.default, bool | int | float)
    return not is_number and bool(SECRET.search(name.name)) and not NO_SECRET.search(name.name)


def suggestion(name: Name, context: Context) -> Any:
    """Return an example of a value, for the line that a person fills in."""
    if is_secret(name):
        return {"secret": f"{context.app}-secrets", "key": name.name.lower().replace("_", "-")}
    if isinstance(name.default, bool | int | float | str) and name.default != "":
        return str(name.default)
    return {"bool": "True", "truth": "1", "flag": "true", "int": "1", "float": "1.0", "list": "a,b", "json": "{}"}.get(
        name.kind, ""
    )


# ---- Rules, the more specific ones first -----------------------------------------------------------------------------


def _roles(name: Name, context: Context) -> Answer | None:
    if name.name in OF_THE_ROLES or name.name.startswith("KUBERNETES_"):
        return Answer(None, "the roles or the image set it", is_active=False, needs="roles")
    return None


def _database_url(name: Name, context: Context) -> Answer | None:
    if name.kind == "db" or re.search(r"(DATABASE|DB|POSTGRES(QL)?|PG|SQL(ALCHEMY)?)_(URL|URI|DSN)$", name.name):
        if re.search(r"REPLICA|READ|TEST", name.name):
            return None
        if "SQLALCHEMY" in name.name:
            return Answer({"from": "database.uri"}, "with the password, because SQLAlchemy needs it")
        return Answer({"from": "database.address"}, "without the password, which libpq reads from a file")
    return None


def _database(name: Name, context: Context) -> Answer | None:
    match = re.search(
        rf"{DATABASE}(HOST|HOSTNAME|SERVER|ADDR|PORT|NAME|DB|DATABASE|USER|USERNAME|PASSWORD|PASS|PASSWD|PASSWORD_FILE|"
        r"ENGINE|BACKEND|TYPE|DRIVER|SSL_?MODE|SSL_?ROOT_?CERT|SSL_?CA|SCHEMA|CONN_MAX_AGE)$",
        name.name,
    )
    if not match or re.search(r"REPLICA|READONLY|TEST|CACHE|REDIS|MONGO|MYSQL", name.name):
        return None
    key = match[1].replace("_", "")
    if name.name in ("POSTGRES_DB", "DB_DB", "PGDATABASE"):
        key = "NAME"
    if key in ("ENGINE", "BACKEND", "TYPE", "DRIVER"):
        is_path = key in ("ENGINE", "BACKEND") and (not isinstance(name.default, str) or "." in name.default)
        return Answer("django.db.backends.postgresql" if is_path else "postgresql")
    if key in ("PASSWORD", "PASS", "PASSWD"):
        if context.has(f"{name.name}_FILE"):
            return Answer(None, f"empty, because {name.name}_FILE has it", is_active=False, needs="roles")
        return Answer("", "empty, because libpq reads the password from a file")
    if key == "PASSWORDFILE":
        return Answer({"file": "database.password"})
    if key in ("SSLROOTCERT", "SSLCA"):
        return Answer({"file": "database.ca"})
    if key == "CONNMAXAGE":
        return None
    if not name.is_needed and any(each.kind == "db" for each in context.names.values()):
        return Answer(None, "optional, because the project also reads an address of the database", is_active=False)
    keys = {
        "HOSTNAME": "host", "SERVER": "host", "ADDR": "host", "DB": "name", "DATABASE": "name", "USERNAME": "user",
    }  # fmt: skip
    return Answer({"from": f"database.{keys.get(key, key.lower())}"})


def _secret_key(name: Name, context: Context) -> Answer | None:
    if not re.search(r"(^|_)SECRET_?KEY$", name.name) or re.search(
        r"AWS|S3|STRIPE|CAPTCHA|GITHUB|GOOGLE|OAUTH|SOCIAL|MINIO|SENTRY|ACCESS|API|PAYPAL|AUTH0|AZURE|TWILIO", name.name
    ):
        return None
    unsafe = isinstance(name.default, str) and bool(name.default)
    return Answer({"from": "django.secret_key"}, "generated" + (", because the default is public" if unsafe else ""))


def _debug(name: Name, context: Context) -> Answer | None:
    if not re.search(r"(^|_)DEBUG$", name.name):
        return None
    false = {"truth": "", "int": "0"}.get(name.kind, "False")
    unsafe = str(name.default).lower() in ("true", "1", "on", "yes")
    return Answer(false, "off, because the default is on" if unsafe else "off")


def _cache(name: Name, context: Context) -> Answer | None:
    if name.kind == "cache" or CACHE_URL.search(name.name):
        if "TLS" in name.name or re.search(r"TEMPLATE|STATIC", name.name):
            return None
        if name.suffixes:
            ends = ", ".join(dict.fromkeys(name.suffixes))
            return Answer({"from": "cache.url"}, f"without a database, because the project adds {ends}", needs="cache")
        number = context.numbers.get(name.name, 0)
        return Answer({"template": f"${{cache.url}}/{number}"}, needs="cache")
    match = re.search(
        rf"{CACHE}(HOST|HOSTNAME|SERVER|ADDR|PORT|USER|USERNAME|PASSWORD|PASS|PASSWORD_FILE|SSL|TLS|USE_SSL)$",
        name.name,
    )
    if not match:
        return None
    key = match[1].replace("_", "")
    if key in ("SSL", "TLS", "USESSL"):
        return Answer("0" if name.kind == "int" else "" if name.kind == "truth" else "False", needs="cache")
    if key == "PASSWORDFILE":
        return Answer({"file": "cache.password"}, needs="cache")
    keys = {"HOSTNAME": "host", "SERVER": "host", "ADDR": "host", "USERNAME": "user", "PASS": "password"}
    return Answer({"from": f"cache.{keys.get(key, key.lower())}"}, needs="cache")


def _hosts(name: Name, context: Context) -> Answer | None:
    if re.search(r"(^|_)ALLOWED_?HOSTS?$", name.name) and not re.search(r"WEBHOOK|PROXY|SMTP|FETCH|IMAGE", name.name):
        return _listed(name, "hosts")
    if re.search(r"(CSRF_)?TRUSTED_ORIGINS?$", name.name):
        return _listed(name, "origins")
    # Addresses of other servers.
    if OTHER_SERVER.search(name.name):
        return None
    if re.search(r"(^|_)(SITE|BASE|PUBLIC|APP|WEB|SERVER|ROOT|WAGTAILADMIN_BASE|EXTERNAL)_UR[LI]$", name.name):
        return Answer({"from": "site.url"}, "a guess from the name, without a final slash")
    if re.search(r"(^|_)((SITE|PRIMARY|PUBLIC)_HOST|SITE_HOSTNAME|SITE_DOMAIN|DOMAIN_NAME|SERVER_NAME)$", name.name):
        return Answer({"from": "site.host"}, "a guess from the name")
    if name.name in ("DOMAIN", f"{context.app.upper()}_DOMAIN", "DJANGO_DOMAIN"):
        return Answer({"from": "site.host"}, "a guess from the name")
    return None


def _listed(name: Name, key: str) -> Answer:
    if name.kind in ("json", "dict"):
        return Answer({"template": f"${{site.{key}|json}}"})
    separator = name.separator if name.separator not in ("", ",") else ""
    return Answer({"from": f"site.{key}"} | ({"separator": separator} if separator else {}))


def _redirect(name: Name, context: Context) -> Answer | None:
    if re.search(r"SSL_REDIRECT$|(^|_)FORCE_(SSL|HTTPS)$|REDIRECT_TO_HTTPS$", name.name):
        false = {"truth": "", "int": "0"}.get(name.kind, "False")
        return Answer(false, "off as long as app_public_url is no https address, because a probe would be redirected")
    if re.search(r"(SESSION|CSRF)_COOKIE_SECURE$", name.name):
        false = {"truth": "", "int": "0"}.get(name.kind, "False")
        return Answer(false, "off as long as app_public_url is no https address, because a login needs the cookie")
    if re.search(r"HSTS_SECONDS$", name.name):
        return Answer(None, "for an https address", is_active=False)
    return None


def _superuser(name: Name, context: Context) -> Answer | None:
    match = re.search(r"SUPERUSER_(USERNAME|PASSWORD|EMAIL)$", name.name)
    return Answer({"from": f"superuser.{match[1].lower()}"}, is_active=name.is_needed) if match else None


def _email(name: Name, context: Context) -> Answer | None:
    """Values of app_email, which only a person knows."""
    comment = f"{_about(name)}; set app_email as well"
    if name.kind == "email":
        url = "smtp+tls://${email.user|url}:${email.password|url}@${email.host}:${email.port}"
        return Answer({"template": url}, comment, is_active=False, needs="email")
    if match := MAIL_NAME.search(name.name):
        return Answer({"from": f"email.{MAIL[match[1]]}"}, comment, is_active=False, needs="email")
    return None


def _image(name: Name, context: Context) -> Answer | None:
    if name.name in context.image:
        return Answer(None, "the Dockerfile sets it", is_active=False, needs="roles")
    return None


def _pod(name: Name, context: Context) -> Answer | None:
    keys = {"POD_IP": "ip", "POD_NAME": "name", "NODE_NAME": "node"}
    return Answer({"from": f"pod.{keys[name.name]}"}) if name.name in keys else None


def _needed_secret(name: Name, context: Context) -> Answer | None:
    has_public_default = isinstance(name.default, str) and bool(name.default) and UNSAFE.search(name.default)
    if has_public_default and is_secret(name):
        return Answer(None, f"{_about(name)}, with a public default", is_active=False)
    return None


RULES: list[Rule] = [
    _roles, _debug, _database_url, _secret_key, _database, _redirect, _cache, _hosts, _superuser, _email, _image, _pod,
    _needed_secret,
]  # fmt: skip


def cache_numbers(names: Mapping[str, Name]) -> dict[str, int]:
    """Return a database of the cache for each name with a URL; brokers have 0, so that a flushed cache keeps tasks."""
    wanted = [
        name for name in names if (found := _cache(names[name], Context("", names, {}, {}))) and _has_number(found)
    ]
    order = sorted(wanted, key=lambda name: not re.search(r"BROKER|QUEUE|CELERY_URL|Q_REDIS|RQ", name))
    return {name: index for index, name in enumerate(order)}


def _has_number(found: Answer) -> bool:
    return isinstance(found.value, dict) and "template" in found.value
