"""Middleware that answers probes before other middleware can refuse or redirect them."""

import logging
import mmap
from collections.abc import Callable

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from cloud_django.health import probe_paths

logger = logging.getLogger(__name__)


class HealthCheckMiddleware:
    """Serve the liveness and readiness paths for any Host over HTTP.

    This is a middleware instead of two views, because a probe uses the pod's address and plain HTTP. The Host check and
    the redirect to HTTPS are middleware too and would refuse it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.checks = dict(zip(probe_paths(), (self.live, self.ready), strict=True))
        # One byte that all forked workers share, because a probe reaches any of them.
        self.was_ready = mmap.mmap(-1, 1)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        check = self.checks.get(request.path_info)
        if check is None:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        is_well, sentence = check()
        return HttpResponse(
            f"{sentence}\n",
            status=200 if is_well else 503,
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )

    def live(self) -> tuple[bool, str]:
        """Report liveness. Don't check the database, because a restart can't fix it."""
        return True, "ok"

    def ready(self) -> tuple[bool, str]:
        """Report readiness and the reason. Details go to the log, not to the client.

        After the first success, the database isn't checked again. All pods lose it at the same time, and an error page
        is better than a refused connection.
        """
        if self.was_ready[0]:
            return True, "ok"
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            missing = unapplied_migrations()
        except Error as error:
            logger.warning("Not ready: the database does not answer: %s", " ".join(str(error).split()))
            return False, "database unavailable"
        if missing:
            return False, f"unapplied migrations: {missing}"
        self.was_ready[0] = 1
        return True, "ok"


def unapplied_migrations() -> int:
    """Return the number of migrations of this release that aren't applied. Later ones in the database are fine."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
