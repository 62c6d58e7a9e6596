"""Emails to a user whose credentials have changed: the first sign of a stolen user."""

import logging

from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from outbox.api.audit import current_address
from outbox.api.system_email import queue_system_email
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import OutboxError
from outbox.models import Preferences

logger = logging.getLogger(__name__)


def notify(user: User, what: str) -> None:
    """Queue an email that says what has changed, in the language of the user."""
    if not user.email:
        return
    language = Preferences.of(user.pk).language or translation.get_language()
    with translation.override(language):
        facts = {
            "user": user.get_username(),
            "what": _sentences()[what],
            "at": database_now(),
            "address": current_address(),
            "site": get_conf().site_url,
        }
        text = render_to_string("signin/notice.txt", facts)
        subject = _("Your sign-in was changed")
    try:
        queue_system_email(to=user.email, subject=subject, text=text)
    except (OutboxError, ValueError):
        # The change itself has to succeed, whatever is stored as the address.
        logger.exception("The notice for user %s cannot be queued.", user.pk)


def _sentences() -> dict[str, str]:
    return {
        "password_changed": _("The password of your user was changed."),
        "email_changed": _("The email address of your user was changed. This was the former one."),
        "second_factor_added": _("A second factor was added to your sign-in."),
        "second_factor_removed": _("The second factor was removed from your sign-in."),
        "recovery_code_used": _("A recovery code was used to sign in."),
    }
