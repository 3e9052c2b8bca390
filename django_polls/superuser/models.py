"""What the command remembers from one run to the next."""

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import models


class AppliedSecret(models.Model):
    """The password that was in the Secret when the command last looked, as a hash as strong as the user's own.

    Without it nobody could tell a Secret that changed from a password that its owner changed in the admin: the first
    has to be applied, the second has to be left alone.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="applied_secret"
    )
    digest = models.CharField(max_length=256)
    seen_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Secret of {self.user}"

    def matches(self, secret: str) -> bool:
        """Whether this is still the same Secret. Rehashes nothing: it's no log-in."""
        return check_password(secret, self.digest)

    def remember(self, secret: str) -> None:
        """Take this Secret as the one that was seen last."""
        self.digest = make_password(secret)
        self.save()
