# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Test-start a server with new settings or a new image on an empty volume, before the current pod is replaced.

Only the server itself can check all settings, libraries, and their combinations. It starts as in the StatefulSet, with
the same image, commands, and probe, in a separate pod that has other Secrets and no claim.
"""

import copy
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Result
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import short
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, ServerError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import Identity, Obj, identity
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import temporary_pod
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_running

CONFIGURATION = "cloud-django/configuration"
CONTAINER = "postgresql"
# All in seconds: until the pod is on a node, until its image is pulled, and until the server has started.
SCHEDULE_SECONDS = 15
PULL_SECONDS = 300
START_SECONDS = 60
# Rejections that may apply only to this pod, which has small requests and no owner. They come from a quota, the user's
# permissions, limits for requests, or a webhook.
NO_ROOM = (
    *("exceeded quota", "cannot create resource", "minimum cpu usage", "minimum memory usage"),
    *("limit to request ratio", "admission webhook"),
)
# Exit codes of the script: the volume has another version, no database can be created, the server does not start.
VERSION, DATABASE, SERVER = 3, 4, 5

SCRIPT = """set -u
cd /tmp
fail() {{ cat /tmp/rehearsal.log >&2; exit "$1"; }}
umask 077
{files}
if [ -n {version} ]; then
  mkdir /tmp/present
  echo {version} > /tmp/present/PG_VERSION
  PGDATA=/tmp/present {initialize} </dev/null >/tmp/rehearsal.log 2>&1 || fail {code_version}
fi
{initialize} </dev/null >/tmp/rehearsal.log 2>&1 || fail {code_database}
{start} </dev/null >/tmp/rehearsal.log 2>&1 &
server=$!
tries=0
until {probe} </dev/null >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || fail {code_server}
  tries=$((tries + 1))
  if [ "$tries" -gt {tries} ]; then
    echo "FATAL:  the server does not answer within {seconds} s" >> /tmp/rehearsal.log
    fail {code_server}
  fi
  sleep 0.2
done
exit 0
"""


def named(items: list[Obj] | None, name: str) -> Obj:
    """Return the item of that name, or an empty one."""
    return next((item for item in items or [] if item.get("name") == name), {})


def start_inputs(workload: Obj | None) -> Any:
    """Return the inputs of a start: the configuration, and the image and commands of each container."""
    template = (workload or {}).get("spec", {}).get("template", {})
    spec = template.get("spec", {})
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    programs = [[container.get(key) or [] for key in ("image", "command", "args")] for container in containers]
    return (template.get("metadata", {}).get("annotations") or {}).get(CONFIGURATION), programs


def own_volumes(workload: Obj) -> dict[str, str]:
    """Return the volumes with other content in this pod, with the suffix of their object's name by volume name."""
    name, volumes = workload["metadata"]["name"], workload["spec"]["template"]["spec"]["volumes"]
    found = {}
    for volume in volumes:
        held = (volume.get("configMap") or {}).get("name") or (volume.get("secret") or {}).get("secretName") or ""
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
        if claim == name or held == name or held in (f"{name}-admin", f"{name}-tls"):
            found[volume["name"]] = "claim" if claim else held.removeprefix(name).lstrip("-")
    return found


def mounts_of(workload: Obj) -> list[Obj]:
    """Return the mounts of the server and its init container, each path once."""
    spec = workload["spec"]["template"]["spec"]
    containers = [named(spec.get("initContainers"), "initialize"), named(spec["containers"], CONTAINER)]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or []]
    return list({mount["mountPath"]: mount for mount in mounts}.values())


