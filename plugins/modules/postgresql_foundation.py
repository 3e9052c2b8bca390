#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Check what a PostgreSQL server in a cluster stands on, and keep its Secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_foundation
short_description: Check what a PostgreSQL server stands on, and keep its Secrets
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Keeps three Secrets, which are named after the server. C(<name>-admin) has the administrator's C(username) and
    C(password), C(<name>-ca) our certificate authority, and C(<name>-tls) the certificate that the server shows.
  - What is missing is made, with a password of 32 characters; what is there is kept. A certificate is renewed when few
    days are left, or when it no longer fits its authority or the names of the server. An authority is renewed with its
    old key, so that those who trust the old one trust the new one too.
  - A server that runs is made to serve a renewed certificate without a restart, and its administrator's password is
    mended where it no longer is the one in the Secret.
  - Refuses in one sentence, before anything is changed, what could not work later. That is an object of the same name
    that is not ours, a Secret with missing keys, a storage class that does not exist, a volume that would have to
    shrink or to change its class.
  - No secret value is ever returned.
requirements:
  - cryptography >= 42.0.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: Reads only, and tells what would be changed.
    support: full
  diff_mode:
    description: Shows what would change.
    support: none
options:
  namespace:
    description: The namespace of the server.
    type: str
    required: true
  name:
    description: The name of the server; all its objects have it, or begin with it.
    type: str
    required: true
  labels:
    description: Labels of the Secrets. C(app.kubernetes.io/managed-by=cloud-django) marks them as ours.
    type: dict
    default: {}
  state:
    description: V(absent) changes nothing, but returns which objects are there and ours.
    type: str
    choices: [present, absent]
    default: present
  external:
    description: The server is not in the cluster. Only the Secrets with the administrator and the authority are kept.
    type: bool
    default: false
  admin_username:
    description: Name of the administrator's role.
    type: str
    default: postgres
  admin_password:
    description: Password of the administrator's role. Unset, the one in the Secret is kept, or one is generated.
    type: str
  ca_certificate:
    description: The authority of an external server, in PEM. Unset, the one in the Secret is kept.
    type: str
  dns_names:
    description: Names of the server in its certificate.
    type: list
    elements: str
    default: []
  ca_days:
    description: For how many days an authority is valid.
    type: int
    default: 3650
  certificate_days:
    description: For how many days a certificate is valid.
    type: int
    default: 365
  renew_days:
    description: With how many days left a certificate is renewed.
    type: int
    default: 30
  claim:
    description: The claim for the server's volume.
    type: dict
    suboptions:
      name:
        description: The name of the claim.
        type: str
        required: true
      size:
        description: How large the volume shall be.
        type: str
        required: true
      storage_class:
        description: The class of the volume; empty takes the cluster's default.
        type: str
        default: ""
  container:
    description: The container of the server in its first pod, C(<name>-0).
    type: str
    default: postgresql
  reload_timeout:
    description: How many seconds a renewed certificate may take until the server has it.
    type: int
    default: 150
"""

EXAMPLES = r"""
- name: Keep the Secrets of a server
  cloud_django.kubernetes.postgresql_foundation:
    kubeconfig: ~/.kube/config
    context: minikube
    namespace: polls
    name: polls-postgresql
    labels:
      app.kubernetes.io/managed-by: cloud-django
    dns_names: [polls-postgresql, polls-postgresql.polls.svc]
    claim:
      name: polls-postgresql
      size: 10Gi
"""

RETURN = r"""
namespace_exists:
  description: Whether the namespace is there.
  returned: always
  type: bool
server_ready:
  description: Whether the server accepts connections already, as its StatefulSet wants it.
  returned: always
  type: bool
claim_bound:
  description: Whether the server has its volume already.
  returned: always
  type: bool
objects:
  description: The objects of the server that are there and ours, as C(Kind/name).
  returned: always
  type: list
  elements: str
changes:
  description: What was changed, or would be.
  returned: always
  type: list
  elements: str
  sample: [make the password of the administrator, renew the certificate since 12 days are left]
