"""Pages that are the same for many visitors, kept in the memory of the worker for a second.

    @shared_page(lambda request: request.GET.get("page", ""))
    def questions(request): ...

Everything that such a page depends on must be in its path, in the variant, or in the active language. A page that reads
the session, the user, messages, or a CSP nonce is never kept.

Django's `cache_page` keeps no page with a form, because its CSRF token belongs to one visitor. Here the token is filled
in for each visitor. Pages are not in the shared cache: for a second, it costs more than it saves.

The setting PAGE_CACHE_SECONDS is the time after which no visitor sees an older page. With 0, each request
renders its page, which still has an ETag.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csp import get_nonce
from django.middleware.csrf import CSRF_SECRET_LENGTH, _does_token_match, get_token
from django.utils.cache import get_conditional_response
from django.utils.crypto import get_random_string
from django.utils.translation import get_language

View = Callable[..., HttpResponseBase]

# Methods of requests that change nothing.
READS = ("GET", "HEAD")
MOST_BYTES = 8 * 1024 * 1024
# Memory of a page besides its body.
OVERHEAD_BYTES = 2000
# Share of the time after which one request renews a page, while others still get the old one.
RENEWED_AFTER = 0.8
# After this time, a request no longer waits for another one that renders the same page.
LONGEST_WAIT_SECONDS = 2.0
TOKEN = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z0-9]{64}(?![A-Za-z0-9])")


@dataclass(slots=True)
class Page:
    """Body of a page in parts, with a CSRF token between two parts, and headers."""

    parts: list[bytes]
    headers: dict[str, str]
    # Before the queries, so that the page is at least as new.
    since: float
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.digest = hashlib.blake2b(b"\0".join(self.parts), digest_size=12).hexdigest()

    def size(self) -> int:
        return sum(map(len, self.parts)) + OVERHEAD_BYTES

    def etag(self, request: HttpRequest) -> str:
        """Return a weak ETag, because bodies differ in their tokens. It is bound to the secret of the visitor."""
        if len(self.parts) == 1:
            return f'W/"{self.digest}"'
        text = self.digest + request.META.get("CSRF_COOKIE", "")
        return f'W/"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"'


class Pages:
    """Pages in the memory of this worker, the oldest first, with a limit on their size."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._pages: dict[Hashable, Page] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Page | None:
        return self._pages.get(key)

    def put(self, key: Hashable, page: Page) -> None:
        """Keep a page, and forget the oldest ones above the limit. A page above the limit is not kept."""
        with self._lock:
            self._forget(key)
            if page.size() > self.most_bytes:
                return
            self._pages[key] = page
            self.bytes += page.size()
            while self.bytes > self.most_bytes:
                self._forget(next(iter(self._pages)))

    def clear(self) -> None:
        with self._lock:
            self._pages.clear()
            self.bytes = 0

    def _forget(self, key: Hashable) -> None:
        if page := self._pages.pop(key, None):
            self.bytes -= page.size()


