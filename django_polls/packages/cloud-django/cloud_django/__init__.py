"""Helpers for Django projects in containers: settings from the environment, health checks, and JSON logs."""
