"""HTTP client with cookies and forms, for pages of any project."""

from __future__ import annotations

import http.client
import http.cookies
import re
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

TIMEOUT = 60
# Some projects leave out the quotes.
STATIC_FILE = re.compile(r"""=["']?(/static/[^"'?#\s>]+\.(?:css|js))""")


@dataclass(frozen=True)
class Page:
    """Response of a site, and the path that it is from."""

    path: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def static_file(self) -> str:
        """Return the path of the first style sheet or script of the project. Raises AssertionError without one."""
        found = STATIC_FILE.search(self.text)
        assert found, f"{self.path} links to no static file:\n{self.text[:2000]}"
        return found[1]

    def form(self, kind: str) -> Form:
        """Return the first form with a field of a type, for example `password`. Raises AssertionError without one."""
        parser = Forms()
        parser.feed(self.text)
        forms = [form for form in parser.forms if kind in form.kinds.values()]
        assert forms, f"{self.path} has no form with a field of type {kind}:\n{self.text[:2000]}"
        return forms[0]


@dataclass
class Form:
    """Form of a page, with its fields in the order of the page."""

    action: str = ""
    values: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def first(self, *kinds: str) -> str:
        """Return the name of the first field of one of these types."""
        return next(name for name, kind in self.kinds.items() if kind in kinds)


class Forms(HTMLParser):
    """Parser that collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.form: Form | None = None
        self.select = ""
        self.area = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.form = Form(given.get("action", ""))
            self.forms.append(self.form)
        elif self.form is None:
            return
        elif tag == "option" and self.select and ("selected" in given or self.select not in self.form.values):
            self.form.values[self.select] = given.get("value", "")
        elif tag in ("input", "select", "textarea") and given.get("name"):
            self.add(tag, given["name"], given)

    def add(self, tag: str, name: str, given: Mapping[str, str]) -> None:
        """Add a field to the form."""
        kind = given.get("type", "text") if tag == "input" else tag
        self.form.kinds.setdefault(name, kind)
        if tag == "select":
            self.select = name
        elif tag == "textarea":
            self.area = name
            self.form.values[name] = ""
        elif kind not in ("checkbox", "radio", "submit", "button", "file", "image") or "checked" in given:
            self.form.values.setdefault(name, given.get("value", ""))

    def handle_data(self, data: str) -> None:
        if self.form and self.area:
            # HTML ignores a line feed at the beginning.
            self.form.values[self.area] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = ""
        elif tag == "textarea":
            self.area = ""


class Browser:
    """Client that sends all cookies, even those for HTTPS only, and the Origin and Referer of a browser."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        parts = urllib.parse.urlsplit(self.address)
        self.place = parts.hostname or "", parts.port or 80
        self.netloc = parts.netloc
        self.cookies: dict[str, str] = {}

    def request(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Page:
        """Request a page over a new connection. A redirect is not followed."""
        client = http.client.HTTPConnection(*self.place, timeout=TIMEOUT)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            given = {"Host": self.netloc} | ({"Cookie": cookies} if cookies else {}) | given
            client.request(method, path, body, given)
            response = client.getresponse()
            self.keep(response.headers)
            return Page(path, response.status, response.headers, response.read())
        finally:
            client.close()

    def keep(self, headers: http.client.HTTPMessage) -> None:
        """Store the cookies of a response."""
        for line in headers.get_all("Set-Cookie") or []:
            jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
            jar.load(line)
            self.cookies |= {name: morsel.value for name, morsel in jar.items()}

    def open(self, path: str) -> Page:
        """Return a page after at most five redirects within the site."""
        page = self.request(path)
        for _ in range(5):
            if page.status not in (301, 302, 303, 307, 308):
                break
            page = self.request(self.within(page, page.headers["Location"] or "/"))
        return page

    @staticmethod
    def within(page: Page, reference: str) -> str:
        """Return the path and query of a reference on a page."""
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(page.path, reference))
        return urllib.parse.urlunsplit(("", "", parts.path, parts.query, ""))

    def submit(self, page: Page, form: Form, files: Mapping[str, tuple[str, bytes]] | None = None) -> Page:
        """Send a form of a page like a browser.

        Args:
            files: for each file field the name and the content of a PNG file.
        """
        kind, body = multipart(form.values, files) if files else urlencoded(form.values)
        referer = self.address + page.path
        headers = {"Content_Type": kind, "Origin": self.address, "Referer": referer}
        return self.request(self.within(page, form.action or page.path), "POST", body, **headers)

    def log_in(self, path: str, username: str, password: str) -> Page:
        """Submit the login form at a path."""
        page = self.open(path)
        form = page.form("password")
        form.values |= {form.first("text", "email"): username, form.first("password"): password}
        return self.submit(page, form)


def urlencoded(values: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the content type and the body of a form."""
    return "application/x-www-form-urlencoded", urllib.parse.urlencode(values).encode()


def multipart(values: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return the content type and the body of a form with PNG files."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in values.items()
        if name not in files
    ]
    for name, (file, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        parts.append(f"{head}Content-Type: image/png\r\n\r\n".encode() + content + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])
