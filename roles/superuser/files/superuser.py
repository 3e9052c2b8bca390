"""Create the superuser, or update its password after its Secret changed. The launcher runs it inside of the project.

It works with any user model. A table that the migrations create holds the hash of the applied password. It shows
whether the Secret has changed, which is applied, or the user has changed the password, which is kept.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from cloud_django_launch import Refusal, connect, first_line
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, models, router, transaction

OPTIONS = json.loads(Path(__file__).with_name("options.json").read_text(encoding="utf-8"))
SECRET = Path(OPTIONS["directory"])

TABLE = "cloud_django_superuser"
OWN_COMMAND = "set superuser_command to a command of the project that creates the user"


# ---- The Secret ------------------------------------------------------------------------------------------------------


def secret(name: str) -> str:
    """Return a value of the Secret, empty if it has none. A newline at the end is not part of it."""
    path = SECRET / name
    try:
        text = path.read_bytes().decode() if path.is_file() else ""
    except UnicodeDecodeError:
        text = "\0"
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if "\0" in text or (not text and name != "email"):
        raise Refusal(f"The {name} in the superuser's Secret is empty or no text", f"Set superuser_{name}")
    return text


class AppliedSecret:
    """Hash of the password that the Secret had when it was applied to a user, as strong as the user's own hash."""

    def __init__(self, user: Any) -> None:
        self.key = str(user.pk)
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"SELECT digest FROM {TABLE} WHERE user_id = %s", [self.key])
            row = cursor.fetchone()
        self.digest: str | None = row[0] if row else None

    def differs(self, password: str) -> bool:
        """Return whether the Secret has another password. It never updates the hash, because it isn't a login."""
        return self.digest is not None and not check_password(password, self.digest)

    def remember(self, password: str) -> None:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {TABLE} (user_id, digest) VALUES (%s, %s)"
                " ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, applied_at = now()",
                [self.key, make_password(password)],
            )


def require_table() -> None:
    """Refuse a database that only an earlier version has migrated."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [TABLE])
        if cursor.fetchone()[0] is None:
            reason = f"The table {TABLE} does not exist, because the role migrations of this version has not run"
            raise Refusal(reason, "Run playbooks/site.yml with --tags migrations,superuser")


# ---- The user model --------------------------------------------------------------------------------------------------


def user_model() -> Any:
    """Return the user model of the project, if it has what a user with a password needs."""
    model = get_user_model()
    missing = [name for name in ("USERNAME_FIELD", "REQUIRED_FIELDS", "set_password") if not hasattr(model, name)]
    if missing:
        raise Refusal(f"The user model {model._meta.label} has no {' and no '.join(missing)}", OWN_COMMAND.capitalize())
    return model


def field_of(model: Any, name: str) -> Any:
    """Return a field of the model that has a column, or None."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if field.concrete else None


def email_field(model: Any) -> str:
    return model.get_email_field_name() if hasattr(model, "get_email_field_name") else "email"


def cleaned(model: Any, variable: str, name: str, value: Any) -> Any:
    """Return a value as the field of the model has it."""
    field = field_of(model, name)
    if field is None:
        raise Refusal(f"The user model {model._meta.label} has no field {name} for {variable}", "Correct or remove it")
    try:
        return field.clean(value, None)
    except ValidationError as error:
        messages = " ".join(error.messages).rstrip(".")
        reason = f"The field {name} of the user model {model._meta.label} does not accept {variable}: {messages}"
        raise Refusal(reason, f"Correct {variable}") from None


def required_values(model: Any, email: str) -> dict[str, Any]:
    """Return a value for each field that the model requires besides name and password."""
    given, values = OPTIONS["fields"], {}
    for name in model.REQUIRED_FIELDS:
        field = field_of(model, name)
        if name in given:
            values[name] = cleaned(model, f"superuser_fields.{name}", name, given[name])
        elif email and name == email_field(model):
            values[name] = cleaned(model, "superuser_email", name, email)
        elif field is not None and (field.blank or field.null or field.has_default()):
            values[name] = field.get_default()
        else:
            step = "Set superuser_email" if name == email_field(model) else f"Set superuser_fields.{name}"
            raise Refusal(f"The user model {model._meta.label} requires the field {name}, which has no value", step)
    return values


def further_values(model: Any, email: str, used: set[str]) -> dict[str, Any]:
    """Return the values of other fields."""
    given = {name: value for name, value in OPTIONS["fields"].items() if name not in used}
    values = {name: cleaned(model, f"superuser_fields.{name}", name, value) for name, value in given.items()}
    name = email_field(model)
    if email and name not in {*used, *values} and field_of(model, name):
        values[name] = cleaned(model, "superuser_email", name, email)
    return values


