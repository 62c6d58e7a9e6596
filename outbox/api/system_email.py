"""Emails of the site itself: reports on failures, invitations, notices about the sign-in.

Webhooks are calls to other programs and not emails. Django's own view composes a password reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from outbox.api.accounts import account_named
from outbox.api.queueing import queue_ids
from outbox.api.rendering import Content, render_outgoing
from outbox.api.sending import read_all
from outbox.mail.addresses import Address
from outbox.models import Account, Origin


def queue_system_email(
    *,
    to: str | Sequence[Address],
    subject: str,
    text: str,
    account: Account | None = None,
    origin: Origin = Origin.API,
    owner: Any = None,
) -> None:
    """Queue an email in the language that is active. `to` is one address or several.

    Without an account, the default one for apps sends it. Raise OutboxError if it cannot be queued.
    """
    content = Content(
        account=account_named(account),
        to=read_all("to", [to]) if isinstance(to, str) else to,
        subject=" ".join(subject.split()),  # the name of an account may contain anything
        text=text,
    )
    queue_ids([render_outgoing(content, origin=origin, owner=owner, auto_submitted=True)])


def email_of(user: AbstractBaseUser) -> str:
    """Return the address of a user, as it is stored; the user model of a project may have none."""
    return str(getattr(user, user.get_email_field_name(), "") or "")
