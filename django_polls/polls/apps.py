"""App configuration."""

from django.apps import AppConfig


class PollsConfig(AppConfig):
    """Questions that users vote on."""

    name = "polls"
    default_auto_field = "django.db.models.BigAutoField"
