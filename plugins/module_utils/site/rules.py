# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of a site, beyond their types. They are checked before the first change.

Each rule is a function whose parameters are the variables that it needs, and yields its errors. A rule is skipped if
one of its variables is undefined or has a wrong type, because the type error is reported already.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import secret_problem
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import (
    addresses,
    bounds,
    cache,
    database,
    django,
    image,
    processes,
    release,
    web,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

Rule = Callable[..., Iterator[str]]
PARTS = (cache, database, django, image, processes, release, web)
RULES: list[Rule] = [each for part in PARTS for each in part.RULES]

# Suffixes of names that begin with app_name and are also values of labels, which have at most 63 characters. HASH is
# the revision of a StatefulSet or the content hash of a Job.
HASH = "-0123456789"
LABELS = [f"-postgresql{HASH}", f"-migrations{HASH}", f"-superuser{HASH}", "-postgresql", "-web", "-database"]
LONGEST_APP_NAME = addresses.LONGEST_LABEL - max(map(len, LABELS))


def errors(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of all rules for variables of the right types."""
    for rule in RULES:
        names = inspect.signature(rule).parameters
        if names.keys() <= values.keys():
            yield from rule(**{name: values[name] for name in names})
    yield from bounds.errors(values)


def rule(function: Rule) -> Rule:
    """Register a rule."""
    RULES.append(function)
    return function


# --- Names ------------------------------------------------------------------------------------------------------------


@rule
def app_name(app_name: str) -> Iterator[str]:
    """The name of a Service is derived from it, which is a DNS label that begins with a letter."""
    longest = max(LABELS, key=len)
    because = f"the longest name derived from it, {app_name[:3]}…{longest}, can have {addresses.LONGEST_LABEL}"
    if problem := addresses.name_problem(app_name, LONGEST_APP_NAME, True, because):
        yield f"app_name is {shown(app_name)}, which {problem}."


@rule
def app_namespace(app_namespace: str) -> Iterator[str]:
    yield from _namespace("app_namespace", app_namespace)


@rule
def namespace_name(app_namespace: str, namespace_name: str) -> Iterator[str]:
    if namespace_name != app_namespace:
        yield from _namespace("namespace_name", namespace_name)


def _namespace(name: str, value: str) -> Iterator[str]:
    if problem := addresses.name_problem(value, addresses.LONGEST_LABEL, False, "that is the limit of a namespace"):
        yield f"{name} is {shown(value)}, which {problem}."
    elif value.startswith("kube-"):
        yield f"{name} is {value}, but the prefix kube- is reserved for Kubernetes. Choose another name."


# --- Secrets ----------------------------------------------------------------------------------------------------------


@rule
def image_pull_credentials(image_pull_username: str, image_pull_password: str) -> Iterator[str]:
    yield from _secret("image_pull_username", image_pull_username)
    yield from _secret("image_pull_password", image_pull_password)
    if ":" in image_pull_username:
        yield "image_pull_username has a colon, but a registry parses the rest as the password. Use another user."
    if image_pull_username and not image_pull_password:
        yield (
            "image_pull_password is empty, but image_pull_username is set. Set the password, for instance from a vault "
            "or the environment, or remove the username if the registry needs no login."
        )


def _secret(name: str, text: str) -> Iterator[str]:
    if problem := secret_problem(text):
        yield f"{name} {problem}."


# --- Address ----------------------------------------------------------------------------------------------------------


@rule
def public_url(django_public_url: str) -> Iterator[str]:
    """Rules that apply with and without an Ingress."""
    if django_public_url:
        yield from addresses.url_errors("app_public_url", django_public_url, "")


@rule
def public_url_of_a_route(django_public_url: str, web_ingress_class: str, web_gateways: list[Any]) -> Iterator[str]:
    kind, variable = ("Ingress", "web_ingress_class") if web_ingress_class else ("HTTPRoute", "web_gateways")
    if not (web_ingress_class or web_gateways):
        return
    if not django_public_url:
        yield f"app_public_url is empty, but {variable} is set, and an {kind} needs a host. Set app_public_url."
        return
    others = set(addresses.url_errors("app_public_url", django_public_url, ""))
    yield from (each for each in addresses.url_errors("app_public_url", django_public_url, kind) if each not in others)


@rule
def web_allowed_hosts(web_allowed_hosts: list[str]) -> Iterator[str]:
    for host in web_allowed_hosts:
        if problem := addresses.allowed_host_problem(host):
            yield f"web_allowed_hosts has {shown(host)}, which {problem}."


@rule
def web_trusted_proxies(web_trusted_proxies: list[str]) -> Iterator[str]:
    """The role itself refuses a star, with its own reason."""
    for network in web_trusted_proxies:
        if network != "*" and not addresses.is_network(network):
            yield f"web_trusted_proxies has {shown(network)}, not an address or a network, for instance 10.0.0.0/8."


# --- Numbers ----------------------------------------------------------------------------------------------------------


@rule
def web_node_port(web_service_type: str, web_node_port: int, web_node_port_range: str) -> Iterator[str]:
    """A dry run of the API does not check the range."""
    if web_service_type == "NodePort":
        yield from bounds.node_port(web_node_port, web_node_port_range)


@rule
def web_surge(web_surge: int, web_overrides: Mapping[str, Any]) -> Iterator[str]:
    """If a rollout may neither add nor remove a pod, no pod can be replaced, which the API refuses."""
    strategy = _at(web_overrides, "Deployment", "spec", "strategy")
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return
    rolling = {"maxSurge": web_surge, "maxUnavailable": 0} | _at(strategy, "rollingUpdate")
    if all(str(rolling[name]).rstrip("%") == "0" for name in ("maxSurge", "maxUnavailable")):
        variable = "maxSurge in web_overrides" if "maxSurge" in _at(strategy, "rollingUpdate") else "web_surge"
        yield (
            f"{variable} and maxUnavailable are both 0, so no pod can be replaced. Set web_surge to 1 or more, or "
            "web_overrides to {Deployment: {spec: {strategy: {rollingUpdate: {maxUnavailable: 1}}}}}."
        )


def _at(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return the dictionary at a path in another one; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


@rule
def autoscaler(web_replicas: int, web_replicas_maximum: int) -> Iterator[str]:
    if 0 < web_replicas_maximum < web_replicas:
        yield (
            f"web_replicas_maximum is {web_replicas_maximum}, but web_replicas, the minimum, is {web_replicas}. Raise "
            "the maximum, or set it to 0 to disable the autoscaler."
        )


# --- Several sites ----------------------------------------------------------------------------------------------------


def same_site(host: str, sites: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    """Yield an error if other hosts of the run deploy the same site as this host.

    Args:
        sites: for each host the cluster, the namespace, and the name of its site.
    """
    if twins := [other for other, site in sites.items() if other != host and site == sites.get(host)]:
        _, namespace, name = sites[host]
        yield (
            f"The hosts {', '.join(sorted([host, *twins]))} deploy the same site, {shown(name)} in namespace "
            f"{shown(namespace)} of the same cluster, and would change it simultaneously. Set a different app_name or "
            "app_namespace for each host, or select one host with --limit."
        )
