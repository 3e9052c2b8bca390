"""Middleware for request IDs, client addresses, the Permissions-Policy header, and an unavailable database."""

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
# Request IDs from a proxy are written to logs, so they must not be able to forge a line.
IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIDMiddleware:
    """Add an ID to each response and its log lines. A valid ID from a proxy is kept."""

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
    """Set the client address from X-Forwarded-For, which the server in front of this one sets to a single address.

    Use it only if no other client can connect to the project. It must be the first middleware.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META["REMOTE_ADDR"] = request.META.get("HTTP_X_FORWARDED_FOR") or request.META.get("REMOTE_ADDR", "")
        return self.get_response(request)


class PermissionsPolicyMiddleware:
    """Add the Permissions-Policy header, for which Django has no setting."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        return response


class DatabaseUnavailableMiddleware:
    """Respond with 503 and an error page if the database is unavailable, busy, or shutting down in a view."""

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
    """Return the 503 page. It is rendered without a request, so that it cannot query the database."""
    return HttpResponse(
        render_to_string("503.html"),
        status=503,
        headers={"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"},
    )


def error_500(request: HttpRequest) -> HttpResponse:
    """Return 503 if the database fails in a middleware, for example when a session is saved, else 500."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return database_unavailable()
    return server_error(request)
