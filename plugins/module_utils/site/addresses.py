# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Kubernetes names, host names, and URLs, with the strictest rules of all programs that read them."""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# A browser parses a name with such a last label as an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Python encodes these letters differently from browsers.
_OTHERWISE = re.compile("[ßẞς\u200c\u200d]")
LONGEST_LABEL, LONGEST_HOST = 63, 253


def is_address(host: str) -> bool:
    """Return whether a host is an IP address."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def is_network(text: str) -> bool:
    """Return whether a string is an IP address or a network."""
    with suppress(ValueError):
        return bool(ipaddress.ip_network(text, strict=False))
    return False


def host_problem(host: str) -> str:
    """Return why a browser, Django, or an Ingress refuses a host, with the next step; empty if none does."""
    if is_address(host):
        address = str(ipaddress.ip_address(host))
        if "%" in host:
            return "has a zone, which is not valid in a URL. Use the host's name"
        return "" if address == host.lower() else f"is not in the form that browsers send. Write {address}"
    if not host.isascii():
        with suppress(UnicodeError):
            if not _OTHERWISE.search(host):
                return f"has letters that DNS does not allow. Write {host.encode('idna').decode()}"
        return "has letters that DNS does not allow. Write its registered form, which begins with xn--"
    if "_" in host:
        return "has an underscore, for which Django returns status 400. Use a name without one, or the IP address"
    if host.endswith("."):
        return "ends with a dot, which Django removes. Remove the dot"
    # Browsers, the Ingress, and Django convert uppercase letters to lowercase.
    labels = host.lower().split(".")
    if len(host) > LONGEST_HOST or any(len(label) > LONGEST_LABEL for label in labels):
        return f"is longer than DNS allows ({LONGEST_HOST}, and {LONGEST_LABEL} between two dots). Use a shorter name"
    if not all(LABEL.fullmatch(label) for label in labels):
        return "is not a host name. Use letters, digits, dots, and hyphens inside of a part"
    if _NUMBER.fullmatch(labels[-1]):
        return "is parsed as an IPv4 address by browsers, but is not valid. Write all four numbers, or use a name"
    return ""


def url_errors(name: str, url: str, routed_by: str) -> Iterator[str]:
    """Yield the errors in the public URL of a site.

    Args:
        name: the variable.
        routed_by: the kind that routes the URL by its host, `Ingress` or `HTTPRoute`; empty without one.
    """
    about = f"{name} is {shown(url)}"
    example = "for instance https://polls.example.org"
    # urlsplit removes some of these, and a browser does not send them.
    if any(char.isspace() or not char.isprintable() for char in url):
        yield f"{about}, which has whitespace. Remove it, {example}."
        return
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.netloc.rpartition("@")[2]
    except ValueError as error:
        # Not for a URL with a user, because the reason quotes the assumed port, which may be part of a password.
        reason = "" if "@" in url else f": {str(error).rstrip('.')}"
        yield f"{about}, which is not a URL{reason}. Correct it, {example}."
        return
    scheme = url.partition(":")[0]
    if not host or scheme.lower() not in ("http", "https"):
        yield f"{about}, which does not begin with http:// or https:// and a host. Write the full URL, {example}."
        return
    if scheme != scheme.lower():
        yield f"{about}, whose scheme has uppercase letters. Write {scheme.lower()}://{shown(url).partition('://')[2]}."
    if "@" in parts.netloc:
        yield f"{about}, which has a user. Remove the part up to the @."
    if parts.path not in ("", "/") or "?" in url or "#" in url or "\\" in url:
        yield f"{about}, which has more than scheme, host, and port. Remove the rest: a site needs its own host."
    if port == 0 or host.endswith(":"):
        yield f"{about}, whose port is not valid. Set a port from 1 to 65535, or remove it with its colon."
    # Not parts.hostname, which is in lowercase.
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if problem := host_problem(bare):
        yield f"{about}, whose host {problem}."
    elif routed_by and is_address(bare):
        yield f"{about}, an IP address, but an {routed_by} routes only host names. Use a name, or no {routed_by}."


def allowed_host_problem(host: str) -> str:
    """Return why no request can match a host in ALLOWED_HOSTS, with the next step; empty if one can."""
    if host == "*":
        return ""
    if "://" in host or "/" in host:
        return "is a URL. Write only its host"
    if host.startswith("["):
        inner = host[1:-1]
        return "" if host.endswith("]") and is_address(inner) else "is not an IPv6 address in brackets. Remove the port"
    if ":" in host:
        return f"is an IPv6 address. Write [{host}]" if is_address(host) else "has a port. Remove the port"
    if "," in host or any(char.isspace() for char in host) or not host:
        return "is not a host. Write each host as a separate item"
    # Django compares in lowercase, and a leading dot matches all subdomains.
    return host_problem(host.lower().removeprefix("."))


def name_problem(value: str, longest: int, from_letter: bool, because: str) -> str:
    """Return why a string cannot be the prefix of object names, with the next step; empty if it can."""
    first = "a letter" if from_letter else "a letter or a digit"
    if len(value) > longest:
        return f"has {len(value)} characters, but at most {longest} are allowed: {because}. Choose a shorter name"
    if not LABEL.fullmatch(value) or (from_letter and not value[0].isalpha()):
        corrected = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
        corrected = corrected.lstrip("0123456789-") if from_letter else corrected
        proposed = f", for instance {corrected}" if corrected and corrected != value else ""
        return (
            "is not a valid name in Kubernetes. Use lowercase letters, digits, and hyphens, begin with "
            f"{first}, and do not end with a hyphen{proposed}"
        )
    return ""
