"""What the plain access to the API makes of a refused connection."""

from __future__ import annotations

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import handshake

FORBIDDEN = (
    "Handshake status 403 Forbidden -+-+- {'content-type': 'application/json'} -+-+- "
    '{"kind":"Status","metadata":{},"status":"Failure","message":"pods \\"polls-0\\" is forbidden: no","code":403}'
)


@pytest.mark.parametrize(
    ("reason", "words"),
    [(FORBIDDEN, 'pods "polls-0" is forbidden: no'), ("Connection refused", "Connection refused"), (None, "None")],
)
def test_a_refused_connection_is_told_in_the_words_of_the_api(reason: str | None, words: str) -> None:
    assert handshake(reason) == words
