"""Environment variables that the settings require in tests.

The database uses the same variables as in production (DATABASE_HOST, DATABASE_NAME …) and has no defaults here.
"""

import os
import secrets
import tempfile
from pathlib import Path

directory = Path(tempfile.mkdtemp(prefix="django-polls-tests-"))
key_file = directory / "secret-key"
key_file.write_text(secrets.token_urlsafe(50))

os.environ.setdefault("DJANGO_PUBLIC_URL", "http://testserver")
os.environ.setdefault("DJANGO_SECRET_KEY_FILE", str(key_file))
os.environ.setdefault("LOG_FORMAT", "text")
# The login role itself creates the test database, with the default schema.
os.environ.pop("DATABASE_SCHEMA", None)
os.environ.pop("DATABASE_ROLE", None)
os.environ.pop("CACHE_HOST", None)
os.environ.pop("CACHE_SECRET_DIRECTORY", None)
