"""A tag is paused and resumed while workers claim and postpone its messages."""

import pytest
from django.db import transaction

from outbox import api
from outbox.db.clock import database_now
from outbox.delivery import paused_tags
from outbox.models import Message, Pause
from tests.integration.delivery.mail_client import (
    USING,
    account,
    claim_due,
    destination,
    queue,
    queue_many,
    row,
)
from tests.integration.races import ONE_WRITER, committed_before

# The other writers have threads, and each its connection: they see only what is committed.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]

NEWS = ["news"]


def is_due(message: Message) -> bool:
    at = row(message).next_attempt_at
    return at is not None and at <= database_now()


@ONE_WRITER
def test_a_pause_that_ends_before_a_postponement_postpones_nothing() -> None:
    sender = account()
    message = queue(sender, tags=NEWS)
    paused = api.pause(tag="news", reason="Wrong list")
    place = destination(sender).pk
    with committed_before('SELECT "outbox_pause"', lambda: api.resume(paused)):
        assert paused_tags.postpone(place, 0, USING) == 0

    assert is_due(message)
    assert len(claim_due(sender)) == 1


@ONE_WRITER
def test_a_pause_that_ends_during_a_postponement_makes_it_due_again() -> None:
    sender = account()
    message = queue(sender, tags=NEWS)
    paused = api.pause(tag="news", reason="Wrong list")
    place = destination(sender).pk
    with committed_before('UPDATE "outbox_recipient"', lambda: api.resume(paused)):
        assert paused_tags.postpone(place, 0, USING) == 1

    assert is_due(message)
    assert not Pause.objects.get().is_returning


@ONE_WRITER
def test_two_claims_postpone_beside_each_other() -> None:
    sender = account()
    queue_many(sender, 6, tags=NEWS)
    other = queue(sender)
    paused = api.pause(tag="news", reason="Wrong list")
    place = destination(sender).pk
    with committed_before(
        'UPDATE "outbox_recipient"', lambda: paused_tags.postpone(place, 0, USING)
    ):
        assert paused_tags.postpone(place, 0, USING) == 6
    assert [job.message_id for job in claim_due(sender)] == [other.pk]
    api.resume(paused)
    assert len(claim_due(sender)) == 6


def test_a_pause_that_is_rolled_back_stops_nothing() -> None:
    sender = account()
    queue(sender, tags=NEWS)
    with transaction.atomic():
        api.pause(tag="news", reason="Wrong list")
        transaction.set_rollback(True)
    assert len(claim_due(sender)) == 1
