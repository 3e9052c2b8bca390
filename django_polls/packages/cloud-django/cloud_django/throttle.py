"""Client that a login attempt is counted for, and the page after too many attempts."""

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# What is stored has to be an address: the one that no client has.
NOBODY = str(ipaddress.IPv4Address(0))


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """The page for it. It is the same whether there is such a user or not."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    answer = render(request, "429.html", {"minutes": -(-seconds // 60)}, status=429)
    answer["Retry-After"] = str(seconds)
    answer["Cache-Control"] = "no-store"
    return answer


def username(request: HttpRequest, credentials: Any = None) -> str:
    """The name that an attempt is counted for: as much of it as a user's name can be long.

    The form of the admin does not limit what somebody sends, and the column does.
    """
    name = (credentials or request.POST).get("username") or ""
    return name[: get_user_model()._meta.get_field(get_user_model().USERNAME_FIELD).max_length]


def client_network(request: HttpRequest) -> str:
    """Return the address that an attempt is counted for; of IPv6 the /64, which is what a single client is given.

    It is the address of the connection, or what ClientAddressMiddleware made of it: a client could write any other
    header. What is no address, such as a Unix socket, is one client.
    """
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return NOBODY
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)).network_address)
    return str(address)
