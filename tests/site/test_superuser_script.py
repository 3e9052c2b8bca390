"""Script of the role superuser, run as in its Job, with the user models of several projects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support_release import MIGRATIONS, SCRIPTS, Launched, rows, temporary_schema

FIRST, SECOND = "first sentinel passphrase", "second sentinel passphrase"
# Characters with a special meaning in a shell, a URL, a template, or an environment file.
ODD_PASSWORD = "-@:/?#%$$(X)'\"\\ {{ x }} {% y %} é 🔑 end "

SETTINGS = """
import json, os, pathlib
SECRET_KEY = "x"
INSTALLED_APPS = os.environ["APPS"].split()
AUTH_USER_MODEL = os.environ["USER_MODEL"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "validators.Special"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": json.loads(os.environ["DEFAULT_DATABASE"])}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
VALIDATORS = """
from django.core.exceptions import ValidationError
class Special:
    def validate(self, password, user=None):
        if password.isalnum():
            raise ValidationError("The password has only letters and digits.")
    def get_help_text(self):
        return ""
"""
MODELS = """
import uuid
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models

class ByEmailManager(BaseUserManager):
    def create_superuser(self, password, **fields):
        user = self.model(is_administrator=True, **fields)
        user.set_password(password)
        user.save()
        return user

class ByEmail(AbstractBaseUser):
    "As that of pretalx: an address in lower case, and no fields of the admin."
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    mail = models.EmailField(unique=True)
    is_administrator = models.BooleanField(default=False)
    objects = ByEmailManager()
    USERNAME_FIELD = EMAIL_FIELD = "mail"
    def save(self, *args, **options):
        self.mail = self.mail.lower()
        super().save(*args, **options)

class Team(models.Model):
    name = models.TextField()

class DemandingManager(BaseUserManager):
    def create_superuser(self, username, born, note, level, email, password):
        user = self.model(username=username, born=born, note=note, level=level, email=email, is_superuser=True)
        user.set_password(password)
        user.save()

class Demanding(AbstractBaseUser, PermissionsMixin):
    "As that of netbox: no is_staff. Some fields are required, others have to be set."
    username = models.CharField(max_length=20, unique=True)
    email = models.EmailField()
    born = models.DateField()
    note = models.TextField(blank=True)
    level = models.IntegerField(default=5)
    team = models.ForeignKey(Team, models.CASCADE, null=True)
    groups = user_permissions = None
    objects = DemandingManager()
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email", "born", "note", "level"]

class Bare(AbstractBaseUser):
    "Without a manager for users."
    name = models.CharField(max_length=20, unique=True)
    is_superuser = models.BooleanField(default=False)
    code = models.IntegerField()
    objects = models.Manager()
    USERNAME_FIELD = "name"

class Fieldless(models.Model):
    name = models.CharField(max_length=20)
    is_anonymous = is_authenticated = True
"""
APPS = "django.contrib.contenttypes django.contrib.auth members"


def database(schema: str) -> str:
    """Return the database of a project as JSON, in a schema of its own."""
    names = {"HOST": "HOST", "PORT": "PORT", "NAME": "NAME", "USER": "USER"}
    values: dict[str, Any] = {name: os.environ[f"DATABASE_{variable}"] for name, variable in names.items()}
    values |= {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"options": f"-c search_path={schema}"}}
    return json.dumps(values | {"PASSWORD": Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text()})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a project with several user models, of which a test chooses one."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "members").mkdir()
    for name, content in {
        "__init__": "",
        "models": MODELS,
        "../settings": SETTINGS,
        "../validators": VALIDATORS,
    }.items():
        (folder / "members" / f"{name}.py").write_text(content)
    variables = {
        "USER_MODEL": "auth.User",
        "DEFAULT_DATABASE": "{}",
        "APPS": APPS,
        "DJANGO_SETTINGS_MODULE": "settings",
    }
    command = [sys.executable, "-m", "django", "makemigrations", "members"]
    subprocess.run(command, cwd=folder, env=os.environ | variables | {"PYTHONPATH": str(folder)}, check=True)
    return folder


