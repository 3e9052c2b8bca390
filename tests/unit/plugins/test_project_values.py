"""Environment, files, volumes, egress rules, and containers of a project's pods."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cloud_django.kubernetes.plugins.filter.project_groups import project_groups
from ansible_collections.cloud_django.kubernetes.plugins.filter.project_values import project_values
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import egress, entries, volumes
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project.containers import init_containers

GIVEN: dict[str, Any] = {
    "app": "shop",
    "login": "app",
    "process": "web",
    "contract": False,
    "environment": {},
    "files": {},
    "settings_module": "",
    "local_settings": "",
    "python_path": [],
    "generated": {},
    "email": {},
    "volumes": {},
    "writable": {},
    "database": "shop-database-app",
    "cache": "shop-cache",
}
SITE = {
    "url": "https://shop.example.org",
    "host": "shop.example.org",
    "netloc": "shop.example.org",
    "hosts": ["shop.example.org", "localhost"],
    "origins": ["https://shop.example.org"],
}
KEYS = entries.keys_of({"pepper": 64}, {"host": "mail"}, True)


class Unknown(Mapping[str, Any]):
    """Values that are not known yet, such as the address of a node."""

    def __getitem__(self, key: str) -> Any:
        raise AssertionError(f"{key} is not known")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("The keys are not known")

    def __len__(self) -> int:
        return 0


def inputs(site: Any = None, presets: Any = None, **given: Any) -> dict[str, Any]:
    empty = {name: {} for name in ("base", "contract", "cache", "service", "timeouts")}
    values = {"site": Unknown() if site is None else site}
    return {"given": GIVEN | given, "presets": empty | (presets or {}), "values": values}


def parts(**variables: Any) -> dict[str, Any]:
    return project_values(inputs(**variables))


def of_secret(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": key, **more}}


# --- Environment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"from": "database.host"}, of_secret("shop-database-app", "host")),
        ({"from": "database.name"}, of_secret("shop-database-app", "database")),
        ({"from": "database.sslmode"}, of_secret("shop-database-app", "sslmode")),
        ({"from": "database.address"}, of_secret("shop-database-app", "address")),
        ({"from": "cache.url"}, of_secret("shop-cache", "url", optional=True)),
        ({"from": "django.secret_key"}, of_secret("shop-django", "secret-key")),
        ({"from": "django.pepper"}, of_secret("shop-django", "pepper")),
        ({"from": "superuser.password"}, of_secret("shop-superuser", "password")),
        ({"from": "pod.ip"}, {"fieldRef": {"fieldPath": "status.podIP"}}),
        ({"from": "pod.cpus"}, {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}),
        ({"secret": "shop-stripe", "key": "api-key"}, of_secret("shop-stripe", "api-key")),
        ({"value": "${database.host}"}, of_secret("shop-values-app", "environment.A")),
        ({"template": "${cache.url}/1"}, of_secret("shop-values-app", "environment.A")),
        ({"from": "email.password"}, of_secret("shop-values-app", "environment.A")),
        ({"from": "email.api_key"}, of_secret("shop-values-app", "environment.A")),
    ],
)
def test_source_of_a_value(entry: dict[str, str], expected: dict[str, Any]) -> None:
    found = parts(environment={"A": entry}, generated={"pepper": 64}, email={"password": "secret", "api_key": "k"})
    assert found["environment"] == [{"name": "A", "valueFrom": expected}]
    assert found["text"] == {}
    assert found["job_environment"] == found["environment"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("a$b", "a$b"),
        ({"from": "site.url"}, "https://shop.example.org"),
        ({"from": "site.hosts"}, "shop.example.org,localhost"),
        ({"from": "site.hosts", "separator": " "}, "shop.example.org localhost"),
        ({"from": "email.host"}, "mail"),
        ({"from": "email.port"}, "587"),
        ({"from": "email.use_tls"}, "True"),
    ],
)
def test_plain_text_is_for_the_config_map(entry: Any, expected: str) -> None:
    found = parts(environment={"A": entry}, site=SITE, email={"host": "mail", "port": 587, "use_tls": "True"})
    assert found["text"] == {"A": expected}
    assert found["environment"] == []


def expanded(value: str, environment: dict[str, str]) -> str:
    """Return the value after Kubernetes expands variables in it."""
    return re.sub(r"\$(\$|\((\w+)\))", lambda m: "$" if m[1] == "$" else environment.get(m[2], m[0]), value)


@pytest.mark.parametrize("value", ["a$$b$(DATABASE_HOST)c", "$", "$$$", "$(NONE)", "$x", "$$(DATABASE_HOST)", "plain"])
def test_jobs_and_web_pods_get_the_same_value(value: str) -> None:
    found = parts(environment={"A": value})
    [job] = found["job_environment"]
    assert expanded(job["value"], {"DATABASE_HOST": "polls-postgresql.polls.svc"}) == found["text"]["A"] == value


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("database.password", "/run/secrets/database/password"),
        ("database.ca", "/run/secrets/database/ca.crt"),
        ("database.url", "/run/secrets/database/url"),
        ("django.secret_key", "/run/secrets/django/secret-key"),
        ("cache.password", "/run/secrets/cache/password"),
        ("site.url", "/run/cloud-django/values/site.url"),
        ("superuser.password", "/run/cloud-django/values/superuser.password"),
    ],
)
def test_path_of_a_file_with_a_value(reference: str, path: str) -> None:
    found = parts(environment={"A": {"file": reference}}, site=SITE)
    assert found["environment"] == [{"name": "A", "value": path}]
    files = [item["path"] for item in found["database_items"]]
    # The path is mounted: in the Secret of the database, as a whole Secret, or as a single file.
    if path.startswith("/run/secrets/database/"):
        assert path.rpartition("/")[2] in files
    else:
        assert files == ["password", "ca.crt", "service"]
    mounted = [mount["mountPath"] for mount in found["mounts"]]
    assert mounted == ([path] if path.startswith("/run/cloud-django") else [])


def test_preset_is_replaced_and_removed_by_the_inventory() -> None:
    presets = {
        "base": {"HOME": "/tmp", "B": "b"},
        "contract": {"C": "c"},
        "cache": {"D": "d"},
        "service": {"E": "e"},
        "timeouts": {"F": "f"},
    }
    given: dict[str, Any] = {"presets": presets, "environment": {"HOME": "/home", "B": None}}
    assert parts(**given)["text"] == {"HOME": "/home", "E": "e", "F": "f"}
    # Timeouts of web pods would stop a long migration.
    assert parts(**given, process="migrations")["text"] == {"HOME": "/home", "E": "e"}
    assert parts(**given, contract=True)["text"] == {"HOME": "/home", "C": "c", "D": "d"}
    assert parts(**given, contract=True, cache="")["text"] == {"HOME": "/home", "C": "c"}


def test_label_of_the_pod_is_a_value() -> None:
    [entry] = parts(presets={"base": {"PGAPPNAME": {"field": "metadata.labels['a']"}}})["environment"]
    assert entry["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.labels['a']"}}


def test_existing_secret_is_required() -> None:
    found = parts(environment={"STRIPE_KEY": {"secret": "shop-stripe", "key": "api-key"}})
    stripe = {"secret": "shop-stripe", "key": "api-key", "reason": "STRIPE_KEY"}
    assert found["required"] == [stripe]
    volume = {"path": "/etc/tls", "secret": "shop-tls"}
    found = parts(environment={"STRIPE_KEY": {"secret": "shop-stripe", "key": "api-key"}}, volumes={"tls": volume})
    tls = {"secret": "shop-tls", "key": "", "reason": "volume tls in django_volumes"}
    assert sorted(found["required"], key=str) == sorted([stripe, tls], key=str)


# --- Composed values and files ----------------------------------------------------------------------------------------


def test_composed_secret_exists_only_with_keys() -> None:
    assert parts(environment={"A": "x"})["secret"] == ""
    found = parts(environment={"A": {"template": "${database.url}"}}, login="migrate", database="shop-database-migrate")
    assert found["secret"] == "shop-values-migrate"
    assert found["compose"] == {"shop-values-migrate": {"environment.A": "${database.url}"}}
    assert found["sources"]["database"]["secret"] == "shop-database-migrate"
    # No volume, because no file is mounted.
    assert found["volumes"] == []


def test_given_secret_text_is_not_composed() -> None:
    """A `$` in it is no placeholder."""
    found = parts(environment={"A": {"value": "${database.host}"}})
    assert found["given"] == {"shop-values-app": {"environment.A": "${database.host}"}}
    assert found["compose"] == {}
    assert found["sources"] == {}


def test_only_used_groups_are_sources() -> None:
    template = (
        "${database.url} ${database.sslmode} ${django.pepper} ${site.hosts|list} ${email.host} ${HOME} ${other.a}"
    )
    found = parts(
        environment={"A": {"template": template}},
        site=SITE,
        generated={"pepper": 64},
        email={"host": "mail"},
    )
    sources = found["sources"]
    assert list(sources) == ["database", "django", "email", "site"]
    assert sources["database"]["keys"]["name"] == "database"
    assert sources["django"] == {"secret": "shop-django", "keys": {"secret_key": "secret-key", "pepper": "pepper"}}
    assert sources["email"] == {"values": {"host": "mail"}}
    assert sources["site"]["values"]["hosts"] == ["shop.example.org", "localhost"]


def test_files_are_single_mounts_of_the_composed_secret(tmp_path: Path) -> None:
    (tmp_path / "local.py").write_text("KEY = ${django.secret_key|json}\n", encoding="utf-8")
    found = parts(
        files={
            "/app/shop/settings/local.py": {"source": str(tmp_path / "local.py")},
            "/etc/shop.cfg": {"template": "[site]\nsecret = ${django.secret_key}\n", "only": ["web"]},
            "/app/data/secret": {"from": "django.secret_key"},
            "/removed": None,
        }
    )
    templates = found["compose"]["shop-values-app"]
    by_path = {mount["mountPath"]: mount for mount in found["mounts"]}
    assert list(by_path) == ["/etc/shop.cfg", "/app/data/secret", "/app/shop/settings/local.py"]
    assert by_path["/etc/shop.cfg"]["only"] == ["web"]
    assert templates[by_path["/app/data/secret"]["subPath"]] == "${django.secret_key}"
    assert templates[by_path["/app/shop/settings/local.py"]["subPath"]] == "KEY = ${django.secret_key|json}\n"
    # Secrets allow these characters and this length in keys.
    assert all(re.fullmatch(r"file\.[0-9a-f]{10}", key) for key in templates)
    assert found["volumes"] == [{"name": "values", "secret": {"secretName": "shop-values-app", "defaultMode": 0o440}}]


def test_local_settings_extend_the_settings_module() -> None:
    code = "ALLOWED_HOSTS = ${site.hosts|list}\n"
    found = parts(
        settings_module="shop.settings",
        local_settings=code,
        python_path=["/app"],
        site=SITE,
    )
    assert found["text"] == {
        "DJANGO_SETTINGS_MODULE": "cloud_settings",
        "PYTHONPATH": "/run/cloud-django/settings:/app",
    }
    [mount] = found["mounts"]
    assert mount["mountPath"] == "/run/cloud-django/settings/cloud_settings.py"
    assert found["compose"]["shop-values-app"][mount["subPath"]] == f"from shop.settings import *\n{code}"


def test_settings_module_without_local_settings() -> None:
    assert parts(settings_module="shop.settings")["text"] == {"DJANGO_SETTINGS_MODULE": "shop.settings"}


def test_unused_site_is_not_evaluated() -> None:
    """Its address may be unknown until a task has read it."""
    assert project_groups(inputs(environment={"A": {"from": "site.url"}})) == ["site"]
    assert project_groups(inputs(environment={"A": {"template": "${site.url}"}})) == ["site"]
    assert project_groups(inputs(local_settings="${site.hosts}", settings_module="a")) == ["site"]
    assert project_groups(inputs(environment={"A": {"from": "database.host"}, "B": "${site.url"})) == ["database"]
    parts(environment={"A": {"from": "database.host"}})


def test_role_alone_refuses_errors_too(tmp_path: Path) -> None:
    with pytest.raises(
        AnsibleFilterError, match=r"A in django_environment asks for database\.pasword, which is none of"
    ):
        parts(environment={"A": {"from": "database.pasword"}})
    with pytest.raises(AnsibleFilterError, match="B in django_environment"):
        project_groups(inputs(environment={"B": 5}))
    with pytest.raises(AnsibleFilterError, match="cannot be read: No such file or directory"):
        parts(files={"/a": {"source": str(tmp_path / "missing")}})
    with pytest.raises(AnsibleFilterError, match="cannot be read: No such file or directory"):
        project_groups(inputs(files={"/a": {"source": str(tmp_path / "missing")}}))
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(AnsibleFilterError, match="it is not text in UTF-8"):
        parts(files={"/a": {"source": str(tmp_path / "binary")}})


# --- Errors in entries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"from": "database.pasword"}, "asks for database.pasword, which is none of host, port, name, user, password"),
        ({"from": "databse.host"}, "asks for databse.host, but the groups are database, cache, django"),
        ({"from": "database"}, "names no group and key"),
        ({"from": 5}, "names no group and key"),
        ({"file": "pod.ip"}, "asks for pod.ip, which only an environment variable with from can have"),
        ({"template": "${pod.ip}"}, "asks for pod.ip, which only an environment variable with from can have"),
        ({"template": "${cache.ulr}"}, "asks for cache.ulr, which is none of host, port, user, password, url, ca"),
        ({"template": "${cache.url|quote}"}, "has the filter quote of cache.url"),
        (
            {"template": "${databse.host} ${databse.host}"},
            "asks for databse.host, but there is no group databse. Write database.host.",
        ),
        ({"template": "${Cache.url}"}, "asks for Cache.url, but there is no group Cache. Write cache.url."),
        ({"template": "${db.host|url}"}, "asks for db.host, but the groups are database, cache, django"),
        ({"template": "${ site.url}"}, "has a space in the placeholder of site.url. Write ${site.url}."),
        ({"template": 5}, "has a template that is not a string"),
        ({"value": "x", "secret": "a", "key": "b"}, "has both value and secret. Keep one"),
        ({"from": "cache.url", "seperator": " "}, "has seperator, which is not an option of from"),
        ({"from": "site.hosts", "separator": 5}, "has a separator that is not a string. Quote it."),
        ({"secret": "a"}, "has no string as its key"),
        ({"secret": "", "key": "b"}, "has an empty secret"),
        ({"value": 5}, "has no string as its value"),
        ({"value": "a\0"}, "has a NUL byte in its value"),
        ({"key": "b"}, "names no source. Use one of from, file, template, value, or secret with key"),
        ({}, "names no source"),
        ("a\0", "has a NUL byte"),
        ("${database.url}", "has a placeholder in plain text"),
    ],
)
def test_entry_without_a_value_is_refused(entry: Any, words: str) -> None:
    [error] = entries.environment_errors({"A": entry}, KEYS)
    assert error.startswith(f"A in django_environment {words}")
    assert error.endswith(".")


@pytest.mark.parametrize("text", ["${HOME}", "${shell.var}", "${server.port:-80}", "${db.host}", "$(site.url)", "${a}"])
def test_placeholders_of_other_programs_stay(text: str) -> None:
    assert list(entries.environment_errors({"A": {"template": text}}, KEYS)) == []


@pytest.mark.parametrize("entry", [True, 5, ["a"]])
def test_entry_of_another_type_is_refused(entry: Any) -> None:
    [error] = entries.type_errors({"A": entry, "B": "x", "C": {"from": "a"}, "D": None})
    assert error.startswith("A in django_environment is not a string and names no source: YAML parsed its value as")


def test_group_that_the_site_lacks_is_refused() -> None:
    keys = entries.keys_of({}, {}, False)
    [cache] = entries.environment_errors({"REDIS_URL": {"from": "cache.url"}}, keys)
    assert cache == (
        "REDIS_URL in django_environment asks for cache.url, but cache_state is absent. Start the cache, or name "
        "another source."
    )
    [email] = entries.environment_errors({"A": {"template": "${email.host}"}}, keys)
    assert "app_email is empty" in email


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"template": "a", "from": "django.secret_key"}, "has both template and from. Keep one"),
        ({"templte": "a"}, "names no source. Use one of template, source, from"),
        ("a", "names no source"),
        ({"template": "a", "mode": "0600"}, "has mode, which is not an option of template"),
        ({"from": "django.key"}, "asks for django.key, which is none of secret_key, pepper"),
        ({"from": "pod.ip"}, "asks for pod.ip, which only an environment variable"),
        ({"template": "${database.nme}"}, "asks for database.nme"),
    ],
)
def test_file_without_content_is_refused(entry: Any, words: str) -> None:
    [error] = entries.file_errors({"/etc/a": entry}, KEYS)
    assert error.startswith(f"/etc/a in django_files {words}")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("KEY, HOSTS = ${django.secret_key|json}, ${site.hosts|list}\n", ""),
        ("URL = '${site.url}/a'\nPORT = ${database.port}\n", ""),
        ("A = {'a': ${cache.host|json}, **{i: 1 for i in ${site.hosts|list}}}", ""),
        ("A = 1\nB = (\n", "line 2: '(' was never closed"),
        ("A = \0", "source code string cannot contain null bytes"),
    ],
)
def test_python_with_placeholders(code: str, error: str) -> None:
    assert entries.python_error(code) == error


@pytest.mark.parametrize(
    "generated", [{"Pepper": 64}, {"a-b": 64}, {"secret_key": 64}, {"a": 0}, {"a": "64"}, {"a": True}]
)
def test_random_value_without_a_name_or_length_is_refused(generated: dict[str, Any]) -> None:
    assert len(list(entries.generated_errors(generated))) == 1
    assert list(entries.generated_errors({"api_pepper": 64})) == []


# --- Volumes ----------------------------------------------------------------------------------------------------------


def test_volumes_and_writable_directories() -> None:
    found = volumes.volume_parts(
        {
            "media": {"path": "/app/media", "size": "10Gi", "only": ["web", "celery"]},
            "shared": {"path": "/shared", "size": "1Gi", "access": "ReadWriteMany", "storage_class": "nfs"},
            "old": {"path": "/old", "claim": "uploads"},
            "certificates": {"path": "/etc/certificates", "secret": "shop-certificates"},
            "settings": {"path": "/etc/settings", "config_map": "shop-settings", "only": ["web"]},
            "removed": None,
        },
        {"/app/cache": {"size": "1Gi"}, "/dev/memory": {"memory": True}, "/removed": None},
        "shop",
    )
    sources = {volume["name"]: volume for volume in found["volumes"]}
    assert sources["media"]["persistentVolumeClaim"] == {"claimName": "shop-media"}
    assert sources["media"]["only"] == ["web", "celery"]
    assert sources["old"]["persistentVolumeClaim"] == {"claimName": "uploads"}
    assert sources["certificates"]["secret"] == {"secretName": "shop-certificates", "defaultMode": 0o440}
    assert sources["settings"]["configMap"] == {"name": "shop-settings"}
    directories = [volume["emptyDir"] for volume in found["volumes"] if "emptyDir" in volume]
    assert directories == [{"sizeLimit": "1Gi"}, {"sizeLimit": "64Mi", "medium": "Memory"}]
    mounts = {mount["mountPath"]: mount for mount in found["mounts"]}
    assert mounts["/etc/certificates"]["readOnly"] is True
    assert "readOnly" not in mounts["/app/media"]
    assert mounts["/etc/settings"]["only"] == ["web"]
    assert {mount["name"] for mount in found["mounts"]} == set(sources)
    claims = {claim["metadata"]["name"]: claim["spec"] for claim in found["claims"]}
    assert list(claims) == ["shop-media", "shop-shared"]
    assert claims["shop-media"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    assert claims["shop-shared"]["storageClassName"] == "nfs"


def test_pods_with_a_volume_of_one_node_share_the_node() -> None:
    found = volumes.volume_parts(
        {
            "media": {"path": "/a", "size": "1Gi", "only": ["web", "celery"]},
            "all": {"path": "/b", "size": "1Gi"},
            "shared": {"path": "/c", "size": "1Gi", "access": "ReadWriteMany"},
            "one": {"path": "/d", "size": "1Gi", "access": "ReadWriteOncePod", "only": ["web"]},
            "old": {"path": "/e", "claim": "uploads"},
        },
        {},
        "shop",
    )
    media, everywhere = found["affinity"]
    assert media["only"] == ["web", "celery"]
    [component] = media["labelSelector"]["matchExpressions"]
    assert component["values"] == ["web", "celery"]
    # Not pods of the database, which have the label of the site too, but another name.
    assert everywhere["labelSelector"] == {
        "matchLabels": {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/name": "shop"}
    }


def test_cost_of_a_volume_of_one_node_is_reported() -> None:
    media = {"media": {"path": "/a", "size": "1Gi"}}
    [note] = volumes.notes(media)
    assert note.startswith("Volume media is ReadWriteOnce, so all pods that mount it run on one node")
    assert volumes.notes(media, nodes=1) == []
    assert volumes.notes({"media": media["media"] | {"access": "ReadWriteMany"}}) == []


# --- Egress -----------------------------------------------------------------------------------------------------------


def test_egress_rules() -> None:
    found = egress.rules(
        {
            "mail": {"ports": [587], "cidrs": ["203.0.113.7/32", "2001:db8::1"]},
            "https": {"ports": ["443"], "only": ["celery"]},
            "search": {"ports": ["9200-9300"], "namespace": "search", "pods": {"app": "opensearch"}},
            "dns": {"ports": [53], "protocol": "UDP", "pods": {"app": "dns"}},
            "removed": None,
        }
    )
    mail, https, search, dns = found
    assert mail["to"] == [{"ipBlock": {"cidr": "203.0.113.7/32"}}, {"ipBlock": {"cidr": "2001:db8::1/128"}}]
    assert mail["ports"] == [{"port": 587, "protocol": "TCP"}]
    assert https["only"] == ["celery"]
    assert https["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert search["ports"] == [{"port": 9200, "protocol": "TCP", "endPort": 9300}]
    assert search["to"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "search"}},
            "podSelector": {"matchLabels": {"app": "opensearch"}},
        }
    ]
    assert dns["to"] == [{"podSelector": {"matchLabels": {"app": "dns"}}}]
    assert dns["ports"][0]["protocol"] == "UDP"


@pytest.mark.parametrize(
    ("address", "internet"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("10.0.0.1", False),
        ("172.20.0.1", False),
        ("192.168.1.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("::1", False),
    ],
)
def test_internet_has_no_private_and_metadata_addresses(address: str, internet: bool) -> None:
    [rule] = egress.rules({"https": {"ports": [443]}})
    parsed = ipaddress.ip_address(address)

    def allows(block: dict[str, Any]) -> bool:
        networks = [ipaddress.ip_network(each) for each in (block["cidr"], *block["except"])]
        return parsed in networks[0] and not any(parsed in each for each in networks[1:])

    assert any(allows(peer["ipBlock"]) for peer in rule["to"]) is internet


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"ports": [443], "cidrs": ["api.example.org"]}, "has the host name api.example.org, but NetworkPolicies know"),
        ({"ports": [443], "cidrs": ["10.0.0.0/33"]}, "has 10.0.0.0/33 in cidrs, which is not an address"),
        ({"ports": [443], "cidrs": [5]}, "has a number in cidrs"),
        ({"ports": [443], "cidrs": "10.0.0.0/8"}, "has no list of cidrs"),
        ({"ports": 443}, "has no list of ports"),
        ({"ports": [0]}, "has the port 0"),
        ({"ports": [True]}, "has the port True"),
        ({"ports": ["10-9"]}, "has the port 10-9"),
        ({"ports": ["https"]}, "has the port https"),
        ({}, "allows all ports of the internet"),
        ({"host": "a"}, "has host, but NetworkPolicies know only addresses. Write its networks in cidrs, or leave"),
        ({"port": 443}, "has port, which is none of ports, cidrs, namespace, pods"),
        ({"ports": [443], "cidrs": ["https://a.example"]}, "has the host name https://a.example, but NetworkPolicies"),
        ({"ports": [443], "cidrs": ["a.example:443"]}, "has the host name a.example:443, but NetworkPolicies"),
        ({"ports": [443], "cidrs": ["fe80::/200"]}, "has fe80::/200 in cidrs, which is not an address or a network"),
        ({"ports": [443], "namespace": "a.example"}, "has the namespace a.example, which is not the name of one"),
        ({"ports": [443], "namespace": ["a"]}, "has the namespace ['a'], which is not the name of one"),
        ({"ports": [1], "pods": ["a"]}, "has no labels as pods"),
        ({"ports": [1], "protocol": "tcp"}, "has the protocol tcp"),
        ("a", "is not a dictionary"),
    ],
)
def test_egress_rule_that_no_policy_can_hold_is_refused(entry: Any, words: str) -> None:
    [error] = egress.errors({"rule": entry})
    assert error.startswith(f"rule in django_egress {words}")


# --- Containers -------------------------------------------------------------------------------------------------------


def test_further_containers_are_hardened_unless_said() -> None:
    defaults = {"imagePullPolicy": "IfNotPresent", "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 5}}
    proxy, setup = init_containers(
        {"setup": {"image": "a", "only": ["web"]}, "removed": None},
        {"proxy": {"image": "b", "imagePullPolicy": "Always", "securityContext": {"readOnlyRootFilesystem": False}}},
        defaults,
    )
    assert proxy["name"] == "proxy"
    assert proxy["restartPolicy"] == "Always"
    assert proxy["imagePullPolicy"] == "Always"
    assert proxy["securityContext"] == {"readOnlyRootFilesystem": False, "runAsUser": 5}
    assert setup == {"name": "setup", "image": "a", "only": ["web"], **defaults}
