"""Static files that survive a rollout."""

import re

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

HASHED_NAME = re.compile(r"(?P<stem>.+)\.[0-9a-f]{12}(?P<extension>\.[^./]+)")


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, which also answers for the files of the release before and after this one.

    While pods roll, a page of one release asks a pod of the other for its style sheet, whose name contains a hash that
    this pod doesn't know. Its own version of the file is nearly always right, and better than a naked page; it is sent
    with `no-store`, so that nothing keeps it under the wrong name.
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
