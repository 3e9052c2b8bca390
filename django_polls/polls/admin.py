"""Admin pages for questions and their choices."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db import models
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from polls.models import Choice, Question, QuestionQuerySet

# The admin's default width is too narrow for 200 characters.
WIDE_TEXT = {models.CharField: {"widget": AdminTextInputWidget(attrs={"class": "vLargeTextField"})}}


class ChoiceInline(admin.StackedInline):
    """Choices of a question. Votes are shown and read-only.

    Stacked, because fields in a tabular inline have no labels for screen readers.
    """

    model = Choice
    fields = [("text", "position", "votes")]
    formfield_overrides = WIDE_TEXT
    readonly_fields = ["votes"]
    min_num = 2
    extra = 2

    def get_formset(self, request: HttpRequest, obj: Question | None = None, **kwargs: Any) -> type[BaseInlineFormSet]:
        return super().get_formset(request, obj, validate_min=True, **kwargs)


@admin.register(Question)
class QuestionAdmin(admin.ModelAdmin):
    """Questions with their choices."""

    list_display = ["text", "published_at", "closes_at", "votes", "results"]
    list_filter = ["published_at", "closes_at"]
    date_hierarchy = "published_at"
    search_fields = ["text", "choices__text"]
    formfield_overrides = WIDE_TEXT
    inlines = [ChoiceInline]
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuestionQuerySet:
        queryset: Any = super().get_queryset(request)
        return queryset.with_total()

    @admin.display(description="Votes", ordering="total_votes")
    def votes(self, question: Any) -> int:
        """Return the total votes of all choices."""
        return question.total_votes

    @admin.display(description="Results")
    def results(self, question: Question) -> SafeString:
        """Return a link to the results page."""
        return format_html('<a href="{}">Results</a>', self.view_on_site(question))

    def view_on_site(self, question: Question) -> str:
        """Return the URL of the results instead of the form, because authors want to see the results."""
        return reverse("polls:results", args=[question.pk])
