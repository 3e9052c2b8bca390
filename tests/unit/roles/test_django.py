"""Parts of pods that the role django renders for the roles that create pods."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from rendering import files_of
from rendering import rendered as rendered_files

SITE = {
    "app_name": "shop",
    "app_namespace": "shop",
    "app_public_url": "https://shop.example.org",
    "django_image": "none",
}
NAMES = [
    *(
        "pod",
        "pod_all",
        "container",
        "job_container",
        "job_container_all",
        "text",
        "egress",
        "egress_all",
        "pod_labels",
    ),
    *("pod_annotations", "objects", "generate", "compose", "sources", "required", "secret_values", "purged", "manage"),
    "leftovers",
    *("needs_address", "url", "site", "notes", "volumes", "volume_mounts"),
]
# In the order of Ansible: the roles of a play, with the defaults of all of them first.
FILES = files_of("postgresql", "database", "cache", "image", "django", "web")
Case = dict[str, Any]


def all_rendered(cases: list[Case], names: list[str]) -> list[dict[str, Any]]:
    """Return variables of the role django for each case, by their names without the prefix."""
    task = {"__django_process": "web", "__django_component": "web", "__django_login": "app"}
    given = [SITE | {"cache_state": "absent"} | task | case for case in cases]
    found = rendered_files(FILES, [f"__django_{name}" for name in names], given)
    return [dict(zip(names, values, strict=True)) for values in found]


def rendered(process: str = "web", login: str = "app", **variables: Any) -> dict[str, Any]:
    """Return the variables of the role for a kind of pod."""
    task = {"__django_process": process, "__django_component": process, "__django_login": login}
    [found] = all_rendered([task | variables], NAMES)
    return found


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a container's environment by name, each of which is unique."""
    assert max(Counter(entry["name"] for entry in container["env"]).values()) == 1
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_polls_site_has_the_names_of_the_contract() -> None:
    found = rendered(cache_state="present", django_environment={"A": "b$c"})
    held = environment(found["container"])
    assert held["DATABASE_HOST"] == {"secretKeyRef": {"name": "shop-database-app", "key": "host"}}
    assert held["DATABASE_PASSWORD_FILE"] == "/run/secrets/database/password"
    assert held["CACHE_KEY_PREFIX"]["secretKeyRef"]["optional"] is True
    assert held["PGSERVICEFILE"] == "/run/secrets/database/service"
    assert (
        found["text"].items()
        >= {
            "A": "b$c",
            "CACHE_SECRET_DIRECTORY": "/run/secrets/cache",
            "DATABASE_APPLICATION_NAME": "shop-web",
            "DJANGO_PUBLIC_URL": "https://shop.example.org",
            "HOME": "/tmp",
        }.items()
    )
    assert "PGSERVICE" not in found["text"]
    # Jobs and workers have no ConfigMap.
    job = environment(found["job_container"])
    assert job.keys() == held.keys() | found["text"].keys()
    assert job["A"] == "b$$c"
    # Nothing is composed, so no Secret of the roles is added.
    assert [obj["kind"] for obj in found["objects"]] == ["Secret"]
    assert found["compose"] == found["sources"] == found["secret_values"] == {}
    assert found["generate"] == {"shop-django": {"secret-key": 64}}
    assert found["notes"] == []


def test_jobs_of_a_release_need_no_address() -> None:
    """A changed address of a node repeats no Job."""
    cases: list[Case] = [
        {"__django_process": process, "app_public_url": ""} for process in ("migrations", "superuser", "web")
    ]
    found = all_rendered(cases[:2], ["text", "needs_address"])
    assert [each["text"]["DJANGO_PUBLIC_URL"] for each in found] == ["http://localhost"] * 2
    assert [each["needs_address"] for each in found] == [False, False]
    assert all_rendered(cases[2:], ["needs_address"]) == [{"needs_address": True}]


def test_foreign_project_has_no_names_of_the_contract() -> None:
    found = rendered(django_contract=False)
    assert environment(found["container"]).keys() == {"PGSERVICEFILE", "PGAPPNAME"}
    assert found["text"] == {
        "HOME": "/tmp",
        "PGSERVICE": "default",
        "PGOPTIONS": "-c statement_timeout=10000 -c lock_timeout=3000",
    }
    without = rendered(django_contract=False, django_statement_timeout=0, django_lock_timeout="0")
    assert "PGOPTIONS" not in without["text"]
    assert "PGOPTIONS" not in rendered("celery", django_contract=False)["text"]


