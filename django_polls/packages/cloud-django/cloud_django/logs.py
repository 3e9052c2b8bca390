"""Logging settings: one line per event on standard output, with the ID of the request."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")

# Attributes of each LogRecord. Other attributes were passed as `extra` and belong to the event.
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django attaches the whole request, whose representation contains the query string.
UNWANTED_ATTRIBUTES = frozenset({"request", "server_time"})


def event(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a log line, the most important ones first."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    if identifier := getattr(record, "request_id", None) or request_id.get():
        fields["request_id"] = identifier
    for name, value in vars(record).items():
        if name not in STANDARD_ATTRIBUTES | UNWANTED_ATTRIBUTES and name not in fields:
            fields[name] = value
    return fields


class JSONFormatter(logging.Formatter):
    """One JSON object per line, in ASCII, which all terminals and collectors can read."""

    def format(self, record: logging.LogRecord) -> str:
        fields = event(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """One readable line. Line breaks in the message are escaped, so that a message cannot forge another line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = event(record)
        head = [fields.pop(name) for name in ("time", "level", "logger", "message")]
        text = " ".join([*head, *(f"{name}={value}" for name, value in fields.items())])
        text = text.replace("\r", "\\r").replace("\n", "\\n")
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


FORMATTERS: dict[str, type[logging.Formatter]] = {"json": JSONFormatter, "text": TextFormatter}


def logging_settings(log_format: str, level: str) -> dict[str, Any]:
    """Return LOGGING for Django: all events go to standard output, in the given format."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": FORMATTERS[log_format]}},
        "handlers": {
            "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"},
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            "django": {"handlers": ["stdout"], "level": level, "propagate": False},
            # Any client can cause these, and the access log has a line for each: a traceback for a wrong Host, and a
            # warning for HEAD, because Django leaves it to the server to drop the body.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "gunicorn.http.wsgi": {"level": "ERROR"},
        },
    }
