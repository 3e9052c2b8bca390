"""Whose request it is, where proxies stand in between."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest

# What is stored has to be an address: the one that no client has.
NOBODY = str(ipaddress.IPv4Address(0))


def client_address(request: HttpRequest) -> str:
    """The address that log-ins are counted for: the client's own, or its network's where one client has many.

    Each trusted proxy appends whom it heard from to `X-Forwarded-For`. So with two proxies the last entry but one is
    the client; whatever stands further left was written by the client itself, and is believed by nobody.
    """
    address = request.META.get("REMOTE_ADDR", "")
    if settings.PROXY_COUNT and is_trusted(address):
        header = request.headers.get("X-Forwarded-For", "")
        entries = [entry.strip() for entry in header.split(",")]
        if header and len(entries) >= settings.PROXY_COUNT:
            address = entries[-settings.PROXY_COUNT]
    return network_of(address)


def is_trusted(address: str) -> bool:
    """Whether an address is that of a proxy that may speak for others."""
    if "*" in settings.TRUSTED_PROXIES:
        return True
    try:
        return any(ipaddress.ip_address(address) in network for network in settings.TRUSTED_PROXIES)
    except ValueError:
        return False


def network_of(text: str) -> str:
    """The address in one spelling; of IPv6 the /64, which is what a single client is given.

    What is no address counts as one client, so that nonsense in a header wins nothing.
    """
    try:
        address = ipaddress.ip_address(without_port(text))
    except ValueError:
        return NOBODY
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)).network_address)
    return str(address)


def without_port(text: str) -> str:
    """Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
