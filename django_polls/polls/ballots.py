"""One vote per browser and question, stored in a signed cookie.

The cookie's path is the question's URL, so a browser sends at most one with a request. A single cookie for the whole
site could grow longer than the server's header limit. A user who deletes the cookie can vote again: this is a poll, not
an election.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

SALT = "polls.ballot"
ONE_YEAR = 365 * 24 * 3600
# For all pages, and only until pages from before the vote are out of every cache.
JUST_VOTED = "just_voted"


def cookie_name(question_id: int) -> str:
    """Return the cookie's name. It is signed with the question's ID, so a ballot isn't valid for another question."""
    return f"vote_{question_id}"


def choice_voted_for(request: HttpRequest, question_id: int) -> int | None:
    """Return the ID of the choice that this browser voted for, or None without a valid cookie."""
    name = cookie_name(question_id)
    if name not in request.COOKIES:
        return None
    value = request.get_signed_cookie(name, default=None, salt=SALT, max_age=ONE_YEAR)
    return int(value) if value and value.isdecimal() else None


def has_just_voted(request: HttpRequest) -> bool:
    """Return whether this browser voted so recently that a cached page may not contain the vote."""
    return JUST_VOTED in request.COOKIES


def remember(response: HttpResponse, question_id: int, choice_id: int) -> None:
    """Store the vote in a cookie of the browser, and in another one that it was just now."""
    flags: dict[str, Any] = {"secure": settings.SESSION_COOKIE_SECURE, "httponly": True, "samesite": "Lax"}
    path = reverse("polls:detail", args=[question_id])
    response.set_signed_cookie(
        cookie_name(question_id), str(choice_id), salt=SALT, max_age=ONE_YEAR, path=path, **flags
    )
    if settings.PAGE_CACHE_SECONDS:
        # A second more, because browsers count whole seconds.
        response.set_cookie(JUST_VOTED, "1", max_age=settings.PAGE_CACHE_SECONDS + 1, **flags)
