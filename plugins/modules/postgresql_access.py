#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Make a database, its schema, roles and grants what they shall be, and keep the Secrets of the roles."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_access
short_description: Keep a PostgreSQL database, its roles, grants and their Secrets
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Reads a server's catalog with C(psql) in a pod, compares it with what is wanted, and makes the difference in one
    transaction. Only C(CREATE DATABASE) stands outside of it, since PostgreSQL wants it so.
  - What somebody changed by hand is mended. That is a password, a missing or surplus grant, an owner, an attribute such
    as SUPERUSER, a membership, a missing role. Roles that are not named here are left alone.
  - Passwords reach the server as SCRAM-SHA-256 verifiers only, through the standard input of C(psql), so that they are
    in no argument list and in no log. They are kept in one Secret per role, generated with 32 characters unless given.
requirements:
  - A server of PostgreSQL 16 or newer
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: >-
      Reads only, and tells what would be changed. With O(client_pod) the pod that reads is made, and removed again.
    support: full
  diff_mode:
    description: Shows the statements, without passwords and verifiers.
    support: full
options:
  namespace:
    description: The namespace of the pod and of the Secrets.
    type: str
    required: true
  labels:
    description: Labels of the Secrets. C(app.kubernetes.io/managed-by=cloud-django) marks them as ours.
    type: dict
    default: {}
  state:
    description:
      - V(absent) removes the Secrets, and with O(client_pod) the database and its roles as well. Those of a server in
        the cluster go with its volume.
    type: str
    choices: [present, absent]
    default: present
  pod:
    description: The pod in which the server runs, and where the administrator may enter over the socket.
    type: str
  container:
    description: The container of the server in O(pod).
    type: str
    default: postgresql
  client_pod:
    description:
      - The manifest of a pod with C(psql), for a server outside of the cluster. It is made, used and removed. Its
        environment names the server, and the file C(/run/secrets/admin/password) the administrator's password.
    type: dict
  required_secrets:
    description: Secrets that O(client_pod) mounts, each with the keys that it must have.
    type: dict
    default: {}
  server_host:
    description: Name of the server as clients reach it, for the Secrets.
    type: str
    required: true
  server_port:
    description: Port of the server.
    type: int
    default: 5432
  ca_secret:
    description: Name of the Secret with the server's certificate authority as C(tls.crt).
    type: str
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  schema:
    description: Name of the schema in it.
    type: str
    required: true
  owner:
    description: Name of the role that owns database and schema, and that cannot log in.
    type: str
    required: true
  roles:
    description: The roles that log in.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      access:
        description:
          - V(owner) becomes the owner when it logs in, V(write) may read and write rows, V(read) may read them.
        type: str
        choices: [owner, write, read]
        required: true
      secret:
        description: Name of the Secret for those who log in as this role.
        type: str
        required: true
      password:
        description: Password. Unset, the one in the Secret is kept, or one is generated.
        type: str
      connection_limit:
        description:
          - How many connections it may have at the same time; V(-1) is no limit.
          - A number below that leaves so many of those that the server accepts to others; V(-15) leaves 15.
        type: int
        default: -1
      settings:
        description: Settings of its sessions, such as C(statement_timeout).
        type: dict
        default: {}
  extensions:
    description: Extensions that the database has to have. They are made in the schema.
    type: list
    elements: str
    default: []
  connections:
    description: How many connections will be needed. More than the server accepts is refused.
    type: int
    default: 0
  expected_connections:
    description:
      - How many connections a server will accept that the run makes which a dry run foretells.
      - Once there is one it is asked.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Keep the database of the site
  cloud_django.kubernetes.postgresql_access:
    kubeconfig: ~/.kube/config
    context: minikube
    namespace: polls
    pod: polls-postgresql-0
    server_host: polls-postgresql.polls.svc
    ca_secret: polls-postgresql-ca
    database: polls
    schema: polls
    owner: polls_owner
    roles:
      - name: polls_app
        access: write
        secret: polls-database-app
        connection_limit: 32
