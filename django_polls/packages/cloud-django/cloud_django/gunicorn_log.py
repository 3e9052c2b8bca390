"""Logs of gunicorn in the same format as the site's."""

import logging
from datetime import timedelta
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from cloud_django.environment import Environment
from cloud_django.logs import FORMATTERS

QUIET_PATHS = frozenset({"/livez", "/readyz"})


class GunicornLogger(Logger):
    """Write errors and requests to standard output, one event per line.

    Request lines omit the query string, the Referer, and other headers, because these can contain secrets. Successful
    probes are omitted, because they would be most of the log.
    """

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        formatter = FORMATTERS[Environment().choice("LOG_FORMAT", "json", ("json", "text"))]()
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(formatter)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        status = int(str(resp.status).split(None, 1)[0])
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        if path in QUIET_PATHS and status < 400:
            return
        method = environ.get("REQUEST_METHOD", "-")
        headers = {name.lower(): value for name, value in resp.headers}
        self.access_log.log(
            logging.INFO,
            "%s %s %s",
            method,
            path,
            status,
            extra={
                "method": method,
                "path": path,
                "status": status,
                "bytes": resp.sent or 0,
                "milliseconds": round(request_time.total_seconds() * 1000, 1),
                "remote": environ.get("REMOTE_ADDR", "-"),
                "request_id": headers.get("x-request-id", ""),
            },
        )
