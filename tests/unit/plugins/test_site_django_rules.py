"""Rules for the variables of the role django. Each refused case would fail later, elsewhere, or silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import rules

VALID: dict[str, Any] = {
    "django_affinity": {},
    "django_annotations": {},
    "django_cache_secret": "",
    "django_containers": {},
    "django_contract": False,
    "django_egress": {},
    "django_email": {},
    "django_environment": {},
    "django_files": {},
    "django_generated": {},
    "django_group_id": 10001,
    "django_init_containers": {},
    "django_labels": {},
    "django_local_settings": "",
    "django_manage": ["python", "manage.py"],
    "django_objects": [],
    "django_python_path": [],
    "django_settings_module": "",
    "django_tmp_size": "64Mi",
    "django_user_id": 10001,
    "django_volumes": {},
    "django_writable": {},
    "web_replicas": 2,
    "web_replicas_maximum": 0,
}
MEDIA = {"path": "/app/media", "size": "10Gi"}


def errors_of(**values: Any) -> list[str]:
    return list(rules.errors(VALID | values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"django_user_id": None, "django_group_id": None},
        {"django_user_id": "10001", "django_group_id": "10001"},
        {"django_volumes": {"media": MEDIA, "old": None}},
        {"django_volumes": {"media": MEDIA | {"access": "ReadWriteOncePod", "only": ["web"]}}, "web_replicas": 1},
        {"django_volumes": {"media": MEDIA}, "django_files": {"/app/media/robots.txt": {"template": ""}}},
        {"django_writable": {"/opt/netbox/scripts": {"size": "64Mi"}, "/prom_cache": {"memory": True}, "/a": None}},
        {"django_egress": {"https": {"ports": [443]}}},
        {"django_local_settings": "A = ${site.hosts|list}\n", "django_settings_module": "shop.settings"},
        {"django_containers": {"proxy": {"image": "proxy:1"}}, "django_init_containers": {"setup": {"image": "a"}}},
        {"django_environment": {"DATABASE_NAME": "x", "MIGRATIONS_COMMANDS": "[]"}},
        {"django_labels": {"team": "shop"}, "django_annotations": {"example.org/a": "b"}},
        {"django_objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]},
    ],
)
def test_valid_values_are_accepted(values: dict[str, Any]) -> None:
    assert errors_of(**values) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"django_environment": {"A": {"from": "database.pasword"}}},
            "A in django_environment asks for database.pasword",
        ),
        (
            {"django_environment": {"A": {"from": "cache.url"}}},
            "A in django_environment asks for cache.url, but cache_",
        ),
        (
            {"django_environment": {"DATABASE_NAME": "x"}, "django_contract": True},
            "DATABASE_NAME in django_environment is reserved, because the roles set it. Remove it, or set",
        ),
        ({"django_email": {"host": "a", "port": 25, "tls": True}}, "tls in app_email is neither a string nor a whole"),
        ({"django_files": {"/a": {"template": "${database.nme}"}}}, "/a in django_files asks for database.nme"),
        ({"django_files": {"/a": {"source": "/missing/a"}}}, "The source /missing/a in django_files cannot be read"),
        ({"django_files": {"/a.py": {"template": "A = ("}}}, "/a.py in django_files is not valid Python (line 1: '('"),
        ({"django_generated": {"secret_key": 64}}, "secret_key in django_generated is always generated"),
        (
            {"django_local_settings": "A = 1\n\nB = (\n", "django_settings_module": "a"},
            "django_local_settings is not valid Python (line 3: '(' was never closed). Correct it.",
        ),
        (
            {"django_local_settings": "A = ${site.hots}\n", "django_settings_module": "a"},
            "django_local_settings asks for site.hots, which is none of url, host, netloc, hosts, origins",
        ),
        (
            {"django_local_settings": "A = ${sites.hosts|list}\n", "django_settings_module": "a"},
            "django_local_settings asks for sites.hosts, but there is no group sites. Write site.hosts.",
        ),
        ({"django_local_settings": "A = 1\n"}, "django_settings_module is empty, but django_local_settings is set"),
        ({"django_settings_module": "shop/settings.py"}, "django_settings_module is shop/settings.py, which is not"),
        (
            {"django_settings_module": "a", "django_environment": {"DJANGO_SETTINGS_MODULE": "b"}},
            "DJANGO_SETTINGS_MODULE in django_environment would be replaced by django_settings_module",
        ),
        (
            {
                "django_settings_module": "a",
                "django_local_settings": "A = 1",
                "django_environment": {"PYTHONPATH": "b"},
            },
            "PYTHONPATH in django_environment would be replaced by django_python_path",
        ),
        (
            {"django_writable": {"/app": {}}},
            "/app is the working directory of the image, or of usual ones, and django_",
        ),
        ({"django_writable": {"/srv/x": {}}, "django_python_path": ["/srv/x"]}, "/srv/x is the working directory"),
        (
            {"django_writable": {"/srv": {}}, "django_python_path": ["/srv/x/"]},
            "/srv/x is the working directory of the image, or of usual ones, and django_writable would hide what is in "
            "/srv. Name only",
        ),
        ({"django_writable": {"/usr/src": {}}}, "/usr/src/app is the working directory"),
        ({"django_writable": {"media": {}}}, "django_writable has the path media, which is not an absolute path"),
        ({"django_writable": {"./media": {}}}, "django_writable has the path ./media, which is not an absolute path"),
        ({"django_volumes": {"media": MEDIA | {"path": "/app"}}}, "/app is the working directory of the image"),
        ({"django_writable": {"app": {}}}, "django_writable has the path app, which is not an absolute path"),
        ({"django_writable": {"/a/../b": {}}}, "django_writable has the path /a/../b, which is not an absolute path"),
        (
            {"django_writable": {"/tmp": {}}},
            "django_writable has the path /tmp, which is always writable. Set django_tmp",
        ),
        ({"django_writable": {"/usr": {}}}, "django_writable has the path /usr, which has programs of the image"),
        ({"django_writable": {"/a": 5}}, "/a in django_writable is not a dictionary"),
        (
            {"django_writable": {"/a": {"mode": 5}}},
            "/a in django_writable has mode, which is none of size, memory, only",
        ),
        (
            {"django_files": {"/run/secrets/a": {"template": ""}}},
            "django_files has the path /run/secrets/a, which is res",
        ),
        (
            {
                "django_files": {"/etc/x": {"template": ""}},
                "django_volumes": {"etc": {"path": "/etc/x", "secret": "a"}},
            },
            "django_files and django_volumes.etc both claim /etc/x. Keep one.",
        ),
        (
            {
                "django_files": {"/etc/x/y": {"template": ""}},
                "django_volumes": {"etc": {"path": "/etc/x", "secret": "a"}},
            },
            "django_files has /etc/x/y below /etc/x of django_volumes.etc, which is read-only",
        ),
        (
            {"django_files": {"/etc/x": {"template": ""}}, "django_writable": {"/etc/x/y": {}}},
            "django_writable has /etc/x/y below /etc/x of django_files, which is a file",
        ),
        ({"django_writable": {"/a": {"size": "big"}}}, "The size of /a in django_writable: big is not a Kubernetes"),
        (
            {"django_volumes": {"media": MEDIA | {"size": "10GB"}}},
            "The size of volume media in django_volumes: 10GB is not a Kubernetes quantity",
        ),
        (
            {"django_volumes": {"media": MEDIA | {"storage_class": "Fast disks"}}},
            "The storage_class of volume media is Fast disks, which is not a valid name of an object",
        ),
        (
            {"django_volumes": {"media": MEDIA | {"storage_class": 5}}},
            "Volume media in django_volumes has a storage_class that is not a string",
        ),
        ({"django_volumes": {"media": "10Gi"}}, "Volume media in django_volumes is not a dictionary"),
        ({"django_volumes": {"Media": MEDIA}}, "Volume Media in django_volumes has a name that Kubernetes refuses"),
        ({"django_volumes": {"database": MEDIA}}, "Volume database in django_volumes has a name that the roles use"),
        ({"django_volumes": {"front-x": MEDIA}}, "Volume front-x in django_volumes has a name that the roles use"),
        (
            {"django_volumes": {"media": MEDIA | {"class": "a"}}},
            "Volume media in django_volumes has class, which is none",
        ),
        ({"django_volumes": {"media": {"size": "1Gi"}}}, "Volume media in django_volumes has no path"),
        ({"django_volumes": {"media": {"path": "/a"}}}, "Volume media in django_volumes has neither a size nor one of"),
        (
            {"django_volumes": {"media": MEDIA | {"claim": "a"}}},
            "Volume media in django_volumes has both size and claim",
        ),
        (
            {"django_volumes": {"media": {"path": "/a", "claim": "a", "secret": "b"}}},
            "Volume media in django_volumes has both claim and secret",
        ),
        ({"django_volumes": {"media": MEDIA | {"access": "RWX"}}}, "Volume media in django_volumes has the access RWX"),
        (
            {"django_volumes": {"media": MEDIA | {"access": "ReadWriteOncePod", "only": ["web"]}}},
            "Volume media in django_volumes is ReadWriteOncePod, and web_replicas is 2. Use 1 replica, or",
        ),
        (
            {
                "django_volumes": {"media": MEDIA | {"access": "ReadWriteOncePod", "only": ["web"]}},
                "web_replicas": 1,
                "web_replicas_maximum": 3,
            },
            "Volume media in django_volumes is ReadWriteOncePod, and web_replicas_maximum is 3. Use 1 replica, or",
        ),
        (
            {"django_volumes": {"media": MEDIA | {"access": "ReadWriteOncePod"}}, "web_replicas": 1},
            "Volume media in django_volumes is ReadWriteOncePod, but several kinds of pods mount it",
        ),
        (
            {"django_egress": {"api": {"ports": [443], "cidrs": ["a.example.org"]}}},
            "api in django_egress has the host name",
        ),
        ({"django_user_id": "django"}, "django_user_id is django, not a number"),
        ({"django_user_id": 0}, "django_user_id is 0. Set a number from 1"),
        ({"django_group_id": True}, "django_group_id is True, not a number"),
        ({"django_manage": []}, "django_manage is empty"),
        ({"django_tmp_size": "big"}, "django_tmp_size: big is not a Kubernetes quantity"),
        ({"django_containers": {"proxy": {"command": ["a"]}}}, "proxy in django_containers has no image"),
        ({"django_containers": {"web": {"image": "a"}}}, "web in django_containers has a name that the roles use"),
        ({"django_containers": {"worker": {"image": "a"}}}, "worker in django_containers has a name that the roles"),
        (
            {"django_init_containers": {"after-1": {"image": "a"}}},
            "after-1 in django_init_containers has a name that the roles use",
        ),
        (
            {"django_init_containers": {"A": {"image": "a"}}},
            "A in django_init_containers has a name that Kubernetes ref",
        ),
        (
            {"django_containers": {"a": {"image": "a"}}, "django_init_containers": {"a": {"image": "a"}}},
            "django_containers and django_init_containers both have a. Rename one.",
        ),
        ({"django_labels": {"app.kubernetes.io/component": "a"}}, "django_labels has app.kubernetes.io/component"),
        # YAML parses such names as numbers.
        ({"django_labels": {5: "a"}}, "5 in django_labels is not a string. Quote the name."),
        ({"django_volumes": {5: MEDIA}}, "Volume 5 in django_volumes has a name that Kubernetes refuses"),
        ({"django_containers": {5: {"image": "a"}}}, "5 in django_containers has a name that Kubernetes refuses"),
        ({"django_writable": {5: {}}}, "5 in django_writable is not a string. Write the path of the directory."),
        ({"django_files": {5: {"template": "a"}}}, "5 in django_files is not a string. Write the path of the file."),
        ({"django_files": {"/a": {"source": None}}}, "/a in django_files has a source that is not a string. Write"),
        ({"django_annotations": {"a": 5}}, "a in django_annotations is not a string"),
        ({"django_objects": [{"kind": "ConfigMap"}]}, "django_objects[0] has no apiVersion, kind, or metadata.name"),
    ],
)
def test_invalid_value_is_refused(values: dict[str, Any], words: str) -> None:
    [error] = errors_of(**values)
    assert error.startswith(words)
    assert error.endswith(".")


def test_placeholders_and_python_of_a_source_are_checked(tmp_path: Path) -> None:
    source = tmp_path / "local.py"
    source.write_text("KEY = ${django.secret_kye|json}\n", encoding="utf-8")
    [error] = errors_of(django_files={"/app/local.py": {"source": str(source)}})
    assert error.startswith("/app/local.py in django_files asks for django.secret_kye, which is none of secret_key.")
    source.write_text("KEY = ${jango.secret_key|json}\n", encoding="utf-8")
    [error] = errors_of(django_files={"/app/local.py": {"source": str(source)}})
    assert error.startswith("/app/local.py in django_files asks for jango.secret_key, but there is no group jango.")
    source.write_text("KEY = ${django.secret_key|json\n", encoding="utf-8")
    [error] = errors_of(django_files={"/app/local.py": {"source": str(source)}})
    assert error.startswith("/app/local.py in django_files is not valid Python (line 1: ")