def check_strength(password: str, user: Any) -> None:
    """Refuse a weak password. The messages of the validators don't contain it.

    A generated password is strong, but may lack a kind of characters that a validator counts.
    """
    if OPTIONS["generated"]:
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        reason = f"The superuser's password is too weak: {' '.join(error.messages).rstrip('.')}"
        raise Refusal(reason, "Set another superuser_password") from None


def grant(user: Any) -> bool:
    """Set the fields for access to the admin, as far as the model has them; return whether one was not set."""
    lacking = [name for name in ("is_staff", "is_superuser") if field_of(type(user), name) and not getattr(user, name)]
    for name in lacking:
        setattr(user, name, True)
    return bool(lacking)


def has_usual_permissions(model: Any) -> bool:
    """Return whether a superuser of this model has these fields set.

    Other managers set fields of their own. In some projects, is_superuser must never be set.
    """
    from django.contrib.auth.models import AbstractUser, UserManager

    return issubclass(model, AbstractUser) or isinstance(model._default_manager, UserManager)


# ---- The user --------------------------------------------------------------------------------------------------------


def find(model: Any, name: str) -> Any:
    """Return the user of this name, locked, or None. Some models change the case of a name."""
    # The default manager may hide users, or make a query that cannot lock rows.
    users = model._base_manager.select_for_update(of=("self",))
    field = model.USERNAME_FIELD
    found = users.filter(**{field: name}).first()
    if found is None and isinstance(field_of(model, field), models.EmailField):
        found = users.filter(**{f"{field}__iexact": name}).first()
    if found is None and hasattr(model._default_manager, "get_by_natural_key"):
        # As a login does.
        with contextlib.suppress(model.DoesNotExist):
            found = users.get(pk=model._default_manager.get_by_natural_key(name).pk)
    return found


def create(model: Any, name: str, email: str, password: str) -> Any:
    """Create the superuser with the manager of the project, as createsuperuser does."""
    values = {model.USERNAME_FIELD: cleaned(model, "superuser_username", model.USERNAME_FIELD, name)}
    check_strength(password, model(**values))
    values |= required_values(model, email)
    further = further_values(model, email, set(values))
    manager = model._default_manager
    try:
        if hasattr(manager, "create_superuser"):
            user = manager.create_superuser(password=password, **values)
            user = user if isinstance(user, model) else find(model, name)
        else:
            user = model(**values)
            user.set_password(password)
            grant(user)
        for field, value in further.items():
            setattr(user, field_of(model, field).attname, value)
        if further or user.pk is None or user._state.adding:
            user.save()
    except (IntegrityError, TypeError, ValidationError, ValueError) as error:
        # Without the rest of the message, which contains the row.
        reason = f"The user model {model._meta.label} does not accept the superuser: {first_line(error).rstrip('.')}"
        raise Refusal(reason, f"Set what is missing in superuser_fields, or {OWN_COMMAND}") from None
    return user


def ensure(model: Any, username: str, email: str, password: str) -> str:
    """Create or update the user, and return what was done. It must run in a transaction."""
    name = model.normalize_username(username) if hasattr(model, "normalize_username") else username
    user = find(model, name)
    if user is None:
        AppliedSecret(create(model, name, email, password)).remember(password)
        return f"created the superuser {name}"

    applied = AppliedSecret(user)
    is_new, has_changed = applied.digest is None, applied.differs(password)
    changes = []
    if has_changed:
        check_strength(password, user)
        user.set_password(password)
        changes.append("password")
    if has_usual_permissions(model) and grant(user):
        changes.append("permissions")
    if changes:
        user.save()
    if is_new or has_changed:
        applied.remember(password)
    if changes:
        return f"updated the superuser {name}: {' and '.join(changes)}"
    if is_new:
        return f"unchanged: the superuser {name} already exists and keeps its password"
    return f"unchanged: the superuser {name} is up to date"


def main() -> None:
    """Print what was done. The password is never printed."""
    if not apps.is_installed("django.contrib.auth"):
        reason = "The project has no users, because INSTALLED_APPS does not include django.contrib.auth"
        raise Refusal(reason, "Set superuser_state to absent")
    model = user_model()
    connect(connections[DEFAULT_DB_ALIAS])
    require_table()
    with transaction.atomic(using=router.db_for_write(model)), transaction.atomic():
        print(ensure(model, secret("username"), secret("email"), secret("password")), flush=True)


if __name__ == "__main__":
    main()
