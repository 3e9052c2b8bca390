"""PostgreSQL backend under the module name that Django expects.

Connections to an unavailable server often run into a timeout instead of being refused: a lost node doesn't respond, and
the kernel limits the ICMP replies for a Service without pods to one per second. A few such attempts would occupy all
threads of a pod.
"""

import select
import time
from typing import Any

from django.db.backends.postgresql import base

from cloud_django.breaker import Breaker

CHECK_SECONDS = 1.0
# Shared by all threads of a worker. The site has one database.
breaker = Breaker()


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL backend that connects through the circuit breaker, and rarely needs a query to check a connection."""

    _next_check = 0.0

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        with breaker.attempt(self.Database.OperationalError):
            return super().get_new_connection(conn_params)

    def is_usable(self) -> bool:
        """Return whether the connection works, which CONN_HEALTH_CHECKS asks before the first query of a request.

        A server that closes a connection sends something, so one without unread data is open. Django's own check, a
        query for each request, runs only after an error and after a second, because a lost node closes nothing. Within
        this second, the first query of a request can fail. Repeating it here could count a vote twice.
        """
        is_due = time.monotonic() >= self._next_check
        if is_due or self.errors_occurred or self._has_unread_data():
            self._next_check = time.monotonic() + CHECK_SECONDS
            return super().is_usable()
        return True

    def _has_unread_data(self) -> bool:
        """Return whether the server sent data, an error, or the end of the connection since the last query."""
        try:
            poll = select.poll()
            poll.register(self.connection.fileno(), select.POLLIN)
            return bool(poll.poll(0))
        except (self.Database.Error, OSError):
            return True
