"""Rules for the variables of a site. Each refused case would fail later, elsewhere, or silently."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import (
    addresses,
    bounds,
    cache,
    django,
    rules,
    types,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import type_errors

PROJECT = Path(__file__).parents[3]
# Variables without which the rules for the environment are skipped.
PROJECT_VALUES: dict[str, Any] = {
    "django_contract": True,
    "django_generated": {"pepper": 64},
    "django_email": {"host": "mail.example.org"},
    "django_cache_secret": "polls-cache",
}


def errors_of(**values: Any) -> list[str]:
    return list(rules.errors({"database_access": "managed"} | values))


def url(value: str, routed_by: str = "") -> list[str]:
    return list(addresses.url_errors("app_public_url", value, routed_by))


# --- Types ------------------------------------------------------------------------------------------------------------


def test_null_is_a_value_only_of_an_option_of_any_type() -> None:
    assert list(type_errors("x", {"type": "raw"}, None)) == []
    assert len(list(type_errors("x", {"type": "int"}, None))) == 1
    assert len(list(type_errors("x", {"type": "list"}, [None]))) == 1


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ({"type": "list"}, "polls.example.org", "x is polls.example.org, a string, not a list. Write it as a list"),
        ({"type": "list"}, 5, "x is 5, a number, not a list."),
        ({"type": "list"}, {"a": 1}, "x is a dictionary, not a list."),
        ({"type": "list", "elements": "str"}, ["a", 5], "x[1] is 5, a number, not a string. Quote the value."),
        ({"type": "list", "elements": "list"}, ["migrate"], "x[0] is migrate, a string, not a list."),
        ({"type": "list", "elements": "dict"}, ["name=a"], "x[0] is name=a, a string, not a dictionary."),
        ({"type": "dict"}, "a=b", "x is a=b, a string, not a dictionary."),
        ({"type": "str"}, 83, "x is 83, a number, not a string. Quote the value."),
        ({"type": "str"}, False, "x is False, a Boolean, not a string."),
        ({"type": "str"}, ["a"], "x is a list, not a string."),
        ({"type": "str"}, None, "x is null. Remove the line, or set '' for an empty value."),
        ({"type": "list"}, None, "x is null. Remove the line."),
        (
            {"type": "str"},
            datetime.date(2026, 1, 31),
            "x is 2026-01-31, a date, not a string. Quote the value.",
        ),
        ({"type": "path"}, 1.5, "x is 1.5, a number, not a path."),
        ({"type": "int"}, True, "x is True, a Boolean, not an integer."),
        ({"type": "int"}, "few", "x is few, a string, not an integer."),
        ({"type": "int"}, 1.0, "x is 1.0, a number, not an integer."),
        ({"type": "bool"}, "perhaps", "x is perhaps, a string, not true or false."),
        ({"type": "dict", "options": {"app": {"type": "str"}}}, {"app": 5}, "x.app is 5, a number, not a string."),
    ],
)
def test_a_value_of_another_type_is_refused(option: dict[str, Any], value: Any, words: str) -> None:
    [error] = type_errors("x", option, value)
    assert error.startswith(words)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ({"type": "list", "elements": "str"}, []),
        ({"type": "list", "elements": "list"}, [["load_demo_polls", 5]]),
        ({"type": "int"}, "5"),
        ({"type": "bool"}, "no"),
        ({"type": "raw"}, 5),
        ({}, "text"),
        ({"type": "dict", "options": {"app": {"type": "str"}}}, {"other": 5}),
    ],
)
def test_a_value_of_the_right_type_is_accepted(option: dict[str, Any], value: Any) -> None:
    assert list(type_errors("x", option, value)) == []


@pytest.mark.parametrize("value", [12345, True, ["hunter2"]])
def test_a_secret_of_another_type_is_not_shown(value: Any) -> None:
    [error] = type_errors("x", {"type": "str", "no_log": True}, value)
    assert str(value) not in error
    assert "hunter2" not in error


def test_values_are_shown_on_one_line_without_the_user_of_a_url() -> None:
    assert types.shown("http://me:secret@proxy:3128\nx") == "http://***@proxy:3128\\nx"
    assert len(types.shown("x" * 1000)) < 100
    assert types.shown("") == "empty"


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "p" * 45,
            "has 45 characters, but at most 41 are allowed: the longest name derived from it, ppp…-postgresql-",
        ),
        ("p" * 42, "has 42 characters"),
        ("my_polls", "for instance my-polls."),
        ("Polls", "for instance polls."),
        ("polls.v2", "for instance polls-v2."),
        ("123", "is not a valid name in Kubernetes"),
        ("2polls", "for instance polls."),
        ("polls-", "for instance polls."),
        ("", "is not a valid name in Kubernetes"),
        ("pöll", "is not a valid name in Kubernetes"),
        ("polls\n", "app_name is polls\\n, which is not a valid name"),
    ],
)
def test_a_name_that_is_invalid_for_a_service_is_refused(name: str, words: str) -> None:
    [error] = errors_of(app_name=name)
    assert error.startswith("app_name is ")
    assert words in error


@pytest.mark.parametrize("name", ["polls", "p", "my-polls", "polls-v2", "p2", "p" * 41])
def test_a_name_is_accepted(name: str) -> None:
    assert errors_of(app_name=name) == []


def test_the_longest_name_is_valid_for_all_derived_labels() -> None:
    """Checks all objects of all roles whose names are derived from app_name."""
    suffixes = set()
    for path in (PROJECT / "roles").glob("*/vars/**/*.yml"):
        suffixes |= set(re.findall(r'name: "\{\{ app_name \}\}(-[a-z-]+)"', path.read_text(encoding="utf-8")))
    assert {"-web", "-database-client", "-registry"} <= suffixes
    # Names of Secrets and pods can be longer, and are not labels.
    assert all(len("p" * rules.LONGEST_APP_NAME + suffix) <= 63 for suffix in suffixes)
    assert max(len("p" * rules.LONGEST_APP_NAME + suffix) for suffix in rules.LABELS) == 63


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_polls", "for instance my-polls."),
        ("Polls", "for instance polls."),
        ("polls.v2", "for instance polls-v2."),
        ("p" * 64, "has 64 characters, but at most 63 are allowed: that is the limit of a namespace."),
        ("kube-system", "the prefix kube- is reserved for Kubernetes"),
    ],
)
def test_a_namespace_that_cannot_be_created_is_refused(name: str, words: str) -> None:
    [error] = errors_of(app_namespace=name)
    assert error.startswith(f"app_namespace is {name}, ")
    assert words in error
    [error] = errors_of(app_namespace="polls", namespace_name=name)
    assert error.startswith(f"namespace_name is {name}, ")


def test_a_namespace_is_accepted_or_refused_once() -> None:
    assert errors_of(app_namespace="2polls") == []
    assert len(errors_of(app_namespace="A", namespace_name="A")) == 1


@pytest.mark.parametrize("name", bounds.OBJECTS)
def test_an_invalid_name_of_an_object_is_refused(name: str) -> None:
    for value in ("Nginx", "my_secret", "-x", "x" * 254, "a..b"):
        [error] = errors_of(**{name: value})
        assert error.startswith(f"{name} is {value[:9]}")
    for value in ("", "nginx", "internal.example.org", "0-x"):
        assert errors_of(**{name: value}) == []


@pytest.mark.parametrize(
    "schema", ["public", "pg_catalog", "pg_toast", "information_schema", "pg_mine", "My", "a-b", ""]
)
def test_a_reserved_schema_is_refused(schema: str) -> None:
    [error] = errors_of(database_name="polls", database_schema=schema)
    assert error.startswith(f"database_schema is {schema or 'empty'}, ")


@pytest.mark.parametrize(
    "name", ["postgres", "template0", "template1", "pg_polls", "Polls", "my-polls", "p" * 56, "p" * 64, ""]
)
def test_a_database_whose_roles_would_be_invalid_is_refused(name: str) -> None:
    [error] = errors_of(database_name=name)
    assert error.startswith("database_name is ")


def test_an_error_of_database_and_schema_is_reported_once() -> None:
    assert len(errors_of(database_name="Polls", database_schema="Polls")) == 1
    [error] = errors_of(database_name="public", database_schema="public")
    assert error.startswith("database_schema is public, the same as database_name, which is reserved")


def test_names_of_the_database_are_accepted() -> None:
    assert errors_of(database_name="p" * 55, database_schema="polls") == []
    assert errors_of(database_name="my_polls", database_schema="publicity", postgresql_admin_username="postgres") == []


def test_an_administrator_that_is_a_role_of_the_site_is_refused() -> None:
    assert len(errors_of(database_name="polls", postgresql_admin_username="polls_owner")) == 1
    # initdb accepts these names, and an existing server cannot change its name.
    for name in ("Admin", "db-admin", "a.b", "2"):
        assert errors_of(postgresql_backend="builtin", postgresql_admin_username=name) == []
    for name in ("pg_admin", "public", "none", "x$$y", "", "a b", "a,b", "a#", '"a"', "/a", "+a", "a\n", "x" * 64):
        assert len(errors_of(postgresql_backend="builtin", postgresql_admin_username=name)) == 1, name
        assert errors_of(postgresql_backend="external", postgresql_admin_username=name) == []


def test_an_unknown_role_is_refused() -> None:
    [error] = errors_of(database_connection_limits={"reader": 3, "read": 2})
    assert error.startswith("database_connection_limits has reader, which is not a login role.")
    [error] = errors_of(database_role_settings={"owner": {}})
    assert "owner" in error


# --- Logins that exist already, and TLS -------------------------------------------------------------------------------

GIVEN = {
    "database_access": "given",
    "database_backend": "external",
    "database_passwords": {"app": ""},
    "database_logins": {"app": {"username": "shop@x", "secret": "rds-shop", "key": "password"}, "migrate": {}},
    "database_name": "my-shop",
    "database_schema": "public",
}


def test_logins_that_exist_already_are_accepted() -> None:
    assert errors_of(**GIVEN) == []
    both = {"app": {"username": "a", "secret": "s"}, "migrate": {"username": "b", "password": "p"}}
    assert errors_of(**GIVEN | {"database_logins": both}) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database_backend": "builtin"}, "database_access is given, but postgresql_backend is builtin, a new server"),
        ({"database_passwords": {"app": "hunter2"}}, "database_passwords is set, but database_access is given"),
        ({"database_logins": {"app": {}}}, "database_logins.app is not set, but database_access is given."),
        (
            {"database_access": "managed", "database_name": "shop", "database_schema": "shop"},
            "database_logins is set, but database_access is managed",
        ),
        ({"database_name": " "}, "database_name is  , which is not the name of a database."),
        ({"database_schema": ""}, "database_schema is empty, which is not the name of a schema."),
        *(
            ({"database_logins": {"app": {"username": "a"} | login}}, f"database_logins.app{words}")
            for login, words in (
                ({"secret": "s", "password": "hunter2"}, " has both secret and password. Keep one."),
                ({}, " has neither secret nor password. Set one."),
                ({"secret": "A_b"}, ".secret is A_b, which is not a valid name of an object"),
                ({"password": "hunter2 "}, ".password ends in a blank, which libpq's service file cannot hold."),
                ({"password": "hun\nter2"}, ".password has a line break"),
                ({"username": "a\n", "secret": "s"}, ".username is a\\n, which is not the name of a login role."),
            )
        ),
    ],
)
def test_a_login_that_cannot_be_used_is_refused(changes: dict[str, Any], words: str) -> None:
    [error] = errors_of(**GIVEN | changes)
    assert error.startswith(words)
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"database_sslmode": "disable", "database_backend": "builtin"},
            "database_sslmode is disable, but the built-in",
        ),
        (
            {"database_ca_bundle": "system", "database_sslmode": "verify-ca"},
            "database_ca_bundle is system, but database_sslmode is verify-ca",
        ),
        (
            {"database_ca_bundle": "ca.crt", "database_sslmode": "verify-full"},
            "database_ca_bundle is ca.crt, which is not an absolute path.",
        ),
        (
            {"postgresql_backend": "external", "postgresql_ca_certificate": "/etc/ca.crt"},
            "postgresql_ca_certificate is /etc/ca.crt, which is not a certificate in PEM.",
        ),
    ],
)
def test_tls_that_cannot_work_is_refused(values: dict[str, Any], words: str) -> None:
    [error] = errors_of(**values)
    assert error.startswith(words)


@pytest.mark.parametrize("certificate", ["", "system", "x\n-----BEGIN CERTIFICATE-----\nMIIB\n"])
def test_tls_that_works_is_accepted(certificate: str) -> None:
    ca = {"postgresql_backend": "external", "postgresql_ca_certificate": certificate}
    assert errors_of(database_sslmode="disable", database_backend="external", **ca) == []
    assert errors_of(database_ca_bundle="system", database_sslmode="verify-full") == []


# --- Secrets ----------------------------------------------------------------------------------------------------------

SECRETS = {
    "postgresql_admin_password": lambda text: {"postgresql_admin_password": text},
    # The built-in server accepts fewer characters.
    "cache_password": lambda text: {"cache_password": text, "cache_backend": "external"},
    "superuser_password": lambda text: {"superuser_password": text},
    "image_pull_password": lambda text: {"image_pull_username": "robot", "image_pull_password": text},
    **{
        f"database_passwords.{login}": lambda text, login=login: {"database_passwords": {login: text}}
        for login in ("migrate", "app", "read", "backup")
    },
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("text", ["hunter2\n", "hunter2\r\n", "hunter2\r", "hunter2\0", "hunter2\ud800"])
def test_a_secret_that_a_reader_would_change_is_refused(name: str, text: str) -> None:
    [error] = errors_of(**SECRETS[name](text))
    assert error.startswith(f"{name} ")
    assert "hunter2" not in error


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("text", ["\nhunter2", "hun\nter2", "hun\rter2"])
def test_a_secret_of_several_lines_is_refused(name: str, text: str) -> None:
    """initdb, browsers, and service files of libpq use one line."""
    [error] = errors_of(**SECRETS[name](text))
    assert "hunter2" not in error


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("text", [" x ", "\tx", "$$(A) '\"\\ é🔑 {{ {% -x @:/?#%", "x" * 1000, "\u2028", "\xa0"])
def test_a_secret_with_any_other_character_is_accepted(name: str, text: str) -> None:
    # libpq removes the blanks at the end of a line of a service file.
    ends = name.startswith("database_passwords") and text == " x "
    assert [error for error in errors_of(**SECRETS[name](text)) if not (ends and "ends in a blank" in error)] == []


def test_all_secret_options_have_a_rule() -> None:
    """A new secret option of a role needs a rule."""
    found = set()
    for path in (PROJECT / "roles").glob("*/meta/argument_specs.yml"):
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"].get("options", {})
        found |= {name for name, option in options.items() if option.get("no_log")}
    assert found == {name.partition(".")[0] for name in SECRETS}


def test_credentials_that_a_registry_would_misinterpret_are_refused() -> None:
    assert "colon" in errors_of(image_pull_username="a:b", image_pull_password="x")[0]
    assert "image_pull_password is empty" in errors_of(image_pull_username="a", image_pull_password="")[0]
    assert errors_of(image_pull_username="", image_pull_password="") == []
    # Nodes then pull without a login, regardless of the password.
    assert errors_of(image_pull_username="", image_pull_password="x") == []


@pytest.mark.parametrize("values", [("admin\n", ""), (" admin", ""), ("admin", "a@example.org\n"), ("", "")])
def test_a_superuser_who_could_not_log_in_is_refused(values: tuple[str, str]) -> None:
    assert len(errors_of(superuser_username=values[0], superuser_email=values[1])) == 1


# --- Address ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://my_pc:30037", "has an underscore, for which Django returns status 400"),
        ("https://umfragen-münchen.de", "Write xn--umfragen-mnchen-8vb.de."),
        ("HTTPS://polls.example.org", "whose scheme has uppercase letters. Write https://polls.example.org."),
        ("https://straße.example.org", "Write its registered form, which begins with xn--."),
        ("polls.example.org", "does not begin with http:// or https:// and a host"),
        ("ftp://polls.example.org", "does not begin with http:// or https:// and a host"),
        ("https://", "does not begin with http:// or https:// and a host"),
        ("https:/polls.example.org", "does not begin with"),
        ("https://polls.example.org/polls", "has more than scheme, host, and port"),
        ("https://polls.example.org?", "has more than scheme, host, and port"),
        ("https://polls.example.org/#a", "has more than scheme, host, and port"),
        ("https://polls.example.org\\a", ""),
        ("https://polls.example.org:0", "whose port is not valid"),
        ("https://polls.example.org:", "whose port is not valid"),
        ("https://polls.example.org:65536", "is not a URL"),
        ("https://polls.example.org:http", "is not a URL"),
        ("https://polls.example.org.", "ends with a dot"),
        ("https://polls..example.org", "is not a host name"),
        ("https://-polls.example.org", "is not a host name"),
        ("https://*.example.org", "is not a host name"),
        (f"https://{'p' * 64}.org", "is longer than DNS allows"),
        (f"https://{'p.' * 130}org", "is longer than DNS allows"),
        ("https://10.1", "is parsed as an IPv4 address"),
        ("https://192.0.2.300", "is parsed as an IPv4 address"),
        ("https://example.0x7f", "is parsed as an IPv4 address"),
        ("https://[2001:DB8:0::1]", "Write 2001:db8::1."),
        ("https://[fe80::1%eth0]", "has a zone"),
        ("https://[2001:db8::1", "is not a URL"),
        (" https://polls.example.org", "which has whitespace"),
        ("https://polls.example.org\n", "which has whitespace"),
        ("https://polls.exa\tmple.org", "which has whitespace"),
    ],
)
def test_an_invalid_url_is_refused(value: str, words: str) -> None:
    errors = url(value)
    assert errors
    assert words in errors[0]
    assert errors[0].startswith("app_public_url is ")
    assert "\n" not in errors[0]


@pytest.mark.parametrize(
    "value",
    [
        *(
            "https://polls.example.org",
            "https://polls.example.org/",
            "http://localhost:30037",
            "http://192.0.2.1:30037",
            # Browsers, the role, and Django convert uppercase letters to lowercase.
            "http://My-PC.local:30037",
        ),
        *("https://xn--umfragen-mnchen-8vb.de", "https://[2001:db8::1]:8443", "https://a-b.c1:443", "http://polls"),
    ],
)
def test_a_url_is_accepted(value: str) -> None:
    assert url(value) == []


@pytest.mark.parametrize("password", ["hunter2", "ter/hunter2", "a@hunter2", "a hunter2", "a\nhunter2", "hunter2]["])
def test_a_user_in_a_url_is_refused_and_not_shown(password: str) -> None:
    errors = url(f"https://me:{password}@polls.example.org")
    assert "***@polls.example.org" in errors[0]
    assert not [error for error in errors if "ter" in error.replace("characters", "")]


ROUTED = {"web_ingress_class": "", "web_gateways": []}


@pytest.mark.parametrize(
    ("route", "kind"), [({"web_ingress_class": "nginx"}, "Ingress"), ({"web_gateways": [{}]}, "HTTPRoute")]
)
def test_a_route_needs_a_host_name(route: dict[str, Any], kind: str) -> None:
    for value, words in {
        "http://192.0.2.1": f"an IP address, but an {kind} routes only host names",
        "https://[2001:db8::1]": f"an IP address, but an {kind} routes only host names",
        "": f"is set, and an {kind} needs a host. Set app_public_url.",
        "https://my_pc": "has an underscore",
    }.items():
        [error] = errors_of(django_public_url=value, **ROUTED | route)
        assert words in error
    assert errors_of(django_public_url="https://polls.example.org", **ROUTED | route) == []
    assert errors_of(django_public_url="http://192.0.2.1", **ROUTED) == errors_of(django_public_url="", **ROUTED) == []


@pytest.mark.parametrize(
    "host",
    [
        "my_pc",
        "https://a.org",
        "a.org:8000",
        "a.org/x",
        "a.org,b.org",
        "a b",
        "",
        "::1",
        "[::1]:80",
        "münchen.de",
        "1.2",
    ],
)
def test_an_allowed_host_that_matches_no_request_is_refused(host: str) -> None:
    [error] = errors_of(web_allowed_hosts=["localhost", host])
    assert error.startswith(f"web_allowed_hosts has {host or 'empty'}, which ")


def test_allowed_hosts_are_accepted() -> None:
    assert errors_of(web_allowed_hosts=["*", ".example.org", "127.0.0.1", "[::1]", "Polls.example.org"]) == []


@pytest.mark.parametrize("network", ["proxy", "10.0.0.0/33", "", "10.0.0.0/8,::1", "private_ranges"])
def test_a_proxy_that_is_not_a_network_is_refused(network: str) -> None:
    [error] = errors_of(web_trusted_proxies=["10.0.0.0/8", "::1", "192.0.2.1/24", network])
    assert error.startswith(f"web_trusted_proxies has {network or 'empty'}, not an address or a network,")


# --- Settings and commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"DEBUG": True}, {"A": "\0"}, {"my key": "x"}, {"1A": "x"}, {"": "x"}, {"A=B": "x"}, {"DATABASE_HOST": "x"}],
)
def test_a_setting_that_is_invalid_in_a_pod_is_refused(settings: dict[str, Any]) -> None:
    assert len(errors_of(**PROJECT_VALUES | {"django_environment": settings})) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"DJANGO_ADMIN_PATH": "a$$b$(DATABASE_HOST)c\n", "a.b-C": "", "TEMPLATE": "${other.key} ${HOME}"},
        {"A": {"from": "database.host"}, "B": {"from": "site.hosts", "separator": " "}, "C": {"from": "pod.ip"}},
        {"A": {"file": "cache.password"}, "B": {"template": "${cache.url}/1 ${email.host|json} ${unknown.key}"}},
        {"A": {"secret": "shop-stripe", "key": "api-key"}, "B": {"value": "x"}, "C": {"from": "django.pepper"}},
        # A removed name of the contract.
        {"DATABASE_NAME": None, "CACHE_KEY_PREFIX": None},
    ],
)
def test_settings_are_accepted(settings: dict[str, Any]) -> None:
    assert errors_of(**PROJECT_VALUES | {"django_environment": settings}) == []


def test_reserved_settings_are_those_of_the_roles() -> None:
    known = yaml.safe_load((PROJECT / "roles" / "django" / "vars" / "main" / "values.yml").read_text(encoding="utf-8"))
    # Projects may replace the public URL. Only the migrations have an owner role.
    assert known["__django_contract"].keys() - {"DJANGO_PUBLIC_URL"} | {"DATABASE_ROLE"} == django.CONTRACT
    assert known["__django_cache_contract"].keys() == cache.OWN_ENVIRONMENT


def test_names_of_the_contract_are_free_without_it() -> None:
    given = PROJECT_VALUES | {"django_environment": {"DATABASE_NAME": {"from": "database.name"}, "CACHE_HOST": "x"}}
    assert errors_of(**given | {"django_contract": False}) == []
    assert len(errors_of(**given)) == 2


# --- Numbers ----------------------------------------------------------------------------------------------------------


def strategy(**values: Any) -> dict[str, Any]:
    return {"Deployment": {"spec": {"strategy": values}}}


@pytest.mark.parametrize(
    ("surge", "overrides"),
    [
        (0, {}),
        (0, strategy(rollingUpdate={"maxUnavailable": "0%"})),
        (1, strategy(rollingUpdate={"maxSurge": 0})),
        (0, {"Deployment": None}),
    ],
)
def test_a_rollout_that_cannot_replace_pods_is_refused(surge: int, overrides: dict[str, Any]) -> None:
    [error] = errors_of(web_surge=surge, web_overrides=overrides)
    assert "and maxUnavailable are both 0" in error


@pytest.mark.parametrize(
    ("surge", "overrides"),
    [
        (1, {}),
        (0, strategy(rollingUpdate={"maxUnavailable": 1})),
        (0, strategy(rollingUpdate={"maxSurge": "25%"})),
        (0, strategy(type="Recreate")),
    ],
)
def test_a_rollout_is_accepted(surge: int, overrides: dict[str, Any]) -> None:
    assert errors_of(web_surge=surge, web_overrides=overrides) == []


NODE_PORT = {"web_service_type": "NodePort", "web_node_port": 30037, "web_node_port_range": "30000-32767"}


@pytest.mark.parametrize("port", [80, 8080, 29999, 32768])
def test_a_node_port_outside_of_the_range_is_refused(port: int) -> None:
    assert errors_of(**NODE_PORT | {"web_node_port": port}) == [
        f"web_node_port is {port}, outside of the cluster's range 30000-32767. Set a port of this range. If "
        "kube-apiserver has another --service-node-port-range, set web_node_port_range to it."
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"web_node_port": 30000},
        {"web_node_port": 32767},
        {"web_node_port": 8080, "web_node_port_range": "1-65535"},
        {"web_node_port": 8080, "web_service_type": "ClusterIP"},
        {"web_node_port": 8080, "web_service_type": "LoadBalancer"},
    ],
)
def test_a_node_port_in_the_range_is_accepted(change: dict[str, Any]) -> None:
    assert errors_of(**NODE_PORT | change) == []


@pytest.mark.parametrize(
    "ports", ["", "30000", "30000+100", "32767-30000", "0-65535", "1-65536", "a-b", "30000-32767\n"]
)
def test_an_invalid_range_of_node_ports_is_refused(ports: str) -> None:
    [error] = errors_of(**NODE_PORT | {"web_node_port_range": ports})
    assert error.startswith("web_node_port_range is ")


def test_a_node_port_has_one_error() -> None:
    assert errors_of(**NODE_PORT | {"web_node_port": 70000}) == [
        "web_node_port is 70000. Set a number from 1 to 65535."
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"web_replicas": -1}, "web_replicas is -1. Set a number of 0 or more."),
        ({"web_port": 80}, "web_port is 80. Set a number from 1024 to 65535."),
        ({"web_node_port": 70000}, "web_node_port is 70000."),
        ({"web_timeout": 0}, "web_timeout is 0."),
        ({"web_threads": 0}, "web_threads is 0."),
        ({"django_user_id": 0}, "django_user_id is 0."),
        ({"web_session_affinity_seconds": 90000}, "web_session_affinity_seconds is 90000."),
        (
            {"web_replicas": 5, "web_replicas_maximum": 3},
            "web_replicas_maximum is 3, but web_replicas, the minimum, is 5",
        ),
        ({"web_resources": {"limits": {"cpu": "many"}}}, "web_resources.limits.cpu: many is not a Kubernetes quantity"),
        ({"web_resources": {"limits": ["1"]}}, "web_resources.limits is "),
        (
            {"web_resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}},
            "web_resources requests 1Gi of memory, above the limit of 512Mi.",
        ),
        ({"postgresql_storage_size": "ten"}, "postgresql_storage_size: ten is not a Kubernetes quantity"),
        ({"postgresql_storage_size": "0"}, "postgresql_storage_size is 0."),
    ],
)
def test_a_number_that_kubernetes_would_refuse_is_refused(values: dict[str, Any], words: str) -> None:
    [error] = errors_of(**values)
    assert error.startswith(words)


def test_all_errors_are_reported_together() -> None:
    assert len(errors_of(app_name="my_polls", app_namespace="Polls", web_port=0, django_public_url="http://my_pc")) == 4


# --- Several sites ----------------------------------------------------------------------------------------------------


def test_hosts_that_deploy_the_same_site_are_refused() -> None:
    sites = {"a": ("c", "polls", "polls"), "b": ("c", "polls", "polls"), "c": ("c", "other", "polls")}
    [error] = rules.same_site("b", sites)
    assert error.startswith("The hosts a, b deploy the same site, polls in namespace polls of the same cluster")
    assert list(rules.same_site("c", sites)) == []
    assert list(rules.same_site("a", {"a": sites["a"], "b": ("d", "polls", "polls")})) == []


# --- Cache ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cache_user": "polls"}, ""),
        (
            {"cache_user": "my polls"},
            "cache_user is my polls, which is not 1 to 63 letters, digits, and -._~ characters.",
        ),
        ({"cache_user": "default"}, "cache_user is default, the user that the server disables."),
        ({"cache_user": "default", "cache_backend": "external"}, ""),
        ({"cache_user": "", "cache_backend": "external"}, "cache_user is empty."),
        ({"cache_password": ""}, ""),
        ({"cache_password": "aB3-._~"}, ""),
        ({"cache_password": "a:b@c"}, "cache_password has characters other than letters, digits, and -._~"),
        ({"cache_password": "a:b@c", "cache_backend": "external"}, ""),
        ({"cache_password": "ab\n", "cache_backend": "external"}, "cache_password has a line break at its end"),
        ({"cache_memory": "100Mi"}, ""),
        ({"cache_memory": "much"}, "cache_memory: "),
        ({"cache_memory": "0"}, "cache_memory is 0. Set a size above 0"),
        ({"cache_storage_size": "-1Gi"}, "cache_storage_size is -1Gi. Set a size above 0"),
        ({"cache_databases": 0}, "cache_databases is 0. Set a number from 1 to 10000."),
        ({"cache_port": 70000}, "cache_port is 70000. Set a number from 1 to 65535."),
    ],
)
def test_variables_of_the_cache(values: dict[str, Any], words: str) -> None:
    found = errors_of(**{"cache_backend": "builtin"} | values)
    assert len(found) == bool(words)
    assert "".join(found).startswith(words)


@pytest.mark.parametrize(
    ("host", "backend", "words"),
    [
        ("polls-cache.polls.svc", "builtin", ""),
        ("polls-cache.polls.svc.cluster.local", "builtin", ""),
        ("polls-cache", "external", "cache_host is not set, but cache_backend is external."),
        (
            "cache.example.org",
            "builtin",
            "cache_host is cache.example.org, but cache_backend is builtin, and that server is polls-cache.polls.svc. "
            "Set cache_backend to external",
        ),
        ("", "builtin", "cache_host is empty, but cache_backend is builtin"),
        ("polls-cache.polls.svc", "external", "cache_host is not set, but cache_backend is external."),
        ("", "external", "cache_host is not set, but cache_backend is external."),
        ("cache.example.org", "external", ""),
        ("fd00::1", "external", ""),
        ("rediss://cache.example.org", "external", "cache_host is rediss://cache.example.org, which is not a host."),
    ],
)
def test_host_of_the_cache(host: str, backend: str, words: str) -> None:
    found = errors_of(cache_host=host, cache_backend=backend, app_name="polls", app_namespace="polls")
    assert len(found) == bool(words)
    assert "".join(found).startswith(words)


@pytest.mark.parametrize(
    ("resources", "backend", "words"),
    [
        ({"limits": {"memory": "128Mi"}}, "builtin", ""),
        ({"requests": {"memory": "64Mi"}}, "external", ""),
        ({"requests": {"memory": "64Mi"}}, "builtin", "cache_resources has no limits.memory, from which"),
        ({"limits": None}, "builtin", "cache_resources has no limits.memory, from which"),
        ({"limits": {"cpu": 1}}, "builtin", "cache_resources has no limits.memory, from which"),
        ({"limits": 5}, "builtin", "cache_resources.limits is 5, not a dictionary."),
    ],
)
def test_cache_without_a_memory_limit(resources: dict[str, Any], backend: str, words: str) -> None:
    found = errors_of(cache_resources=resources, cache_backend=backend)
    assert len(found) == bool(words)
    assert "".join(found).startswith(words)


def test_external_cache_needs_an_image_for_its_check() -> None:
    assert errors_of(cache_check_image="", cache_backend="builtin") == []
    assert errors_of(cache_check_image="polls:1", cache_backend="external") == []
    [error] = errors_of(cache_check_image="", cache_backend="external")
    assert error.startswith("cache_check_image is empty")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "CACHE_HOST",
            "CACHE_HOST is set in django_environment, but cache_state is present, so pods would ignore it. Set",
        ),
        ("CACHE_KEY_PREFIX", "CACHE_KEY_PREFIX in django_environment is reserved"),
        ("CACHE_SECRET_DIRECTORY", "CACHE_SECRET_DIRECTORY in django_environment is reserved"),
    ],
)
def test_settings_of_an_own_cache_need_a_site_without_one(name: str, words: str) -> None:
    given = PROJECT_VALUES | {"django_environment": {name: "x"}}
    assert errors_of(**given | {"django_cache_secret": ""}) == []
    [error] = errors_of(**given)
    assert error.startswith(words)