class Site:
    """A project with one user model, whose database is migrated."""

    def __init__(self, schema: str, place: Path, directory: Path, model: str, apps: str = APPS) -> None:
        self.schema, self.place, self.directory = schema, place, directory
        self.environment = {"USER_MODEL": model, "APPS": apps, "DEFAULT_DATABASE": database(schema)}
        self.environment["DJANGO_SETTINGS_MODULE"] = "settings"
        self.table = model.lower().replace(".", "_")
        self.script = self.launched("migrate", **MIGRATIONS)
        done = self.run()
        assert done.returncode == 0, done.stderr

    def launched(self, name: str, **options: Any) -> Launched:
        return Launched(self.directory / name, SCRIPTS[name], **options)

    def run(self) -> subprocess.CompletedProcess[str]:
        done = self.script.run(["python", "-m", "django"], self.place, **self.environment)
        assert "sentinel" not in done.stdout + done.stderr
        return done

    def ensure(
        self, password: str = FIRST, username: str = "admin", email: str = "", generated: bool = False, **fields: Any
    ) -> str:
        """Run the script of the superuser, and return what it prints: what was done, or the error."""
        secret = self.directory / "secret"
        secret.mkdir(exist_ok=True)
        for name, value in {"username": username, "password": password, "email": email}.items():
            (secret / name).write_bytes(value.encode())
        options = {"directory": str(secret), "fields": fields, "generated": generated}
        self.script = self.launched("superuser", **options)
        done = self.run()
        assert bool(done.returncode) == bool(self.script.log.read_text())
        return self.script.sentence() if done.returncode else done.stdout.splitlines()[-1]

    def rows(self, columns: str = "*") -> list[tuple[Any, ...]]:
        return rows(self.schema, f"SELECT {columns} FROM {self.table}")

    def is_password(self, password: str) -> bool:
        code = "import os; from django.contrib.auth import get_user_model as model; "
        code += "print(model().objects.get().check_password(os.environ['PASSWORD']))"
        command = [sys.executable, "-m", "django", "shell", "-v0", "-c", code]
        environment = os.environ | self.environment | {"PASSWORD": password, "PYTHONPATH": str(self.place)}
        done = subprocess.run(command, env=environment, cwd=self.place, capture_output=True, text=True, check=True)
        return done.stdout.strip() == "True"


