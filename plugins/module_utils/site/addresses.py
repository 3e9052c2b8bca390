# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Names in Kubernetes, host names and URLs, as strictly as the strictest of those that read them."""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# A browser takes a name that ends like this for an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Python writes these as other letters, and browsers do not.
_OTHERWISE = re.compile("[ßẞς\u200c\u200d]")
LONGEST_LABEL, LONGEST_HOST = 63, 253


def is_address(host: str) -> bool:
    """Return whether a host is an IP address and no name."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def is_network(text: str) -> bool:
    """Return whether a text is an IP address or a network of them."""
    with suppress(ValueError):
        return bool(ipaddress.ip_network(text, strict=False))
    return False


def host_problem(host: str) -> str:
    """Return why a browser, Django or an Ingress does not take a host, with the next step; empty if all do."""
    if is_address(host):
        address = str(ipaddress.ip_address(host))
        if "%" in host:
            return "has a zone, which a URL does not. Use a name of the host"
        return "" if address == host.lower() else f"is not as browsers write it. Write {address}"
    if not host.isascii():
        with suppress(UnicodeError):
            if not _OTHERWISE.search(host):
                return f"has letters that DNS does not have. Write {host.encode('idna').decode()}"
        return "has letters that DNS does not have. Write the form with xn-- that it is registered by"
    if "_" in host:
        return "has an underscore, to which Django answers with status 400. Use a name without one, or the IP address"
    if host.endswith("."):
        return "ends with a dot, which Django removes. Leave out the dot"
    # Browsers, the Ingress, and Django have capital letters as small ones.
    labels = host.lower().split(".")
    if len(host) > LONGEST_HOST or any(len(label) > LONGEST_LABEL for label in labels):
        return f"is longer than DNS allows ({LONGEST_HOST}, and {LONGEST_LABEL} between two dots). Use a shorter name"
    if not all(LABEL.fullmatch(label) for label in labels):
        return "is no host name: between dots, it has letters, digits and inner hyphens only. Correct it"
    if _NUMBER.fullmatch(labels[-1]):
        return "is an IPv4 address to browsers and is none. Write all four numbers, or use a name"
    return ""


def url_errors(name: str, url: str, routed_by: str) -> Iterator[str]:
    """Yield what is wrong with the public URL of a site.

    Args:
        name: the variable.
        routed_by: the kind that routes it by its host, `Ingress` or `HTTPRoute`, or nothing.
    """
    about = f"{name} is {shown(url)}"
    example = "for instance https://polls.example.org"
    # urlsplit removes some of these, and a browser does not send them.
    if any(char.isspace() or not char.isprintable() for char in url):
        yield f"{about}, which has white space. Write it without, {example}."
        return
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.netloc.rpartition("@")[2]
    except ValueError as error:
        # The reason repeats what it takes for the port, which may be part of a password.
        reason = "" if "@" in url else f": {str(error).rstrip('.')}"
        yield f"{about}, which is no URL{reason}. Correct it, {example}."
        return
    scheme = url.partition(":")[0]
    if not host or scheme.lower() not in ("http", "https"):
        yield f"{about}, which does not begin with http:// or https:// and a host. Write the whole address, {example}."
        return
    if scheme != scheme.lower():
        yield f"{about}, whose scheme has capital letters. Write {scheme.lower()}://{shown(url).partition('://')[2]}."
    if "@" in parts.netloc:
        yield f"{about}, which has a user. Leave out what is before the @, which a site's address cannot have."
    if parts.path not in ("", "/") or "?" in url or "#" in url or "\\" in url:
        yield f"{about}, which has more than scheme, host and port. Leave out the rest: a site has its host for itself."
    if port == 0 or host.endswith(":"):
        yield f"{about}, whose port is none. Give a port from 1 to 65535, or leave it out with the colon."
    # Not parts.hostname, which is in small letters.
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if problem := host_problem(bare):
        yield f"{about}, whose host {problem}."
    elif routed_by and is_address(bare):
        yield f"{about}, an IP address, and an {routed_by} routes names only. Use a name, or no {routed_by}."


def allowed_host_problem(host: str) -> str:
    """Return why Django would never find a host in ALLOWED_HOSTS, with the next step; empty if it can."""
    if host == "*":
        return ""
    if "://" in host or "/" in host:
        return "is a URL. Give its host alone"
    if host.startswith("["):
        inner = host[1:-1]
        return "" if host.endswith("]") and is_address(inner) else "is no IPv6 address in brackets. Leave out the port"
    if ":" in host:
        return f"is an IPv6 address. Write [{host}]" if is_address(host) else "has a port. Leave it out"
    if "," in host or any(char.isspace() for char in host) or not host:
        return "is no host. Write each host as an item of its own"
    # Django compares in small letters, and a dot in front stands for all names that end like this.
    return host_problem(host.lower().removeprefix("."))


def name_problem(value: str, longest: int, from_letter: bool, because: str) -> str:
    """Return why a text cannot begin the names of objects, with the next step; empty if it can."""
    rule = "small letters, digits and hyphens"
    first = "begins with a letter" if from_letter else "begins with a letter or a digit"
    if len(value) > longest:
        return f"has {len(value)} characters, and {longest} fit: {because}. Choose a shorter one"
    if not LABEL.fullmatch(value) or (from_letter and not value[0].isalpha()):
        corrected = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
        corrected = corrected.lstrip("0123456789-") if from_letter else corrected
        proposed = f", for instance {corrected}" if corrected and corrected != value else ""
        return f"is no name in Kubernetes: it has {rule}, {first} and ends with no hyphen. Choose another{proposed}"
    return ""