"""

import copy
import json
import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils import certificates, quantity, scram
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.cluster_api import (
    Cluster,
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

KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget")
SECRET_KEYS = {"admin": ("username", "password"), "ca": ("tls.crt", "tls.key"), "tls": ("tls.crt", "tls.key")}
POLL_SECONDS = 0.5
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

STATE_QUERY = """SELECT jsonb_build_object('certificate', pg_read_file(current_setting('ssl_cert_file')),
 'loaded', pg_conf_load_time() > (pg_stat_file(current_setting('ssl_cert_file'))).modification,
 'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = {admin}),
 'admin', EXISTS (SELECT FROM pg_authid WHERE rolname = {admin}))"""


def amount(size: str) -> Decimal:
    """Return the bytes of a volume's size. Raises Trouble if it is none."""
    try:
        return quantity.parse(size)
    except ValueError:
        raise Trouble(
            f"The size {size} of the volume is no amount that Kubernetes knows. Write for example 10Gi."
        ) from None


@dataclass
class Found:
    """What is in the namespace."""

    objects: dict[str, dict[str, Any]]
    secrets: dict[str, dict[str, Any]]
    claim: dict[str, Any] | None = None

    @property
    def claim_bound(self) -> bool:
        return bool(self.claim) and self.claim.get("status", {}).get("phase") == "Bound"


def look(cluster: Cluster, name: str, claim: str, external: bool) -> Found:
    found = Found({}, {})
    for suffix in SECRET_KEYS:
        if secret := cluster.get("Secret", f"{name}-{suffix}"):
            found.secrets[suffix] = secret
    if external:
        return found
    for kind in KINDS:
        if item := cluster.get(kind, name):
            found.objects[kind] = item
    found.claim = cluster.get("PersistentVolumeClaim", claim) if claim else None
    return found


def is_settled(stateful_set: dict[str, Any] | None) -> bool:
    """Tell whether a StatefulSet has nothing left to do, and its pod is ready."""
    if not stateful_set:
        return False
    status, wanted = stateful_set.get("status", {}), stateful_set.get("spec", {}).get("replicas", 1)
    return (
        status.get("observedGeneration") == stateful_set["metadata"].get("generation")
        and status.get("currentRevision") == status.get("updateRevision")
        and wanted == status.get("replicas", 0) == status.get("availableReplicas", 0)
    )


def own_objects(found: Found) -> list[str]:
    """Return what is there and ours, as Kind/name."""
    items = [*((kind, item) for kind, item in found.objects.items()), *(("Secret", s) for s in found.secrets.values())]
    items += [("PersistentVolumeClaim", found.claim)] if found.claim else []
    return [f"{kind}/{item['metadata']['name']}" for kind, item in items if is_ours(item)]


def refuse_foreign(found: Found, namespace: str) -> None:
    """Raise Trouble if an object of our name belongs to somebody else."""
    items = [*found.objects.items()] + ([("PersistentVolumeClaim", found.claim)] if found.claim else [])
    for kind, item in items:
        if not is_ours(item):
            raise Trouble(
                f"{kind} {item['metadata']['name']} in namespace {namespace} is there already and not from this "
                "collection. Choose another app_name or app_namespace, or remove it, then run the playbook again."
            )


def refuse_broken_secrets(found: Found, namespace: str, external: bool) -> None:
    """Raise Trouble if a Secret lacks a key, or holds no certificate where one belongs."""
    for suffix, secret in found.secrets.items():
        name = secret["metadata"]["name"]
        needed = ("tls.crt",) if external and suffix == "ca" else SECRET_KEYS[suffix]
        values = secret_data(secret)
        missing = [key for key in needed if not values.get(key)]
        if missing:
            raise Trouble(
                f"Secret {name} in namespace {namespace} has no {' and no '.join(missing)}. Restore what it held, "
                "or delete it to have a new one made, then run the playbook again."
            )
        if not external and not is_ours(secret):
            raise Trouble(
                f"Secret {name} in namespace {namespace} is there already and not from this collection. "
                "Choose another app_name or app_namespace, or remove it, then run the playbook again."
            )
        if suffix == "ca" and not external:
            reason = certificates.fault(certificates.Pair(values["tls.crt"], values["tls.key"]))
            if reason:
                raise Trouble(
                    f"Secret {name} in namespace {namespace} is no certificate authority: {reason}. Restore what it "
                    "held, or delete it to have a new one made, then run the playbook again."
                )


