"""App configuration, and a system check of the order of the middleware."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

MIDDLEWARE = "cloud_django.health.middleware.HealthCheckMiddleware"
# Each of these would answer a probe with 301 or 400 first.
MUST_COME_LATER = ("django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware")


class HealthConfig(AppConfig):
    """Health checks for an orchestrator."""

    name = "cloud_django.health"


@checks.register("health")
def check_order(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if probes would get a redirect or an error for their Host."""
    order = list(settings.MIDDLEWARE)
    if MIDDLEWARE not in order:
        return [
            checks.Warning(
                "The health checks are not in MIDDLEWARE.", hint=f"Put {MIDDLEWARE} first.", id="health.W001"
            )
        ]
    before = [name for name in MUST_COME_LATER if name in order[: order.index(MIDDLEWARE)]]
    if before:
        return [
            checks.Warning(
                f"Probes will be redirected or refused: {', '.join(before)} comes before the health checks.",
                hint=f"Put {MIDDLEWARE} first in MIDDLEWARE.",
                id="health.W002",
            )
        ]
    return []
