"""Statements of `make bench` that create and remove questions, with the tables of the site."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = {"DJANGO_PUBLIC_URL": "https://polls.example.org", "DJANGO_SETTINGS_MODULE": "config.settings"}
# Creates the tables in a schema of its own, and prints the newest open questions and the numbers of rows at each step.
PROGRAM = """
import json, sys
from django.core.management import call_command
from django.db import connection
from polls.models import Choice, Question
sys.path.insert(0, sys.argv[1])
import questions
schema = "bench_questions"
with connection.cursor() as cursor:
    cursor.execute(f"CREATE SCHEMA {schema}")
    try:
        cursor.execute(f"SET search_path TO {schema}")
        call_command("migrate", verbosity=0)
        call_command("load_demo_polls", stdout=sys.stderr)
        Question.objects.update(published_at="2026-01-01T00:00:00Z")
        seen = []
        added, more = ([questions.inserting(schema, *numbers)] for numbers in ((1, 8), (9, 998)))
        for statements in (added, more, questions.removing(schema)):
            for statement in statements:
                cursor.execute(statement)
            newest = [question.text for question in Question.objects.open()[:2]]
            seen.append([newest, Question.objects.count(), Choice.objects.count(), Question.objects.open().count()])
    finally:
        cursor.execute(f"DROP SCHEMA {schema} CASCADE")
print(json.dumps(seen))
"""


def test_questions_are_added_as_the_newest_and_removed() -> None:
    command = [sys.executable, "-c", "import django; django.setup()\n" + PROGRAM, str(PROJECT / "bench")]
    done = subprocess.run(
        command, cwd=PROJECT / "django_polls", env=os.environ | SETTINGS, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    text = "Question of make bench"
    added, more, removed = json.loads(done.stdout)
    # Two questions with three choices each exist before.
    assert added == [[f"{text} 8", f"{text} 7"], 10, 30, 10]
    assert more == [[f"{text} 998", f"{text} 997"], 1000, 3000, 1000]
    assert removed[1:] == [2, 6, 2]
    assert text not in str(removed)
