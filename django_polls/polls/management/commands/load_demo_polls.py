"""Command that adds the demo polls."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from polls.models import Choice, Question

DEMO_POLLS = {
    "Is Django better than Flask?": ["Yes, batteries included", "No, small is beautiful", "Each has its day"],
    "Is Python3 better than Python2?": ["Yes, and by far", "No, print was a statement", "Is there still a Python2?"],
}


class Command(BaseCommand):
    """Add the demo polls. Questions that already exist keep their choices and votes, so it is safe to run again."""

    help = "Add the two demo questions, unless they already exist."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        for text, choices in DEMO_POLLS.items():
            if Question.objects.filter(text=text).exists():
                self.stdout.write(f"unchanged: {text}")
                continue
            question = Question.objects.create(text=text)
            Choice.objects.bulk_create(
                Choice(question=question, position=position, text=choice)
                for position, choice in enumerate(choices, start=1)
            )
            self.stdout.write(f"created: {text}")
