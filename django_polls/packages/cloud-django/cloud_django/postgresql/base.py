"""PostgreSQL backend under the module name that Django expects.

Connections to an unavailable server often run into a timeout instead of being refused: a lost node doesn't respond, and
the kernel limits the ICMP replies for a Service without pods to one per second. A few such attempts would occupy all
threads of a pod.
"""

from typing import Any

from django.db.backends.postgresql import base

from cloud_django.postgresql.breaker import Breaker

# Shared by all threads of a worker. The site has one database.
breaker = Breaker()


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL backend that connects through the circuit breaker."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        with breaker.attempt(self.Database.OperationalError):
            return super().get_new_connection(conn_params)
