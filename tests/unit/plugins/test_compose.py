"""Placeholders of composed values, their sources, and the Secrets that the module apply composes."""

from __future__ import annotations

import ast
import configparser
import json
import tomllib
from contextlib import nullcontext
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import compose, secrets
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.sources import UNKNOWN, Sources
from ansible_collections.cloud_django.kubernetes.plugins.modules import apply
from test_reconcile import OWNER, Memory, managed, manifest, namespace, run

type Obj = dict[str, Any]

ODD = "-@:/?#%41 $$ ${HOME} '\"\\ \\n;-- é 🔑 \x7f\t end"
VALUES = {
    "database": {"password": ODD, "url": "postgres://u:p@h:5432/d", "ca": "a\nb"},
    "site": {"hosts": ["a.example", "b.example"], "host": "a.example"},
}


def fill(template: str) -> str:
    return compose.fill("DATABASE_URL", template, VALUES)


# --- Placeholders -----------------------------------------------------------------------------------------------------


def test_placeholders_are_replaced() -> None:
    assert fill("a ${database.url} ${site.hosts} ${database.url}") == f"a {VALUES['database']['url']} " + (
        f"a.example,b.example {VALUES['database']['url']}"
    )


@pytest.mark.parametrize(
    "text", ["$", "$$", "${HOME}", "$(HOME)", "${shell.var}", "${database}", "$database.url", "${}"]
)
def test_other_dollars_stay(text: str) -> None:
    assert fill(text) == text


def test_a_value_is_not_a_template() -> None:
    values = {"database": {"user": "${database.password}", "password": "p"}}
    assert compose.fill("A", "${database.user}", values) == "${database.password}"


def test_a_literal_is_the_same_in_python_json_and_toml() -> None:
    literal = fill("${database.password|json}")
    assert ast.literal_eval(literal) == json.loads(literal) == ODD
    assert tomllib.loads(f"a = {literal}")["a"] == ODD
    assert json.loads(fill("${database.ca|json}")) == "a\nb"


def test_a_list_is_the_same_in_python_json_and_toml() -> None:
    for name in ("list", "json"):
        literal = fill(f"${{site.hosts|{name}}}")
        assert ast.literal_eval(literal) == json.loads(literal) == ["a.example", "b.example"]
        assert tomllib.loads(f"a = {literal}")["a"] == ["a.example", "b.example"]
    assert fill("${site.host|list}") == '["a.example"]'


def test_an_ini_value_is_read_by_configparser() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(fill("[site]\nsecret = ${database.password|ini}\n"))
    assert parser["site"]["secret"] == ODD
    with pytest.raises(ManifestError, match=r"asks for database\.ca, which has a line break") as raised:
        fill("a = ${database.ca|ini}")
    assert "a\nb" not in str(raised.value)


def test_a_value_is_encoded_for_a_url() -> None:
    assert compose.fill("A", "${a.b|url}", {"a": {"b": "/ @é%"}}) == "%2F%20%40%C3%A9%25"
    assert compose.fill("A", "${a.b|url|json}", {"a": {"b": '"'}}) == '"%22"'


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "${database.pasword}",
            "DATABASE_URL asks for database.pasword, which is none of password, url, ca. Correct it, then rerun the ",
        ),
        ("${django.key}", "DATABASE_URL asks for django.key, but this site has no django. Correct the name, then"),
        (
            "${cache.url}",
            "DATABASE_URL asks for cache.url, but cache_state is absent. Set it to present, or name another",
        ),
        ("${pod.ip}", "DATABASE_URL asks for pod.ip, which is known only when a pod starts. Use from instead"),
        ("${database.url |json}", "DATABASE_URL asks for database.url , which is none of"),
        (
            "${database.url|yaml}",
            "DATABASE_URL has the filter yaml of database.url, which is none of url, json, list, ini.",
        ),
        ("${database.url|}", "DATABASE_URL has the filter with an empty name of database.url"),
        ("${database." + "x" * 100 + "}", "x…, which is none of"),
    ],
)
def test_a_placeholder_without_a_value_is_refused(template: str, words: str) -> None:
    with pytest.raises(ManifestError) as raised:
        fill(template)
    assert words in str(raised.value)


def test_placeholders_are_listed_once() -> None:
    found = compose.placeholders("${database.url} ${database.url} ${site.hosts|list} ${shell.x}")
    assert found == [compose.Placeholder("database", "url"), compose.Placeholder("site", "hosts", ("list",))]
    assert compose.placeholders("${shell.x}", ["shell"]) == [compose.Placeholder("shell", "x")]


def test_keys_of_the_groups_are_known() -> None:
    assert compose.problem(compose.Placeholder("database", "service"), compose.GROUPS["database"]) == ""
    assert "none of url, host, netloc" in compose.problem(compose.Placeholder("site", "name"), compose.GROUPS["site"])


# --- Sources ----------------------------------------------------------------------------------------------------------


