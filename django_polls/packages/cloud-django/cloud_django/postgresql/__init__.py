"""PostgreSQL backend with a circuit breaker, so that threads don't queue for an unavailable server."""