def test_values_of_the_inventory() -> None:
    found = rendered(
        "migrations",
        "migrate",
        cache_state="present",
        django_contract=False,
        django_environment={
            "URL": {"template": "${database.url}"},
            "SENTRY": {"value": "a"},
            "STRIPE": {"secret": "stripe", "key": "k"},
            "HOSTS": {"from": "site.hosts"},
            "HOME": None,
        },
        django_files={"/etc/shop.cfg": {"template": "${django.pepper}", "only": ["web"]}},
        django_generated={"pepper": 32},
        app_hosts=["www.example.org"],
    )
    assert found["text"]["HOSTS"] == "shop.example.org,www.example.org,localhost,127.0.0.1"
    assert "HOME" not in found["text"]
    assert found["generate"] == {"shop-django": {"secret-key": 64, "pepper": 32}}
    assert found["objects"][1]["metadata"]["name"] == "shop-values-migrate"
    assert found["compose"]["shop-values-migrate"]["environment.URL"] == "${database.url}"
    assert found["secret_values"] == {"shop-values-migrate": {"environment.SENTRY": "a"}}
    assert found["sources"]["database"]["secret"] == "shop-database-migrate"
    assert found["required"] == [{"secret": "stripe", "key": "k", "reason": "STRIPE"}]
    assert found["site"]["origins"] == ["https://shop.example.org", "https://www.example.org"]
    # The file is for web pods only. Its key is in the Secret of each login all the same.
    paths = [mount["mountPath"] for mount in found["volume_mounts"]]
    assert "/etc/shop.cfg" not in paths
    assert "/etc/shop.cfg" in [mount["mountPath"] for mount in found["job_container_all"]["volumeMounts"]]
    assert all("only" not in mount for mount in found["volume_mounts"])


def test_values_of_the_address() -> None:
    addresses = {
        "https://shop.example.org": ("shop.example.org", "shop.example.org"),
        "https://shop.example.org:8443/": ("shop.example.org", "shop.example.org:8443"),
        "http://[2001:db8::1]:8080": ("[2001:db8::1]", "[2001:db8::1]:8080"),
        "http://[2001:db8::1]": ("[2001:db8::1]", "[2001:db8::1]"),
    }
    found = all_rendered([{"app_public_url": url} for url in addresses], ["site"])
    for each, (url, (host, netloc)) in zip(found, addresses.items(), strict=True):
        site = each["site"]
        assert site["url"] == url.rstrip("/")
        assert (site["host"], site["netloc"]) == (host, netloc)
        assert site["hosts"] == [host, "localhost", "127.0.0.1"]


def test_address_of_a_node_is_needed_only_by_a_value_of_the_site() -> None:
    of_site = {"django_environment": {"URL": {"from": "site.url"}}}
    cases: list[tuple[Case, bool]] = [
        (of_site, True),
        ({}, False),
        (of_site | {"app_public_url": "https://shop.example.org"}, False),
        (of_site | {"web_node_address": "192.0.2.1"}, False),
        (of_site | {"web_service_type": "LoadBalancer"}, True),
        (of_site | {"web_service_type": "ClusterIP"}, False),
        # Another role of the play has read it already.
        (of_site | {"__django_nodes": {"addresses": ["192.0.2.1"]}}, False),
    ]
    base: Case = {"app_public_url": "", "django_contract": False}
    found = all_rendered([base | case for case, _ in cases], ["needs_address"])
    assert [each["needs_address"] for each in found] == [needs for _, needs in cases]


