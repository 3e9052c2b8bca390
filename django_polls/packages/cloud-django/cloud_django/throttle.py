"""Client that a login attempt is counted for, and the page after too many attempts."""

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# The stored value has to be an address. No client has this one.
NO_ADDRESS = str(ipaddress.IPv4Address(0))


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Return the page for a locked login. It is the same for users that exist and for those that don't."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    answer = render(request, "429.html", {"minutes": -(-seconds // 60)}, status=429)
    answer["Retry-After"] = str(seconds)
    answer["Cache-Control"] = "no-store"
    return answer


def username(request: HttpRequest, credentials: Any = None) -> str:
    """Return the user name that an attempt is counted for, cut to the maximum length of user names.

    The admin's form does not limit the length, but the database column does.
    """
    name = (credentials or request.POST).get("username") or ""
    return name[: get_user_model()._meta.get_field(get_user_model().USERNAME_FIELD).max_length]


def client_network(request: HttpRequest) -> str:
    """Return the address that an attempt is counted for, or the /64 network of an IPv6 address.

    A single client usually has a whole /64 network. The address comes from the connection or ClientAddressMiddleware,
    because a client could set any other header. Values that are no address, such as a Unix socket, count as one client.
    """
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return NO_ADDRESS
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)).network_address)
    return str(address)
