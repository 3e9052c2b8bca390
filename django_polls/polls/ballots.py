"""One vote per browser and question, remembered by a signed cookie.

The cookie belongs to the address of its question, so the browser sends at most one with a request: with one for the
whole site, somebody who votes a lot would end up with a header that is too long for the server. Whoever deletes the
cookie can vote again: this is a poll, not an election.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from polls.models import Question

SALT = "polls.ballot"
ONE_YEAR = 365 * 24 * 3600


def cookie_name(question: Question) -> str:
    """The question's id is part of the name and so of what is signed: one ballot can't serve for another question."""
    return f"vote_{question.pk}"


def choice_voted_for(request: HttpRequest, question: Question) -> int | None:
    """The id of the choice this browser has voted for; None without a valid cookie."""
    value = request.get_signed_cookie(cookie_name(question), default=None, salt=SALT, max_age=ONE_YEAR)
    return int(value) if value and value.isdecimal() else None


def remember(response: HttpResponse, question: Question, choice_id: int) -> None:
    """Have the browser keep what it voted for."""
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
