# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Allowed connections of a project, from `django_egress` to rules of a NetworkPolicy."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

Obj = dict[str, Any]

OPTIONS = ("ports", "cidrs", "namespace", "pods", "protocol", "only")
# Options that other tools have for the names of hosts.
HOSTS = ("host", "hosts", "hostname", "hostnames", "fqdn", "fqdns", "domain", "domains", "url", "urls")
PROTOCOLS = ("TCP", "UDP", "SCTP")
# Networks that are no part of the internet: private, shared, link-local, and of clouds' metadata services.
INTERNAL_IPV4 = [
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "224.0.0.0/4"),
]
INTERNAL_IPV6 = ["::1/128", "fc00::/7", "fe80::/10", "ff00::/8"]
INTERNET: list[Obj] = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": INTERNAL_IPV4}},
    {"ipBlock": {"cidr": "::/0", "except": INTERNAL_IPV6}},
]
NAMESPACE = "kubernetes.io/metadata.name"
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NO_HOSTS = "but NetworkPolicies know only addresses"


def rules(egress: Mapping[str, Any]) -> list[Obj]:
    """Return the rules of a NetworkPolicy, each with the processes that it is for."""
    return [rule(entry) for entry in egress.values() if entry]


def rule(entry: Mapping[str, Any]) -> Obj:
    """Return the rule of one entry."""
    protocol = entry.get("protocol") or "TCP"
    found: Obj = {"to": peers(entry)}
    if ports := [port(each, protocol) for each in entry.get("ports") or []]:
        found["ports"] = ports
    return found if entry.get("only") is None else found | {"only": entry["only"]}


def peers(entry: Mapping[str, Any]) -> list[Obj]:
    """Return the addresses and pods that an entry allows: the internet, unless it names others."""
    found: list[Obj] = [{"ipBlock": {"cidr": network(cidr)}} for cidr in entry.get("cidrs") or []]
    selector: Obj = {}
    if entry.get("namespace"):
        selector["namespaceSelector"] = {"matchLabels": {NAMESPACE: entry["namespace"]}}
    if entry.get("pods"):
        selector["podSelector"] = {"matchLabels": dict(entry["pods"])}
    return [*found, *([selector] if selector else [])] or INTERNET


def network(cidr: str) -> str:
    """Return an address or a network in the form that Kubernetes accepts."""
    return str(ipaddress.ip_network(cidr, strict=False))


def port(value: Any, protocol: str) -> Obj:
    """Return a port, or a range such as 8000-8010."""
    found = _PORT.fullmatch(str(value))
    if not found:
        raise ValueError(f"{value} is not a port")
    last = {"endPort": int(found[2])} if found[2] else {}
    return {"port": int(found[1]), "protocol": protocol, **last}


def errors(egress: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in `django_egress`."""
    for name, entry in egress.items():
        if entry is None:
            continue
        about = f"{name} in django_egress"
        if not isinstance(entry, Mapping):
            yield f"{about} is not a dictionary. Set for instance {{ports: [443]}}."
        elif hosts := [key for key in entry if key in HOSTS]:
            yield (
                f"{about} has {hosts[0]}, {_NO_HOSTS}. Write its networks in cidrs, or leave both out to allow the "
                "internet."
            )
        elif unknown := [key for key in entry if key not in OPTIONS]:
            yield f"{about} has {unknown[0]}, which is none of {', '.join(OPTIONS)}. Correct it."
        elif problem := next(_problems(entry), ""):
            yield f"{about} {problem}."


def _problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield why an entry is not valid, each with the next step."""
    ports, cidrs = entry.get("ports") or [], entry.get("cidrs") or []
    for name, value in {"ports": ports, "cidrs": cidrs}.items():
        if not isinstance(value, list | tuple):
            yield (
                f"has no list of {name}. Write for instance [443]"
                if name == "ports"
                else f"has no list of {name}. Write one"
            )
            return
    if not ports and not cidrs and not entry.get("namespace") and not entry.get("pods"):
        yield "allows all ports of the internet. Name the ports, for instance [443]"
    for each in ports:
        if not is_port(each):
            yield f"has the port {each}. Set a port from 1 to 65535, or a range such as 8000-8010"
    for each in cidrs:
        if problem := cidr_problem(each):
            yield problem
    namespace = entry.get("namespace") or "default"
    if not isinstance(namespace, str) or not _LABEL.fullmatch(namespace):
        yield f"has the namespace {namespace}, which is not the name of one. Write the name that kubectl lists"
    if not isinstance(entry.get("pods") or {}, Mapping):
        yield "has no labels as pods. Write for instance {app: opensearch}"
    if (entry.get("protocol") or "TCP") not in PROTOCOLS:
        yield f"has the protocol {entry['protocol']}, which is none of {', '.join(PROTOCOLS)}. Correct it"


def is_port(value: Any) -> bool:
    """Return whether a value is a port or a range of ports."""
    found = None if isinstance(value, bool) else _PORT.fullmatch(str(value))
    return bool(found and 1 <= int(found[1]) <= int(found[2] or found[1]) <= 65535)


def cidr_problem(value: Any) -> str:
    """Return why a value is no network, with the next step; empty if it is one."""
    with suppress(ValueError):
        return (
            ""
            if isinstance(value, str) and ipaddress.ip_network(value, strict=False)
            else "has a number in cidrs. Quote it"
        )
    # An address of IPv6 has letters too, but is no URL.
    if re.search(r"[A-Za-z]", str(value)) and (":" not in str(value) or "://" in str(value) or "." in str(value)):
        return f"has the host name {value}, {_NO_HOSTS}. Write its networks, or leave cidrs out to allow the internet"
    return f"has {value} in cidrs, which is not an address or a network. Write for instance 203.0.113.7/32"
