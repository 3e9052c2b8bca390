# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of a site, beyond their types. They are checked before the first change.

Each rule is a function whose parameters are the variables that it needs, and yields its errors. A rule is skipped if
one of its variables is undefined or has a wrong type, because the type error is reported already.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import secret_problem
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.catalog import IDENTIFIER
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import addresses, bounds, cache
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

Rule = Callable[..., Iterator[str]]
RULES: list[Rule] = [*cache.RULES]

# Suffixes of names that begin with app_name and are also values of labels, which have at most 63 characters. HASH is
# the revision of a StatefulSet or the content hash of a Job.
HASH = "-0123456789"
LABELS = [f"-postgresql{HASH}", f"-migrations{HASH}", f"-superuser{HASH}", "-postgresql", "-web", "-database"]
LONGEST_APP_NAME = addresses.LONGEST_LABEL - max(map(len, LABELS))

ROLE_SUFFIXES = ("_owner", "_migrate", "_app", "_read", "_backup")
LONGEST_IDENTIFIER = 63
ADMINISTRATOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
TAKEN_SCHEMAS = ("public", "information_schema")
TAKEN_DATABASES = ("postgres", "template0", "template1")
# Words that PostgreSQL refuses as names of roles even in quotes.
TAKEN_ROLES = ("public", "none", "current_role", "current_user", "session_user")

