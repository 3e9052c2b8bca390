"""What somebody sees who has tried too many passwords."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """The page for it. It is the same whether there is such a user or not."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    answer = render(request, "429.html", {"minutes": -(-seconds // 60)}, status=429)
    answer["Retry-After"] = str(seconds)
    answer["Cache-Control"] = "no-store"
    return answer


def username(request: HttpRequest, credentials: Any = None) -> str:
    """The name that an attempt is counted for: as much of it as a user's name can be long.

    The form of the admin does not limit what somebody sends, and the column does.
    """
    name = (credentials or request.POST).get("username") or ""
    return name[: get_user_model()._meta.get_field(get_user_model().USERNAME_FIELD).max_length]
