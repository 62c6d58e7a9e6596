"""Reports of a batch of fetched messages: applied together, in the order of a group commit."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from outbox.db.clock import database_now
from outbox.inbound.facts import read_facts
from outbox.inbound.storing import store
from outbox.models import Account, InboundMessage, Message, Recipient, State, transitions
from tests.integration.inbound.returned import ANN, BOB, USING, account, bounce, reply, sent, states
from tests.integration.races import ONE_WRITER, committed_before
from tests.states import set_state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


@pytest.fixture
def sender() -> Account:
    return account()


def store_all(sender: Account, *sources: bytes) -> None:
    """Store messages in one transaction, as a fetch does."""
    with transaction.atomic():
        store([read_facts(one) for one in sources], sender, USING, now=database_now(USING))


def resolve(address: str) -> None:
    """Change recipients of several messages in one transaction, as a group commit does."""
    with transaction.atomic():
        transitions.apply(
            transitions.RESOLVE,
            Recipient.objects.filter(address=address),
            State.SENT,
            now=database_now(USING),
        )


def bounces(messages: list[Message]) -> list[bytes]:
    """Return a bounce for Bob of each message, the newest first, each with its own text."""
    return [
        bounce(message_id=one.message_id, diagnostic=f"550 5.1.1 unknown user {one.pk}")
        for one in reversed(messages)
    ]


def test_each_report_of_a_batch_is_applied(sender: Account) -> None:
    messages = [sent(sender, BOB, ANN) for _ in range(3)]
    store_all(sender, *bounces(messages))
    for message in messages:
        assert states(message) == {BOB: State.BOUNCED, ANN: State.SENT}
        message.refresh_from_db()
        assert message.failed_count == 1
        bounced = message.recipients.get(address=BOB)
        assert f"unknown user {message.pk}" in str(bounced.reason)


@ONE_WRITER
def test_recipients_are_locked_in_the_order_of_a_group_commit(sender: Account) -> None:
    messages = [sent(sender), sent(sender)]
    set_state(Recipient.objects.all(), State.UNCERTAIN)
    with committed_before('INSERT INTO "outbox_inboundreport"', lambda: resolve(BOB), number=2):
        store_all(sender, *bounces(messages))
    assert [states(one) for one in messages] == [{BOB: State.BOUNCED}] * 2


@ONE_WRITER
def test_messages_are_locked_in_the_order_of_a_group_commit(sender: Account) -> None:
    messages = [sent(sender, BOB, ANN), sent(sender, BOB, ANN)]
    set_state(Recipient.objects.filter(address=ANN), State.UNCERTAIN)
    with committed_before('UPDATE "outbox_recipient"', lambda: resolve(ANN), number=2):
        store_all(sender, *bounces(messages))
    assert [states(one) for one in messages] == [{BOB: State.BOUNCED, ANN: State.SENT}] * 2
    assert {one.status for one in Message.objects.all()} == {"partial"}


def test_the_replies_of_a_batch_are_looked_up_together(sender: Account) -> None:
    outlook = "AB1PR01@x.prod.outlook.com"
    messages = [sent(sender), sent(sender, queue_id=outlook)]
    replies = [reply(In_Reply_To=f"<{one}>") for one in (messages[0].message_id, outlook)]
    others = [reply(In_Reply_To=f"<{number}@elsewhere.example>") for number in range(40)]

    def queries_of(*sources: bytes) -> int:
        with CaptureQueriesContext(connection) as queries:
            store_all(sender, *sources)
        return len(queries)

    few = queries_of(*others[:1])
    assert queries_of(*others) == few
    store_all(sender, *replies)
    found = InboundMessage.objects.exclude(replies_to=None).values_list("replies_to", flat=True)
    assert set(found) == {one.pk for one in messages}
