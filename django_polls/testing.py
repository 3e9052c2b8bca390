"""Helpers that the tests of all apps import."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

from django.test.utils import CaptureQueriesContext

PROJECT = Path(__file__).resolve().parent
# Characters with a special meaning in a shell, a URL, a template, or an environment file.
ODD_PASSWORD = "-@:/?#%$$(X)'\"\\ {{ x }} {% y %} é 🔑 end "  # noqa: S105 - invented for the tests


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return the captured SQL without statements that control transactions, which differ between tests and the site."""
    marks = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(marks)]


def run_python(*arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python in the project with some environment variables changed, or removed where the value is None."""
    environment = dict(os.environ)
    for name, value in variables.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return subprocess.run(  # noqa: S603 - without a shell, and the arguments are the tests' own
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Server:
    """A running gunicorn."""

    def __init__(self, port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.port, self.log, self.process = port, log, process

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers in lowercase, and body."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        client.request(method, path, headers={"Host": "testserver", **headers})
        response = client.getresponse()
        body = response.read().decode(errors="replace")
        client.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body

    def lines(self) -> list[dict]:
        """Return the log so far as a list of events."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]
