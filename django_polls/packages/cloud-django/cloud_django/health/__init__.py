"""Liveness and readiness paths for an orchestrator.

    INSTALLED_APPS += ["cloud_django.health"]
    MIDDLEWARE.insert(0, "cloud_django.health.middleware.HealthCheckMiddleware")

`/livez` reports that the process responds. `/readyz` also checks the database and that all migrations of this release
are applied. After its first success it keeps reporting success while the database is unavailable, because the site's
own error page is better than none. The settings HEALTH_LIVE_PATH and HEALTH_READY_PATH change the paths.
"""

from django.conf import settings


def probe_paths() -> tuple[str, str]:
    """Return the liveness path and the readiness path."""
    return getattr(settings, "HEALTH_LIVE_PATH", "/livez"), getattr(settings, "HEALTH_READY_PATH", "/readyz")
