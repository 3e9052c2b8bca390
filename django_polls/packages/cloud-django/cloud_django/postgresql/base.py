"""PostgreSQL backend under the module name that Django expects.

Connections to an unavailable server often run into a timeout instead of being refused: a lost node doesn't respond, and
the kernel limits the ICMP replies for a Service without pods to one per second. A few such attempts would occupy all
threads of a pod.
"""

import select
from typing import Any

from django.db.backends.postgresql import base

from cloud_django.breaker import Breaker

# Shared by all threads of a worker. The site has one database.
breaker = Breaker()


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL backend that connects through the circuit breaker."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        with breaker.attempt(self.Database.OperationalError):
            return super().get_new_connection(conn_params)

    def is_usable(self) -> bool:
        """Return whether the connection works, which CONN_HEALTH_CHECKS asks before the first query of a request.

        A server that closes a connection sends something, so a connection without unread data is open. Only other ones
        and those that had an error are tested with a query. Django's own check sends that query for each request.
        """
        if self.errors_occurred or self._has_unread_data():
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
