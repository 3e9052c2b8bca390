"""The app."""

from django.apps import AppConfig


class PollsConfig(AppConfig):
    """Questions that people vote on."""

    name = "polls"
    default_auto_field = "django.db.models.BigAutoField"
