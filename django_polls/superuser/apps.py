"""App configuration."""

from django.apps import AppConfig


class SuperuserConfig(AppConfig):
    """Superuser from a Secret."""

    name = "superuser"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "superuser from a Secret"
