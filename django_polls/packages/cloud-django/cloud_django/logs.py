"""Logs for a person and for a machine: one line per event on standard output, each with the request that caused it."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")

# What every LogRecord has; anything beyond it was passed as `extra` and belongs to the event.
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django attaches the whole request, whose text contains the query string.
UNWANTED_ATTRIBUTES = frozenset({"request", "server_time"})


def event(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of one log line, in the order in which a person would read them."""
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
    """One JSON object a line, in ASCII, so that no terminal or collector can stumble over it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = event(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """One line a person can read. A line break in the message is shown as its escape: it could forge another line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = event(record)
        head = [fields.pop(name) for name in ("time", "level", "logger", "message")]
        text = " ".join([*head, *(f"{name}={value}" for name, value in fields.items())])
        text = text.replace("\r", "\\r").replace("\n", "\\n")
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


FORMATTERS: dict[str, type[logging.Formatter]] = {"json": JSONFormatter, "text": TextFormatter}


def logging_settings(log_format: str, level: str) -> dict[str, Any]:
    """LOGGING for Django: everything goes to standard output, in the named format."""
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
            # Anybody can cause these at will, and the access log has a line for each anyway: a traceback for a stranger
            # with a wrong Host, a warning for a HEAD, where Django leaves it to the server to drop the body.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "gunicorn.http.wsgi": {"level": "ERROR"},
        },
    }