def pod_of(workload: Obj, has_account: bool) -> Obj:
    """Return the manifest of the pod, which sleeps until the script runs in it."""
    workload = copy.deepcopy(workload)
    spec, own = workload["spec"]["template"]["spec"], own_volumes(workload)
    server = named(spec["containers"], CONTAINER)
    for name in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports", "args"):
        server.pop(name, None)
    mounts = mounts_of(workload)
    for mount in mounts:
        if mount["name"] in own:
            mount.pop("readOnly", None)
    server |= {"command": ["sleep", "600"], "volumeMounts": mounts}
    server["env"] = list({e["name"]: e for c in containers_of(spec) for e in c.get("env") or []}.values())
    # The server uses little memory without clients, and the node may lack memory for a second full-size server.
    server["resources"] = (server.get("resources") or {}) | {"requests": {"cpu": "10m", "memory": "64Mi"}}
    spec["volumes"] = [{"name": v["name"], "emptyDir": {}} if v["name"] in own else v for v in spec["volumes"]]
    claims = workload["spec"].get("volumeClaimTemplates") or []
    spec["volumes"] += [{"name": claim["metadata"]["name"], "emptyDir": {}} for claim in claims]
    spec |= {"containers": [server], "restartPolicy": "Never"}
    spec |= {"activeDeadlineSeconds": 600, "terminationGracePeriodSeconds": 0}
    spec.pop("initContainers", None)
    if not has_account:
        spec.pop("serviceAccountName", None)
    metadata = workload["metadata"]
    # Labels that neither the Service nor the StatefulSet selects.
    labels = metadata["labels"] | dict.fromkeys(
        ("app.kubernetes.io/name", "app.kubernetes.io/component"), "postgresql-check"
    )
    metadata = {"name": f"{metadata['name']}-check", "namespace": metadata["namespace"], "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def containers_of(spec: Obj) -> list[Obj]:
    """Return the init container and the server."""
    return [named(spec.get("initContainers"), "initialize"), named(spec["containers"], CONTAINER)]


def files_of(workload: Obj, configuration: Mapping[str, str]) -> dict[str, str]:
    """Return the files that replace the objects in the volumes, by path."""
    now = certificates.current_time()
    pair = certificates.server(certificates.authority("check", 1, now), ["check"], 1, now)
    contents = {"": configuration, "admin": {"password": secrets.token_hex(16)}, "tls": pair.values, "claim": {}}
    own = own_volumes(workload)
    return {
        f"{mount['mountPath'].rstrip('/')}/{name}": text
        for mount in mounts_of(workload)
        if mount["name"] in own
        for name, text in contents[own[mount["name"]]].items()
    }


def script_of(workload: Obj, configuration: Mapping[str, str], version: str) -> str:
    """Return the script. With a version, it also checks a volume of that version."""
    init_container, server = containers_of(workload["spec"]["template"]["spec"])
    probe = ((server.get("startupProbe") or {}).get("exec") or {}).get("command") or ["pg_isready", "--quiet"]
    files = files_of(workload, configuration)
    start = [*(server.get("command") or ["postgres"]), *(server.get("args") or [])]
    return SCRIPT.format(
        files="\n".join(f"printf %s {shlex.quote(text)} > {shlex.quote(path)}" for path, text in files.items()),
        version=shlex.quote(version),
        initialize=shlex.join(init_container.get("command") or ["true"]),
        start=shlex.join(start),
        probe=shlex.join(probe),
        tries=START_SECONDS * 5,
        seconds=START_SECONDS,
        code_version=VERSION,
        code_database=DATABASE,
        code_server=SERVER,
    )


def error_messages(log: str) -> list[str]:
    """Return the errors of a server that did not start, without times, files, and earlier messages."""
    levels = r"(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT)"
    lines = [match.groups() for line in log.splitlines() if (match := re.match(rf"(?:.*? )?{levels}:\s+(.*)", line))]
    # Wrong settings have one line each, and a last line that only counts them.
    of_files = any(level == "FATAL" and "contains errors" in text for level, text in lines)
    wanted = ("LOG", "DETAIL", "HINT") if of_files else ("ERROR", "FATAL", "PANIC", "DETAIL", "HINT")
    found = [re.sub(r' in file "[^"]*" line \d+', "", text).rstrip(".") for level, text in lines if level in wanted]
    # Some errors are printed before logging starts.
    return list(dict.fromkeys(found)) or [line for line in log.strip().splitlines() if line][-1:]


def explain(ended: Result, image: str, name: str) -> ServerError:
    """Return the error for a script that failed."""
    unchanged = "The running server was not changed"
    if ended.code == VERSION:
        return ServerError(f"{(ended.err.strip().splitlines() or [''])[-1]} {unchanged}.")
    reason = short("; ".join(error_messages(ended.err)), 1000)
    if ended.code == SERVER:
        thing = f"The settings for StatefulSet {name}"
        step = f"{unchanged}. Correct postgresql_settings or postgresql_overrides, {AGAIN}"
        return ServerError(thing, f"are rejected by PostgreSQL in {image}: {reason}", step)
    step = f"{unchanged}. Correct postgresql_image or postgresql_user_id, {AGAIN}"
    return ServerError(f"Image {image} for StatefulSet {name}", f"cannot create a database: {reason}", step)


def version_of(client: Client, workload: Obj | None) -> str:
    """Return the major version of the volume from its server. Empty if no server runs."""
    if not workload:
        return ""
    try:
        command = ["sh", "-c", 'cat "$PGDATA/PG_VERSION"']
        found = client.exec(f"{workload['metadata']['name']}-0", CONTAINER, command, timeout=10)
    except ApiError:
        return ""
    return found.out.strip() if not found.code and re.fullmatch(r"\d+\s*", found.out) else ""


def wait_for(client: Client, pod: str) -> None:
    """Wait until the pod runs. Raises ApiError at the timeout, which is long only for the pull of an image."""
    try:
        wait_until_running(client, pod, SCHEDULE_SECONDS)
    except ApiError:
        found = client.get("Pod", pod) or {}
        has_node = bool((found.get("spec") or {}).get("nodeName"))
        if not has_node or not has_not_started(found) or (found.get("status") or {}).get("phase") == "Failed":
            raise
        wait_until_running(client, pod, PULL_SECONDS)


def has_not_started(pod: Obj) -> bool:
    """Return whether no container of a pod was started: the pod waits for a node, its volumes, or its image."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    waits = [(status.get("state") or {}).get("waiting") or {} for status in statuses]
    return all(wait.get("reason") == "ContainerCreating" for wait in waits)


def image_is_cause(pod: Obj) -> bool:
    """Return whether the image is why a pod does not run, and not a node, quota, or volume."""
    has_claim = any("persistentVolumeClaim" in volume for volume in pod.get("spec", {}).get("volumes") or [])
    is_waiting = (pod.get("status") or {}).get("phase") == "Pending" and bool(pod.get("spec", {}).get("nodeName"))
    return not has_not_started(pod) or (is_waiting and not has_claim)


def refuse_settings(
    mode: str,
    warn: Callable[[str], Any],
    client: Client,
    wanted: list[Obj],
    existing: Mapping[Identity, Obj | None],
) -> None:
    """Raise ServerError if the server of a StatefulSet would not start. Warn if its test pod cannot run.

    Args:
        mode: `changed` tests only an existing server, `new` also a new one. Empty tests none.
    """
    workload = next((obj for obj in wanted if obj["kind"] == "StatefulSet"), None)
    if not mode or not workload or client.dry_run:
        return None
    before = existing[identity(workload)]
    if start_inputs(before) == start_inputs(workload) if before else mode != "new":
        return None
    name = workload["metadata"]["name"]
    image = named(workload["spec"]["template"]["spec"]["containers"], CONTAINER)["image"]
    configuration = next(
        (obj["data"] for obj in wanted if obj["kind"] == "ConfigMap" and obj["metadata"]["name"] == name), {}
    )
    script = script_of(workload, configuration, version_of(client, before))
    has_account = any(existing[identity(obj)] for obj in wanted if obj["kind"] == "ServiceAccount")
    untested = f"The new settings or image of StatefulSet {name} could not be tested before the pod is replaced: "
    try:
        with temporary_pod(client, pod_of(workload, has_account)) as pod:
            try:
                wait_for(client, pod)
            except ApiError as error:
                if not image_is_cause(client.get("Pod", pod) or {}):
                    return warn(f"{untested}{error.reason}.")
                step = f"The running server was not changed. Correct postgresql_image or postgresql_overrides, {AGAIN}"
                raise ServerError(f"Image {image} for StatefulSet {name}", error.reason, step) from error
            ended = client.exec(pod, CONTAINER, ["sh"], script, timeout=START_SECONDS + 60)
    except ApiError as error:
        if any(words in str(error) for words in NO_ROOM):
            return warn(f"{untested}{error.reason}.")
        raise
    if ended.code:
        raise explain(ended, image, name)
    return None
