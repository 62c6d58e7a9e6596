"""ConnectionTest: a test of an account's connection, which a user requested and a worker makes."""

from __future__ import annotations

import secrets as random
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from outbox.models import secrets
from outbox.models.account import SERVER_FIELDS, Account
from outbox.models.mailbox import Mailbox

# What the result of a test depends on, besides the password.
TESTED_FIELDS = (*SERVER_FIELDS, "secret_is_token")


def new_token() -> str:
    """Return the name of a test in addresses, which cannot be guessed."""
    return random.token_urlsafe(16)


class ConnectionTest(models.Model):
    """The last test of one user. Its settings need not be those of a stored account."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    token = models.CharField(max_length=32, default=new_token)
    account = models.ForeignKey(
        Account, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # None: it is not stored yet
    settings = models.JSONField()
    secret_encrypted = models.TextField(blank=True)  # erased when the test ends
    fingerprint = models.CharField(max_length=64, blank=True)  # of the settings
    requested_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    report = models.JSONField(null=True)

    encrypted_for = "outbox.connection_test"

    class Meta:
        verbose_name = _("connection test")
        verbose_name_plural = _("connection tests")

    def __str__(self) -> str:
        return str(self.user)

    def describe(self, account: Account, secret: str) -> None:
        """Store what is tested."""
        names = (*TESTED_FIELDS, "is_trusted")
        self.settings = {name: getattr(account, name) for name in names}
        self.secret_encrypted = secrets.encrypt(secret, self.encrypted_for)

    def describe_mailbox(self, mailbox: Mailbox, secret: str) -> None:
        """Store what is tested of a mailbox."""
        names = ("protocol", "host", "port", "security", "username")
        self.settings = {name: getattr(mailbox, name) for name in names}
        self.secret_encrypted = secrets.encrypt(secret, self.encrypted_for)

    @property
    def is_of_mailbox(self) -> bool:
        """Whether the server is one that messages are fetched from."""
        return "protocol" in self.settings

    def as_mailbox(self) -> tuple[Mailbox, str]:
        """Return the mailbox to test, and its password. Raise SecretUnreadableError."""
        values: dict[str, Any] = self.settings
        secret = secrets.decrypt(self.secret_encrypted, self.encrypted_for)
        return Mailbox(account=self.account, **values), secret

    def as_account(self) -> tuple[Account, str]:
        """Return the account to test, and its password. Raise SecretUnreadableError."""
        values: dict[str, Any] = self.settings
        return Account(**values), secrets.decrypt(self.secret_encrypted, self.encrypted_for)
