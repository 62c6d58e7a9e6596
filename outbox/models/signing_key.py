"""SigningKey: a DKIM key of a domain. The private key is encrypted, and is never displayed."""

from __future__ import annotations

import json

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.fields import DatabaseTimeField
from outbox.mail.dkim_keys import Algorithm, record_name, record_text
from outbox.models import secrets


class KeyState(models.TextChoices):
    """What a key is used for.

    A key signs once its record is published, and its record stays while servers may still verify
    what it has signed.
    """

    NEW = "new", _("not in use yet")
    ACTIVE = "active", _("active")
    RETIRED = "retired", _("retired")


class SigningKey(models.Model):
    """A key, with the name under which its public half is published."""

    domain = models.CharField(_("domain"), max_length=253)  # of the header From, in A-labels
    selector = models.CharField(_("selector"), max_length=200)
    algorithm = models.CharField(
        _("algorithm"),
        max_length=14,
        choices=[(Algorithm.RSA.value, "RSA 2048"), (Algorithm.ED25519.value, "Ed25519")],
    )
    public_key = models.TextField(_("public key"), editable=False)  # the tag p= of the record
    private_encrypted = models.TextField(editable=False)
    state = models.CharField(
        _("state"), max_length=7, choices=KeyState, default=KeyState.NEW, editable=False
    )
    created_at = DatabaseTimeField(_("created at"), auto_now_add=True)
    activated_at = models.DateTimeField(_("active since"), null=True, editable=False)
    retired_at = models.DateTimeField(_("retired at"), null=True, editable=False)

    class Meta:
        verbose_name = _("DKIM key")
        verbose_name_plural = _("DKIM keys")
        ordering = ["domain", "selector"]
        constraints = [
            # The name of the DNS record identifies the key.
            models.UniqueConstraint(
                fields=["domain", "selector"],
                name="outbox_signingkey_name",
                violation_error_message=_("A key with this domain and selector exists."),
            )
        ]

    def __str__(self) -> str:
        return self.record_name

    @property
    def encrypted_for(self) -> str:
        """What the private key is encrypted for: it cannot be decrypted under another name."""
        return json.dumps(["outbox.signing_key", self.domain, self.selector])

    @property
    def private_pem(self) -> str:
        """The decrypted private key. Raise SecretUnreadableError."""
        return secrets.decrypt(self.private_encrypted, self.encrypted_for)

    @private_pem.setter
    def private_pem(self, pem: str) -> None:
        self.private_encrypted = secrets.encrypt(pem, self.encrypted_for)

    @property
    def record_name(self) -> str:
        """The name of the DNS record."""
        return record_name(self.selector, self.domain)

    @property
    def record_text(self) -> str:
        """The content of the DNS record, as one text."""
        return record_text(Algorithm(self.algorithm), self.public_key)
