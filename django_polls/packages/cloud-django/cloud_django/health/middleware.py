"""Answer the probes before anything else can refuse or redirect them."""

import logging
import mmap
from collections.abc import Callable

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from cloud_django.health import probe_paths

logger = logging.getLogger(__name__)


class HealthCheckMiddleware:
    """Serves `/livez` and `/readyz` for any Host over http.

    A middleware rather than two views, because a probe calls the pod by its address, in plain text: the checks of the
    Host and the redirect to https, both middleware, would stand in its way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.checks = dict(zip(probe_paths(), (self.live, self.ready), strict=True))
        # One byte for all workers that are forked after this: a probe reaches any of them.
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
        """Nothing to ask: that this runs is the answer. A database that is away is no reason to restart us."""
        return True, "ok"

    def ready(self) -> tuple[bool, str]:
        """Whether we should get traffic, and why not. Details go to the log, not to whoever asks.

        A database that goes away later is no reason: all pods lose it at once, and a page that asks to come back in a
        moment is better than a refused connection. So it is not asked again.
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
    """How many migrations this release knows that the database has not seen. More there than here is fine."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
