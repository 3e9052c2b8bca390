"""Settings from environment variables, and secrets from files.

A secret is never in an environment variable: a variable whose name ends in `_FILE` contains the path of a file, as
Kubernetes mounts Secrets. Each error names the variable and the next step, because users see only this message of a pod
that fails to start.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class Environment:
    """Environment variables, with one method for each type of setting.

    An empty variable counts as unset, because templates and shells produce empty values for missing ones.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def text(self, name: str, default: str = "") -> str:
        """Return the variable unchanged, or the default."""
        return self._variables.get(name) or default

    def required(self, name: str, purpose: str) -> str:
        """Return the variable. Fails if it is unset. The purpose completes the sentence `Set it to …`."""
        if value := self.text(name):
            return value
        raise ImproperlyConfigured(f"The environment variable {name} is not set. Set it to {purpose}.")

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a Boolean. Fails for other words, because a guess could disable a protection."""
        value = self.text(name).strip().lower()
        if not value:
            return default
        if value in TRUE:
            return True
        if value in FALSE:
            return False
        raise ImproperlyConfigured(
            f"The environment variable {name} is {self.text(name)!r}, which is neither yes nor no. "
            "Set it to true or false."
        )

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """Return an integer between two bounds, both included."""
        value = self.text(name).strip()
        if not value:
            return default
        if re.fullmatch(r"[0-9]{1,10}", value) and least <= int(value) <= most:
            return int(value)
        raise ImproperlyConfigured(
            f"The environment variable {name} is {self.text(name)!r}. Set it to a whole number from {least} to {most}."
        )

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""
        value = self.text(name, default)
        if value in allowed:
            return value
        raise ImproperlyConfigured(
            f"The environment variable {name} is {value!r}. Set it to one of: {', '.join(allowed)}."
        )

    def words(self, name: str) -> list[str]:
        """Return a list whose items are separated by commas or white space."""
        return [word for word in re.split(r"[,\s]+", self.text(name)) if word]

    def secret(self, name: str, purpose: str) -> str:
        """Return the content of the file that the variable names. Fails if the file is missing or empty."""
        path = self.required(name, f"the path of a file that holds {purpose}")
        if value := read_secret(name, path):
            return value
        raise ImproperlyConfigured(f"The file {path} that {name} names is empty. Write {purpose} to it.")

    def optional_secret(self, name: str) -> str:
        """Return the content of the file that the variable names, or an empty string if the variable is unset."""
        path = self.text(name)
        return read_secret(name, path) if path else ""


def read_secret(name: str, path: str) -> str:
    """Return a secret from a file, without one newline at its end.

    Editors and `kubectl create secret --from-file` add that newline. Other white space can be part of a password.
    """
    try:
        value = Path(path).read_bytes().decode()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The file {path} that {name} names cannot be read: {error.strerror}. "
            "Mount the Secret there, readable by the user that runs the site."
        ) from error
    except UnicodeDecodeError as error:
        raise ImproperlyConfigured(
            f"The file {path} that {name} names is not UTF-8 text. Write the secret as UTF-8."
        ) from error
    if "\0" in value:
        raise ImproperlyConfigured(
            f"The file {path} that {name} names contains a NUL byte, which no server accepts. Remove it."
        )
    return value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value


class PublicURL:
    """Public URL of the site: scheme, host, and port. Allowed hosts, origins, and cookie flags follow from it."""

    def __init__(self, name: str, value: str) -> None:
        try:
            parts = urlsplit(value)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except ValueError as error:
            raise self._error(name, value) from error
        if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
            raise self._error(name, value)
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise self._error(name, value)
        self.is_https = parts.scheme == "https"
        self.host = f"[{host}]" if ":" in host else host
        default_port = 443 if self.is_https else 80
        self.netloc = self.host if port in {None, default_port} else f"{self.host}:{port}"
        self.origin = f"{parts.scheme}://{self.netloc}"

    @staticmethod
    def _error(name: str, value: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"The environment variable {name} is {value!r}, which is not the URL of a site. "
            "Set it to a scheme, a host, and an optional port, such as https://www.example.org."
        )
