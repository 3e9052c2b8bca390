"""The app."""

from django.apps import AppConfig


class SuperuserConfig(AppConfig):
    """An administrator from a Secret."""

    name = "superuser"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "administrator from a Secret"
