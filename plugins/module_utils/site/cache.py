# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of the cache."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.secrets import secret_problem
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

# The server separates users and their passwords by spaces, and a URL holds these characters as they are.
USER = re.compile(r"[A-Za-z0-9._~-]{1,63}")
PASSWORD = re.compile(r"[A-Za-z0-9._~-]*")

# Environment variables that pods with a cache have, so that no setting of a project can replace them.
OWN_ENVIRONMENT = frozenset({"CACHE_SECRET_DIRECTORY", "CACHE_KEY_PREFIX"})


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
    """Clients reach the built-in server only by the names in its certificate. An external cache replaces it."""
    name = f"{app_name}-cache"
    place = f"{name}.{app_namespace}"
    is_builtin = cache_host in (name, place, f"{place}.svc", f"{place}.svc.cluster.local")
    if cache_backend == "external" and (is_builtin or not cache_host):
        yield "cache_host is not set, but cache_backend is external. Set the host of the cache."
    elif cache_backend == "builtin" and not is_builtin:
        yield (
            f"cache_host is {shown(cache_host)}, but cache_backend is builtin, and that server is {place}.svc. "
            "Set cache_backend to external to use another server, or remove cache_host."
        )
    elif re.search(r"[\s/@]", cache_host):
        yield f"cache_host is {shown(cache_host)}, which is not a host. Set a name or an address, without a scheme."


def cache_check_image(cache_backend: str, cache_check_image: str) -> Iterator[str]:
    """Only an external server is checked."""
    if cache_backend == "external" and not cache_check_image:
        yield "cache_check_image is empty, but cache_backend is external. Set it to an image with Python."


def cache_resources(cache_backend: str, cache_resources: Mapping[str, Any]) -> Iterator[str]:
    """The memory of the server follows from its limit. Limits of another type are reported already."""
    limits = cache_resources.get("limits") or {}
    if cache_backend == "builtin" and isinstance(limits, Mapping) and not limits.get("memory"):
        yield "cache_resources has no limits.memory, from which cache_memory follows. Set for instance 128Mi."


def settings_of_the_cache(
    django_environment: Mapping[str, Any], django_cache_secret: str, django_contract: bool
) -> Iterator[str]:
    """Without the Secret or the names of the roles, a project can connect to any cache by its own settings."""
    if not django_cache_secret or not django_contract:
        return
    given = {name for name, entry in django_environment.items() if entry is not None}
    if "CACHE_HOST" in given:
        yield (
            "CACHE_HOST is set in django_environment, but cache_state is present, so pods would ignore it. "
            "Set cache_backend to external and cache_host to that server, or cache_state to absent."
        )
    for name in sorted(OWN_ENVIRONMENT & given):
        yield f"{name} in django_environment is reserved, because the roles set it. Remove it."


RULES: list[Callable[..., Iterator[str]]] = [
    cache_user,
    cache_password,
    cache_host,
    cache_check_image,
    cache_resources,
    settings_of_the_cache,
]
