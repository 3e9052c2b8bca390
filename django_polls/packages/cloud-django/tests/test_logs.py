"""Log lines."""

import json
import logging

import pytest

from cloud_django.logs import JSONFormatter, TextFormatter, request_id


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    """Return a log record as the logging module creates it."""
    return logging.getLogger("test").makeRecord("test", logging.INFO, "f", 1, message, arguments, None, extra=extra)


def test_json_has_the_event_and_the_request() -> None:
    token = request_id.set("abcdefgh")
    try:
        line = JSONFormatter().format(record("Hello %s\n\u202e", "é", status=200, request=object()))
    finally:
        request_id.reset(token)
    fields = json.loads(line)
    assert line.isascii()
    assert "\n" not in line
    assert fields["message"] == "Hello é\n\u202e"
    assert (fields["level"], fields["status"], fields["request_id"]) == ("INFO", 200, "abcdefgh")
    assert "request" not in fields


def test_text_message_cannot_forge_a_line() -> None:
    assert "\n" not in TextFormatter().format(record("one\r\n2026-01-01 INFO two"))


@pytest.mark.parametrize("formatter", [JSONFormatter(), TextFormatter()])
def test_exceptions_are_logged(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("because")
    except ValueError as error:
        entry = record("failed")
        entry.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: because" in formatter.format(entry)
