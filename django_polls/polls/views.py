"""Pages of the polls: list, voting form, and results."""

from http import HTTPStatus

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe

from cloud_django.pages import shared_page
from polls import ballots
from polls.models import Choice, Question, count_vote, open_questions
from polls.tally import percentages

NOTHING_CHOSEN = "Please choose one of the answers, then vote."
SEVERAL_CHOSEN = "Please choose one answer only."
NOT_AN_ANSWER = "This is not an answer to this question. Please choose again."
ALREADY_VOTED = "You have already voted on this question."
CLOSED = "This question has closed, so your vote was not counted."
# Age of the number of pages after which a request for a page beyond it looks for a newer one.
LATEST_SECONDS = 1.0


def remembered_pages(seconds: float | None = None) -> int:
    """Return the number of pages of the list, at least one, from the last `seconds` if they are given."""
    return -(-open_questions.get(seconds) // settings.POLLS_PAGE_SIZE) or 1


def page_number(request: HttpRequest) -> int:
    """Return the number of the requested page of the list, and the first one for anything else.

    It is at most one more than the number of pages, because there may be more questions now. It stays the same for a
    request, so that a page is kept under its own number.
    """
    number = getattr(request, "page_number", None)
    if number is None:
        given = request.GET.get("page", "")
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 1
        # Another worker may know of more pages.
        if number > 1 and number > remembered_pages() + 1:
            number = min(number, remembered_pages(LATEST_SECONDS) + 1)
        request.page_number = number = max(number, 1)
    return number


def list_variant(request: HttpRequest) -> int | None:
    """Return what the list depends on. A new vote must be on the next page that the voter opens."""
    return None if ballots.has_just_voted(request) else page_number(request)


def ballot_variant(request: HttpRequest, pk: int) -> int | None:
    """Return what a page of a question depends on: the vote of this browser, or 0."""
    return None if ballots.has_just_voted(request) else ballots.choice_voted_for(request, pk) or 0


def list_page(number: int) -> Page:
    """Return a page of the list, or the last one. A row more than it shows tells whether there is another page."""
    size = settings.POLLS_PAGE_SIZE
    paginator = Paginator(Question.objects.open().with_total(), size)
    rows = list(paginator.object_list[(number - 1) * size : number * size + 1])
    if number > 1 and not rows:
        if number <= remembered_pages():
            # There are fewer questions than remembered.
            open_questions.forget()
        return list_page(min(number - 1, remembered_pages()))
    shown, is_last = (number - 1) * size + len(rows), len(rows) <= size
    known = open_questions.known
    if known is not None and (known != shown if is_last else known < shown):
        open_questions.forget()
    paginator.count = shown if is_last else max(shown, open_questions.get())
    return Page(rows[:size], number, paginator)


@require_safe
@shared_page(list_variant)
@cache_control(no_cache=True)
def index(request: HttpRequest) -> HttpResponse:
    """List open questions, newest first. One query while they fit on a page, and one more for their number."""
    return render(request, "polls/index.html", {"page": list_page(page_number(request))})


@require_safe
@shared_page(ballot_variant)
@cache_control(private=True, no_cache=True)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the voting form. Two queries: the question and its choices."""
    return ballot_form(request, published_question(pk))


@require_http_methods(["GET", "HEAD", "POST"])
@cache_control(private=True, no_cache=True)
def vote(request: HttpRequest, pk: int) -> HttpResponse:
    """Count a vote and redirect to the results. One query for a first vote, and two or three for others.

    An invalid vote shows the form again, with the reason.
    """
    if request.method != "POST":
        return redirect(published_question(pk))
    before = ballots.choice_voted_for(request, pk)
    chosen, problem = chosen_id(request.POST)
    if chosen is not None and before is None and count_vote(pk, chosen):
        return counted(pk, chosen)
    question = published_question(pk)
    if question.is_closed:
        return ballot_form(request, question, CLOSED, HTTPStatus.CONFLICT)
    if before is not None and not settings.POLLS_VOTE_CHANGEABLE:
        return ballot_form(request, question, ALREADY_VOTED, HTTPStatus.CONFLICT)
    if chosen is None:
        return ballot_form(request, question, problem, HTTPStatus.BAD_REQUEST)
    if chosen != before and not question.record_vote(chosen, instead_of=before):
        return ballot_form(request, question, NOT_AN_ANSWER, HTTPStatus.BAD_REQUEST)
    return counted(pk, chosen)


@require_safe
@shared_page(ballot_variant)
@cache_control(private=True, no_cache=True)
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the results, which a script updates. Two queries: the question and its choices."""
    question = published_question(pk)
    choices = list(question.choices.all())
    context = {
        "question": question,
        "rows": list(zip(choices, percentages([choice.votes for choice in choices]), strict=True)),
        "total": sum(choice.votes for choice in choices),
        "voted_for": ballots.choice_voted_for(request, pk),
        "changeable": settings.POLLS_VOTE_CHANGEABLE,
        "refresh_seconds": settings.POLLS_REFRESH_SECONDS,
    }
    return render(request, "polls/results.html", context)


@require_safe
@shared_page(lambda request, pk: None if ballots.has_just_voted(request) else 0)
@cache_control(no_cache=True)
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


def counted(question_id: int, choice_id: int) -> HttpResponse:
    """Redirect to the results, and store the vote in the browser."""
    response = HttpResponseRedirect(reverse("polls:results", args=[question_id]))
    ballots.remember(response, question_id, choice_id)
    return response


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
    voted_for = ballots.choice_voted_for(request, question.pk)
    can_vote = not question.is_closed and (voted_for is None or settings.POLLS_VOTE_CHANGEABLE)
    context = {
        "question": question,
        "choices": list(question.choices.all()),
        "voted_for": voted_for,
        "can_vote": can_vote,
        "problem": problem,
    }
    return render(request, "polls/detail.html", context, status=status)