def test_pod_has_what_the_inventory_adds() -> None:
    found = rendered(
        django_user_id=None,
        django_read_only=False,
        django_tmp_size="1Gi",
        django_volumes={"media": {"path": "/media", "size": "1Gi", "only": ["web"]}},
        django_writable={"/opt/scripts": {"size": "1Mi"}},
        django_egress={"https": {"ports": [443], "only": ["celery"]}, "mail": {"ports": [587], "cidrs": ["192.0.2.1"]}},
        django_labels={"team": "a"},
        django_annotations={"note": "b"},
        django_node_selector={"disk": "ssd"},
        django_tolerations=[{"operator": "Exists"}],
        django_affinity={
            "nodeAffinity": {},
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"a": 1}]},
        },
        django_priority_class="high",
        django_service_account_annotations={"role": "s3"},
        django_containers={"proxy": {"image": "p", "only": ["web"]}},
        django_init_containers={"setup": {"image": "s"}},
        django_objects=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}}],
        django_manage=["shop"],
    )
    pod = found["pod"]
    assert "runAsUser" not in pod["securityContext"]
    assert "runAsGroup" not in pod["securityContext"]
    assert pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["runAsNonRoot"] is True
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["temporary"]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert volumes["media"]["persistentVolumeClaim"] == {"claimName": "shop-media"}
    assert found["container"]["securityContext"]["readOnlyRootFilesystem"] is False
    assert [container["name"] for container in pod["initContainers"]] == ["proxy", "setup"]
    assert pod["initContainers"][0]["restartPolicy"] == "Always"
    assert pod["initContainers"][1]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "high"
    assert pod["serviceAccountName"] == "shop-project"
    required = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [term.get("topologyKey") for term in required] == [None, "kubernetes.io/hostname"]
    assert pod["affinity"]["nodeAffinity"] == {}
    assert found["pod_labels"].items() >= {"team": "a", "app.kubernetes.io/component": "web"}.items()
    assert found["pod_annotations"] == {"note": "b"}
    assert found["manage"] == ["shop"]
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in found["objects"]]
    assert names == [
        ("Secret", "shop-django"),
        ("ServiceAccount", "shop-project"),
        ("PersistentVolumeClaim", "shop-media"),
        ("ConfigMap", "extra"),
    ]
    assert [rule["ports"][0]["port"] for rule in found["egress"]] == [53, 5432, 587]
    assert [rule["ports"][0]["port"] for rule in found["egress_all"]] == [53, 5432, 443, 587]
    assert len(found["notes"]) == 1
    # No key of the collection is left in a manifest.
    assert '"only"' not in json.dumps([pod, found["container"], found["job_container"], found["egress"]])


def test_defaults_add_nothing_to_a_pod() -> None:
    found = rendered()
    assert found["pod"].keys() == {
        *("automountServiceAccountToken", "enableServiceLinks", "dnsConfig", "securityContext", "volumes"),
        "imagePullSecrets",
    }
    security = found["pod"]["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (10001, 10001, 10001)
    assert found["container"]["securityContext"]["readOnlyRootFilesystem"] is True


def test_secret_of_the_superuser_is_there_before_its_role() -> None:
    given: Case = {
        "django_environment": {"ADMIN_PASSWORD": {"from": "superuser.password"}},
        "__superuser_generate": {"shop-superuser": {"password": 24}},
        "__superuser_values": {"shop-superuser": {"username": "admin"}},
    }
    cases = [given | {"__django_process": process} for process in ("migrations", "superuser")]
    migrations, superuser = all_rendered([*cases], ["objects", "generate", "secret_values"])
    assert [obj["metadata"]["name"] for obj in migrations["objects"]] == ["shop-django", "shop-superuser"]
    assert migrations["generate"]["shop-superuser"] == {"password": 24}
    assert migrations["secret_values"] == {"shop-superuser": {"username": "admin"}}
    assert [obj["metadata"]["name"] for obj in superuser["objects"]] == ["shop-django"]
    [without] = all_rendered([{"django_environment": {}}], ["objects"])
    assert len(without["objects"]) == 1


def test_secrets_and_the_account_of_removed_variables_are_leftovers() -> None:
    """Secret text of the inventory would stay in the cluster otherwise."""
    cases: list[Case] = [
        {},
        {"django_environment": {"A": {"value": "a"}}},
        {"django_files": {"/etc/a": {"template": "a"}}, "django_service_account_annotations": {"role": "s3"}},
    ]
    found = all_rendered(cases, ["leftovers"])
    account, composed = "shop-project", ["shop-values-app", "shop-values-migrate"]
    assert [[obj["metadata"]["name"] for obj in each["leftovers"]] for each in found] == [
        [*composed, account],
        [account],
        [],
    ]


def test_removal_of_data_is_left_to_the_last_role() -> None:
    given: dict[str, Any] = {
        "django_volumes": {"media": {"path": "/media", "size": "1Gi"}},
        "django_objects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}},
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "more"}},
        ],
    }

    cases = [
        {"__django_process": process, "app_data": data} | given
        for process in ("web", "migrations")
        for data in ("keep", "purge")
    ]
    found = all_rendered(cases, ["purged"])
    composed = ["shop-values-app", "shop-values-migrate", "shop-project", "extra"]
    expected = [[], ["shop-django"], composed, ["shop-django", *composed, "shop-media", "more"]]
    assert [[obj["metadata"]["name"] for obj in each["purged"]] for each in found] == expected
