# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Python settings for what a project does not read from its environment."""

import re
from collections.abc import Iterator

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.project import Project

SERVICE = '{"default": {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"service": "default"}}}'
NAME = re.compile(r"[\w.-]+")
IS_HTTPS = '${site.url|json}.startswith("https:")'


def local_settings(project: Project) -> list[str]:
    """Return the lines of django_local_settings; none if the environment decides all that a site needs."""
    if not project.layout.settings:
        return []
    return [
        *_security(project),
        *_database(project),
        *_addresses(project),
        *_cache(project),
        *_statics(project),
        *_logs(project),
    ]


def _fixed(project: Project, name: str) -> bool:
    """Return whether the environment cannot change a setting."""
    return not project.settings.is_from_environment(name)


def _security(project: Project) -> Iterator[str]:
    settings = project.settings
    if _fixed(project, "DEBUG") and settings.value("DEBUG") not in (None, False):
        yield "DEBUG = False"
    if _fixed(project, "SECRET_KEY"):
        yield "SECRET_KEY = ${django.secret_key|json}"
    for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        if _fixed(project, name) and settings.value(name) is True:
            yield f"{name} = {IS_HTTPS}"
    if settings.value("SECURE_PROXY_SSL_HEADER") is None:
        yield 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'


def _database(project: Project) -> Iterator[str]:
    if project.replaces_database or "DATABASES" not in project.settings.evaluated.settings:
        yield f"DATABASES = {SERVICE}"
        apps = project.settings.apps
        if "django.contrib.postgres" not in apps and any(app.startswith("wagtail") for app in apps):
            yield 'INSTALLED_APPS += ["django.contrib.postgres"]'


def _addresses(project: Project) -> Iterator[str]:
    if _fixed(project, "ALLOWED_HOSTS"):
        yield "ALLOWED_HOSTS = ${site.hosts|list}"
    if _fixed(project, "CSRF_TRUSTED_ORIGINS"):
        yield "CSRF_TRUSTED_ORIGINS = ${site.origins|list}"
    if _fixed(project, "WAGTAILADMIN_BASE_URL") and any(
        app.startswith("wagtail.admin") for app in project.settings.apps
    ):
        yield "WAGTAILADMIN_BASE_URL = ${site.url|json}"


def _cache(project: Project) -> Iterator[str]:
    for name in project.fixed_redis:
        if name == "CACHES":
            yield 'CACHES["default"]["LOCATION"] = "${cache.url}/1"'
        else:
            yield f'{name} = "${{cache.url}}/0"'


def _statics(project: Project) -> Iterator[str]:
    if not project.adds_whitenoise:
        return
    yield 'MIDDLEWARE = [*MIDDLEWARE[:1], "whitenoise.middleware.WhiteNoiseMiddleware", *MIDDLEWARE[1:]]'
    yield "WHITENOISE_USE_FINDERS, STATIC_ROOT = True, None"
    if project.settings.has_hashed_statics:
        plain = '"django.contrib.staticfiles.storage.StaticFilesStorage"'
        if project.settings.value("STORAGES") is None:
            yield f"STATICFILES_STORAGE = {plain}"
        else:
            yield f'STORAGES["staticfiles"] = {{"BACKEND": {plain}}}'


def _logs(project: Project) -> Iterator[str]:
    """Log to the console in place of files beside the code, where pods can't write."""
    for name, directory in project.log_directories.items():
        if project.has_code(directory) and NAME.fullmatch(name):
            yield f'LOGGING["handlers"]["{name}"] = {{"class": "logging.StreamHandler"}}'
