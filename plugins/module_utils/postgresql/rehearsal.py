# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Start a server with new settings or a new image on an empty volume, before the pod of the present one is replaced.

Only the server's own program knows all settings, libraries, and combinations of both. It starts as in the StatefulSet,
with the same image, commands, and probe, in a pod of its own that has other Secrets and no claim.
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
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import Identity, Obj, identity
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql.server import temporary_pod
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import wait_until_running

CONFIGURATION = "cloud-django/configuration"
CONTAINER = "postgresql"
# All in seconds: until the pod is on a node, until its image is there, and for the server to start.
SCHEDULE_SECONDS = 15
PULL_SECONDS = 300
START_SECONDS = 60
# What may refuse this pod and not the server's: a quota, a user's rights, limits for requests, which are small here,
# and a webhook, which may want pods to have an owner.
NO_ROOM = (
    *("exceeded quota", "cannot create resource", "minimum cpu usage", "minimum memory usage"),
    *("limit to request ratio", "admission webhook"),
)
# Exit codes of the script: the volume's version is another, no database can be made, the server does not start.
VERSION, DATABASE, SERVER = 3, 4, 5

SCRIPT = """set -u
cd /tmp
fail() {{ cat /tmp/rehearsal.log >&2; exit "$1"; }}
umask 077
{files}
if [ -n {version} ]; then
  mkdir /tmp/present
  echo {version} > /tmp/present/PG_VERSION
  PGDATA=/tmp/present {initialise} </dev/null >/tmp/rehearsal.log 2>&1 || fail {code_version}
fi
{initialise} </dev/null >/tmp/rehearsal.log 2>&1 || fail {code_database}
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


def meaning(workload: Obj | None) -> Any:
    """Return what a start depends on: the configuration, and image and commands of each container."""
    template = (workload or {}).get("spec", {}).get("template", {})
    spec = template.get("spec", {})
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    programs = [[container.get(key) or [] for key in ("image", "command", "args")] for container in containers]
    return (template.get("metadata", {}).get("annotations") or {}).get(CONFIGURATION), programs


def own_volumes(workload: Obj) -> dict[str, str]:
    """Return which volumes of the pod get something else: by the volume's name the end of its object's name."""
    name, volumes = workload["metadata"]["name"], workload["spec"]["template"]["spec"]["volumes"]
    found = {}
    for volume in volumes:
        held = (volume.get("configMap") or {}).get("name") or (volume.get("secret") or {}).get("secretName") or ""
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
        if claim == name or held == name or held in (f"{name}-admin", f"{name}-tls"):
            found[volume["name"]] = "claim" if claim else held.removeprefix(name).lstrip("-")
    return found


def mounts_of(workload: Obj) -> list[Obj]:
    """Return the mounts of the server and of its init container, each path once."""
    spec = workload["spec"]["template"]["spec"]
    containers = [named(spec.get("initContainers"), "initialize"), named(spec["containers"], CONTAINER)]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or []]
    return list({mount["mountPath"]: mount for mount in mounts}.values())


def pod_of(workload: Obj, has_account: bool) -> Obj:
    """Return the manifest of the pod, which waits for the script."""
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
    # The server takes little memory as long as no client comes, and the node may have no room for a second one.
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
    # Neither the Service nor the StatefulSet selects it.
    labels = metadata["labels"] | dict.fromkeys(
        ("app.kubernetes.io/name", "app.kubernetes.io/component"), "postgresql-check"
    )
    metadata = {"name": f"{metadata['name']}-check", "namespace": metadata["namespace"], "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def containers_of(spec: Obj) -> list[Obj]:
    """Return the init container and the server."""
    return [named(spec.get("initContainers"), "initialize"), named(spec["containers"], CONTAINER)]


def files_of(workload: Obj, configuration: Mapping[str, str]) -> dict[str, str]:
    """Return the files that the volumes hold in place of the objects, by their paths."""
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
    """Return the script, for a volume of that version if there is one."""
    initialise, server = containers_of(workload["spec"]["template"]["spec"])
    probe = ((server.get("startupProbe") or {}).get("exec") or {}).get("command") or ["pg_isready", "--quiet"]
    files = files_of(workload, configuration)
    start = [*(server.get("command") or ["postgres"]), *(server.get("args") or [])]
    return SCRIPT.format(
        files="\n".join(f"printf %s {shlex.quote(text)} > {shlex.quote(path)}" for path, text in files.items()),
        version=shlex.quote(version),
        initialise=shlex.join(initialise.get("command") or ["true"]),
        start=shlex.join(start),
        probe=shlex.join(probe),
        tries=START_SECONDS * 5,
        seconds=START_SECONDS,
        code_version=VERSION,
        code_database=DATABASE,
        code_server=SERVER,
    )


def complaints(log: str) -> list[str]:
    """Return what a server that did not start complained of, without times, files, and what it did before."""
    levels = r"(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT)"
    lines = [match.groups() for line in log.splitlines() if (match := re.match(rf"(?:.*? )?{levels}:\s+(.*)", line))]
    # One line per setting, and a last one that only says that there are some.
    of_files = any(level == "FATAL" and "contains errors" in text for level, text in lines)
    wanted = ("LOG", "DETAIL", "HINT") if of_files else ("ERROR", "FATAL", "PANIC", "DETAIL", "HINT")
    told = [re.sub(r' in file "[^"]*" line \d+', "", text).rstrip(".") for level, text in lines if level in wanted]
    # Some reasons are printed before there is a log.
    return list(dict.fromkeys(told)) or [line for line in log.strip().splitlines() if line][-1:]


def explain(ended: Result, image: str, name: str) -> ServerError:
    """Return the error for a script that failed."""
    goes_on = "The running server was not changed"
    if ended.code == VERSION:
        return ServerError(f"{(ended.err.strip().splitlines() or [''])[-1]} {goes_on}.")
    reason = short("; ".join(complaints(ended.err)), 1000)
    if ended.code == SERVER:
        thing = f"The settings for StatefulSet {name}"
        step = f"{goes_on}. Correct postgresql_settings or postgresql_overrides, {AGAIN}"
        return ServerError(thing, f"are refused by PostgreSQL in {image}: {reason}", step)
    step = f"{goes_on}. Correct postgresql_image or postgresql_user_id, {AGAIN}"
    return ServerError(f"Image {image} for StatefulSet {name}", f"cannot make a database: {reason}", step)


def version_of(client: Client, workload: Obj | None) -> str:
    """Return the major version of the volume, as its server tells it; empty if none runs."""
    if not workload:
        return ""
    try:
        command = ["sh", "-c", 'cat "$PGDATA/PG_VERSION"']
        found = client.exec(f"{workload['metadata']['name']}-0", CONTAINER, command, timeout=10)
    except ApiError:
        return ""
    return found.out.strip() if not found.code and re.fullmatch(r"\d+\s*", found.out) else ""


def wait_for(client: Client, pod: str) -> None:
    """Wait until the pod runs. Raises ApiError if it never does; only an image takes longer than some seconds."""
    try:
        wait_until_running(client, pod, SCHEDULE_SECONDS)
    except ApiError:
        found = client.get("Pod", pod) or {}
        has_node = bool((found.get("spec") or {}).get("nodeName"))
        if not has_node or not was_held(found) or (found.get("status") or {}).get("phase") == "Failed":
            raise
        wait_until_running(client, pod, PULL_SECONDS)


def was_held(pod: Obj) -> bool:
    """Tell whether no container of a pod was tried: no node takes the pod, or it waits for its volumes or image."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    waits = [(status.get("state") or {}).get("waiting") or {} for status in statuses]
    return all(wait.get("reason") == "ContainerCreating" for wait in waits)


