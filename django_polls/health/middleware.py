"""Answer the probes before anything else can refuse or redirect them."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

logger = logging.getLogger(__name__)


class HealthCheckMiddleware:
    """Serves `/livez` and `/readyz` for any Host over http.

    A middleware rather than two views, because a probe calls the pod by its address, in plain text: the checks of the
    Host and the redirect to https, both middleware, would stand in its way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.checks = {
            getattr(settings, "HEALTH_LIVE_PATH", "/livez"): self.live,
            getattr(settings, "HEALTH_READY_PATH", "/readyz"): self.ready,
        }
        self.migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        check = self.checks.get(request.path_info)
        if check is None:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        problem = check()
        return HttpResponse(
            f"{problem or 'ok'}\n",
            status=503 if problem else 200,
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )

    def live(self) -> str:
        """Nothing to ask: that this runs is the answer. A database that is away is no reason to restart us."""
        return ""

    def ready(self) -> str:
        """The reason why we should get no traffic, or nothing. Details go to the log, not to whoever asks."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            missing = 0 if self.migrated else unapplied_migrations()
        except Error as error:
            logger.warning("Not ready: the database does not answer: %s", " ".join(str(error).split()))
            return "database unavailable"
        if missing:
            return f"unapplied migrations: {missing}"
        # Applied migrations stay applied while this release runs, so the costly question is asked until the first yes.
        self.migrated = True
        return ""


def unapplied_migrations() -> int:
    """How many migrations this release knows that the database has not seen. More there than here is fine."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