class Rendering:
    """Page that a thread is rendering. It stays None if the view fails, or if only one visitor may get the page."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.page: Page | None = None


pages = Pages()
renderings: dict[Hashable, Rendering] = {}


def shared_page(variant: Callable[..., Hashable | None]) -> Callable[[View], View]:
    """Return a decorator for a view whose page depends only on the path's arguments, the variant, and the language.

    `variant` has the arguments of the view. None means that this visitor gets a new page, for example after a change.
    The decorator changes nothing for requests other than GET and HEAD.
    """

    def decorate(view: View) -> View:
        name = f"{view.__module__}.{view.__qualname__}"

        @wraps(view)
        def shared(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            if request.method not in READS:
                return view(request, **arguments)
            chosen = variant(request, **arguments) if settings.PAGE_CACHE_SECONDS else None
            if chosen is None:
                page = rendered(request, view, arguments)
                return page if isinstance(page, HttpResponseBase) else answer(request, page)
            # With the method, because a view may leave out the body for HEAD.
            key = (name, request.method, get_language(), *arguments.values(), chosen)
            page = pages.get(key)
            if page is None or not is_younger(page, RENEWED_AFTER * settings.PAGE_CACHE_SECONDS):
                new = renewed(key, partial(rendered, request, view, arguments))
                if isinstance(new, HttpResponseBase):
                    return new
                page = new
            return answer(request, page)

        return shared

    return decorate


def is_younger(page: Page, seconds: float) -> bool:
    """Return whether the page is younger than this, counted from before its queries."""
    return time.monotonic() < page.since + seconds


def renewed(key: Hashable, render: Callable[[], Page | HttpResponseBase]) -> Page | HttpResponseBase:
    """Render a page in one thread. Meanwhile, others get the old one as long as it is new enough, then wait."""
    own, arrived = Rendering(), time.monotonic()
    while (other := renderings.setdefault(key, own)) is not own:
        page = pages.get(key)
        if page is not None and is_younger(page, settings.PAGE_CACHE_SECONDS):
            return page
        waited = time.monotonic() - arrived
        if not other.is_done.wait(LONGEST_WAIT_SECONDS - waited) or other.page is None:
            return render()
        # If it took longer than pages are kept, it is as new as one that this request would have rendered.
        if other.page.since >= arrived or is_younger(other.page, settings.PAGE_CACHE_SECONDS):
            return other.page
    try:
        own.page = pages.get(key)
        # Another thread may have finished it just before this one began.
        if own.page is not None and is_younger(own.page, RENEWED_AFTER * settings.PAGE_CACHE_SECONDS):
            return own.page
        own.page = None
        new = render()
        if isinstance(new, Page):
            own.page = new
            pages.put(key, new)
        return new
    finally:
        del renderings[key]
        own.is_done.set()


def rendered(request: HttpRequest, view: View, arguments: dict[str, Any]) -> Page | HttpResponseBase:
    """Return the page, or the response of the view if only this visitor may get it.

    The view gets a random CSRF secret that no visitor has, so that no secret of a visitor can be in the page. If the
    view asks for a token that is not in the body, for example because it is encoded, the view runs again for this
    visitor.
    """
    since, meta = time.monotonic(), request.META
    names = ("CSRF_COOKIE", "CSRF_COOKIE_NEEDS_UPDATE")
    own = {name: meta.pop(name) for name in names if name in meta}
    secret = meta["CSRF_COOKIE"] = get_random_string(CSRF_SECRET_LENGTH)
    try:
        response = view(request, **arguments)
        if not getattr(response, "is_rendered", True):
            response = response.render()
    finally:
        needs_token = meta.get("CSRF_COOKIE_NEEDS_UPDATE", False)
        for name in names:
            meta.pop(name, None)
        meta.update(own)
    if response.streaming:
        return view(request, **arguments) if needs_token else response
    parts = split(response.content, secret) if needs_token else [response.content]
    if needs_token and len(parts) == 1:
        return view(request, **arguments)
    if not is_for_everybody(request, response):
        if needs_token:
            response.content = get_token(request).encode().join(parts)
        return response
    vary = {"Vary": "Cookie"} if len(parts) > 1 else {}
    return Page(parts, dict(response.headers) | vary, since)


def split(body: bytes, secret: str) -> list[bytes]:
    """Return the parts of a body between the CSRF tokens with this secret."""
    parts, start = [], 0
    for found in TOKEN.finditer(body):
        if _does_token_match(found[0].decode(), secret):
            parts.append(body[start : found.start()])
            start = found.end()
    return [*parts, body[start:]]


def is_for_everybody(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether a response may be stored, sets no cookie, and depends on no header and nothing of one visitor."""
    session, messages = getattr(request, "session", None), getattr(request, "_messages", None)
    return (
        response.status_code == 200
        and not response.cookies
        and not response.has_header("Vary")
        and "no-store" not in response.get("Cache-Control", "")
        and not (session is not None and session.accessed)
        # Messages can be in a cookie. The attribute exists as soon as a page has looked for some.
        and not hasattr(messages, "_loaded_data")
        # True as soon as a page has a nonce, which is valid for one response only.
        and not get_nonce(request)
    )


def answer(request: HttpRequest, page: Page) -> HttpResponse:
    """Return the page for this visitor, or 304 if the browser has it."""
    if "HTTP_IF_NONE_MATCH" in request.META:
        etag = page.etag(request)
        response = HttpResponse(headers=page.headers | {"ETag": etag})
        response = get_conditional_response(request, etag=etag, response=response)
        if response.status_code == 304:
            return response
    body = get_token(request).encode().join(page.parts) if len(page.parts) > 1 else page.parts[0]
    # After get_token, which gives a new visitor a secret.
    return HttpResponse(body, headers=page.headers | {"ETag": page.etag(request)})
