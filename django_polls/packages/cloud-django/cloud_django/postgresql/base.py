"""The backend, as Django looks for it.

A server that is away often refuses nobody: a node that is off says nothing, and the one word of a Service without pods
is an ICMP packet, of which the kernel sends one a second. Every attempt then takes until its time is over, and a
handful of them is all the threads that a pod has.
"""

from typing import Any

from django.db.backends.postgresql import base

from cloud_django.postgresql.breaker import Breaker

# One for all threads of a worker. The site has one database.
breaker = Breaker()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, but for how it connects."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        with breaker.attempt(self.Database.OperationalError):
            return super().get_new_connection(conn_params)