"""

RETURN = r"""
changes:
  description: What was changed, or would be, one sentence each.
  returned: success
  type: list
  elements: str
  sample: [grant INSERT on table polls.polls_choice to polls_app]
"""

import copy
import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils import certificates, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import postgresql_plan as planning
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.cluster_api import (
    Cluster,
    Ended,
    Trouble,
    connect,
    is_ours,
    secret_data,
    secret_manifest,
    short,
)
from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

POD_SECONDS = 60
# PostgreSQL needs room for one more file of its write-ahead log, 16 MiB, or it stops.
LEAST_FREE_KIB = 16 * 1024
# A server that has just started, or that recovers from a crash, refuses at first.
START_SECONDS = 15
STARTING = ("starting up", "not yet accepting connections", "in recovery mode", "shutting down")
REFUSALS = ("authentication failed", "pg_hba.conf", "is not permitted to log in", "permission denied for database")
PSQL = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname=postgres", "--file=-"]
WITH_FREE_SPACE = 'df -Pk "$PGDATA" | tail -n 1; exec "$@"'
WITH_PASSWORD = 'PGPASSWORD="$(cat /run/secrets/admin/password)"; export PGPASSWORD; exec "$@"'
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass
class Psql:
    """Runs scripts as the administrator, in the server's own pod or in a client's."""

    cluster: Cluster
    pod: str
    container: str
    host: str
    port: int
    is_client: bool

    def run(self, script: str) -> Ended:
        """Run a script, again for a while if the server has only just started."""
        wrapper = WITH_PASSWORD if self.is_client else WITH_FREE_SPACE
        until = time.monotonic() + START_SECONDS
        while True:
            ended = self.cluster.run(self.pod, self.container, ["sh", "-c", wrapper, "sh", *PSQL], script, timeout=90)
            if ended.code and any(words in ended.err for words in STARTING) and time.monotonic() < until:
                time.sleep(0.5)
                continue
            return ended

    def output(self, script: str) -> str:
        ended = self.run(script)
        if not self.is_client:
            refuse_full_volume(ended.out, self.pod)
        if ended.code:
            raise Trouble(explain(ended.err, f"{self.host}:{self.port}", self))
        return ended.out

    def logs_in(self, database: str, role: str, password: str) -> bool:
        """Tell whether a password is right, by trying. A refusal for another reason counts as right."""
        connection = planning.conninfo(dbname=database, user=role, password=password)
        ended = self.run(f"{planning.PREAMBLE}\\connect {connection}\n\\q\n")
        return "password authentication failed" not in ended.err


def refuse_full_volume(out: str, pod: str) -> None:
    """Raise Trouble if the line of `df` before the catalog tells that there is no room for another file of the log."""
    match = re.match(r"\S.*?\s(\d+)\s+(\d+)\s+(\d+)\s+(\d+)%\s", out)
    if match and int(match[3]) < LEAST_FREE_KIB:
        raise Trouble(
            f"The volume of pod {pod} is full: {int(match[3]) // 1024} MiB of {int(match[1]) // 1024} MiB are free, "
            "and writes fail. Raise postgresql_storage_size or remove rows, then run the playbook again."
        )


def shown_certificate(host: str, port: int, limit: float = 3.0) -> bytes:
    """Return the certificate that a server shows this machine, in DER; empty if it cannot be reached from here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=limit) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                return b""
            with context.wrap_socket(plain, server_hostname=host) as secure:
                return secure.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


