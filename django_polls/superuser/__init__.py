"""Superuser whose credentials are in a Secret, and a command that creates or updates it."""