def refuse_storage(claim: dict[str, Any], found: Found, classes: list[dict[str, Any]]) -> None:
    """Raise Trouble if the claim can never be served as it is wanted."""
    wanted = claim["storage_class"]
    size = amount(claim["size"])
    if found.claim:
        spec = found.claim["spec"]
        held = spec["resources"]["requests"]["storage"]
        if size < amount(held):
            raise Trouble(
                f"The volume of claim {claim['name']} has {held}, and volumes cannot shrink to {claim['size']}. "
                f"Set postgresql_storage_size to {held} or more, then run the playbook again."
            )
        if wanted and spec.get("storageClassName") != wanted:
            raise Trouble(
                f"The volume of claim {claim['name']} is of storage class {spec.get('storageClassName') or 'none'}, "
                f"and cannot become one of {wanted}. Set postgresql_storage_class back, or move the data by backup and "
                "restore."
            )
        current = next((c for c in classes if c["metadata"]["name"] == spec.get("storageClassName")), {})
        if size > amount(held) and not current.get("allowVolumeExpansion"):
            raise Trouble(
                f"The volume of claim {claim['name']} has {held}, and its storage class "
                f"{spec.get('storageClassName') or 'none'} cannot enlarge it to {claim['size']}. "
                f"Set postgresql_storage_size back to {held}, or move the data by backup and restore."
            )
        return
    names = sorted(c["metadata"]["name"] for c in classes)
    if wanted and wanted not in names:
        raise Trouble(
            f"Storage class {wanted} does not exist in this cluster. Set postgresql_storage_class to "
            f"{'one of ' + ', '.join(names) if names else 'one that you made'}, then run the playbook again."
        )
    defaults = [c for c in classes if (c["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
    if not wanted and not defaults:
        raise Trouble(
            "This cluster has no default storage class. Set postgresql_storage_class to "
            f"{'one of ' + ', '.join(names) if names else 'one that you made'}, then run the playbook again."
        )


@dataclass(frozen=True)
class Step:
    """A Secret that has to be written, and why."""

    suffix: str
    values: dict[str, str]
    text: str


def steps(params: dict[str, Any], found: Found, now: datetime) -> list[Step]:
    """Return which Secrets are to be written. Raises Trouble if a value is needed that only the user has."""
    held = {suffix: secret_data(secret) for suffix, secret in found.secrets.items()}
    todo = []
    admin = held.get("admin", {})
    password = (
        params["admin_password"] or admin.get("password") or ("" if params["external"] else scram.generated_password())
    )
    if "\0" in password:
        raise Trouble("The password of the administrator has a null character. Choose another.")
    username = params["admin_username"] if not params["external"] or params["admin_password"] else admin.get("username")
    if not password:
        raise Trouble(
            f"Secret {params['name']}-admin with username and password of the external server's administrator is "
            "missing. Make it, or set postgresql_admin_password, then run the playbook again."
        )
    values = {"username": username or params["admin_username"], "password": password}
    if values != {key: admin.get(key) for key in values}:
        todo.append(Step("admin", values, f"{'change' if admin else 'make'} the administrator's password"))
    if params["external"]:
        return todo + external_authority(params, held.get("ca", {}))
    return todo + renewals(params, held, now)


def external_authority(params: dict[str, Any], held: dict[str, str]) -> list[Step]:
    wanted = params["ca_certificate"] or held.get("tls.crt", "")
    if not wanted:
        raise Trouble(
            f"Secret {params['name']}-ca with the external server's certificate authority as tls.crt is missing. "
            "Make it, or set postgresql_ca_certificate, then run the playbook again."
        )
    values = {"tls.crt": wanted}
    return [Step("ca", values, "keep the server's certificate authority")] if held.get("tls.crt") != wanted else []


def renewals(params: dict[str, Any], held: dict[str, dict[str, str]], now: datetime) -> list[Step]:
    """Return the authority and the server certificate that are missing, or of which too few days are left."""
    if params["renew_days"] >= params["certificate_days"]:
        raise Trouble(
            f"A certificate of {params['certificate_days']} days that is renewed {params['renew_days']} days before "
            "its end would be renewed in each run. Set postgresql_certificate_days higher."
        )
    name, todo = params["name"], []
    ca_days = params["ca_days"]
    title = f"{name} in {params['namespace']}"
    if "ca" not in held:
        ca = certificates.authority(title, ca_days, now)
        todo.append(Step("ca", {"tls.crt": ca.certificate, "tls.key": ca.key}, "make a certificate authority"))
    else:
        ca = certificates.Pair(held["ca"]["tls.crt"], held["ca"]["tls.key"])
        # So early that no certificate has to end before its time.
        if reason := certificates.authority_reason(ca, now, min(params["certificate_days"], ca_days - 1)):
            ca = certificates.authority(title, ca_days, now, ca.key)
            values = {"tls.crt": ca.certificate, "tls.key": ca.key}
            todo.append(Step("ca", values, f"renew the certificate authority since {reason}"))
    if "tls" in held:
        pair = certificates.Pair(held["tls"]["tls.crt"], held["tls"]["tls.key"])
        reason = certificates.server_reason(pair, ca, params["dns_names"], now, params["renew_days"])
        text = f"renew the server's certificate since {reason}"
    else:
        reason = text = "make the server's certificate"
    if reason:
        pair = certificates.server(ca, params["dns_names"], params["certificate_days"], now)
        todo.append(Step("tls", {"tls.crt": pair.certificate, "tls.key": pair.key}, text))
    return todo


def is_ready(pod: dict[str, Any] | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions") or []
    is_going = bool((pod or {"metadata": {}})["metadata"].get("deletionTimestamp"))
    return not is_going and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@dataclass
class Server:
    """The running server, spoken to as its administrator over the socket inside its container."""

    cluster: Cluster
    pod: str
    container: str
    admin: str

    def sql(self, statement: str) -> str:
        command = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname=postgres", "--file=-"]
        script = f"\\set ON_ERROR_STOP on\n{statement};\n\\q\n"
        ended = self.cluster.run(self.pod, self.container, command, script)
        if ended.code:
            raise Trouble(
                f"The server in pod {self.pod} refuses a statement of its administrator: {short(ended.err)}. "
                "Look into its log, then run the playbook again."
            )
        return ended.out

    def state(self) -> dict[str, Any]:
        admin = "'" + self.admin.replace("'", "''") + "'"
        return json.loads(self.sql(" ".join(STATE_QUERY.format(admin=admin).split())))

    def set_password(self, password: str) -> None:
        quiet = "SET log_min_error_statement = panic; SET log_statement = none; SET log_min_duration_statement = -1"
        name = '"' + self.admin.replace('"', '""') + '"'
        self.sql(f"{quiet}; ALTER ROLE {name} PASSWORD '{scram.verifier(password)}'")

    def serve(self, certificate: str, timeout: float) -> None:
        """Have the server load the certificate of its Secret. Raises Trouble after `timeout` seconds without."""
        until = time.monotonic() + timeout
        # kubelet looks after a pod's volumes at once when the pod itself changes, and else after a minute or more.
        self.cluster.annotate("Pod", self.pod, {"cloud-django/certificate-asked-for": f"{time.time():.0f}"})
        reloaded = False
        while True:
            state = self.state()
            if state["certificate"] == certificate and state["loaded"] and reloaded:
                return
            if state["certificate"] == certificate:
                self.sql("SELECT pg_reload_conf()")
                reloaded = True
            if time.monotonic() > until:
                raise Trouble(
                    f"The server in pod {self.pod} does not serve its renewed certificate after {timeout:g} s. "
                    "Look into its log, then run the playbook again; deleting the pod helps in any case."
                )
            time.sleep(POLL_SECONDS)


def mend(params: dict[str, Any], cluster: Cluster, found: Found, todo: list[Step], check_mode: bool) -> list[str]:
    """Make a running server use what its Secrets hold; return what was done, or would be in check mode."""
    wanted = {suffix: secret_data(secret) for suffix, secret in found.secrets.items()}
    wanted |= {step.suffix: step.values for step in todo}
    pod = f"{params['name']}-0"
    if "StatefulSet" not in found.objects or not is_ready(cluster.get("Pod", pod)):
        return []
    server = Server(cluster, pod, params["container"], wanted["admin"]["username"])
    state = server.state()
    done = []
    if not state["admin"]:
        raise Trouble(
            f"The server in pod {pod} has no role {server.admin}. Set postgresql_admin_username back to the name that "
            "the volume was made with, then run the playbook again."
        )
    if not scram.fits(wanted["admin"]["password"], state["verifier"]):
        done.append("set the administrator's password on the server")
        if not check_mode:
            server.set_password(wanted["admin"]["password"])
    certificate = wanted["tls"]["tls.crt"]
    if state["certificate"] != certificate or not state["loaded"]:
        done.append("have the server load its certificate")
        if not check_mode:
            server.serve(certificate, params["reload_timeout"])
    return done


def argument_spec() -> dict[str, Any]:
    claim = {
        "name": {"type": "str", "required": True},
        "size": {"type": "str", "required": True},
        "storage_class": {"type": "str", "default": ""},
    }
    return copy.deepcopy(AUTH_ARG_SPEC) | {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "labels": {"type": "dict", "default": {}},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "external": {"type": "bool", "default": False},
        "admin_username": {"type": "str", "default": "postgres"},
        "admin_password": {"type": "str", "no_log": True},
        "ca_certificate": {"type": "str"},
        "dns_names": {"type": "list", "elements": "str", "default": []},
        "ca_days": {"type": "int", "default": 3650},
        "certificate_days": {"type": "int", "default": 365},
        "renew_days": {"type": "int", "default": 30},
        "claim": {"type": "dict", "options": claim},
        "container": {"type": "str", "default": "postgresql"},
        "reload_timeout": {"type": "int", "default": 150},
    }


def run(params: dict[str, Any], check_mode: bool, cluster: Cluster, now: datetime) -> dict[str, Any]:
    """Do what the options ask for, and return what the module returns. Raises Trouble."""
    exists = cluster.namespace_exists()
    claim = params["claim"]
    found = (
        look(cluster, params["name"], claim["name"] if claim else "", params["external"]) if exists else Found({}, {})
    )
    told = {
        "namespace_exists": exists,
        "claim_bound": found.claim_bound,
        "server_ready": is_settled(found.objects.get("StatefulSet")),
        "objects": own_objects(found),
    }
    if params["state"] == "absent":
        return told | {"changed": False, "changes": []}
    if not exists and not check_mode:
        raise Trouble(
            f"Namespace {params['namespace']} does not exist. Run playbooks/site.yml --tags namespace, "
            "then run the playbook again."
        )
    refuse_foreign(found, params["namespace"])
    refuse_broken_secrets(found, params["namespace"], params["external"])
    if claim and not params["external"]:
        refuse_storage(claim, found, cluster.storage_classes())
    todo = steps(params, found, now)
    changes = [step.text for step in todo]
    if not check_mode:
        for step in todo:
            name = f"{params['name']}-{step.suffix}"
            cluster.apply(secret_manifest(name, params["namespace"], params["labels"], step.values))
    if exists and not params["external"]:
        changes += mend(params, cluster, found, todo, check_mode)
    return told | {"changed": bool(changes), "changes": changes}


def main() -> None:
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=argument_spec(), supports_check_mode=True)
    if certificates.x509 is None:
        module.fail_json(msg="The Python library cryptography is missing. Install it, then run the playbook again.")
    try:
        result = run(module.params, module.check_mode, connect(module), certificates.current_time())
    except Trouble as trouble:
        module.fail_json(changed=False, msg=str(trouble))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
