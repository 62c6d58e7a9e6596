"""Unsaved rows of a model are inserted with one statement and get their ids."""

import datetime as dt

import pytest
from django.contrib.auth.models import User

from outbox.db.bulk import insert_models
from outbox.db.clock import database_now
from outbox.models import Account, InboundMessage, Mailbox, ServerMessage
from outbox.reasons import Reason, ReasonCode

USING = "default"
pytestmark = [pytest.mark.django_db, pytest.mark.every_database]


def test_every_column_is_stored_as_the_model_has_it() -> None:
    anna = User.objects.create_user("anna")
    account = Account.objects.create(name="A", from_address="a@example.org", host="127.0.0.1")
    now = database_now(USING)
    rows = [
        InboundMessage(
            owner=anna,
            account=account,
            subject=f"发 {number}\0'",
            sent_at=now - dt.timedelta(days=number) if number else None,
            received_at=now,
            created_at=now,
            is_read=bool(number),
            size=2**31 - 1,
        )
        for number in range(3)
    ]
    insert_models(USING, rows)
    for row in rows:
        found = InboundMessage.objects.get(pk=row.pk)
        row.subject = row.subject.replace("\0", "�")
        for field in InboundMessage._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(row, field.attname), field
    rows[1].subject = "changed"
    rows[1].save()
    assert InboundMessage.objects.count() == 3, "the rows are known to be stored"


def test_a_reason_has_its_stored_form() -> None:
    account = Account.objects.create(name="A", from_address="a@example.org", host="127.0.0.1")
    mailbox = Mailbox.objects.create(account=account, host="127.0.0.1", username="a")
    reason = Reason(ReasonCode.FETCH_TOO_LARGE, size=2, limit=1)
    row = ServerMessage(
        mailbox=mailbox, uid="1", size=2**40, skipped=reason, seen_at=database_now(USING)
    )
    insert_models(USING, [row])
    found = ServerMessage.objects.get(pk=row.pk)
    assert (found.skipped, found.size, found.deleted_at) == (reason, 2**40, None)