def source(found: Obj | None = None, check: bool = False, **groups: Any) -> Sources:
    return Sources(groups, lambda name: found or {}, "polls", check)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("text", "Group site in sources has neither a Secret with keys nor values"),
        ({"secret": "a"}, "Group site in sources has neither"),
        ({"secret": "a", "keys": ["host"]}, "Group site in sources has neither"),
        ({"values": {"host": None}}, "Value host of group site in sources is neither text nor a list of text"),
        ({"values": {"host": True}}, "Value host of group site in sources is neither text nor a list of text"),
    ],
)
def test_sources_of_another_form_are_refused(group: Any, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        source(site=group).composed("polls-values-app", {"a": "${site.host}"})


def test_numbers_are_text() -> None:
    assert source(site={"values": {"port": 80}}).composed("a", {"k": "${site.port|json}"}) == {"k": '"80"'}


def test_a_template_that_is_no_string_is_refused() -> None:
    with pytest.raises(ManifestError, match="Key a of Secret polls-values-app is not a string"):
        source().composed("polls-values-app", {"a": 1})


def test_a_source_that_is_not_text_is_refused() -> None:
    found = manifest("Secret", "a", data={"k": "//79"})
    with pytest.raises(ManifestError, match="Key k of Secret a is not text in UTF-8"):
        source(found, cache={"secret": "a", "keys": {"url": "k"}}).composed("b", {"a": "${cache.url}"})


# --- The module apply -------------------------------------------------------------------------------------------------

DATABASE = manifest(
    "Secret", "polls-database-app", namespace="polls", data={"url": secrets.encode("postgres://u:s3cret@h/d")}
)
SOURCES: Obj = {
    "database": {"secret": "polls-database-app", "keys": {"url": "url", "service": "service"}},
    "django": {"secret": "polls-django", "keys": {"secret_key": "secret-key"}},
    "site": {"values": {"hosts": ["a", "b"]}},
}
OBJECTS = [manifest("Secret", name, namespace="polls") for name in ("polls-values-app", "polls-django")]
POD = manifest(
    "Deployment",
    "web",
    "apps/v1",
    spec={"template": {"spec": {"volumes": [{"secret": {"secretName": "polls-values-app"}}]}}},
)


def composed(cluster: Memory, template: str = "${database.url} ${django.secret_key}", **options: Any) -> Any:
    given = {
        "objects": [*OBJECTS, POD],
        "generate": {"polls-django": {"secret-key": 50}},
        "compose": {"polls-values-app": {"environment.A": template}},
        "sources": SOURCES,
    }
    return run(cluster, **given | options)


def value(cluster: Memory, key: str = "environment.A") -> str:
    held = cluster.get("Secret", "polls-values-app")
    return secrets.data_of(held or {})[key]


def test_a_secret_is_composed_of_an_existing_and_a_generated_value() -> None:
    cluster = Memory(namespace(), managed(DATABASE), namespace="polls")
    actions, result = composed(cluster)
    assert actions["Secret/polls-values-app"] == "created"
    url, key = value(cluster).split(" ")
    assert (url, len(key)) == ("postgres://u:s3cret@h/d", 50)
    assert key == secrets.data_of(cluster.get("Secret", "polls-django") or {})["secret-key"]
    assert "s3cret" not in json.dumps(result)
    assert value(cluster).encode() in cluster.secret_values
    assert not composed(cluster)[1]["changed"]


def test_a_composed_value_that_changes_replaces_the_pods() -> None:
    cluster = Memory(namespace(), managed(DATABASE), namespace="polls")
    composed(cluster)
    cluster.hold(managed(DATABASE) | {"data": {"url": secrets.encode("postgres://u:other@h/d")}})
    actions, result = composed(cluster)
    assert (actions["Secret/polls-values-app"], actions["Deployment/web"]) == ("changed", "changed")
    assert "other@h" not in json.dumps(result)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "${database.pasword}",
            "Key environment.A of Secret polls-values-app asks for database.pasword, which is none of",
        ),
        ("${cache.url}", "asks for cache.url, but cache_state is absent"),
        (
            "${database.service}",
            "Secret polls-database-app in namespace polls has no key service, which key environment.A of Secret "
            "polls-values-app needs. Add it, or correct the name, then rerun the playbook.",
        ),
    ],
)
def test_an_error_in_a_template_changes_nothing(template: str, words: str) -> None:
    cluster = Memory(namespace(), managed(DATABASE), namespace="polls")
    with pytest.raises(ManifestError) as raised:
        composed(cluster, template)
    assert words in str(raised.value)
    assert cluster.written == []


def test_a_missing_source_is_refused() -> None:
    cluster = Memory(namespace(), namespace="polls")
    with pytest.raises(ManifestError, match="Secret polls-database-app in namespace polls does not exist, but key env"):
        composed(cluster)
    assert cluster.written == []


