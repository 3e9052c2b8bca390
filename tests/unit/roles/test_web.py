"""Manifests of web pods for projects with and without the contract."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from rendering import PROJECT, rendered_cases

BASE: dict[str, Any] = {
    "app_name": "shop",
    "app_namespace": "shop",
    "app_public_url": "https://shop.example.org",
    "app_image": "shop:1",
    "cluster_provider": "kind",
}
NAMES = {
    "settings": "__web_settings",
    "objects": "__web_objects",
    "unwanted": "__web_unwanted",
    "removed": "__web_removed",
    "prune": "__web_prune",
    "front": "__web_front_text",
    "job": "__web_after_job if web_after | length > 0 else none",
}
STATICS: dict[str, Any] = {
    "web_statics": {"/media/": "/data/media", "/static/": "/opt/netbox/static"},
    "django_volumes": {"data": {"path": "/data", "size": "1Gi"}},
}
ONE_POD = {"path": "/data", "size": "1Gi", "access": "ReadWriteOncePod"}
ROUTED: dict[str, Any] = {
    "app_hosts": ["store.example.org"],
    "web_redirect_hosts": ["www.example.org"],
    "web_ingress_class": "nginx",
    "web_ingress_annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
    "web_gateways": [{"name": "public"}],
    "web_route_annotations": {"a": "b"},
}
HOSTS = ["shop.example.org", "store.example.org", "www.example.org"]
COMMANDS = {
    "live": None,
    "ready": {"exec": ["manage", "ready"], "period": 7},
    "startup": {"exec": ["manage", "started"], "failures": 9},
}
DIRECT = {"live": {"tcp": True}, "ready": {"http": "/health/", "headers": {"Accept": "text/html"}}}
GUNICORN = {"threads": 2, "preload": True, "graceful-timeout": None, "access-logformat": "%(h)s x"}
OVERRIDES = {
    "revisionHistoryLimit": None,
    "template": {
        "spec": {
            "containers": [{"name": "web", "tty": True}, {"name": "front", "stdin": True}],
            "volumes": [{"name": "temporary", "$patch": "delete"}, {"name": "x", "emptyDir": {}}],
        }
    },
}
LABELS = {"metadata": {"labels": {"team": "web"}}}
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "own"}}
CASES: dict[str, dict[str, Any]] = {
    "contract": {"django_service_account_annotations": {"role": "arn"}},
    "ordinary": {"django_contract": False, "django_volumes": STATICS["django_volumes"]},
    "processes": {
        "django_contract": False,
        "web_workers": 0,
        "web_resources": {"limits": {"cpu": "3"}},
        "django_environment": {"UVICORN_PORT": None, "GRANIAN_WORKERS": "9", "A": "b"},
    },
    "gunicorn": {"django_contract": False, "web_gunicorn_arguments": GUNICORN, "web_probes": COMMANDS},
    "alone": {
        "django_contract": False,
        "web_front_enabled": False,
        "web_trusted_proxies": ["10.0.0.0/8"],
        "web_probes": DIRECT,
    },
    "command": {
        "django_manage": ["netbox"],
        "web_command": ["manage", "asgi"],
        "web_arguments": ["--x"],
        "web_front_stream_paths": ["/ws/*"],
    },
    "streams": {"web_front_stream_paths": ["/ws/*"], "web_front_max_streams": 50},
    "statics": STATICS,
    "user": {"django_user_id": None, "django_read_only": False, "django_volumes": {"data": ONE_POD | {"only": ["a"]}}},
    "one pod": {"django_volumes": {"data": ONE_POD}, "web_replicas": 1},
    "routed": ROUTED,
    "after": {"web_after": [["manage", "clear_cache"], ["sh", "-c", "true"]]},
    "after removed": {"web_after": [["manage", "clear_cache"]], "web_state": "absent"},
    "overrides": {
        "web_overrides": {"Deployment": {"spec": OVERRIDES}, "Secret": LABELS, "NetworkPolicy": LABELS},
        "django_objects": [POLICY],
    },
}


@cache
def rendered() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        shutil.copy(PROJECT / "roles/web/files/is_alive.py", folder)
        return rendered_cases(Path(folder), NAMES, {"web": "check_replicas"}, BASE, CASES)


def role(case: str) -> dict[str, Any]:
    return rendered()[case]


def objects(kind: str, case: str) -> list[dict[str, Any]]:
    return [item for item in role(case)["objects"] if item["kind"] == kind]


def deployment(case: str) -> dict[str, Any]:
    [found] = objects("Deployment", case)
    return found["spec"]


def pod(case: str) -> dict[str, Any]:
    return deployment(case)["template"]["spec"]


def containers(case: str) -> dict[str, dict[str, Any]]:
    found = pod(case)
    return {each["name"]: each for each in found.get("initContainers", []) + found["containers"]}


def mounts(case: str, container: str) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in containers(case)[container]["volumeMounts"]}


# --- Servers ----------------------------------------------------------------------------------------------------------


def test_contract_has_the_names_of_the_example_project() -> None:
    settings = role("contract")["settings"]
    assert settings["WEB_BIND"] == "127.0.0.1:8000"
    assert settings["DJANGO_PUBLIC_URL"] == "https://shop.example.org"
    assert not settings.keys() & {"PORT", "GUNICORN_CMD_ARGS", "UVICORN_PORT"}


def test_ordinary_project_gets_the_names_of_servers() -> None:
    settings = role("ordinary")["settings"]
    assert not [
        name for name in settings if name.startswith(("WEB_", "DJANGO_", "DATABASE_")) and name != "WEB_CONCURRENCY"
    ]
    assert settings["PORT"] == settings["UVICORN_PORT"] == settings["GRANIAN_PORT"] == "8000"
    assert settings["FORWARDED_ALLOW_IPS"] == "127.0.0.1"
    arguments = settings["GUNICORN_CMD_ARGS"].split()
    assert {"--bind=127.0.0.1:8000", "--workers=1", "--threads=8", "--worker-tmp-dir=/dev/shm"} <= set(arguments)
    assert "--keep-alive=5" in arguments


def test_processes_follow_the_limit_of_cpus() -> None:
    settings = role("processes")["settings"]
    assert settings["WEB_CONCURRENCY"] == "3"
    # The front opens a connection for each request to one of several processes.
    assert {"--workers=3", "--keep-alive=0", "--worker-connections=8"} <= set(settings["GUNICORN_CMD_ARGS"].split())
    assert all(isinstance(value, str) for value in settings.values())


def test_environment_of_the_project_replaces_and_removes_names() -> None:
    settings = role("processes")["settings"]
    assert "UVICORN_PORT" not in settings
    assert (settings["GRANIAN_WORKERS"], settings["A"]) == ("9", "b")


def test_options_of_gunicorn_are_merged() -> None:
    arguments = role("gunicorn")["settings"]["GUNICORN_CMD_ARGS"]
    assert "--threads=2" in arguments
    assert "--preload" in arguments.split()
    assert "--graceful-timeout" not in arguments
    assert "'--access-logformat=%(h)s x'" in arguments


def test_project_without_a_front_has_the_port_of_the_pod() -> None:
    settings = role("alone")["settings"]
    assert settings["PORT"] == "8080"
    assert settings["FORWARDED_ALLOW_IPS"] == "10.0.0.0/8"
    assert "--bind=0.0.0.0:8080" in settings["GUNICORN_CMD_ARGS"]
    assert "--keep-alive=75" in settings["GUNICORN_CMD_ARGS"]


def test_command_and_arguments() -> None:
    web = containers("command")["web"]
    assert (web["command"], web["args"]) == (["netbox", "asgi"], ["--x"])
    assert not {"command", "args"} & containers("contract")["web"].keys()


@pytest.mark.parametrize(("case", "streams", "requests"), [("command", 1000, 1507), ("streams", 50, 557)])
def test_streams_have_a_limit_of_their_own(case: str, streams: int, requests: int) -> None:
    """It is high for an asynchronous server."""
    routes = json.loads(role(case)["front"])["apps"]["http"]["servers"]["site"]["routes"]
    [stream, other] = [each for route in routes for each in route["handle"] if "load_balancing" in each]
    assert stream["transport"]["max_conns_per_host"] == streams
    assert other["transport"]["max_conns_per_host"] == 7
    assert other["upstreams"][0]["max_requests"] == requests


# --- Probes -----------------------------------------------------------------------------------------------------------


def test_contract_has_the_script_and_the_host_of_the_site() -> None:
    found = containers("contract")
    assert found["web"]["livenessProbe"]["exec"]["command"][:2] == ["python", "-ISc"]
    assert found["web"]["startupProbe"]["failureThreshold"] == 60
    request = found["front"]["readinessProbe"]["httpGet"]
    assert request["path"] == "/readyz"
    assert {"name": "Host", "value": "shop.example.org"} in request["httpHeaders"]


def test_ordinary_project_needs_no_program_for_probes() -> None:
    found = containers("ordinary")
    assert "startupProbe" not in found["web"]
    live = found["web"]["livenessProbe"]
    assert (live["httpGet"]["path"], live["httpGet"]["port"]) == ("/front-connects", 8080)
    # The front starts after the project, so it can answer no startup probe.
    assert live["initialDelaySeconds"] == 120
    assert found["front"]["readinessProbe"]["httpGet"]["path"] == "/admin/login/"


def test_commands_as_probes_run_in_the_project() -> None:
    found = containers("gunicorn")
    web = found["web"]
    assert web["readinessProbe"]["exec"]["command"] == ["python", "manage.py", "ready"]
    assert (web["readinessProbe"]["periodSeconds"], web["startupProbe"]["failureThreshold"]) == (7, 9)
    assert "livenessProbe" not in web
    assert found["front"]["readinessProbe"]["httpGet"]["path"] == "/front-livez"


def test_probes_without_a_front_reach_the_project() -> None:
    web = containers("alone")["web"]
    assert web["livenessProbe"]["tcpSocket"] == web["startupProbe"]["tcpSocket"] == {"port": 8080}
    headers = {each["name"]: each["value"] for each in web["readinessProbe"]["httpGet"]["httpHeaders"]}
    assert headers == {"Host": "shop.example.org", "X-Forwarded-Proto": "https", "Accept": "text/html"}


# --- Static files -----------------------------------------------------------------------------------------------------


def test_uploads_are_mounted_without_the_rest_of_their_volume() -> None:
    """So that no link among them leads to another file of the volume."""
    mount = mounts("statics", "front")["/srv/statics/0"]
    assert (mount["subPath"], mount["readOnly"]) == ("media", True)
    assert mount["name"] == mounts("statics", "web")["/data"]["name"]


def test_other_files_are_copied_from_the_image() -> None:
    copy = containers("statics")["statics-1"]
    assert copy["image"] == "shop:1"
    assert copy["command"] == ["cp", "-RLpT", "--", "/opt/netbox/static", "/run/cloud-django/statics/1"]
    # Neither the volumes nor the environment of the project.
    assert copy["volumeMounts"] == [{"name": "statics", "mountPath": "/run/cloud-django/statics"}]
    assert "env" not in copy
    assert copy["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert list(containers("statics")) == ["statics-1", "front-program", "web", "front"]
    assert "statics" not in [volume["name"] for volume in pod("ordinary")["volumes"]]


def test_front_has_no_files_of_the_project_without_statics() -> None:
    assert list(mounts("ordinary", "front")) == ["/front", "/etc/front"]


def test_front_stays_restricted_in_a_project_with_its_own_user() -> None:
    security = containers("user")["front"]["securityContext"]
    assert (security["runAsUser"], security["readOnlyRootFilesystem"]) == (10001, True)
    assert "runAsUser" not in containers("ordinary")["front"]["securityContext"]


@pytest.mark.parametrize(("case", "strategy"), [("one pod", "Recreate"), ("user", "RollingUpdate")])
def test_volume_of_one_pod_needs_recreation(case: str, strategy: str) -> None:
    """The volume of a worker does not."""
    assert deployment(case)["strategy"]["type"] == strategy


# --- Hosts and routes -------------------------------------------------------------------------------------------------


def test_all_hosts_are_routed_and_in_the_certificate() -> None:
    [ingress] = objects("Ingress", "routed")
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == HOSTS
    assert ingress["spec"]["tls"] == [{"hosts": HOSTS}]
    assert ingress["metadata"]["annotations"] == ROUTED["web_ingress_annotations"]
    [route] = objects("HTTPRoute", "routed")
    assert route["spec"]["hostnames"] == HOSTS
    assert route["metadata"]["annotations"] == {"a": "b"}


def test_only_further_hosts_are_allowed() -> None:
    assert role("routed")["settings"]["DJANGO_ALLOWED_HOSTS"] == "localhost,127.0.0.1,store.example.org"


# --- Commands after the rollout, accounts, and overrides --------------------------------------------------------------


def test_commands_run_in_order_in_one_job() -> None:
    job = role("after")["job"]
    found = job["spec"]["template"]["spec"]
    assert [each["command"] for each in found["initContainers"]] == [["python", "manage.py", "clear_cache"]]
    assert [each["command"] for each in found["containers"]] == [["sh", "-c", "true"]]
    assert (found["restartPolicy"], job["spec"]["backoffLimit"]) == ("Never", 0)


def test_policy_of_the_commands_goes_with_them() -> None:
    def policies(case: str, key: str) -> list[str]:
        return [each["metadata"]["name"] for each in role(case)[key] if each["kind"] == "NetworkPolicy"]

    assert policies("ordinary", "unwanted") == ["shop-after"]
    assert policies("after", "unwanted") == []
    assert "shop-after" in policies("after", "removed")


def test_old_jobs_of_the_commands_are_removed_beside_the_new_one() -> None:
    """Otherwise, the second run of a release would remove the Job that is then too much."""

    def jobs(case: str) -> list[int]:
        return [int(rule["keep"]) for rule in role(case)["prune"] if rule["kind"] == "Job"]

    assert (jobs("ordinary"), jobs("after"), jobs("after removed")) == ([0], [], [5])
    apply, _ = yaml.safe_load((PROJECT / "roles/web/tasks/after.yml").read_text(encoding="utf-8"))
    assert apply["cloud_django.kubernetes.apply"]["prune"] == ["{{ __web_old_jobs }}"]


def test_leftovers_stay_until_the_rollout_is_complete() -> None:
    """Pods of the earlier release could not start again without their Secret."""
    wait, remove, *_ = yaml.safe_load((PROJECT / "roles/web/tasks/changed.yml").read_text(encoding="utf-8"))
    assert "cloud_django.kubernetes.rollout" in wait
    assert remove["cloud_django.kubernetes.apply"]["unwanted"] == "{{ __django_leftovers }}"
    assert remove["cloud_django.kubernetes.apply"]["objects"] == []


def test_admin_is_reported_only_with_a_superuser() -> None:
    tasks = yaml.safe_load((PROJECT / "roles/web/tasks/main.yml").read_text(encoding="utf-8"))
    [report] = [task for task in tasks if task["name"] == "Report the URLs"]
    site, admin = report["vars"]["__web_report"]
    assert ("__web_site" in site, "__web_admin_url" in admin) == (True, True)
    assert "__web_report[: 2 if superuser_state == 'present' else 1]" in report["ansible.builtin.debug"]["msg"]


def test_override_of_the_project_follows_its_container() -> None:
    found = pod("overrides")
    assert [each.get("tty") for each in found["initContainers"]] == [None, True]
    assert [(each["name"], each.get("stdin")) for each in found["containers"]] == [("front", True)]
    assert "image" in found["containers"][0]


def test_overrides_are_merged_by_name_and_remove() -> None:
    volumes = [volume["name"] for volume in pod("overrides")["volumes"]]
    assert {"x", "front"} <= set(volumes)
    assert "temporary" not in volumes
    assert "revisionHistoryLimit" not in deployment("overrides")


def test_overrides_change_no_object_that_other_roles_apply_too() -> None:
    [secret] = objects("Secret", "overrides")
    assert "team" not in secret["metadata"]["labels"]
    policies = {each["metadata"]["name"]: each for each in objects("NetworkPolicy", "overrides")}
    assert policies["own"] == POLICY
    assert policies["shop-web"]["metadata"]["labels"]["team"] == "web"


@pytest.mark.parametrize(("case", "account"), [("ordinary", "shop-web"), ("contract", "shop-project")])
def test_account_with_annotations_replaces_that_of_web_pods(case: str, account: str) -> None:
    assert pod(case)["serviceAccountName"] == account
