"""Request IDs."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from cloud_django.logs import request_id
from cloud_django.middleware import RequestIDMiddleware


def test_request_id_from_proxy_is_in_log_and_response() -> None:
    logged = []

    def view(request: HttpRequest) -> HttpResponse:
        logged.append(request_id.get())
        return HttpResponse()

    request = RequestFactory().get("/", headers={"X-Request-ID": "from-the-proxy-1"})
    assert RequestIDMiddleware(view)(request)["X-Request-ID"] == "from-the-proxy-1"
    assert (logged, request_id.get()) == (["from-the-proxy-1"], "")


@pytest.mark.parametrize("identifier", ["", "short", "x" * 65, "with space here", 'quote"quote"', "line\nbreak-line"])
def test_request_id_that_could_forge_a_log_line_is_replaced(identifier: str) -> None:
    request = RequestFactory().get("/", headers={"X-Request-ID": identifier})
    answer = RequestIDMiddleware(lambda request: HttpResponse())(request)["X-Request-ID"]
    assert len(answer) == 32
    assert answer.isalnum()
