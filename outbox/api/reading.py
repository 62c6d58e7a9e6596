"""Record that a user opens the content of another's message: in the audit log and for its owner."""

from __future__ import annotations

import datetime as dt

from django.http import HttpRequest

from outbox.api import audit
from outbox.db.clock import database_now
from outbox.models import Event, EventKind, InboundMessage, Message
from outbox.models.access import is_owner
from outbox.models.audit import AuditAction

_ONE_READING = dt.timedelta(hours=1)  # several pages of one user within this time are one event


def record_reading(request: HttpRequest, message: Message) -> None:
    """Record that the user of a request reads the content, unless the message is their own.

    The audit log has each page. The timeline of the message, which its owner sees, names the user
    at most once an hour.
    """
    if is_owner(request.user, message):
        return
    audit.record(AuditAction.MESSAGE_READ, target=message, request=request, path=request.path)
    using = message._state.db
    now = database_now(using or "default")
    readings = Event.objects.using(using).filter(
        message=message, kind=EventKind.READ, actor=request.user.pk, at__gt=now - _ONE_READING
    )
    if not readings.exists():
        Event.objects.using(using).create(
            message=message, kind=EventKind.READ, actor_id=request.user.pk, at=now
        )


def record_reading_of_received(request: HttpRequest, message: InboundMessage) -> None:
    """Record in the audit log that the user of a request reads a received message of another."""
    if not is_owner(request.user, message):
        audit.record(AuditAction.MESSAGE_READ, target=message, request=request, path=request.path)
