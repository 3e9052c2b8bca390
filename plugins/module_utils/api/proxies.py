# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Proxies of the environment: which one a request uses, and which servers are reached directly.

Libraries disagree about `no_proxy`: some ignore networks in it, and none exempts the local host. A server that is
reached directly is therefore added by name, which all libraries and the programs of tasks respect.
"""

import os
from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "all")
DEFAULT_PORTS = {"http": 80, "https": 443}


def variable(environment: Mapping[str, str], scheme: str) -> str:
    """Return the name of the variable with the proxy for a scheme; empty without one."""
    names = [f"{each}_proxy" for each in (scheme, "all")]
    return next((name for each in names for name in (each, each.upper()) if environment.get(name)), "")


def uses_any(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment sets any proxy."""
    return any(variable(environment, scheme) for scheme in SCHEMES)


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_exempt(host: str, port: int | None, environment: Mapping[str, str]) -> bool:
    """Return whether a host is local, or `no_proxy` has the host, its domain, or its network."""
    if is_loopback(host):
        return True
    entries = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return any(covers(entry.strip().lower(), host.lower(), port) for entry in entries.split(","))


def covers(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of `no_proxy`, with or without a port, is a host, its domain, or its network."""
    if entry in ("", "*"):
        return entry == "*"
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    for name, needed in ((entry, None), parted(entry)):
        if needed not in (None, port):
            continue
        try:
            if address and address in ip_network(name.strip("[]"), strict=False):
                return True
        except ValueError:
            pass
        domain = name.removeprefix("*").lstrip(".")
        if domain and not address and (host == domain or host.endswith(f".{domain}")):
            return True
    return False


def parted(entry: str) -> tuple[str, int | None]:
    """Return name and port of an entry."""
    name, _, port = entry.rpartition(":")
    return (name, int(port)) if name and port.isdecimal() else (entry, None)


def proxy_of(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the proxy of requests to a URL as a phrase for errors; empty without one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return ""
    name = variable(environment, parts.scheme)
    if not name or not host or is_exempt(host, port, environment):
        return ""
    # Without the user, because the URL of a proxy may contain a password.
    return f"{environment[name].rpartition('@')[2].rpartition('://')[2]} (from {name})"


def reach_directly(url: str, environment: MutableMapping[str, str] = os.environ, *, local: bool = False) -> None:
    """Bypass the proxy for a URL if its host is exempt or `local`, such as a node in a local container."""
    if not uses_any(environment):
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return
    if not host or not (local or is_exempt(host, port, environment)):
        return
    entries = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [entry.strip() for entry in entries.split(",") if entry.strip()]
    if host not in names:
        names.append(host)
    # Some libraries accept the entry for all hosts only if it is the only one.
    environment["no_proxy"] = environment["NO_PROXY"] = "*" if "*" in names else ",".join(names)


def through(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the end of a phrase that names the proxy of requests to a URL; empty without one."""
    proxy = proxy_of(url, environment)
    return f" through the proxy {proxy}" if proxy else ""
