"""Static files that stay available during a rollout."""

import re

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

HASHED_NAME = re.compile(r"(?P<stem>.+)\.[0-9a-f]{12}(?P<extension>\.[^./]+)")


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise that also serves files of the previous and the next release.

    During a rollout, a page of one release can request its style sheet from a pod of the other, which has a different
    hash in the name. The pod's own version is nearly always right, and better than a page without styles. It is sent
    with `no-store`, so that no cache keeps it under the wrong name.
    """

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not self.autorefresh and request.path_info not in self.files:
            name = HASHED_NAME.fullmatch(request.path_info)
            static_file = self.files.get(f"{name['stem']}{name['extension']}") if name else None
            if static_file is not None:
                response = self.serve(static_file, request)
                response["Cache-Control"] = "no-store"
                return response
        return super().__call__(request)
