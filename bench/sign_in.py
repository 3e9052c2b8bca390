"""Sign in a user without permissions; print the path of a page for this user, and the cookies, as JSON.

The program runs in a web pod, for the part `cache` of `make bench`. The page shows no content of the site.
"""

import importlib
import json
import secrets

import django

django.setup()

from django.conf import settings  # noqa: E402 - Django must be set up before.
from django.contrib import auth  # noqa: E402 - Django must be set up before.
from django.urls import reverse  # noqa: E402 - Django must be set up before.

SECONDS = 3600

user = auth.get_user_model()(username=f"make-bench-{secrets.token_hex(4)}", is_staff=True)
user.set_unusable_password()
user.save()
session = importlib.import_module(settings.SESSION_ENGINE).SessionStore()
session[auth.SESSION_KEY] = str(user.pk)
session[auth.BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
session.set_expiry(SECONDS)
session.save()
cookies = f"{settings.SESSION_COOKIE_NAME}={session.session_key}"
print(json.dumps({"path": reverse("admin:index"), "cookies": cookies}))
