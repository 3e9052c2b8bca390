"""Create the administrator, or bring the password up to date when its Secret changed."""

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
    """Safe to run any number of times.

    A user who is there already keeps the password, whoever set it, until the Secret's content differs from what an
    earlier run saw. The last line says `created`, `updated` or `unchanged`; the password is never printed.
    """

    help = (
        "Create the superuser whose name, e-mail address and password are in files, or update the password if the "
        "file changed since the last run. A superuser made by hand is kept as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, meaning in (("username", "user name"), ("email", "e-mail address"), ("password", "password")):
            variable = f"SUPERUSER_{name.upper()}_FILE"
            parser.add_argument(
                f"--{name}-file",
                default=os.environ.get(variable) or None,
                metavar="PATH",
                help=f"File that holds the {meaning}; unset: the path in the environment variable {variable}.",
            )
        parser.add_argument(
            "--update-password",
            action="store_true",
            help="Set the password from the file in any case, for instance after it was forgotten.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        username = read_file(options["username_file"], "username")
        email = read_file(options["email_file"], "email") if options["email_file"] else ""
        password = read_file(options["password_file"], "password")
        with transaction.atomic():
            outcome = ensure_superuser(username, email, password, update_password=options["update_password"])
        self.stdout.write(outcome)


def ensure_superuser(username: str, email: str, password: str, *, update_password: bool = False) -> str:
    """Bring the user into the wanted state and say what was done. Must run in a transaction.

    Raises CommandError when the password is too weak to be set.
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
        changes.append("rights")
    if changes:
        user.save()
    if seen is None or secret_changed:
        (seen or AppliedSecret(user=user)).remember(password)

    if changes:
        return f"updated the superuser {name}: {' and '.join(changes)}"
    if seen is None:
        return f"unchanged: the superuser {name} was there already and keeps the old password"
    return f"unchanged: the superuser {name} is up to date"


def check_strength(password: str, user: AbstractUser) -> None:
    """Refuse a weak password with the validators' own sentences, which don't contain it."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(f"The superuser's password is refused. {' '.join(error.messages)}") from error


def read_file(path: str | None, name: str) -> str:
    """The content of one file exactly as it is, less one newline at its end."""
    if not path:
        raise CommandError(
            f"The superuser's {name} is not known. Give --{name}-file or set SUPERUSER_{name.upper()}_FILE to the "
            "path of a file that holds it."
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
