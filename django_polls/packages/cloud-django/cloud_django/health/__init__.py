"""Two addresses for the probes of an orchestrator: is this process alive, and may it get traffic?

    INSTALLED_APPS += ["cloud_django.health"]
    MIDDLEWARE.insert(0, "cloud_django.health.middleware.HealthCheckMiddleware")

`/livez` says only that the process answers. `/readyz` also asks the database, and whether all migrations that this
release knows are applied; after its first yes it goes on saying so while the database is away, since then the site's
own answer is better than none. Other paths by the settings HEALTH_LIVE_PATH and HEALTH_READY_PATH.
"""

from django.conf import settings


def probe_paths() -> tuple[str, str]:
    """Where the two questions are answered: that of life, then that of traffic."""
    return getattr(settings, "HEALTH_LIVE_PATH", "/livez"), getattr(settings, "HEALTH_READY_PATH", "/readyz")
