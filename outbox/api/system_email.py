"""Emails of the site itself: reports on failures, invitations, notices about the sign-in.

Webhooks are calls to other programs and not emails. Django's own view composes a password reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from outbox.api.accounts import account_named
from outbox.api.outgoing import Outgoing
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
    idempotency_key: str | None = None,
    priority: str = "",
) -> None:
    """Queue an email in the language that is active. `to` is one address or several.

    Without an account, the default one for apps sends it. Raise OutboxError if it cannot be queued.

    The envelope sender is null, so that no bounce comes to a mailbox that is fetched (RFC 3834
    3.3). Where the server rejects that, the account's address replaces it.
    """
    content = Content(
        account=account_named(account),
        to=read_all("to", [to]) if isinstance(to, str) else to,
        subject=" ".join(subject.split()),  # the name of an account may contain anything
        text=text,
    )
    outgoing = render_outgoing(
        content,
        origin=origin,
        owner=owner,
        idempotency_key=idempotency_key,
        priority=priority,
        auto_submitted=True,
    )
    queue_system_source(outgoing)


def queue_system_source(outgoing: Outgoing) -> None:
    """Queue a rendered email of the site, with the null envelope sender."""
    queue_ids([replace(outgoing, envelope_sender="")])


def email_of(user: AbstractBaseUser) -> str:
    """Return the address of a user, as it is stored; the user model of a project may have none."""
    return str(getattr(user, user.get_email_field_name(), "") or "")
