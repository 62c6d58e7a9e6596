"""DomainCheck: what was last found about the domain of a sender, and what has become wrong."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.texts import gettext_noop

DOMAINS_FOUND = "sender domains"  # the task (LastRun) that stores the domains of active accounts
# Each check with its label, in the order of the page.
CHECKS = {
    "SPF": "SPF",
    "DKIM": "DKIM",
    "DMARC": "DMARC",
    "ALIGN": gettext_noop("Alignment"),
    "MX": "MX",
    "PTR": gettext_noop("PTR: names of the sending IP addresses"),
    "HELO": gettext_noop("EHLO name"),
    "DNSBL": gettext_noop("Blocklists"),
    "PORT25": gettext_noop("Port 25"),
}
HOST_CHECKS = frozenset({"PTR", "HELO", "DNSBL", "PORT25"})  # of the site, not of a domain


class DomainCheck(models.Model):
    """The last check of one domain. A worker makes it, and pages show it."""

    domain = models.CharField(max_length=255, primary_key=True)  # in A-labels
    due_at = models.DateTimeField(null=True)  # None: only on request
    requested_at = models.DateTimeField(null=True)  # by a user who waits for the result
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
    )
    checked_at = models.DateTimeField(null=True)
    findings: Any = models.JSONField(default=list)
    # By check, such as "SPF": its worst finding when the DNS last responded.
    known: Any = models.JSONField(default=dict)
    # The checks that were good and are wrong now, with both findings: {"before": …, "after": …}.
    changes: Any = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("check of a sender domain")
        verbose_name_plural = _("checks of sender domains")
        indexes = [
            # Sweep: the domains that are due.
            models.Index(fields=["due_at"], name="outbox_domain_due"),
        ]

    def __str__(self) -> str:
        return f"check of {self.domain}"
