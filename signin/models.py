"""Failed attempts, password resets, sign-in sessions and second factors.

The tables belong to users and sessions, so they are in the database of these, by default “default”.
The outbox may have another one, `OUTBOX["DATABASE"]`: no query joins its tables with these. Times
are those of the outbox's database.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models, router

from outbox.models.secrets import decrypt, encrypt


def database() -> str:
    """Return the alias of the database with these tables."""
    return router.db_for_write(AttemptCount)


class AttemptCount(models.Model):
    """Attempts of one kind for one username or from one network, without a success."""

    key = models.CharField(max_length=80, unique=True)
    count = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)
    # Attempts during the present wait.
    rejected = models.PositiveIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"


class ResetRequest(models.Model):
    """A password reset that was requested for an address, whether or not a user has it."""

    address_key = models.CharField(max_length=64, unique=True)
    address = models.EmailField(max_length=254)
    origin = models.CharField(max_length=300)  # "https://mail.example.com"
    language = models.CharField(max_length=16)
    requested_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"reset requested at {self.requested_at:%Y-%m-%d %H:%M:%S}"


class SignInSession(models.Model):
    """A session in which a user is signed in, as its user sees it in the list."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_in_sessions"
    )
    session_key = models.CharField(max_length=40, unique=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    address = models.GenericIPAddressField(null=True)
    browser = models.CharField(max_length=200, blank=True)  # User-Agent

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return f"sign-in session {self.pk}"


class Authenticator(models.Model):
    """The authenticator app of a user (TOTP, RFC 6238). It counts after it was confirmed."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="authenticator"
    )
    key_encrypted = models.TextField()
    confirmed_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=0)  # of the last code that was accepted

    def __str__(self) -> str:
        return f"authenticator of user {self.user_id}"

    @property
    def encrypted_for(self) -> str:
        """What the key is encrypted for: in the row of another user it cannot be decrypted."""
        return f"authenticator of user {self.user_id}"

    @property
    def key(self) -> str:
        """The shared key in Base32."""
        return decrypt(self.key_encrypted, self.encrypted_for)

    @key.setter
    def key(self, key: str) -> None:
        self.key_encrypted = encrypt(key, self.encrypted_for)


class RecoveryCode(models.Model):
    """A code that replaces the authenticator once. Only its hash is stored."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes"
    )
    digest = models.CharField(max_length=64)  # SHA-256; a code has 80 random bits
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="signin_recovery_code")
        ]

    def __str__(self) -> str:
        return f"recovery code {self.pk}"
