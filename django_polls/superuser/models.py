"""Hash of the last applied Secret."""

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import models


class AppliedSecret(models.Model):
    """Hash of the password that the Secret had in the last run, as strong as the user's own hash.

    It shows whether the Secret has changed, which is applied, or the user has changed the password in the admin, which
    is kept.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="applied_secret"
    )
    digest = models.CharField(max_length=256)
    seen_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Secret of {self.user}"

    def matches(self, secret: str) -> bool:
        """Return whether the Secret is unchanged. It never updates the hash, because it isn't a login."""
        return check_password(secret, self.digest)

    def remember(self, secret: str) -> None:
        """Store the hash of this Secret."""
        self.digest = make_password(secret)
        self.save()
