"""Questions, their choices, and how votes are counted."""

from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import connection, models, transaction
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.urls import reverse
from django.utils import timezone

from cloud_django.remembered import Remembered


def validate_text(value: str) -> None:
    """Fail for characters that PostgreSQL cannot store: NUL, and single surrogates."""
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
        raise ValidationError("This text contains a character that cannot be stored.", code="unstorable")


class QuestionQuerySet(models.QuerySet["Question"]):
    """Questions that users can see, and that they can vote on."""

    def published(self) -> Self:
        """Return questions whose publication time has passed, including closed ones."""
        return self.filter(published_at__lte=timezone.now())

    def open(self) -> Self:
        """Return questions that accept votes now and have choices."""
        now = timezone.now()
        has_choices = models.Exists(Choice.objects.filter(question=OuterRef("pk")))
        return self.filter(Q(closes_at=None) | Q(closes_at__gt=now), has_choices, published_at__lte=now)

    def with_total(self) -> Self:
        """Add `total_votes`, the sum over the question's choices."""
        votes = Choice.objects.filter(question=OuterRef("pk")).order_by().values("question")
        return self.annotate(total_votes=Coalesce(Subquery(votes.values(total=Sum("votes"))), 0))


# SQL, because Django needs ten times as long to write this statement as to run it, and no other one runs as often.
COUNT_VOTE = """
UPDATE polls_choice SET votes = votes + 1 FROM polls_question
WHERE polls_choice.id = %s AND question_id = %s AND polls_question.id = question_id
AND published_at <= %s AND (closes_at IS NULL OR closes_at > %s)
"""


def count_vote(question_id: int, choice_id: int) -> bool:
    """Count a first vote if the question is open and has this choice. Return whether it was counted.

    The single statement is its own transaction and locks one row. Its time is that of the pod, as on all pages.
    """
    if max(question_id, choice_id) > models.BigIntegerField.MAX_BIGINT:
        return False
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(COUNT_VOTE, [choice_id, question_id, now, now])
        return cursor.rowcount == 1


class Question(models.Model):
    """Question that accepts votes from its publication until it closes."""

    text = models.CharField("question", max_length=200, validators=[validate_text])
    published_at = models.DateTimeField("published", default=timezone.now)
    closes_at = models.DateTimeField(
        "closes",
        null=True,
        blank=True,
        help_text="No votes are accepted after this time. Leave it empty to keep the question open.",
    )

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ["-published_at", "-id"]
        indexes = [models.Index(fields=["-published_at", "-id"], name="polls_question_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(closes_at=None) | Q(closes_at__gt=F("published_at")),
                name="polls_question_closes_after_publication",
                violation_error_message="The closing time must be after the publication time.",
            )
        ]

    def __str__(self) -> str:
        return self.text

    def get_absolute_url(self) -> str:
        """Return the URL of the voting form."""
        return reverse("polls:detail", args=[self.pk])

    @property
    def is_closed(self) -> bool:
        """Return whether voting has ended."""
        return self.closes_at is not None and self.closes_at <= timezone.now()

    def record_vote(self, choice_id: int, *, instead_of: int | None = None) -> bool:
        """Count a vote, or move an earlier one. Return False if the choice doesn't belong to this question.

        Moving a vote locks two rows, in the order of their IDs, so that two users who swap their votes cannot deadlock.
        """
        if instead_of is None:
            return count_vote(self.pk, choice_id)
        with transaction.atomic():
            counted = False
            for pk in sorted({choice_id, instead_of}):
                if pk == choice_id:
                    counted = self.choices.filter(pk=pk).update(votes=F("votes") + 1) == 1
                else:
                    self.choices.filter(pk=pk, votes__gt=0).update(votes=F("votes") - 1)
            if not counted:
                transaction.set_rollback(True)
        return counted


class Choice(models.Model):
    """Answer to a question, with its number of votes."""

    # The index on (question, position) also serves lookups by question.
    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="choices", db_index=False)
    position = models.PositiveSmallIntegerField(default=0, help_text="Choices are shown in ascending order.")
    text = models.CharField("choice", max_length=200, validators=[validate_text])
    # No index, because each vote would have to update it.
    votes = models.BigIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["question", "position", "id"], name="polls_choice_in_order")]
        constraints = [models.CheckConstraint(condition=Q(votes__gte=0), name="polls_choice_votes_not_negative")]

    def __str__(self) -> str:
        return self.text


# Exact while the list fits on a page. Otherwise, only the number of pages depends on it.
open_questions = Remembered(
    "open-questions", lambda: Question.objects.open().count(), own_seconds=10, shared_seconds=60
)


@receiver([post_save, post_delete], sender=Question)
@receiver([post_save, post_delete], sender=Choice)
def forget_open_questions(**arguments: Any) -> None:
    """Forget the number after a change, for example in the admin. Votes send no signal."""
    transaction.on_commit(open_questions.forget)
