"""Rules for the variables of web pods. Each refused value would fail later, elsewhere, or silently."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import rules

NO_ROUTE: dict[str, Any] = {
    "web_ingress_class": "",
    "web_gateways": [],
    "web_ingress_annotations": {},
    "web_route_annotations": {},
}
ONE_POD = {"path": "/data", "size": "1Gi", "access": "ReadWriteOncePod", "only": ["web"]}


def errors_of(**values: Any) -> list[str]:
    return list(rules.errors(values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"app_hosts": ["https://a.example"]}, "app_hosts has https://a.example, which is not a host name."),
        ({"app_hosts": ["a.example:80"]}, "is not a host name."),
        ({"app_hosts": ["*.example.org"]}, "and a wildcard"),
        ({"app_hosts": [""]}, "app_hosts has empty, which is not a host name."),
        ({"app_hosts": ["Shop.example.org"]}, "Write shop.example.org."),
        ({"web_redirect_hosts": ["a_b.example"]}, "web_redirect_hosts has a_b.example, which has an underscore"),
        (
            {"web_redirect_hosts": ["shop.example"], "django_public_url": "https://shop.example"},
            "would redirect to itself",
        ),
        ({"web_redirect_hosts": ["a.example"], "app_hosts": ["a.example"]}, "a.example is in app_hosts"),
        (
            {"web_front_enabled": False, "web_redirect_hosts": ["a.example"], "web_statics": {}},
            "web_redirect_hosts is set, but web_front_enabled is false",
        ),
        (
            {"web_front_enabled": False, "web_redirect_hosts": [], "web_statics": {"/media/": "/media"}},
            "web_statics is set, but web_front_enabled is false",
        ),
        (NO_ROUTE | {"web_ingress_annotations": {"a": "b"}}, "web_ingress_class is empty"),
        (NO_ROUTE | {"web_route_annotations": {"a": "b"}}, "web_gateways is empty"),
        (
            NO_ROUTE | {"web_ingress_class": "nginx", "web_ingress_annotations": {"a": True}},
            "web_ingress_annotations has a, whose value is not a string",
        ),
        ({"web_ready_path": "health/"}, "web_ready_path is health/, which is not a path"),
        ({"web_ready_path": "https://a.example/health/"}, "without a host"),
        ({"web_probes": {"alive": {"tcp": True}}}, "web_probes has alive, which is not a probe."),
        ({"web_probes": {"live": "/health/"}}, "web_probes.live is /health/, not a dictionary."),
        ({"web_probes": {"live": {"path": "/health/"}}}, "web_probes.live has path, which is not known."),
        ({"web_probes": {"live": {"tcp": True, "http": "/"}}}, "web_probes.live has tcp and http. Keep one"),
        ({"web_probes": {"ready": {"tcp": False}}}, "web_probes.ready has tcp: False."),
        ({"web_probes": {"ready": {"http": "health"}}}, "web_probes.ready has http: health, which is not a path"),
        ({"web_probes": {"startup": {"exec": "manage check"}}}, "not a list."),
        ({"web_probes": {"startup": {"exec": []}}}, "which has no command"),
        ({"web_probes": {"live": {"period": 0}}}, "web_probes.live has period: 0."),
        ({"web_probes": {"live": {"failures": True}}}, "web_probes.live has failures: True."),
        ({"web_probes": {"ready": {"http": "/", "headers": {"X": 1}}}}, "has headers that are not strings"),
        ({"web_after": [[]]}, "web_after[0] is [], which has no command"),
        ({"web_after": [["manage", 5]]}, "a word that is not a string"),
        ({"web_gunicorn_arguments": {"--timeout": 5}}, "is not the long name of an option"),
        ({"web_gunicorn_arguments": {"bind": ["a", "b"]}}, "web_gunicorn_arguments.bind is not a single value"),
        ({"web_statics": {"media": "/app/media"}}, "web_statics has media, which is not the path of a directory"),
        ({"web_statics": {"/": "/app/media"}}, "which is not the path of a directory"),
        ({"web_statics": {"/a*/": "/app/media"}}, "which is not the path of a directory"),
        ({"web_statics": {"/../": "/app/media"}}, "which is not the path of a directory"),
        ({"web_statics": {"/media/": "media"}}, "web_statics./media/ is media, which is not the absolute path"),
        ({"web_statics": {"/media/": "/app/../run/secrets"}}, "which is not the absolute path"),
        ({"web_statics": {"/media/": "/run/secrets/database"}}, "which has secrets or the system"),
        ({"web_statics": {"/media/": "/"}}, "which has secrets or the system"),
        (
            {
                "web_statics": {"/media/": "/data/media"},
                "web_front_tls_secret": "tls",
                "django_volumes": {"data": {"path": "/data"}},
            },
            "could publish the key of the certificate",
        ),
        (
            {"web_after": [["manage", "check"]], "django_volumes": {"data": ONE_POD}},
            "Volume data in django_volumes is ReadWriteOncePod, so the Job of web_after would wait for the web pod.",
        ),
        ({"web_after_timeout": 0}, "web_after_timeout is 0. Set a number of 1 or more."),
    ],
)
def test_an_invalid_value_is_refused(values: dict[str, Any], words: str) -> None:
    [error] = errors_of(**values)
    assert words in error
    assert error.endswith(".")


@pytest.mark.parametrize(
    "values",
    [
        {"app_hosts": ["shop.example.org", "192.0.2.1"], "web_redirect_hosts": ["www.example.org"]},
        {"django_public_url": "", "web_redirect_hosts": ["www.example.org"]},
        {"web_front_enabled": False, "web_redirect_hosts": [], "web_statics": {}},
        NO_ROUTE,
        NO_ROUTE | {"web_gateways": [{"name": "public"}], "web_route_annotations": {"a": "true"}},
        {"web_ready_path": "/health/?full=1"},
        {"web_probes": {}},
        {"web_probes": {"live": None, "ready": {"http": "/health/", "headers": {"Accept": "*/*"}, "period": "5"}}},
        {"web_probes": {"startup": {"exec": ["manage", "health_check"], "failures": 120}, "live": {"tcp": True}}},
        {"web_after": [], "django_volumes": {"data": ONE_POD}},
        {"web_after": [["manage", "check"]], "django_volumes": {"data": ONE_POD | {"access": "ReadWriteOnce"}}},
        {"web_after": [["manage", "clear_cache"], ["sh", "-c", "true"]]},
        {"web_gunicorn_arguments": {"timeout": 120, "preload": True, "bind": None, "access-logfile": "-"}},
        {"web_statics": {"/media/": "/data/media", "/static/": "/opt/netbox/static"}},
        {
            "web_statics": {"/static/": "/opt/static"},
            "web_front_tls_secret": "tls",
            "django_volumes": {"data": {"path": "/data"}, "odd": None},
        },
    ],
)
def test_a_valid_value_is_accepted(values: dict[str, Any]) -> None:
    assert errors_of(**values) == []
