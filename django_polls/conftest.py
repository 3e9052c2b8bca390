"""What the tests of all apps share."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone

from polls.models import Choice, Question


@pytest.fixture(scope="session", autouse=True)
def plain_static_files() -> Iterator[None]:
    """Static files without hashed names, so that tests of pages need no collectstatic before them."""
    storages = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    with override_settings(STORAGES=storages):
        yield


@pytest.fixture
def make_question(db: None) -> Callable[..., Question]:
    """A question with choices, published an hour ago unless told otherwise."""

    def make(text: str = "Tea or coffee?", choices: tuple[str, ...] = ("Tea", "Coffee"), **fields: Any) -> Question:
        fields.setdefault("published_at", timezone.now() - timedelta(hours=1))
        question = Question.objects.create(text=text, **fields)
        for position, choice in enumerate(choices):
            Choice.objects.create(question=question, position=position, text=choice)
        return question

    return make


@pytest.fixture
def question(make_question: Callable[..., Question]) -> Question:
    """One open question."""
    return make_question()


@pytest.fixture
def administrator(db: None) -> AbstractUser:
    """Somebody who may do everything."""
    return get_user_model().objects.create_superuser("admin", "admin@example.org", "a long enough passphrase")


@pytest.fixture
def admin_page(administrator: AbstractUser) -> Client:
    """A browser that is logged in to the admin."""
    client = Client()
    client.force_login(administrator)
    return client
