"""Command that creates the superuser, or updates the password after its Secret changed."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from superuser.models import AppliedSecret


class Command(BaseCommand):
    """Create or update the superuser. It is safe to run again.

    An existing user keeps the password until the Secret differs from the one of the last run. The output starts with
    `created`, `updated`, or `unchanged`. The password is never printed.
    """

    help = (
        "Create the superuser whose name, email address, and password are in files, or update the password if the "
        "file changed since the last run. A superuser that was created manually is not changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, meaning in (("username", "user name"), ("email", "email address"), ("password", "password")):
            variable = f"SUPERUSER_{name.upper()}_FILE"
            parser.add_argument(
                f"--{name}-file",
                default=os.environ.get(variable) or None,
                metavar="PATH",
                help=f"File that contains the {meaning}. Default: the path in the environment variable {variable}.",
            )
        parser.add_argument(
            "--update-password",
            action="store_true",
            help="Always set the password from the file, for example after the user forgot it.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        username = read_file(options["username_file"], "username")
        email = read_file(options["email_file"], "email") if options["email_file"] else ""
        password = read_file(options["password_file"], "password")
        with transaction.atomic():
            outcome = ensure_superuser(username, email, password, update_password=options["update_password"])
        self.stdout.write(outcome)


def ensure_superuser(username: str, email: str, password: str, *, update_password: bool = False) -> str:
    """Create or update the user, and return what was done. It must run in a transaction.

    Raises CommandError if the password is too weak.
    """
    users = get_user_model()._default_manager
    name = get_user_model().normalize_username(username)
    user = users.select_for_update().filter(**{get_user_model().USERNAME_FIELD: name}).first()
    if user is None:
        check_strength(password, get_user_model()(**{get_user_model().USERNAME_FIELD: name}))
        user = users.create_superuser(name, email, password)
        AppliedSecret(user=user).remember(password)
        return f"created the superuser {name}"

    seen = AppliedSecret.objects.filter(user=user).first()
    secret_changed = seen is not None and not seen.matches(password)
    changes = []
    if update_password or secret_changed:
        check_strength(password, user)
        user.set_password(password)
        changes.append("password")
    if not (user.is_staff and user.is_superuser):
        user.is_staff = user.is_superuser = True
        changes.append("permissions")
    if changes:
        user.save()
    if seen is None or secret_changed:
        (seen or AppliedSecret(user=user)).remember(password)

    if changes:
        return f"updated the superuser {name}: {' and '.join(changes)}"
    if seen is None:
        return f"unchanged: the superuser {name} already exists and keeps its password"
    return f"unchanged: the superuser {name} is up to date"


def check_strength(password: str, user: AbstractUser) -> None:
    """Fail if the password is weak. The messages of the validators don't contain it."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(f"The superuser's password is too weak. {' '.join(error.messages)}") from error


def read_file(path: str | None, name: str) -> str:
    """Return the content of a file, without one newline at its end."""
    if not path:
        raise CommandError(
            f"The superuser's {name} is missing. Use --{name}-file, or set SUPERUSER_{name.upper()}_FILE to the "
            "path of a file that contains it."
        )
    try:
        value = Path(path).read_bytes().decode()
    except OSError as error:
        raise CommandError(f"The file {path} with the superuser's {name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"The file {path} with the superuser's {name} is not UTF-8 text.") from error
    value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
    if not value or "\0" in value:
        raise CommandError(f"The file {path} with the superuser's {name} is empty or contains a NUL byte.")
    return value
