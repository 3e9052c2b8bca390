"""One vote per browser and question, stored in a signed cookie.

The cookie's path is the question's URL, so a browser sends at most one with a request. A single cookie for the whole
site could grow longer than the server's header limit. A user who deletes the cookie can vote again: this is a poll, not
an election.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from polls.models import Question

SALT = "polls.ballot"
ONE_YEAR = 365 * 24 * 3600


def cookie_name(question: Question) -> str:
    """Return the cookie's name. It is signed with the question's ID, so a ballot isn't valid for another question."""
    return f"vote_{question.pk}"


def choice_voted_for(request: HttpRequest, question: Question) -> int | None:
    """Return the ID of the choice that this browser voted for, or None without a valid cookie."""
    value = request.get_signed_cookie(cookie_name(question), default=None, salt=SALT, max_age=ONE_YEAR)
    return int(value) if value and value.isdecimal() else None


def remember(response: HttpResponse, question: Question, choice_id: int) -> None:
    """Store the vote in a cookie of the browser."""
    response.set_signed_cookie(
        cookie_name(question),
        str(choice_id),
        salt=SALT,
        max_age=ONE_YEAR,
        path=question.get_absolute_url(),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
