# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of the cache."""

import re
from collections.abc import Callable, Iterator

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import secret_problem
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

# The server separates users and their passwords by spaces, and a URL holds these characters as they are.
USER = re.compile(r"[A-Za-z0-9._~-]{1,63}")
PASSWORD = re.compile(r"[A-Za-z0-9._~-]*")


def cache_user(cache_backend: str, cache_user: str) -> Iterator[str]:
    """An external server can have any user."""
    if cache_backend == "builtin" and not USER.fullmatch(cache_user):
        yield (
            f"cache_user is {shown(cache_user)}, which is not 1 to 63 letters, digits, and -._~ characters. "
            "Choose another name."
        )
    elif cache_backend == "builtin" and cache_user == "default":
        yield "cache_user is default, the user that the server disables. Choose another name."
    elif not cache_user:
        yield "cache_user is empty. Set the user of the external cache, for instance default."


def cache_password(cache_backend: str, cache_password: str) -> Iterator[str]:
    """The password of an external server can have any characters."""
    if problem := secret_problem(cache_password):
        yield f"cache_password {problem}."
    elif cache_backend == "builtin" and not PASSWORD.fullmatch(cache_password):
        yield (
            "cache_password has characters other than letters, digits, and -._~, which some projects put into a URL "
            "without encoding them. Choose another password."
        )


def cache_host(cache_backend: str, cache_host: str, app_name: str, app_namespace: str) -> Iterator[str]:
    """The default is the name of the built-in server, which an external cache replaces."""
    if cache_backend == "external" and cache_host in ("", f"{app_name}-cache.{app_namespace}.svc"):
        yield "cache_host is not set, but cache_backend is external. Set the host of the cache."
    elif re.search(r"[\s/@]", cache_host):
        yield f"cache_host is {shown(cache_host)}, which is not a host. Set a name or an address, without a scheme."


RULES: list[Callable[..., Iterator[str]]] = [cache_user, cache_password, cache_host]
