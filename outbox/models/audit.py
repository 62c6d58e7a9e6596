"""AuditEntry: an action with its actor, its target and its time. Rows are only added."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class AuditAction(models.TextChoices):
    """What is recorded. The column has no choices, so a new action needs no migration."""

    SIGN_IN = "sign_in", _("signed in")
    SIGN_IN_FAILED = "sign_in_failed", _("sign-in failed")
    SIGN_IN_BLOCKED = "sign_in_blocked", _("sign-in blocked")
    SIGN_OUT = "sign_out", _("signed out")
    SESSION_ENDED = "session_ended", _("sign-in session ended")
    REAUTHENTICATED = "reauthenticated", _("password confirmed")
    REAUTHENTICATION_FAILED = "reauthentication_failed", _("password not confirmed")
    USER_CHANGED = "user_changed", _("user changed")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    PASSWORD_RESET_REQUESTED = "password_reset_requested", _("password reset requested")
    SECOND_FACTOR_ADDED = "second_factor_added", _("second factor added")
    SECOND_FACTOR_REMOVED = "second_factor_removed", _("second factor removed")
    RECOVERY_CODE_USED = "recovery_code_used", _("recovery code used")
    ACCOUNT_ADDED = "account_added", _("account added")
    ACCOUNT_CHANGED = "account_changed", _("account changed")
    ACCOUNT_REMOVED = "account_removed", _("account removed")
    SHARE_OFFERED = "share_offered", _("share offered")
    SHARE_ACCEPTED = "share_accepted", _("share accepted")
    SHARE_DECLINED = "share_declined", _("share declined")
    SHARE_LEFT = "share_left", _("share left")
    SHARE_REVOKED = "share_revoked", _("share revoked")
    CONNECTION_TESTED = "connection_tested", _("connection tested")
    PROVIDER_CHANGED = "provider_changed", _("OAuth 2 provider changed")
    WEBHOOK_CHANGED = "webhook_changed", _("webhook changed")
    MESSAGE_READ = "message_read", _("message read by staff")
    EXPORTED = "exported", _("list of messages exported")
    BULK_ACTION = "bulk_action", _("bulk action")
    BULK_ACTION_ENDED = "bulk_action_ended", _("bulk action ended")
    BULK_ACTION_CANCELLED = "bulk_action_cancelled", _("bulk action cancelled")
    SUPPRESSED = "suppressed", _("address suppressed")
    UNSUPPRESSED = "unsuppressed", _("suppression removed")
    SUPPRESSIONS_IMPORTED = "suppressions_imported", _("suppression list imported")
    SUPPRESSIONS_EXPORTED = "suppressions_exported", _("suppression list exported")
    PAUSED = "paused", _("delivery paused")
    RESUMED = "resumed", _("delivery resumed")
    ADDRESS_ERASED = "address_erased", _("address erased")
    SIGNING_KEY_ADDED = "signing_key_added", _("DKIM key added")
    SIGNING_KEY_ACTIVATED = "signing_key_activated", _("DKIM key activated")
    SIGNING_KEY_RETIRED = "signing_key_retired", _("DKIM key retired")
    SIGNING_KEY_REMOVED = "signing_key_removed", _("DKIM key removed")


class AppendOnlyError(TypeError):
    """The audit log cannot be changed."""


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Rejects updates and deletions."""

    def update(self, **kwargs: Any) -> NoReturn:
        _reject()

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        _reject()

    def delete(self) -> NoReturn:
        _reject()

    def _raw_delete(self, using: str | None) -> NoReturn:
        _reject()


class AuditEntry(models.Model):
    """One action. It names its actor and its target without a foreign key.

    A deleted user or account stays in the log, and deleting one updates no row here. Only
    `outbox_erase` changes rows, to take out an address, and it adds one. The times are
    the database's: several hosts write them.
    """

    at = models.DateTimeField(_("time"), db_default=Now())
    action = models.CharField(_("action"), max_length=40)
    actor_key = models.CharField(max_length=64, blank=True)  # primary key of the user
    actor_name = models.CharField(_("user"), max_length=255, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    target_kind = models.CharField(_("kind of target"), max_length=64, blank=True)
    target_key = models.CharField(_("target key"), max_length=64, blank=True)
    target_name = models.CharField(_("target"), max_length=255, blank=True)
    details = models.JSONField(_("details"), default=dict)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        indexes = [
            # Admin: the entries of one action, newest first.
            models.Index(fields=["action", "-id"], name="outbox_audit_action"),
            # Admin: the entries of one user, newest first.
            models.Index(fields=["actor_name", "-id"], name="outbox_audit_actor"),
            # Admin: the entries of a day, a month or a year.
            models.Index(fields=["at"], name="outbox_audit_at"),
        ]

    def __str__(self) -> str:
        names = (self.action_label, self.actor_name, self.target_name)
        return " · ".join(name for name in names if name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the entry. Raise AppendOnlyError if it is stored already."""
        if not self._state.adding:
            _reject()
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        _reject()

    @property
    def action_label(self) -> str:
        """The action in words; the code itself if a later version has removed it."""
        known = self.action in AuditAction.values
        return str(AuditAction(self.action).label) if known else self.action


def _reject() -> NoReturn:
    raise AppendOnlyError("Entries of the audit log are never changed or deleted.")