@pytest.mark.parametrize("objects", [[], [namespace()], [namespace(), managed(DATABASE)]])
def test_check_mode_composes_without_the_sources_of_earlier_roles(objects: list[Obj]) -> None:
    """Also if the Secret exists, but a former release wrote it without the key."""
    cluster = Memory(*objects, namespace="polls", dry_run=True)
    actions, result = composed(cluster, "${database.service}")
    assert actions["Secret/polls-values-app"] == "created"
    assert (result["changed"], UNKNOWN in json.dumps(result)) == (True, False)


def test_check_mode_reports_a_missing_key_of_a_users_secret() -> None:
    cluster = Memory(namespace(), DATABASE, namespace="polls", dry_run=True)
    with pytest.raises(ManifestError, match="has no key service"):
        composed(cluster, "${database.service}")


def test_a_composed_secret_must_be_among_the_objects() -> None:
    with pytest.raises(
        ManifestError, match="Secret polls-values-app is in generate or secret_values or compose, but not"
    ):
        composed(Memory(namespace(), namespace="polls"), objects=[], generate={})


# --- Required keys ----------------------------------------------------------------------------------------------------

STRIPE = manifest("Secret", "shop-stripe", namespace="polls", data={"id": ""})


def require(key: str, *objects: Obj, check: bool = False, name: str = "shop-stripe") -> None:
    cluster = Memory(*objects, namespace="polls", dry_run=check)
    required = [{"secret": name, "key": key, "reason": "STRIPE_KEY"}]
    try:
        composed(cluster, "a", required=required)
    except ManifestError:
        assert cluster.written == []
        raise


def test_required_keys_are_accepted() -> None:
    require("id", namespace(), STRIPE)
    require("secret-key", namespace(), name="polls-django")
    require("environment.A", namespace(), name="polls-values-app")


@pytest.mark.parametrize("check", [False, True])
def test_a_missing_required_key_is_refused(check: bool) -> None:
    words = (
        r"^Secret shop-stripe in namespace polls has no key api-key, which STRIPE_KEY needs\. Add it, or correct the "
        r"name, then rerun the playbook\.$"
    )
    with pytest.raises(ManifestError, match=words):
        require("api-key", namespace(), STRIPE, check=check)
    with pytest.raises(ManifestError, match="does not exist, but STRIPE_KEY needs its key api-key"):
        require("api-key", namespace(), check=check)
    with pytest.raises(ManifestError, match=r"does not exist, but STRIPE_KEY needs it\. Create it, or correct"):
        require("", namespace(), check=check)
    require("", namespace(), STRIPE, check=check)


@pytest.mark.parametrize(
    ("api_version", "is_refused"),
    [("external-secrets.io/v1", False), ("bitnami.com/v1alpha1", False), ("networking.k8s.io/v1", True), ("v1", True)],
)
def test_a_secret_of_a_controller_may_be_missing(api_version: str, is_refused: bool) -> None:
    """Otherwise the object for which the controller creates the Secret would never be applied."""
    made = manifest("Maker", "maker", api_version, spec={"target": {"name": "shop-stripe"}})
    required = [{"secret": "shop-stripe", "key": "api-key", "reason": "STRIPE_KEY"}]
    with pytest.raises(ManifestError, match="does not exist") if is_refused else nullcontext():
        source().refuse_incomplete(required, [STRIPE | {"data": {}}, made], planned=False)


def test_check_mode_accepts_required_keys_of_earlier_roles() -> None:
    require("api-key", check=True)
    require("service", namespace(), check=True, name="polls-database-app")
    require("service", namespace(), managed(DATABASE), check=True, name="polls-database-app")


def test_required_keys_need_one_namespace() -> None:
    with pytest.raises(ManifestError, match="Option required needs a single namespace"):
        run(Memory(), required=[{"secret": "a", "key": "b", "reason": "c"}])


# --- The options ------------------------------------------------------------------------------------------------------


def test_templates_and_sources_are_not_in_the_result() -> None:
    module = MagicMock()
    module.params = {
        "objects": [],
        "unwanted": [],
        "owner": OWNER,
        "generate": {},
        "secret_values": {"a": {"k": "s3cret-1"}},
        "compose": {"b": {"k": "s3cret-2 ${site.hosts}"}},
        "sources": {"email": {"values": {"password": "s3cret-3", "hosts": ["s3cret-4", 587]}}},
    }
    module._module.no_log_values = {"s3cret-1", "s3cret-2 ${site.hosts}", "s3cret-3", "s3cret-4", "587", "other"}
    options = apply.take_options(module)
    assert options["compose"] == {"b": {"k": "s3cret-2 ${site.hosts}"}}
    assert "s3cret" not in json.dumps(module.params)
    # Otherwise Ansible would mask parts of the names in the result.
    assert module._module.no_log_values == {"other"}


@pytest.mark.parametrize("option", ["compose", "secret_values", "generate"])
def test_an_option_without_keys_is_refused(option: str) -> None:
    module = MagicMock()
    empty = {"objects": [], "unwanted": [], "generate": {}, "secret_values": {}, "compose": {}, "sources": {}}
    module.params = empty | {option: {"a": "text"}}
    with pytest.raises(ManifestError, match=f"Option {option} has no keys for Secret a"):
        apply.take_options(module)
