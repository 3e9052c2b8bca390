"""Where questions are written."""

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

# 200 characters want more room than the admin gives to a line of text.
WIDE_TEXT = {models.CharField: {"widget": AdminTextInputWidget(attrs={"class": "vLargeTextField"})}}


class ChoiceInline(admin.StackedInline):
    """The answers, below their question. Votes are shown and can't be typed.

    Stacked, because a tabular inline has fields without labels, which a screen reader cannot tell apart.
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
        """The sum over all choices."""
        return question.total_votes

    @admin.display(description="Results")
    def results(self, question: Question) -> SafeString:
        """A way to the page with the bars."""
        return format_html('<a href="{}">Results</a>', self.view_on_site(question))

    def view_on_site(self, question: Question) -> str:
        """The results rather than the form: whoever writes a question wants to know how it goes."""
        return reverse("polls:results", args=[question.pk])
