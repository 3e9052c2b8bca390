# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Password and certificates of a cache: the Secret of its clients, and the Secrets of the server."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.certificates import Pair
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.ownership import foreign, refuse_foreign
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import (
    Step,
    data_of,
    manifest,
    random_text,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.claims import refuse_claim

# The Secrets, by the suffix of their names. The one without a suffix is for clients.
CLIENTS = ""
SERVER = ("ca", "tls")
# Kinds of the objects of a server in the cluster. They have the name of the Secret of its clients.
KINDS = ("StatefulSet", "Service", "ConfigMap", "ServiceAccount", "NetworkPolicy")
# Many projects put the password into a URL without encoding it.
SAFE_PASSWORD = re.compile(r"[A-Za-z0-9._~-]+")


def name_of(name: str, suffix: str) -> str:
    """Return the name of a Secret."""
    return f"{name}-{suffix}" if suffix else name


def address(params: Mapping[str, Any], password: str) -> str:
    """Return the URL of the cache, without a database."""
    scheme = "rediss" if params["tls"] else "redis"
    host = f"[{params['server_host']}]" if ":" in params["server_host"] else params["server_host"]
    return f"{scheme}://{quote(params['user'], safe='')}:{quote(password, safe='')}@{host}:{params['server_port']}"


def password_of(params: Mapping[str, Any], held: Mapping[str, str]) -> str:
    """Return the given, existing, or a new password. Raises ManifestError for one that clients cannot use."""
    # A line break at the end of a file is not a part of the password.
    password = params["user_password"] or held.get("password", "").rstrip("\r\n")
    if params["external"]:
        if not password:
            thing = f"Secret {params['name']} with the password of the external cache"
            raise ManifestError(thing, "is missing", f"Create it with the key password, or set cache_password, {AGAIN}")
        return password
    if password and not SAFE_PASSWORD.fullmatch(password):
        reason = "has characters other than letters, digits, and -._~, which a URL cannot hold"
        step = f"Set another cache_password, or remove the key password of Secret {params['name']}, {AGAIN}"
        raise ManifestError("The password of the cache", reason, step)
    return password or random_text()


def authority_of(params: Mapping[str, Any], held: Mapping[str, str]) -> str:
    """Return the CA certificate of an external cache. Raises ManifestError if it is missing."""
    if not params["tls"]:
        return ""
    if not (wanted := params["ca_certificate"] or held.get("ca", "")):
        thing = f"Secret {params['name']} with the CA certificate of the external cache"
        raise ManifestError(thing, "is missing", f"Create it with the key ca, or set cache_ca_certificate, {AGAIN}")
    return wanted


def generated(params: Mapping[str, Any], held: Mapping[str, str]) -> dict[str, str]:
    """Return the values that are generated once and never change.

    The prefix of all keys is different for each site, also in other clusters. A colon cannot be in the two names. The
    salt makes the hash of the Secret, which is in the pods, useless for guesses of a weak password.
    """
    prefix = held.get("prefix", "").strip() or f"{params['namespace']}:{params['name']}:{random_text(12)}"
    return {"prefix": prefix, "salt": held.get("salt") or random_text()}


def changed(values: Mapping[str, str], held: Mapping[str, str]) -> str:
    """Return what changes in the Secret of the clients; empty if nothing does."""
    keys = {key for key in values if values[key] != held.get(key)}
    if not keys:
        return ""
    if "password" in keys:
        return "the password"
    return "the prefix of the keys" if keys <= {"prefix", "salt"} else "the address, user, or CA certificate"


def steps(params: Mapping[str, Any], held: Mapping[str, dict[str, str]], now: datetime) -> list[Step]:
    """Return the Secrets to write. Raises ManifestError if a value is missing that only the user can provide."""
    clients = held.get(CLIENTS, {})
    password = password_of(params, clients)
    todo = []
    if params["external"]:
        ca = authority_of(params, clients)
    elif params["tls"]:
        todo = certificates.renewals(params, held, now, "cache")
        renewed = {step.suffix: step.values for step in todo}
        ca = (held | renewed)["ca"]["tls.crt"]
    else:
        ca = ""
    values = {"host": params["server_host"], "port": str(params["server_port"]), "user": params["user"]}
    values |= {"password": password, "url": address(params, password), "ca": ca} | generated(params, clients)
    if text := changed(values, clients):
        todo.append(Step(CLIENTS, values, f"{'change' if clients else 'create'} {text}"))
    return todo


def usable(suffix: str, secret: Obj) -> dict[str, str]:
    """Return the values of a Secret; none if it has no valid certificate authority or certificate.

    A new one takes its place, because clients read the CA certificate in the same run.
    """
    values = data_of(secret)
    if suffix in SERVER and not (values.get("tls.crt") and values.get("tls.key")):
        return {}
    return {} if suffix == "ca" and certificates.fault(Pair.of(values)) else values


def refuse_secrets(params: Mapping[str, Any], secrets: Mapping[str, Obj]) -> None:
    """Raise ManifestError for Secrets of other owners. A user may create that of the clients of an external cache."""
    if not params["external"]:
        refuse_foreign([{"kind": "Secret"} | secret for secret in secrets.values()], params["labels"])
    elif (secret := secrets.get(CLIENTS)) and is_of_user(params, secret) and not data_of(secret).get("password"):
        reason = "exists, is not managed by this site (the labels differ), and has no key password"
        step = f"Add the password of the external cache to it, or rename or remove it, {AGAIN}"
        raise ManifestError(f"Secret {params['name']} in namespace {params['namespace']}", reason, step)


def is_of_user(params: Mapping[str, Any], secret: Obj | None) -> bool:
    """Return whether the user created the Secret of an external cache, which then stays the user's."""
    return bool(params["external"] and secret and foreign(secret, params["labels"]))


def refuse_objects(params: Mapping[str, Any], client: Client, volume: Obj | None) -> None:
    """Raise ManifestError if another owner has one of the objects that the role applies after the Secrets."""
    name = params["name"]
    names = {"NetworkPolicy": f"{name}-check"} if params["external"] else dict.fromkeys(KINDS, name)
    found = [{"kind": kind} | item for kind, each in names.items() if (item := client.get(kind, each))]
    refuse_foreign([*found, *([{"kind": "PersistentVolumeClaim"} | volume] if volume else [])], params["labels"])


def written(params: Mapping[str, Any], step: Step, of_user: bool) -> Obj:
    """Return the manifest of a Secret. One that the user created keeps its labels and its type, so none is removed."""
    labels = {} if of_user else params["labels"] | params["more_labels"]
    obj = manifest(name_of(params["name"], step.suffix), params["namespace"], labels, step.values)
    return {key: value for key, value in obj.items() if key != "type"} if of_user else obj


def run(params: dict[str, Any], check_mode: bool, client: Client, now: datetime | None = None) -> dict[str, Any]:
    """Manage the Secrets, and return the result of the module. Raises ManifestError."""
    certificates.require()
    claim = None if params["external"] else params["claim"]
    # Only check mode accepts a missing namespace, in which the user may have no permission to read.
    exists = not check_mode or client.namespace_exists()
    suffixes = (CLIENTS, *(SERVER if params["tls"] and not params["external"] else ())) if exists else ()
    found = {suffix: client.get("Secret", name_of(params["name"], suffix)) for suffix in suffixes}
    secrets = {suffix: secret for suffix, secret in found.items() if secret}
    refuse_secrets(params, secrets)
    volume = client.get("PersistentVolumeClaim", claim["name"]) if claim and exists else None
    if claim:
        refuse_claim(claim, volume, client, "cache")
    held = {suffix: values for suffix, secret in secrets.items() if (values := usable(suffix, secret))}
    todo = steps(params, held, now or certificates.current_time())
    # Only before a write, because the module apply checks the same in a run without one.
    if todo and exists:
        refuse_objects(params, client, volume)
    if not check_mode:
        for step in todo:
            client.apply(written(params, step, is_of_user(params, secrets.get(CLIENTS))))
    bound = bool(volume) and volume.get("status", {}).get("phase") == "Bound"
    return {"changed": bool(todo), "changes": [step.text for step in todo], "claim_bound": bound}