def explain(err: str, where: str, psql: Psql | None = None) -> str:
    """Return the sentence for what psql complains of."""
    lines = [line for line in err.splitlines() if not re.match(r"LINE \d+:|\s*\^|\s+Is the server running", line)]
    text = short(re.sub(r"psql:(<stdin>:\d+:|/?\S*:\d+:)? ?(error: )?", "", " ".join(lines)))
    cause = re.sub(r'connection to server (at|on socket) "[^"]*"( \([^)]*\))?(, port \d+)? failed: ', "", text)
    server, again = f"The database server {where}", "then run the playbook again."
    if "certificate verify failed" in text:
        reason = ""
        if psql and psql.is_client and (shown := shown_certificate(psql.host, psql.port)):
            reason = certificates.served_fault(shown, certificates.current_time())
        reason = reason or "its certificate is not signed by the authority in the Secret, or it has expired"
        return f"{server} cannot be trusted: {reason}. Renew it or correct the authority, {again}"
    if "does not match host name" in text:
        return f"{server} cannot be trusted: {cause}. Correct its certificate or the host, {again}"
    if "No space left on device" in text:
        return f"The volume of the database server {where} is full: {cause}. Enlarge it, {again}"
    if any(words in text for words in REFUSALS):
        return f"{server} refuses the administrator: {cause}. Correct the admin Secret or the server, {again}"
    if "connection to server" in text or "could not translate host name" in text:
        return f"{server} cannot be reached: {cause}. Start it or correct its address, {again}"
    return f"{server} refuses a statement, and nothing was changed: {cause}. Mend that, {again}"


# --- Secrets ----------------------------------------------------------------------------------------------------------


