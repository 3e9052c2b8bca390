"""Django's own PostgreSQL backend, with threads that do not queue up in front of a server that is away."""
