"""Middleware that every response passes: request IDs, a header for the browser, and a page for a lost database."""

import logging
import re
import sys
import uuid
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from cloud_django.logs import request_id

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

RETRY_SECONDS = 10
# What a proxy may hand us as an identifier: it ends up in logs, so it must not be able to forge a line.
IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIDMiddleware:
    """Give each request a name that its response and all its log lines carry, and keep the one a proxy has given."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        identifier = given if IDENTIFIER.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(identifier)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-ID"] = identifier
        return response


class ClientAddressMiddleware:
    """Take the client's address from X-Forwarded-For, where the server in front of this one has decided it.

    Only for a project that nothing but such a server can connect to, and that gets one address. It must come first.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META["REMOTE_ADDR"] = request.META.get("HTTP_X_FORWARDED_FOR") or request.META.get("REMOTE_ADDR", "")
        return self.get_response(request)


class PermissionsPolicyMiddleware:
    """Tell the browser which of its powers this site never asks for. Django has no setting for this header."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        return response


class DatabaseUnavailableMiddleware:
    """Answer 503 with a page for people when a view finds the database away, busy or shutting down."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, OperationalError | InterfaceError):
            logger.error("The database does not answer: %s", " ".join(str(exception).split()))
            return database_unavailable()
        return None


def database_unavailable() -> HttpResponse:
    """The page that asks to come back in a moment; drawn without a request, so nothing in it can ask the database."""
    return HttpResponse(
        render_to_string("503.html"),
        status=503,
        headers={"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"},
    )


def error_500(request: HttpRequest) -> HttpResponse:
    """handler500: a database that fails in a middleware, such as when a session is saved, is 503 too."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return database_unavailable()
    return server_error(request)
