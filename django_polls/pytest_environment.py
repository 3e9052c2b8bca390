"""What the settings require of a machine that runs the tests.

The database comes from the same variables as in production (DATABASE_HOST, DATABASE_NAME …) and is never made up here.
The rest has no meaning outside the tests, so whoever runs them need not know it.
"""

import os
import secrets
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp(prefix="django-polls-tests-"))
key_file = folder / "secret-key"
key_file.write_text(secrets.token_urlsafe(50))

os.environ.setdefault("DJANGO_PUBLIC_URL", "http://testserver")
os.environ.setdefault("DJANGO_SECRET_KEY_FILE", str(key_file))
os.environ.setdefault("LOG_FORMAT", "text")
# The tests' own database is made by the login role itself, in the schema that every new database has.
os.environ.pop("DATABASE_SCHEMA", None)
os.environ.pop("DATABASE_ROLE", None)
os.environ.pop("CACHE_HOST", None)