def read_secrets(cluster: Cluster, params: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what each role's Secret holds. Raises Trouble for one that is not ours, or lost its password."""
    held = {}
    for role in params["roles"]:
        secret = cluster.get("Secret", role["secret"])
        if secret is None:
            continue
        if not is_ours(secret):
            raise Trouble(
                f"Secret {role['secret']} in namespace {cluster.namespace} is there already and not from this "
                "collection. Choose another app_name or app_namespace, or remove it, then run the playbook again."
            )
        values = secret_data(secret)
        missing = [key for key in ("username", "password") if not values.get(key)]
        if missing:
            raise Trouble(
                f"Secret {role['secret']} in namespace {cluster.namespace} has no {' and no '.join(missing)}. Restore "
                "what it held, or delete it to have a new password made, then run the playbook again."
            )
        held[role["secret"]] = values
    return held


def required_values(cluster: Cluster, name: str, keys: list[str]) -> dict[str, str]:
    """Return what a Secret holds that another role or a person made. Raises Trouble if it lacks something."""
    secret = cluster.get("Secret", name)
    missing = list(keys) if secret is None else [key for key in keys if not secret_data(secret).get(key)]
    if secret is None:
        raise Trouble(
            f"Secret {name} in namespace {cluster.namespace} is missing. Run playbooks/site.yml --tags postgresql, "
            "then run the playbook again."
        )
    if missing:
        raise Trouble(
            f"Secret {name} in namespace {cluster.namespace} has no {' and no '.join(missing)}. "
            "Add it, then run the playbook again."
        )
    return secret_data(secret)


def wanted_secrets(params: dict[str, Any], wanted: planning.Wanted, ca: str) -> dict[str, dict[str, str]]:
    """Return what each role's Secret shall hold."""
    secrets_by_name = {}
    for option, role in zip(params["roles"], wanted.roles, strict=True):
        values = {
            "host": params["server_host"],
            "port": str(params["server_port"]),
            "database": wanted.database,
            "schema": wanted.schema,
            "username": role.name,
            "password": role.password,
            "ca.crt": ca,
        }
        secrets_by_name[option["secret"]] = values | ({"role": wanted.owner} if role.access == "owner" else {})
    return secrets_by_name


def wanted_state(params: dict[str, Any], held: dict[str, dict[str, str]]) -> planning.Wanted:
    """Return what the options ask for, with passwords. Raises Trouble for names that would need quoting everywhere."""
    names = [params["database"], params["schema"], params["owner"], *(role["name"] for role in params["roles"])]
    for name in names:
        if not planning.IDENTIFIER.fullmatch(name):
            raise Trouble(
                f"The name {name} cannot be used in the database: it may have small letters, digits and underscores, "
                "begins with a letter, and has 63 characters at most. Choose another, then run the playbook again."
            )
    roles = []
    for option in params["roles"]:
        password = option["password"] or held.get(option["secret"], {}).get("password") or scram.generated_password()
        if "\0" in password:
            raise Trouble(f"The password of role {option['name']} has a null character. Choose another.")
        settings = {name: str(value) for name, value in (option["settings"] or {}).items()}
        roles.append(planning.Role(option["name"], option["access"], password, option["connection_limit"], settings))
    return planning.Wanted(
        database=params["database"],
        schema=params["schema"],
        owner=params["owner"],
        roles=tuple(roles),
        extensions=tuple(params["extensions"]),
        connections=params["connections"],
    )


# --- The work ---------------------------------------------------------------------------------------------------------


def wrong_passwords(wanted: planning.Wanted, catalog: dict[str, Any], psql: Psql | None) -> set[str]:
    """Return the roles that have another password than wanted; where verifiers may not be seen, by logging in."""
    existing = [role for role in wanted.roles if role.name in catalog["roles"]]
    if "verifiers" in catalog:
        verifiers = catalog["verifiers"]
        wrong = {role.name for role in existing if not scram.fits(role.password, verifiers.get(role.name))}
        return wrong | ({wanted.owner} if verifiers.get(wanted.owner) else set())
    database = wanted.database if catalog["database"] else "postgres"
    return {role.name for role in existing if psql and not psql.logs_in(database, role.name, role.password)}


def changes_for(wanted: planning.Wanted, catalog: dict[str, Any], psql: Psql | None) -> list[planning.Change]:
    if catalog["version"] < planning.OLDEST_VERSION:
        catalog = planning.nothing() | catalog
    try:
        return planning.plan(wanted, catalog, wrong_passwords(wanted, catalog, psql), scram.verifier)
    except planning.Unsuitable as reason:
        raise Trouble(f"{reason} Then run the playbook again.") from None


def make_so(wanted: planning.Wanted, psql: Psql, check_mode: bool) -> list[planning.Change]:
    """Make the server what is wanted, and return what was changed; in check mode only what would be."""
    done: list[planning.Change] = []
    # What a first pass changes can bring more to light: a table that got another owner has other grants.
    for _ in range(3):
        catalog = planning.parsed(psql.output(planning.reading_script(wanted)))
        changes = changes_for(wanted, catalog, psql)
        if check_mode or not changes:
            return done + changes
        psql.output(planning.writing_script(wanted, changes, catalog["me"]["super"]))
        done += changes
    raise Trouble(
        f"Database {wanted.database} still differs after it was mended: {changes[0].text}. "
        "Look for what changes it back, then run the playbook again."
    )


@contextmanager
def opened(cluster: Cluster, params: dict[str, Any]) -> Iterator[Psql]:
    """Yield the way to the server; a client's pod is removed at the end."""
    host, port = params["server_host"], params["server_port"]
    if not params["client_pod"]:
        yield Psql(cluster, params["pod"], params["container"], host, port, is_client=False)
        return
    manifest = copy.deepcopy(params["client_pod"])
    # A name of its own, so that two plays at the same time do not share a pod.
    name = f"{manifest['metadata']['name']}-{secrets.token_hex(3)}"
    manifest["metadata"]["name"] = name
    cluster.create(manifest)
    try:
        cluster.wait_until_running(name, POD_SECONDS)
        yield Psql(cluster, name, manifest["spec"]["containers"][0]["name"], host, port, is_client=True)
    finally:
        cluster.delete("Pod", name, grace=0)


def server_runs(cluster: Cluster, pod: str) -> bool:
    status = (cluster.get("Pod", pod) or {}).get("status", {})
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])


def can_look(cluster: Cluster, params: dict[str, Any]) -> bool:
    """Tell whether there is a server to read from, or all that a client's pod needs."""
    if not cluster.namespace_exists():
        return False
    if params["client_pod"]:
        return all(cluster.get("Secret", name) for name in params["required_secrets"])
    return server_runs(cluster, params["pod"])


