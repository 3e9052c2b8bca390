# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that turns the probes of an inventory into those of the containers in a web pod."""

DOCUMENTATION = r"""
name: web_probes
short_description: Compute the probes of the containers in a web pod
version_added: 0.1.0
description:
  - Returns the probes of the project and of the front. The project listens at 127.0.0.1, which the kubelet cannot
    reach, so the front answers C(http) and C(tcp) probes for it. This works with any image, because nothing runs in it.
  - The front starts after the project. If C(startup) is no command, it delays the C(live) probe by its seconds instead.
  - Without a front, all probes are those of the project.
options:
  _input:
    description:
      - The probes C(live), C(ready), and C(startup). Each has C(tcp), C(http) with a path, or C(exec) with a command,
        and optionally C(headers), C(period), C(timeout), and C(failures). V(null) disables a probe.
    type: dict
    required: true
  defaults:
    description: The default probes, of which a probe with another check keeps only the numbers.
    type: dict
    required: true
  place:
    description:
      - C(front), whether the pod has one; C(port) and C(scheme) of the pod; C(headers) that each request has;
        C(live_path) and C(connect_path) of the front; and C(manage), the management command of the project.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Print the probes of a pod without a front
  ansible.builtin.debug:
    msg: "{{ {'live': {'tcp': true}} | cloud_django.kubernetes.web_probes({}, {'front': false, 'port': 8080}) }}"
"""

RETURN = r"""
_value:
  description: The keys C(web) and C(front), each with the probes of this container.
  type: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

CHECKS = ("tcp", "http", "exec")
FIELDS = {"live": "livenessProbe", "ready": "readinessProbe", "startup": "startupProbe"}
type Probe = dict[str, Any]


def web_probes(given: Mapping[str, Any], defaults: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Probe]:
    """Return the probes of the containers `web` and `front`."""
    probes = {name: _effective(given, defaults, name) for name in FIELDS}
    web: Probe = {}
    front: Probe = {}
    for name, probe in probes.items():
        if not probe:
            continue
        if not place["front"] or "exec" in probe:
            web[FIELDS[name]] = _direct(probe, place)
        elif name == "ready":
            front[FIELDS[name]] = _through_front(probe, place)
        elif name == "live":
            web[FIELDS[name]] = _through_front(probe, place)
    if place["front"] and "exec" not in probes["startup"] and "livenessProbe" in web and probes["startup"]:
        web["livenessProbe"]["initialDelaySeconds"] = _period(probes["startup"]) * _failures(probes["startup"])
    return {"web": web, "front": front}


def _effective(given: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> Probe:
    """Return a probe with its defaults. The check of the inventory replaces that of the defaults."""
    if name in given and not given[name]:
        return {}
    own = dict(given.get(name) or {})
    base = dict(defaults.get(name) or {})
    if any(check in own for check in CHECKS):
        base = {key: value for key, value in base.items() if key not in (*CHECKS, "headers")}
    return base | own


def _direct(probe: Mapping[str, Any], place: Mapping[str, Any]) -> Probe:
    """Return a probe that the kubelet sends to the project, or runs in its container."""
    if "exec" in probe:
        words = [str(word) for word in probe["exec"]]
        # As in the filter full_command.
        command = [*place["manage"], *words[1:]] if words[:1] == ["manage"] else words
        return _numbers(probe) | {"exec": {"command": command}}
    if "http" in probe:
        return _numbers(probe) | {"httpGet": _request(probe["http"], probe.get("headers"), place)}
    return _numbers(probe) | {"tcpSocket": {"port": place["port"]}}


def _through_front(probe: Mapping[str, Any], place: Mapping[str, Any]) -> Probe:
    """Return a probe that the front answers: it sends a request to the project, or only tells whether one arrives."""
    path = probe.get("http") or place["connect_path"]
    return _numbers(probe) | {"httpGet": _request(path, probe.get("headers"), place)}


def _request(path: str, headers: Mapping[str, str] | None, place: Mapping[str, Any]) -> Probe:
    """Return a request for the host of the site, because Django returns status 400 for others."""
    named = {**(place.get("headers") or {}), **(headers or {})}
    return {
        "path": path,
        "port": place["port"],
        "scheme": place.get("scheme", "HTTP"),
        "httpHeaders": [{"name": name, "value": str(value)} for name, value in named.items()],
    }


def _numbers(probe: Mapping[str, Any]) -> Probe:
    timeout = int(probe.get("timeout", 5))
    return {"periodSeconds": _period(probe), "timeoutSeconds": timeout, "failureThreshold": _failures(probe)}


def _period(probe: Mapping[str, Any]) -> int:
    return int(probe.get("period", 10))


def _failures(probe: Mapping[str, Any]) -> int:
    return int(probe.get("failures", 3))


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., dict[str, Probe]]]:
        """Return the filters by their names."""
        return {"web_probes": web_probes}
