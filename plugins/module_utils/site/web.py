# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of web pods: hosts, probes, static files, and commands."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import volumes
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import addresses
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

PROBES = ("live", "ready", "startup")
CHECKS = ("tcp", "http", "exec")
NUMBERS = ("period", "timeout", "failures")
PATH = re.compile(r"/[!-~]*")
# Characters of a path in a URL that the front matches as they are.
PREFIX = re.compile(r"/[A-Za-z0-9._~/-]+/")
# Directories with secrets or with the system, in a pod.
PRIVATE = ("/proc", "/sys", "/dev", "/run", "/var/run")
OPTION = re.compile(r"[a-z][a-z0-9-]*")


# --- Hosts ------------------------------------------------------------------------------------------------------------


def app_hosts(app_hosts: list[str]) -> Iterator[str]:
    yield from _hosts("app_hosts", app_hosts)


def web_redirect_hosts(web_redirect_hosts: list[str]) -> Iterator[str]:
    yield from _hosts("web_redirect_hosts", web_redirect_hosts)


def _hosts(name: str, hosts: list[str]) -> Iterator[str]:
    for host in hosts:
        problem = addresses.host_problem(host) if host and not re.search(r"[:/\s*]", host) else _NO_HOST
        if problem:
            yield f"{name} has {shown(host)}, which {problem}."
        elif host != host.lower():
            yield f"{name} has {host} with uppercase letters, but an Ingress needs lowercase. Write {host.lower()}."


_NO_HOST = "is not a host name. Write it without a scheme, a port, and a wildcard, for instance www.example.org"


def redirect_of_the_site_itself(django_public_url: str, web_redirect_hosts: list[str]) -> Iterator[str]:
    try:
        own = urlsplit(django_public_url).hostname
    except ValueError:  # Reported already.
        return
    if own and own in web_redirect_hosts:
        yield f"web_redirect_hosts has {own}, the host of app_public_url, which would redirect to itself. Remove it."


def redirect_of_a_host(app_hosts: list[str], web_redirect_hosts: list[str]) -> Iterator[str]:
    for host in sorted({*app_hosts} & {*web_redirect_hosts}):
        yield f"{shown(host)} is in app_hosts, which serve the site, and in web_redirect_hosts. Keep one of them."


def needs_front(
    web_front_enabled: bool, web_redirect_hosts: list[str], web_statics: Mapping[str, Any]
) -> Iterator[str]:
    """Without a front, a gateway has to do its work."""
    for name, value in {"web_redirect_hosts": web_redirect_hosts, "web_statics": web_statics}.items():
        if value and not web_front_enabled:
            yield f"{name} is set, but web_front_enabled is false. Enable the front, or let the gateway do it."


def annotations_of_a_route(
    web_ingress_class: str,
    web_gateways: list[Any],
    web_ingress_annotations: Mapping[str, Any],
    web_route_annotations: Mapping[str, Any],
) -> Iterator[str]:
    for name, given, variable, is_set in (
        ("web_ingress_annotations", web_ingress_annotations, "web_ingress_class", bool(web_ingress_class)),
        ("web_route_annotations", web_route_annotations, "web_gateways", bool(web_gateways)),
    ):
        if given and not is_set:
            yield f"{name} is set, but {variable} is empty, so there is no object to annotate. Set {variable}."
        for key, value in given.items():
            if not isinstance(value, str):
                yield f"{name} has {shown(key)}, whose value is not a string. Quote the value."


# --- Probes -----------------------------------------------------------------------------------------------------------


def web_ready_path(web_ready_path: str) -> Iterator[str]:
    if not PATH.fullmatch(web_ready_path):
        yield f"web_ready_path is {shown(web_ready_path)}, which is not a path. Begin it with /, without a host."


def web_probes(web_probes: Mapping[str, Any]) -> Iterator[str]:
    for name, probe in web_probes.items():
        if name not in PROBES:
            yield f"web_probes has {shown(name)}, which is not a probe. Use live, ready, or startup."
        elif probe is not None:
            yield from (f"web_probes.{name} {problem}." for problem in _probe_problems(probe))