def present(params: dict[str, Any], check_mode: bool, cluster: Cluster) -> dict[str, Any]:
    held = read_secrets(cluster, params)
    wanted = wanted_state(params, held)
    # The server, or what the way to it takes, may be made by the run that this dry run foretells.
    if check_mode and not can_look(cluster, params):
        changes = changes_for(wanted, planning.nothing(connections=params["expected_connections"]), None)
        return result([change.text for change in changes], [change.shown for change in changes])
    if not params["client_pod"] and not server_runs(cluster, params["pod"]):
        raise Trouble(
            f"The database server in pod {params['pod']} of namespace {cluster.namespace} is not ready. "
            "Run playbooks/site.yml --tags postgresql, then run the playbook again."
        )
    for name, keys in params["required_secrets"].items():
        required_values(cluster, name, keys)
    ca = required_values(cluster, params["ca_secret"], ["tls.crt"])["tls.crt"]
    with opened(cluster, params) as psql:
        changes = make_so(wanted, psql, check_mode)
    texts = [change.text for change in changes]
    for name, values in wanted_secrets(params, wanted, ca).items():
        if held.get(name) != values:
            texts.append(f"{'change' if name in held else 'make'} Secret {name}")
            if not check_mode:
                cluster.apply(secret_manifest(name, cluster.namespace, params["labels"], values))
    return result(texts, [change.shown for change in changes])


def absent(params: dict[str, Any], check_mode: bool, cluster: Cluster) -> dict[str, Any]:
    """Remove what is ours. The database of an external server is dropped only while we have its Secrets."""
    found = {role["secret"]: cluster.get("Secret", role["secret"]) for role in params["roles"]}
    ours = [name for name, secret in found.items() if secret and is_ours(secret)]
    texts = [f"remove Secret {name}" for name in ours]
    if params["client_pod"] and ours:
        texts.insert(0, f"drop database {params['database']} and its roles")
    if not check_mode:
        if params["client_pod"] and ours:
            with opened(cluster, params) as psql:
                psql.output(planning.removing_script(wanted_state(params, {})))
        for name in ours:
            cluster.delete("Secret", name)
    return result(texts, [])


def result(texts: list[str], statements: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"changed": bool(texts), "changes": texts}
    return told | ({"diff": {"prepared": "".join(f"{sql};\n" for sql in statements)}} if statements else {})


def argument_spec() -> dict[str, Any]:
    role = {
        "name": {"type": "str", "required": True},
        "access": {"type": "str", "choices": ["owner", "write", "read"], "required": True},
        "secret": {"type": "str", "required": True, "no_log": False},
        "password": {"type": "str", "no_log": True},
        "connection_limit": {"type": "int", "default": -1},
        "settings": {"type": "dict", "default": {}},
    }
    return copy.deepcopy(AUTH_ARG_SPEC) | {
        "namespace": {"type": "str", "required": True},
        "labels": {"type": "dict", "default": {}},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "pod": {"type": "str"},
        "container": {"type": "str", "default": "postgresql"},
        "client_pod": {"type": "dict"},
        "required_secrets": {"type": "dict", "default": {}, "no_log": False},
        "server_host": {"type": "str", "required": True},
        "server_port": {"type": "int", "default": 5432},
        "ca_secret": {"type": "str", "required": True, "no_log": False},
        "database": {"type": "str", "required": True},
        "schema": {"type": "str", "required": True},
        "owner": {"type": "str", "required": True},
        "roles": {"type": "list", "elements": "dict", "required": True, "options": role},
        "extensions": {"type": "list", "elements": "str", "default": []},
        "connections": {"type": "int", "default": 0},
        "expected_connections": {"type": "int", "default": 100},
    }


def main() -> None:
    module = AnsibleK8SModule(
        module_class=AnsibleModule,
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_one_of=[("pod", "client_pod")],
    )
    work = present if module.params["state"] == "present" else absent
    try:
        outcome = work(module.params, module.check_mode, connect(module))
    except Trouble as trouble:
        module.fail_json(changed=False, msg=str(trouble))
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
