"""User whom `make bench` signs in: each request for the page of this user loads the session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = {"DJANGO_PUBLIC_URL": "http://polls.example.org", "DJANGO_SETTINGS_MODULE": "config.settings"}
# Creates the tables in a schema of its own, and prints the status of the page with the session, and without it.
PROGRAM = """
import contextlib, io, json, runpy, sys
import django
django.setup()
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import override_settings
schema = "bench_sign_in"
host = {"headers": {"host": "polls.example.org"}}
with connection.cursor() as cursor:
    cursor.execute(f"CREATE SCHEMA {schema}")
    try:
        cursor.execute(f"SET search_path TO {schema}")
        call_command("migrate", verbosity=0)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            runpy.run_path(sys.argv[1])
        printed = json.loads(output.getvalue())
        client = Client()
        name, _, value = printed["cookies"].partition("=")
        client.cookies[name] = value
        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        with override_settings(STORAGES=settings.STORAGES | {"staticfiles": plain}):
            signed_in = client.get(printed["path"], **host)
            Session.objects.all().delete()
            signed_out = client.get(printed["path"], **host)
    finally:
        cursor.execute(f"DROP SCHEMA {schema} CASCADE")
has_length = "Content-Length" in signed_in.headers
print(json.dumps([name, signed_in.status_code, has_length, signed_out.status_code]))
"""


def test_the_page_needs_the_session() -> None:
    command = [sys.executable, "-c", PROGRAM, str(PROJECT / "bench" / "sign_in.py")]
    done = subprocess.run(
        command, cwd=PROJECT / "django_polls", env=os.environ | SETTINGS, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["sessionid", 200, True, 302]
