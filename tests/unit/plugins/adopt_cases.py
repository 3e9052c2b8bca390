"""Projects for the tests of `make adopt`, made of a few files each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.adoption import adopt
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.inherited import inherited
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.project import Project, read

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n# django\n'
WSGI = f"{MANAGE}from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
# Settings as `startproject` writes them.
SETTINGS = """\
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "django-insecure-x"
DEBUG = True
ALLOWED_HOSTS = []
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
ROOT_URLCONF = "shop.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
STATIC_URL = "static/"
"""
URLS = 'urlpatterns = [path("admin/", admin.site.urls)]\n'
# Settings that the environment decides.
FROM_ENVIRONMENT = """\
import os
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = os.environ.get("DEBUG", "1") == "1"
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(" ")
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["DB_HOST"]}}
STRIPE_KEY = os.environ["STRIPE_KEY"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",")
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware"]
STATIC_ROOT = "/app/static"
"""
PLAIN = {
    "manage.py": MANAGE,
    "shop/__init__.py": "",
    "shop/settings.py": SETTINGS,
    "shop/wsgi.py": WSGI,
    "shop/urls.py": URLS,
    "requirements.txt": "django\n",
}


def make(directory: Path, changes: dict[str, str | None] | None = None) -> Path:
    """Write a plain project with changed files; None removes one."""
    for name, text in (PLAIN | (changes or {})).items():
        if text is not None:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return directory


def found(directory: Path, changes: dict[str, str | None] | None = None, other: Path | None = None) -> Project:
    """Return the findings about a project."""
    return read(make(directory / "shop", changes), "shop", inherited(other))


def adopted(
    directory: Path, changes: dict[str, str | None] | None = None, other: Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the variables of the inventory of a project, and the result of its adoption."""
    result = adopt(str(make(directory / "shop", changes)), "", directory / "inventory", other)
    files = {file["path"]: file["content"] for file in result["files"]}
    return yaml.load(files["group_vars/all/main.yml"], Loader), result


class Loader(yaml.SafeLoader):
    """Loader that knows the tag of Ansible for text without templates."""


Loader.add_constructor("!unsafe", lambda loader, node: f"unsafe {node.value}")


def uv_lock(dependencies: str, versions: Mapping[str, str], more: Mapping[str, str] | None = None) -> str:
    """Return a lock file of uv.

    Args:
        dependencies: those of the project, as in the file.
        versions: of each package of an index.
        more: further lines of packages and of the project, `shop`.
    """
    more = more or {}
    project = f'[[package]]\nname = "shop"\nsource = {{ virtual = "." }}\ndependencies = [{dependencies}]\n'
    index = 'source = { registry = "https://packages.example.org/simple" }'
    packages = [
        f'[[package]]\nname = "{name}"\nversion = "{version}"\n{index}\n{more.get(name, "")}'
        for name, version in versions.items()
    ]
    return project + more.get("shop", "") + "".join(packages)