# Names of environment variables that Kubernetes accepts both from a ConfigMap and in a Job.
VARIABLE = re.compile(r"[-_a-zA-Z][-._a-zA-Z0-9]*")
# Environment variables of the pods that the roles set, so that no setting of a project can replace them.
OWN_ENVIRONMENT = frozenset(
    {"DJANGO_SECRET_KEY_FILE", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_SCHEMA", "DATABASE_USER"}
    | {"DATABASE_PASSWORD_FILE", "DATABASE_SSLMODE", "DATABASE_SSLROOTCERT", "DATABASE_ROLE"}
    | {"DATABASE_APPLICATION_NAME", "MIGRATIONS_COMMANDS", "MIGRATIONS_LOCK_TIMEOUT", "MIGRATIONS_STATEMENT_TIMEOUT"}
)


def errors(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of all rules for variables of the right types."""
    for rule in RULES:
        names = inspect.signature(rule).parameters
        if names.keys() <= values.keys():
            yield from rule(**{name: values[name] for name in names})
    yield from bounds.errors(values)


def rule(function: Rule) -> Rule:
    """Register a rule."""
    RULES.append(function)
    return function


# --- Names ------------------------------------------------------------------------------------------------------------


@rule
def app_name(app_name: str) -> Iterator[str]:
    """The name of a Service is derived from it, which is a DNS label that begins with a letter."""
    longest = max(LABELS, key=len)
    because = f"the longest name derived from it, {app_name[:3]}…{longest}, can have {addresses.LONGEST_LABEL}"
    if problem := addresses.name_problem(app_name, LONGEST_APP_NAME, True, because):
        yield f"app_name is {shown(app_name)}, which {problem}."


@rule
def app_namespace(app_namespace: str) -> Iterator[str]:
    yield from _namespace("app_namespace", app_namespace)


@rule
def namespace_name(app_namespace: str, namespace_name: str) -> Iterator[str]:
    if namespace_name != app_namespace:
        yield from _namespace("namespace_name", namespace_name)


def _namespace(name: str, value: str) -> Iterator[str]:
    if problem := addresses.name_problem(value, addresses.LONGEST_LABEL, False, "that is the limit of a namespace"):
        yield f"{name} is {shown(value)}, which {problem}."
    elif value.startswith("kube-"):
        yield f"{name} is {value}, but the prefix kube- is reserved for Kubernetes. Choose another name."


@rule
def database_name(database_name: str) -> Iterator[str]:
    longest = LONGEST_IDENTIFIER - max(map(len, ROLE_SUFFIXES))
    about = f"database_name is {shown(database_name)}"
    if not IDENTIFIER.fullmatch(database_name):
        yield f"{about}, which {_IDENTIFIER_RULE}"
    elif len(database_name) > longest:
        yield f"{about}, of {len(database_name)} characters, but its roles leave only {longest}. Shorten it."
    elif database_name in TAKEN_DATABASES:
        yield f"{about}, which is reserved for PostgreSQL. Choose another name."
    elif database_name.startswith("pg_"):
        yield f"{about}, but the prefix pg_ is reserved for PostgreSQL. Choose another name."


@rule
def database_schema(database_schema: str, database_name: str) -> Iterator[str]:
    about = f"database_schema is {shown(database_schema)}"
    if database_schema == database_name:
        # This is the default. Errors in the name of the database are reported already.
        if database_schema in TAKEN_SCHEMAS:
            yield f"{about}, the same as database_name, which is reserved for PostgreSQL. Change one of them."
    elif not IDENTIFIER.fullmatch(database_schema):
        yield f"{about}, which {_IDENTIFIER_RULE}"
    elif database_schema in TAKEN_SCHEMAS or database_schema.startswith("pg_"):
        yield f"{about}, which is reserved for PostgreSQL. Choose another name, or remove it to use database_name."


@rule
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


@rule
def admin_is_no_role_of_the_site(postgresql_admin_username: str, database_name: str) -> Iterator[str]:
    if postgresql_admin_username in [f"{database_name}{suffix}" for suffix in ROLE_SUFFIXES]:
        yield (
            f"postgresql_admin_username is {shown(postgresql_admin_username)}, which is also a role of the database "
            f"{database_name}. Choose another name."
        )


_IDENTIFIER_RULE = "is not 1 to 63 lowercase letters, underscores, and non-leading digits. Choose another name."


def _role_keys(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    if unknown := [str(key) for key in given if key not in ("migrate", "app", "read", "backup")]:
        yield f"{name} has {shown(', '.join(unknown))}, which is not a login role. Use migrate, app, read, or backup."


@rule
def database_connection_limits(database_connection_limits: Mapping[str, Any]) -> Iterator[str]:
    yield from _role_keys("database_connection_limits", database_connection_limits)


@rule
def database_role_settings(database_role_settings: Mapping[str, Any]) -> Iterator[str]:
    yield from _role_keys("database_role_settings", database_role_settings)


# --- Secrets ----------------------------------------------------------------------------------------------------------


@rule
def postgresql_admin_password(postgresql_admin_password: str) -> Iterator[str]:
    yield from _secret("postgresql_admin_password", postgresql_admin_password)


@rule
def database_passwords(database_passwords: Mapping[str, str]) -> Iterator[str]:
    for name, password in database_passwords.items():
        yield from _secret(f"database_passwords.{name}", password or "", is_line=False)


@rule
def superuser_password(superuser_password: str) -> Iterator[str]:
    yield from _secret("superuser_password", superuser_password)


@rule
def image_pull_credentials(image_pull_username: str, image_pull_password: str) -> Iterator[str]:
    yield from _secret("image_pull_username", image_pull_username)
    yield from _secret("image_pull_password", image_pull_password)
    if ":" in image_pull_username:
        yield "image_pull_username has a colon, but a registry parses the rest as the password. Use another user."
    if image_pull_username and not image_pull_password:
        yield (
            "image_pull_password is empty, but image_pull_username is set. Set the password, for instance from a vault "
            "or the environment, or remove the username if the registry needs no login."
        )


@rule
def superuser_identity(superuser_username: str, superuser_email: str) -> Iterator[str]:
    """They are in files beside the password, with the same reader."""
    for name, text in {"superuser_username": superuser_username, "superuser_email": superuser_email}.items():
        yield from _secret(name, text)
        if text != text.strip() and not secret_problem(text):
            yield f"{name} begins or ends with whitespace, which Django's login page removes. Remove the whitespace."
    if not superuser_username:
        yield "superuser_username is empty. Set a name for the login."


def _secret(name: str, text: str, is_line: bool = True) -> Iterator[str]:
    if problem := secret_problem(text, is_line):
        yield f"{name} {problem}."


# --- Settings and commands --------------------------------------------------------------------------------------------


@rule
def django_settings(django_settings: Mapping[str, Any]) -> Iterator[str]:
    """Each value must be a string, and valid in web pods and Jobs under the same name."""
    if others := [str(name) for name, value in django_settings.items() if not isinstance(value, str)]:
        yield (
            f"The setting {', '.join(others)} in django_settings is not a string: YAML parsed its value as another "
            "type and may have changed it. Quote the value."
        )
    for name, value in django_settings.items():
        if isinstance(value, str) and "\0" in value:
            yield f"The setting {name} in django_settings has a NUL byte, which would end the value. Remove the byte."
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            yield (
                f"The setting {shown(name)} in django_settings is not a valid name of an environment variable, so "
                "Kubernetes would ignore it. Use letters, digits, and underscores."
            )
        elif name in OWN_ENVIRONMENT:
            yield f"The setting {name} in django_settings is reserved, because the roles set it. Remove it."


@rule
def migrations_commands(migrations_commands: list[list[Any]]) -> Iterator[str]:
    for index, command in enumerate(migrations_commands):
        if not command or not isinstance(command[0], str) or not command[0]:
            yield (
                f"migrations_commands[{index}] is {shown(json.dumps(command, default=str))}, which has no command. "
                "Begin the list with the name of a command, for instance [load_demo_polls]."
            )


@rule
def superuser_command(superuser_command: list[str]) -> Iterator[str]:
    if not superuser_command:
        yield "superuser_command is empty, so the image's command would run. Set a command that creates the user."


# --- Address ----------------------------------------------------------------------------------------------------------


@rule
def public_url(django_public_url: str) -> Iterator[str]:
    """Rules that apply with and without an Ingress."""
    if django_public_url:
        yield from addresses.url_errors("app_public_url", django_public_url, "")


@rule
def public_url_of_a_route(django_public_url: str, web_ingress_class: str, web_gateways: list[Any]) -> Iterator[str]:
    kind, variable = ("Ingress", "web_ingress_class") if web_ingress_class else ("HTTPRoute", "web_gateways")
    if not (web_ingress_class or web_gateways):
        return
    if not django_public_url:
        yield f"app_public_url is empty, but {variable} is set, and an {kind} needs a host. Set app_public_url."
        return
    others = set(addresses.url_errors("app_public_url", django_public_url, ""))
    yield from (each for each in addresses.url_errors("app_public_url", django_public_url, kind) if each not in others)


@rule
def web_allowed_hosts(web_allowed_hosts: list[str]) -> Iterator[str]:
    for host in web_allowed_hosts:
        if problem := addresses.allowed_host_problem(host):
            yield f"web_allowed_hosts has {shown(host)}, which {problem}."


@rule
def web_trusted_proxies(web_trusted_proxies: list[str]) -> Iterator[str]:
    """The role itself refuses a star, with its own reason."""
    for network in web_trusted_proxies:
        if network != "*" and not addresses.is_network(network):
            yield f"web_trusted_proxies has {shown(network)}, not an address or a network, for instance 10.0.0.0/8."


# --- Numbers ----------------------------------------------------------------------------------------------------------


@rule
def web_node_port(web_service_type: str, web_node_port: int, web_node_port_range: str) -> Iterator[str]:
    """A dry run of the API does not check the range."""
    if web_service_type == "NodePort":
        yield from bounds.node_port(web_node_port, web_node_port_range)


@rule
def web_surge(web_surge: int, web_overrides: Mapping[str, Any]) -> Iterator[str]:
    """If a rollout may neither add nor remove a pod, no pod can be replaced, which the API refuses."""
    strategy = _at(web_overrides, "Deployment", "spec", "strategy")
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return
    rolling = {"maxSurge": web_surge, "maxUnavailable": 0} | _at(strategy, "rollingUpdate")
    if all(str(rolling[name]).rstrip("%") == "0" for name in ("maxSurge", "maxUnavailable")):
        variable = "maxSurge in web_overrides" if "maxSurge" in _at(strategy, "rollingUpdate") else "web_surge"
        yield (
            f"{variable} and maxUnavailable are both 0, so no pod can be replaced. Set web_surge to 1 or more, or "
            "web_overrides to {Deployment: {spec: {strategy: {rollingUpdate: {maxUnavailable: 1}}}}}."
        )


def _at(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return the dictionary at a path in another one; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


@rule
def autoscaler(web_replicas: int, web_replicas_maximum: int) -> Iterator[str]:
    if 0 < web_replicas_maximum < web_replicas:
        yield (
            f"web_replicas_maximum is {web_replicas_maximum}, but web_replicas, the minimum, is {web_replicas}. Raise "
            "the maximum, or set it to 0 to disable the autoscaler."
        )


# --- Several sites ----------------------------------------------------------------------------------------------------


def same_site(host: str, sites: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """Yield an error if other hosts of the run deploy the same site as this host.

    Args:
        sites: for each host the cluster, the namespace, and the name of its site.
    """
    if twins := [other for other, site in sites.items() if other != host and site == sites.get(host)]:
        _, namespace, name = sites[host]
        yield (
            f"The hosts {', '.join(sorted([host, *twins]))} deploy the same site, {shown(name)} in namespace "
            f"{shown(namespace)} of the same cluster, and would change it simultaneously. Set a different app_name or "
            "app_namespace for each host, or select one host with --limit."
        )
