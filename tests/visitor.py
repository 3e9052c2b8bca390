"""Visitor without a browser: opens the first question, votes for its first choice, and reports the result.

The output is a line of JSON: the question's path, the votes before and after, and the status of the POST.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT = 10  # seconds, for each request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Handler that does not follow redirects, because the status of a vote matters."""

    def redirect_request(self, *_: object) -> None:
        return None


class Visitor:
    """HTTP client that sends cookies and Origin headers like a browser."""

    def __init__(self, site: str, ca_file: str | None) -> None:
        self.site = site.rstrip("/")
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            urllib.request.ProxyHandler({}),
            NoRedirect(),
        ]
        if ca_file:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
        self.opener = urllib.request.build_opener(*handlers)

    def get(self, path: str) -> str:
        with self.opener.open(self.site + path, timeout=TIMEOUT) as answer:
            return answer.read().decode()

    def post(self, path: str, fields: dict[str, str]) -> int:
        """Send a form like a browser, with the site's origin, and return the status."""
        headers = {"Origin": self.site, "Referer": f"{self.site}{path}"}
        request = urllib.request.Request(self.site + path, urllib.parse.urlencode(fields).encode(), headers)
        try:
            with self.opener.open(request, timeout=TIMEOUT) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def votes(self, question: str, choice: str) -> int:
        choices = json.loads(self.get(f"{question}results.json"))["choices"]
        return next(item["votes"] for item in choices if str(item["id"]) == choice)

    def vote(self) -> dict[str, str | int]:
        question = one(r'href="(/polls/\d+/)"', self.get("/"), "question on the list")
        form = self.get(question)
        choice = one(r'name="choice" value="(\d+)"', form, "answer to choose")
        token = one(r'name="csrfmiddlewaretoken" value="([^"]+)"', form, "CSRF token")
        before = self.votes(question, choice)
        status = self.post(f"{question}vote/", {"csrfmiddlewaretoken": token, "choice": choice})
        return {"question": question, "before": before, "status": status, "after": self.votes(question, choice)}


def one(pattern: str, text: str, what: str) -> str:
    match = re.search(pattern, text)
    if not match:
        sys.exit(f"The site shows no {what}.")
    return match[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", help="address of the site")
    parser.add_argument("--ca-file", help="trusted certificates instead of the system's")
    arguments = parser.parse_args()
    print(json.dumps(Visitor(arguments.site, arguments.ca_file).vote()))


if __name__ == "__main__":
    main()
