"""Questions, their choices, and how a vote is counted."""

from typing import Self

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone


def validate_text(value: str) -> None:
    """Refuse what PostgreSQL cannot store: NUL, and halves of characters that are no characters by themselves."""
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
        raise ValidationError("This text contains a character that cannot be stored.", code="unstorable")


class QuestionQuerySet(models.QuerySet["Question"]):
    """What visitors may see, and what they may vote on."""

    def published(self) -> Self:
        """Questions whose day has come, closed ones too."""
        return self.filter(published_at__lte=timezone.now())

    def open(self) -> Self:
        """Questions that take votes now and have something to vote for."""
        now = timezone.now()
        has_choices = models.Exists(Choice.objects.filter(question=OuterRef("pk")))
        return self.filter(Q(closes_at=None) | Q(closes_at__gt=now), has_choices, published_at__lte=now)

    def with_total(self) -> Self:
        """Add `total_votes`, the sum over the question's choices."""
        votes = Choice.objects.filter(question=OuterRef("pk")).order_by().values("question")
        return self.annotate(total_votes=Coalesce(Subquery(votes.values(total=Sum("votes"))), 0))


class Question(models.Model):
    """Something to decide, between the day it is published and the day it closes."""

    text = models.CharField("question", max_length=200, validators=[validate_text])
    published_at = models.DateTimeField("published", default=timezone.now)
    closes_at = models.DateTimeField(
        "closes", null=True, blank=True, help_text="Nobody can vote after this. Leave it empty to keep it open."
    )

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ["-published_at", "-id"]
        indexes = [models.Index(fields=["-published_at", "-id"], name="polls_question_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(closes_at=None) | Q(closes_at__gt=F("published_at")),
                name="polls_question_closes_after_publication",
                violation_error_message="A question has to close after it is published.",
            )
        ]

    def __str__(self) -> str:
        return self.text

    def get_absolute_url(self) -> str:
        """Where people vote on it."""
        return reverse("polls:detail", args=[self.pk])

    @property
    def is_closed(self) -> bool:
        """Whether the last vote has been cast."""
        return self.closes_at is not None and self.closes_at <= timezone.now()

    def record_vote(self, choice_id: int, *, instead_of: int | None = None) -> bool:
        """Count one vote, or move the one that was cast before. False if the choice isn't one of this question's.

        A first vote is one UPDATE, which is a transaction of its own that locks one row. Moving a vote takes two rows;
        they are locked in the order of their ids, so that two people who change their minds in opposite directions
        cannot wait for each other.
        """
        if instead_of is None:
            return self.choices.filter(pk=choice_id).update(votes=F("votes") + 1) == 1
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
    """One of the answers, and how many people gave it."""

    # The index on (question, position) serves look-ups by question as well.
    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="choices", db_index=False)
    position = models.PositiveSmallIntegerField(
        default=0, help_text="Choices are shown from the lowest to the highest."
    )
    text = models.CharField("choice", max_length=200, validators=[validate_text])
    # No index: it would have to be written with every vote.
    votes = models.BigIntegerField(default=0, db_default=0, editable=False)

    class Meta:
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["question", "position", "id"], name="polls_choice_in_order")]
        constraints = [models.CheckConstraint(condition=Q(votes__gte=0), name="polls_choice_votes_not_negative")]

    def __str__(self) -> str:
        return self.text