@pytest.fixture
def start(place: Path, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with temporary_schema() as schema:
        yield lambda model, **options: Site(schema, place, tmp_path, model, **options)


# ---- The user model of Django ----------------------------------------------------------------------------------------


@pytest.fixture
def site(start: Callable[..., Site]) -> Site:
    return start("auth.User")


def test_created_then_updated_if_and_only_if_the_secret_changed(site: Site) -> None:
    assert site.ensure(email="admin@example.org") == "created the superuser admin"
    assert site.rows("username, email, is_staff, is_superuser") == [("admin", "admin@example.org", True, True)]
    assert site.is_password(FIRST)
    assert site.ensure() == "unchanged: the superuser admin is up to date"
    assert site.ensure(SECOND) == "updated the superuser admin: password"
    assert site.is_password(SECOND)
    assert site.ensure(SECOND).startswith("unchanged")
    assert len(site.rows()) == 1


def test_password_that_the_user_changed_is_kept(site: Site) -> None:
    site.ensure()
    rows(site.schema, "UPDATE auth_user SET password = 'chosen by the owner'")
    assert site.ensure().startswith("unchanged")
    assert site.rows("password") == [("chosen by the owner",)]
    assert site.ensure(SECOND).startswith("updated")


CREATE = """
INSERT INTO {table} (username, password, is_superuser, is_staff, is_active, first_name, last_name, email, date_joined)
VALUES ('admin', 'set manually', {flag}, {flag}, true, '', '', 'hand@example.org', now())
"""


def test_manually_created_superuser_is_kept_until_the_secret_changes(site: Site) -> None:
    rows(site.schema, CREATE.format(table="auth_user", flag=True))
    assert site.ensure() == "unchanged: the superuser admin already exists and keeps its password"
    assert site.ensure() == "unchanged: the superuser admin is up to date"
    assert site.rows("password") == [("set manually",)]
    assert site.ensure(SECOND).startswith("updated")
    assert site.is_password(SECOND)
    assert site.rows("email") == [("hand@example.org",)]


def test_missing_permissions_are_added(site: Site) -> None:
    rows(site.schema, CREATE.format(table="auth_user", flag=False))
    assert site.ensure() == "updated the superuser admin: permissions"
    assert site.rows("password, is_staff, is_superuser") == [("set manually", True, True)]
    rows(site.schema, "UPDATE auth_user SET is_staff = false")
    assert site.ensure() == "updated the superuser admin: permissions"


def test_special_password_and_name(site: Site) -> None:
    assert site.ensure(ODD_PASSWORD, username="Zoë@example.org").startswith("created")
    assert site.is_password(ODD_PASSWORD)
    assert site.ensure(f"{ODD_PASSWORD}\n", username="Zoë@example.org").startswith("unchanged")


def test_weak_password_is_refused_and_no_user_is_created(site: Site) -> None:
    sentence = site.ensure("xq7-weak")
    assert sentence.startswith("The superuser's password is too weak: This password is too short.")
    assert sentence.endswith("Set another superuser_password.")
    assert "xq7-weak" not in sentence
    assert site.rows() == []
    # Weak passwords are refused in updates too.
    site.ensure()
    assert "is too weak" in site.ensure("onlylettersanddigits2")
    assert site.is_password(FIRST)


def test_generated_password_need_not_have_each_kind_of_characters(site: Site) -> None:
    assert site.ensure("onlylettersanddigits2", generated=True).startswith("created")


def test_user_who_was_deleted_is_created_again(site: Site) -> None:
    site.ensure()
    rows(site.schema, "DELETE FROM auth_user")
    assert site.ensure(SECOND) == "created the superuser admin"


def test_name_that_the_model_refuses(site: Site) -> None:
    sentence = site.ensure(username="a b")
    start = "The field username of the user model auth.User does not accept superuser_username: Enter a valid username."
    assert sentence.startswith(start)
    assert sentence.endswith(" Correct superuser_username.")


@pytest.mark.parametrize("password", ["", "\n", "a\0b"])
def test_secret_that_cannot_be_used(site: Site, password: str) -> None:
    assert site.ensure(password).startswith("The password in the superuser's Secret is empty or no text. Set ")


def test_unknown_field(site: Site) -> None:
    assert site.ensure(nick="x").startswith("The user model auth.User has no field nick for superuser_fields.nick.")


def test_database_that_an_earlier_version_migrated(site: Site) -> None:
    rows(site.schema, "DROP TABLE cloud_django_superuser")
    assert site.ensure().startswith("The table cloud_django_superuser does not exist, because ")


def test_hash_of_an_earlier_version_keeps_the_password_that_the_user_set(site: Site) -> None:
    """The site was deployed with the app superuser, and the user has changed the password."""
    site.ensure()
    rows(site.schema, "CREATE TABLE superuser_appliedsecret (user_id integer, digest text, seen_at timestamptz)")
    rows(
        site.schema,
        "INSERT INTO superuser_appliedsecret SELECT user_id::int, digest, applied_at FROM cloud_django_superuser",
    )
    rows(site.schema, "UPDATE auth_user SET password = 'chosen by the owner'")
    rows(site.schema, "DROP TABLE cloud_django_superuser")
    site.script = site.launched("migrate", **MIGRATIONS)
    assert site.run().returncode == 0
    assert site.ensure() == "unchanged: the superuser admin is up to date"
    assert site.rows("password") == [("chosen by the owner",)]


# ---- Other user models -----------------------------------------------------------------------------------------------


def test_user_by_email(start: Callable[..., Site]) -> None:
    site = start("members.ByEmail")
    sentence = site.ensure()
    assert sentence.startswith("The field mail of the user model members.ByEmail does not accept superuser_username: ")
    assert site.ensure(username="Admin@Example.org") == "created the superuser Admin@Example.org"
    assert site.rows("mail, is_administrator") == [("admin@example.org", True)]
    assert site.ensure(username="Admin@Example.org").startswith("unchanged")
    assert site.ensure(SECOND, username="admin@example.org") == "updated the superuser admin@example.org: password"
    assert site.is_password(SECOND)


def test_user_with_required_fields(start: Callable[..., Site]) -> None:
    site = start("members.Demanding")
    label = "The user model members.Demanding"
    assert site.ensure() == f"{label} requires the field email, which has no value. Set superuser_email."
    sentence = site.ensure(email="a@example.org")
    assert sentence == f"{label} requires the field born, which has no value. Set superuser_fields.born."
    assert "does not accept superuser_fields.born: " in site.ensure(email="a@example.org", born="today")
    rows(site.schema, "INSERT INTO members_team VALUES (3, 'x')")
    assert "team instance with id 4 " in site.ensure(email="a@example.org", born="1990-01-31", team=4)
    assert site.ensure(email="a@example.org", born="1990-01-31", team=3) == "created the superuser admin"
    columns = "username, email, born::text, note, level, team_id, is_superuser"
    assert site.rows(columns) == [("admin", "a@example.org", "1990-01-31", "", 5, 3, True)]
    assert site.ensure(email="b@example.org") == "unchanged: the superuser admin is up to date"
    # Only its own manager knows which fields a superuser of this model has.
    rows(site.schema, "UPDATE members_demanding SET is_superuser = false")
    assert site.ensure() == "unchanged: the superuser admin is up to date"
    rows(site.schema, "DELETE FROM cloud_django_superuser")
    assert site.ensure() == "unchanged: the superuser admin already exists and keeps its password"
    assert site.rows("is_superuser") == [(False,)]


def test_user_without_a_manager(start: Callable[..., Site]) -> None:
    site = start("members.Bare")
    sentence = site.ensure()
    assert sentence.startswith('The user model members.Bare does not accept the superuser: null value in column "code"')
    assert "Set what is missing in superuser_fields, or set superuser_command to " in sentence
    assert site.ensure(code="7") == "created the superuser admin"
    assert site.rows("name, code, is_superuser") == [("admin", 7, True)]
    assert site.is_password(FIRST)


def test_model_that_is_no_user(start: Callable[..., Site]) -> None:
    sentence = start("members.Fieldless").ensure()
    assert sentence.startswith(
        "The user model members.Fieldless has no USERNAME_FIELD and no REQUIRED_FIELDS and no set_"
    )
    assert sentence.endswith("Set superuser_command to a command of the project that creates the user.")


def test_project_without_users(start: Callable[..., Site]) -> None:
    site = start("auth.User", apps="django.contrib.contenttypes")
    assert site.ensure().startswith(
        "The project has no users, because INSTALLED_APPS does not include django.contrib.auth"
    )
    assert site.script.sentence().endswith("Set superuser_state to absent.")
