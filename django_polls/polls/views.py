"""Pages of the polls: list, voting form, and results."""

from http import HTTPStatus

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_http_methods, require_safe

from polls import ballots
from polls.models import Choice, Question
from polls.tally import percentages

NOTHING_CHOSEN = "Please choose one of the answers, then vote."
SEVERAL_CHOSEN = "Please choose one answer only."
NOT_AN_ANSWER = "This is not an answer to this question. Please choose again."
ALREADY_VOTED = "You have already voted on this question."
CLOSED = "This question has closed, so your vote was not counted."


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List open questions, newest first. Two queries: the number of questions, and one page of them."""
    page = Paginator(Question.objects.open().with_total(), settings.POLLS_PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "polls/index.html", {"page": page})


@require_safe
@cache_control(private=True, no_cache=True)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the voting form. Two queries: the question and its choices."""
    return ballot_form(request, published_question(pk))


@require_http_methods(["GET", "HEAD", "POST"])
@cache_control(private=True, no_cache=True)
def vote(request: HttpRequest, pk: int) -> HttpResponse:
    """Count a vote and redirect to the results. Two queries: the question, and one UPDATE (two to move a vote).

    An invalid vote shows the form again, with the reason.
    """
    question = published_question(pk)
    if request.method != "POST":
        return redirect(question)
    before = ballots.choice_voted_for(request, question)
    if question.is_closed:
        return ballot_form(request, question, CLOSED, HTTPStatus.CONFLICT)
    if before is not None and not settings.POLLS_VOTE_CHANGEABLE:
        return ballot_form(request, question, ALREADY_VOTED, HTTPStatus.CONFLICT)
    chosen, problem = chosen_id(request.POST)
    if chosen is None:
        return ballot_form(request, question, problem, HTTPStatus.BAD_REQUEST)
    if chosen != before and not question.record_vote(chosen, instead_of=before):
        return ballot_form(request, question, NOT_AN_ANSWER, HTTPStatus.BAD_REQUEST)
    response = HttpResponseRedirect(results_url(question))
    ballots.remember(response, question, chosen)
    return response


@require_safe
@cache_control(private=True, no_cache=True)
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the results, which a script updates. Two queries: the question and its choices."""
    question = published_question(pk)
    choices = list(question.choices.all())
    context = {
        "question": question,
        "rows": list(zip(choices, percentages([choice.votes for choice in choices]), strict=True)),
        "total": sum(choice.votes for choice in choices),
        "voted_for": ballots.choice_voted_for(request, question),
        "changeable": settings.POLLS_VOTE_CHANGEABLE,
        "refresh_seconds": settings.POLLS_REFRESH_SECONDS,
    }
    return render(request, "polls/results.html", context)


@require_safe
@cache_control(no_cache=True)
@conditional_page
def results_json(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the results as JSON with an ETag: 304 until there is a new vote. One query."""
    now = timezone.now()
    rows = list(
        Choice.objects.filter(question=pk, question__published_at__lte=now).values_list(
            "pk", "votes", "question__closes_at"
        )
    )
    if not rows:
        raise Http404("This question does not exist or is not open yet.")
    closes_at = rows[0][2]
    shares = percentages([votes for _, votes, _ in rows])
    return JsonResponse(
        {
            "total": sum(votes for _, votes, _ in rows),
            "closed": closes_at is not None and closes_at <= now,
            "choices": [
                {"id": choice_id, "votes": votes, "percent": percent}
                for (choice_id, votes, _), percent in zip(rows, shares, strict=True)
            ],
        }
    )


def published_question(pk: int) -> Question:
    """Return a published question, or raise 404 to hide unpublished ones."""
    return get_object_or_404(Question.objects.published(), pk=pk)


def results_url(question: Question) -> str:
    """Return the URL of the results. It is below the question's URL, so that browsers send the question's cookie."""
    return f"{question.get_absolute_url()}results/"


def chosen_id(data: QueryDict) -> tuple[int | None, str]:
    """Return the submitted ID, or None and the reason. It is strict, because `int()` also accepts `1_0` and ` 1 `."""
    match data.getlist("choice"):
        case []:
            return None, NOTHING_CHOSEN
        case [value] if value.isascii() and value.isdigit() and len(value) < 20:
            return int(value), ""
        case [_]:
            return None, NOT_AN_ANSWER
        case _:
            return None, SEVERAL_CHOSEN


def ballot_form(
    request: HttpRequest, question: Question, problem: str = "", status: HTTPStatus = HTTPStatus.OK
) -> HttpResponse:
    """Render the voting form, with the reason if it is shown again."""
    voted_for = ballots.choice_voted_for(request, question)
    can_vote = not question.is_closed and (voted_for is None or settings.POLLS_VOTE_CHANGEABLE)
    context = {
        "question": question,
        "choices": list(question.choices.all()),
        "voted_for": voted_for,
        "can_vote": can_vote,
        "problem": problem,
    }
    return render(request, "polls/detail.html", context, status=status)