def blames_image(pod: Obj) -> bool:
    """Tell whether the image keeps a pod from running, and no node, quota, or volume that the server has as well."""
    has_claim = any("persistentVolumeClaim" in volume for volume in pod.get("spec", {}).get("volumes") or [])
    is_waiting = (pod.get("status") or {}).get("phase") == "Pending" and bool(pod.get("spec", {}).get("nodeName"))
    return not was_held(pod) or (is_waiting and not has_claim)


def refuse_settings(
    mode: str,
    warn: Callable[[str], Any],
    client: Client,
    wanted: list[Obj],
    existing: Mapping[Identity, Obj | None],
) -> None:
    """Raise ServerError if the server of a StatefulSet would not start. Without room for its pod, warn.

    Args:
        mode: `changed` if only a server that exists is of interest, `new` for one that does not exist as well.
    """
    workload = next((obj for obj in wanted if obj["kind"] == "StatefulSet"), None)
    if not mode or not workload or client.dry_run:
        return None
    before = existing[identity(workload)]
    if meaning(before) == meaning(workload) if before else mode != "new":
        return None
    name = workload["metadata"]["name"]
    image = named(workload["spec"]["template"]["spec"]["containers"], CONTAINER)["image"]
    configuration = next(
        (obj["data"] for obj in wanted if obj["kind"] == "ConfigMap" and obj["metadata"]["name"] == name), {}
    )
    script = script_of(workload, configuration, version_of(client, before))
    has_account = any(existing[identity(obj)] for obj in wanted if obj["kind"] == "ServiceAccount")
    unknown = f"The new settings or image of StatefulSet {name} were not tried before its pod is replaced: "
    try:
        with temporary_pod(client, pod_of(workload, has_account)) as pod:
            try:
                wait_for(client, pod)
            except ApiError as error:
                if not blames_image(client.get("Pod", pod) or {}):
                    return warn(f"{unknown}{error.reason}.")
                step = f"The running server was not changed. Correct postgresql_image or postgresql_overrides, {AGAIN}"
                raise ServerError(f"Image {image} for StatefulSet {name}", error.reason, step) from error
            ended = client.exec(pod, CONTAINER, ["sh"], script, timeout=START_SECONDS + 60)
    except ApiError as error:
        if any(words in str(error) for words in NO_ROOM):
            return warn(f"{unknown}{error.reason}.")
        raise
    if ended.code:
        raise explain(ended, image, name)
    return None