def _probe_problems(probe: Any) -> Iterator[str]:
    """Yield the problems of one probe, with the next step."""
    if not isinstance(probe, Mapping):
        yield f"is {shown(probe)}, not a dictionary. Write for instance {{http: /health/}}"
        return
    if unknown := [str(key) for key in probe if key not in (*CHECKS, *NUMBERS, "headers")]:
        names = "tcp, http, headers, exec, period, timeout, or failures"
        yield f"has {shown(', '.join(unknown))}, which is not known. Use {names}"
    checks = [check for check in CHECKS if check in probe]
    if len(checks) > 1:
        yield f"has {' and '.join(checks)}. Keep one of them"
    if "tcp" in probe and probe["tcp"] is not True:
        yield f"has tcp: {shown(probe['tcp'])}. Write tcp: true, or another check"
    if "http" in probe and not PATH.fullmatch(str(probe["http"])):
        yield f"has http: {shown(probe['http'])}, which is not a path. Begin it with /, without a host"
    if "exec" in probe and (problem := _command_problem(probe["exec"])):
        yield f"has exec: {shown(probe['exec'])}, {problem}"
    headers = probe.get("headers", {})
    if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
        yield "has headers that are not strings by name. Write for instance headers: {Accept: text/html}"
    for key in NUMBERS:
        number = probe.get(key, 1)
        if isinstance(number, bool) or not re.fullmatch("[1-9][0-9]{0,5}", str(number)):
            yield f"has {key}: {shown(number)}. Write a whole number of 1 or more"


# --- Commands ---------------------------------------------------------------------------------------------------------


def web_after(web_after: list[list[Any]]) -> Iterator[str]:
    for index, command in enumerate(web_after):
        if problem := _command_problem(command):
            yield f"web_after[{index}] is {shown(command)}, {problem}."


def exclusive_volumes(django_volumes: Mapping[str, Any], web_after: list[Any]) -> Iterator[str]:
    """The Job of the commands has the volumes of the web pods, one of which still has such a volume."""
    for name, volume in django_volumes.items():
        only = volume.get("only") if isinstance(volume, Mapping) else None
        # Several kinds of pods are an error already.
        if web_after and only == ["web"] and volumes.access(volume) == volumes.ONE_POD:
            yield (
                f"Volume {name} in django_volumes is {volumes.ONE_POD}, so the Job of web_after would wait for the web "
                f"pod. Remove web_after, or use {volumes.SHARED}."
            )


def _command_problem(command: Any) -> str:
    """Return why a value is not a command, with the next step; empty if it is one."""
    if not isinstance(command, list | tuple):
        return "not a list. Write each word as an item, for instance [manage, check]"
    if not command or not all(isinstance(word, str) and word for word in command):
        return "which has no command, or a word that is not a string. Write for instance [manage, check]"
    return ""


def web_gunicorn_arguments(web_gunicorn_arguments: Mapping[str, Any]) -> Iterator[str]:
    for name, value in web_gunicorn_arguments.items():
        if not OPTION.fullmatch(str(name)):
            yield (
                f"web_gunicorn_arguments has {shown(name)}, which is not the long name of an option. Write it without "
                "dashes at its beginning, for instance {timeout: 120}."
            )
        elif not isinstance(value, str | int | float | None):
            yield (
                f"web_gunicorn_arguments.{name} is not a single value. Write a string or a number, true for an option "
                "without a value, or null to leave it out."
            )


# --- Static files -----------------------------------------------------------------------------------------------------


def web_statics(web_statics: Mapping[str, Any]) -> Iterator[str]:
    for path, directory in web_statics.items():
        if not isinstance(path, str) or not PREFIX.fullmatch(path) or "//" in path or ".." in path.split("/"):
            yield (
                f"web_statics has {shown(path)}, which is not the path of a directory. Begin and end it with /, for "
                "instance /media/."
            )
        yield from (f"web_statics.{path} {problem}." for problem in _directory_problems(directory))


def _directory_problems(directory: Any) -> Iterator[str]:
    if not isinstance(directory, str) or not directory.startswith("/") or ".." in directory.split("/"):
        yield f"is {shown(directory)}, which is not the absolute path of a directory. Write for instance /app/media"
        return
    place = PurePosixPath(directory)
    if str(place) == "/" or any(place.is_relative_to(private) for private in PRIVATE):
        yield f"is {shown(directory)}, which has secrets or the system. Name the directory with the files"


def statics_and_certificate(
    web_statics: Mapping[str, Any], web_front_tls_secret: str, django_volumes: Mapping[str, Any]
) -> Iterator[str]:
    """A symbolic link in a volume can name any file of the front by its absolute path, also the key."""
    if not web_front_tls_secret:
        return
    places = [str(volume.get("path")) for volume in django_volumes.values() if isinstance(volume, Mapping)]
    for path, directory in web_statics.items():
        if any(PurePosixPath(str(directory)).is_relative_to(place) for place in places if place.startswith("/")):
            yield (
                f"web_statics has {shown(path)} in a volume, and web_front_tls_secret is set: a link in the volume "
                "could publish the key of the certificate. Terminate TLS at the gateway, or let the project serve "
                "these files."
            )


RULES: list[Callable[..., Iterator[str]]] = [
    app_hosts,
    web_redirect_hosts,
    redirect_of_the_site_itself,
    redirect_of_a_host,
    needs_front,
    annotations_of_a_route,
    web_ready_path,
    web_probes,
    web_after,
    exclusive_volumes,
    web_gunicorn_arguments,
    web_statics,
    statics_and_certificate,
]
