"""The password validator that Django calls for every changed password."""

from typing import Any

from django.contrib.auth.password_validation import MinimumLengthValidator

from outbox.api import audit
from outbox.models import AuditAction
from signin.notices import notify


class RecordedMinimumLength(MinimumLengthValidator):
    """Checks the length. Records a change in the audit log and notifies the user by email.

    Django calls `password_changed` after each `save` that follows `set_password`: from the pages,
    the admin, the commands and other apps.
    """

    def password_changed(self, password: str, user: Any = None) -> None:
        """Record the change. A user who has never signed in gets no email: the user is new."""
        audit.record(AuditAction.PASSWORD_CHANGED, target=user)
        if user is not None and user.last_login is not None:
            notify(user, "password_changed")
