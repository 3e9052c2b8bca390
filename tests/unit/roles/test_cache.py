"""Configuration, volumes, files, and refusals of the cache, as the roles render them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import PROJECT, rendered_in_play

SITE = {"app_name": "polls", "app_namespace": "polls", "app_public_url": "", "django_image": "none"}
NAMES = {
    "settings": "__cache_all_settings",
    "file": "__cache_config_map.data['valkey.conf']",
    "objects": "__cache_objects",
    "unwanted": "__cache_unwanted",
    "removed": "__cache_removed",
    "refusals": "__cache_refusals",
    "memory": "cache_memory",
    "volumes": "__django_volumes",
    "mounts": "__django_volume_mounts",
    "environment": "__django_environment",
    "text": "__django_text",
}


def rendered(folder: Path, *names: str, **variables: Any) -> dict[str, Any]:
    """Return variables of the roles cache and django, by their short names."""
    entry_points = {"cache": "main", "web": "check_replicas"}
    return rendered_in_play(folder, {name: NAMES[name] for name in names}, entry_points, SITE | variables)


def titles(objects: list[dict[str, Any]]) -> list[str]:
    return [f"{each['kind']}/{each['metadata']['name']}" for each in objects]


def pod_of(found: dict[str, Any]) -> dict[str, Any]:
    [workload] = [each for each in found["objects"] if each["kind"] in ("StatefulSet", "Job")]
    return workload["spec"]["template"]["spec"]


def test_cache_evicts_and_keeps_nothing_on_a_volume(tmp_path: Path) -> None:
    found = rendered(tmp_path, "settings", "file", "objects")
    settings = found["settings"]
    assert (settings["appendonly"], settings["save"], settings["maxmemory-policy"]) == (False, "", "volatile-lru")
    assert settings["maxmemory"] == int(0.6 * 128 * 1024 * 1024)
    lines = found["file"].splitlines()
    assert {'appendonly "no"', 'save ""', 'bind "*" "-::*"', 'tls-port "6379"', 'port "0"'} <= set(lines)
    assert "PersistentVolumeClaim/polls-cache" not in titles(found["objects"])
    [data] = [volume for volume in pod_of(found)["volumes"] if volume["name"] == "data"]
    assert "emptyDir" in data


def test_queue_refuses_instead_and_writes_before_it_responds(tmp_path: Path) -> None:
    found = rendered(tmp_path, "settings", "objects", cache_purpose="queue")
    settings = found["settings"]
    assert (settings["appendonly"], settings["appendfsync"]) == (True, "always")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["maxmemory"] == 64 * 1024 * 1024
    assert titles(found["objects"])[0] == "PersistentVolumeClaim/polls-cache"
    assert pod_of(found)["containers"][0]["command"][-1] == "queue"


def test_settings_and_overrides_of_the_user_take_precedence(tmp_path: Path) -> None:
    overrides = {"stateful_set": {"spec": {"template": {"spec": {"priorityClassName": "low"}}}}}
    given = {
        "maxmemory-policy": "allkeys-lfu",
        "client-output-buffer-limit": ["normal", 0, 0, 0],
        "lazyfree-lazy-user-del": True,
    }
    found = rendered(tmp_path, "file", "objects", cache_settings=given, cache_overrides=overrides)
    lines = set(found["file"].splitlines())
    assert {'maxmemory-policy "allkeys-lfu"', 'client-output-buffer-limit "normal" "0" "0" "0"'} <= lines
    assert 'lazyfree-lazy-user-del "yes"' in lines
    assert pod_of(found)["priorityClassName"] == "low"


@pytest.mark.parametrize("backend", ["builtin", "external"])
def test_pod_has_no_privilege_and_no_secret_in_sight(tmp_path: Path, backend: str) -> None:
    pod = pod_of(
        rendered(
            tmp_path, "objects", cache_backend=backend, cache_host="a.example.org", cache_password="s3cretPassword"
        )
    )
    assert "s3cretPassword" not in str(pod)
    user = 999 if backend == "builtin" else 10001
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, user)
    [container] = pod["containers"]
    assert "env" not in container
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_without_tls_no_certificate_is_kept(tmp_path: Path) -> None:
    found = rendered(tmp_path, "settings", "objects", "unwanted", cache_tls=False)
    assert found["settings"]["port"] == 6379
    assert not any(name.startswith("tls") for name in found["settings"])
    assert "--tls" not in str(pod_of(found))
    assert {"Secret/polls-cache-ca", "Secret/polls-cache-tls"} <= set(titles(found["unwanted"]))


def test_frozen_server_restarts_in_time(tmp_path: Path) -> None:
    pod = pod_of(rendered(tmp_path, "objects"))
    probe = pod["containers"][0]["livenessProbe"]
    # The number in docs/availability.md. The script of the probe fails after 3 s, before the timeout of the probe.
    assert probe["periodSeconds"] * probe["failureThreshold"] + 3 + probe["terminationGracePeriodSeconds"] <= 40
    assert probe["terminationGracePeriodSeconds"] < pod["terminationGracePeriodSeconds"]


def test_external_cache_is_checked_in_the_image_and_as_the_user_of_the_project(tmp_path: Path) -> None:
    external = {"cache_backend": "external", "cache_host": "a.example.org", "django_image_pull_secrets": ["a", "b"]}
    pod = pod_of(rendered(tmp_path, "objects", django_user_id=10005, **external))
    [container] = pod["containers"]
    assert (container["image"], pod["securityContext"]["runAsUser"]) == ("none", 10005)
    assert pod["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    *program, script, folder, encryption = container["command"]
    assert (program, folder, encryption) == (["python", "-I", "-c"], "/run/secrets/cache", "tls")
    assert script == (PROJECT / "roles" / "cache" / "files" / "check.py").read_text(encoding="utf-8").rstrip()
    # Kubernetes would replace it.
    assert "$(" not in script
    given = {"cache_check_image": "python:3.13", "cache_tls": False}
    [container] = pod_of(rendered(tmp_path, "objects", **external | given))["containers"]
    assert (container["image"], container["command"][-1]) == ("python:3.13", "plain")


def test_builtin_cache_needs_no_image_of_a_project(tmp_path: Path) -> None:
    found = rendered_in_play(tmp_path, {"image": "cache_check_image"}, {"cache": "main"}, {"app_name": "polls"})
    assert found["image"] == ""


def test_missing_memory_limit_is_left_to_the_validation(tmp_path: Path) -> None:
    for resources in ({}, {"limits": {"cpu": 1}}, {"limits": None}):
        assert int(rendered(tmp_path, "memory", cache_resources=resources)["memory"]) > 0


def test_external_cache_replaces_the_server_and_keeps_its_volume(tmp_path: Path) -> None:
    found = rendered(tmp_path, "objects", "unwanted", cache_backend="external", cache_host="a.example.org")
    assert titles(found["objects"]) == ["NetworkPolicy/polls-cache-check", "Job/polls-cache"]
    assert {"StatefulSet/polls-cache", "Service/polls-cache"} <= set(titles(found["unwanted"]))
    assert "PersistentVolumeClaim/polls-cache" not in titles(found["unwanted"])


def test_builtin_server_runs_until_the_external_one_is_checked() -> None:
    folder = PROJECT / "roles" / "cache" / "tasks"
    main, wait = (yaml.safe_load((folder / f"{name}.yml").read_text(encoding="utf-8")) for name in ("main", "wait"))
    assert main[1]["cloud_django.kubernetes.apply"]["keep_unwanted"] == "{{ not __cache_is_builtin }}"
    assert main[2]["ansible.builtin.include_tasks"] == "wait.yml"
    check, removal = wait
    assert "cloud_django.kubernetes.rollout" in check
    assert removal["cloud_django.kubernetes.apply"]["unwanted"] == "{{ __cache_unwanted }}"
    assert removal["when"] == "not __cache_is_builtin"


def test_removal_keeps_volume_and_secrets_unless_they_are_purged(tmp_path: Path) -> None:
    data = {
        "PersistentVolumeClaim/polls-cache",
        "Secret/polls-cache",
        "Secret/polls-cache-ca",
        "Secret/polls-cache-tls",
    }
    kept = titles(rendered(tmp_path, "removed")["removed"])
    assert not data & set(kept)
    assert set(titles(rendered(tmp_path, "removed", app_data="purge")["removed"])) == data | set(kept)


def test_pods_get_the_secret_as_files_and_start_without_it(tmp_path: Path) -> None:
    found = rendered(tmp_path, "volumes", "mounts", "text")
    [volume] = [each["secret"] for each in found["volumes"] if each["name"] == "cache"]
    assert (volume["secretName"], volume["optional"], volume["defaultMode"]) == ("polls-cache", True, 0o440)
    assert [each["path"] for each in volume["items"]] == ["host", "port", "user", "password", "url", "ca"]
    assert {"name": "cache", "mountPath": "/run/secrets/cache", "readOnly": True} in found["mounts"]
    assert found["text"]["CACHE_SECRET_DIRECTORY"] == "/run/secrets/cache"


def test_sites_on_one_server_have_different_keys(tmp_path: Path) -> None:
    found = rendered(tmp_path, "environment", app_name="votes", app_namespace="staging")
    [prefix] = [each["valueFrom"] for each in found["environment"] if each["name"] == "CACHE_KEY_PREFIX"]
    assert prefix == {"secretKeyRef": {"name": "votes-cache", "key": "prefix", "optional": True}}


def test_pods_without_a_cache_have_no_files_of_it(tmp_path: Path) -> None:
    found = rendered(tmp_path, "volumes", "mounts", "environment", "text", cache_state="absent")
    assert "cache" not in str(found).lower()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, []),
        ({"cache_settings": {"port": 1}, "cache_backend": "external", "cache_host": "a.example.org"}, []),
        (
            {"cache_settings": {"Port": 1, "save": "60 1", "appendonly": False}},
            ["cache_settings has appendonly, port, which"],
        ),
        ({"cache_memory": "127Mi"}, ["cache_memory is 127Mi, but the memory limit of the pod is 128Mi"]),
        ({"cache_memory": "100Mi"}, []),
        ({"cache_storage_size": "100Mi"}, []),
        (
            {"cache_storage_size": "100Mi", "cache_purpose": "queue"},
            ["cache_storage_size is 100Mi, but the file of a queue"],
        ),
    ],
)
def test_settings_that_break_the_server_are_refused(
    tmp_path: Path, variables: dict[str, Any], words: list[str]
) -> None:
    found = rendered(tmp_path, "refusals", **variables)["refusals"]
    assert len(found) == len(words)
    assert all(each.startswith(word) for each, word in zip(found, words, strict=True))
