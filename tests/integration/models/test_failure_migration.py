"""The migration marks the failures that an older version left, and announces none of them."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from outbox.models import Account, Folder, Message, Recipient, State, Status
from tests.integration.admin.conftest import queue

pytestmark = pytest.mark.django_db(transaction=True)

migration = import_module("outbox.migrations.0005_index_failures")


@pytest.fixture
def account() -> Account:
    return Account.objects.create(
        name="shop", from_address="shop@example.com", host="mail.example.com"
    )


def left_by_an_older_version(account: Account, status: Status, *states: State) -> Message:
    message = queue(account, *(f"r{number}@example.com" for number in range(len(states))))
    for recipient, state in zip(message.recipients.order_by("pk"), states, strict=True):
        Recipient.objects.filter(pk=recipient.pk).update(state=state)
    folder = Folder.OUTBOX if status == Status.DEFERRED else Folder.FAILED
    Message.objects.filter(pk=message.pk).update(status=status, folder=folder)
    return message


def test_known_failures_are_marked(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "AT_ONCE", 2)
    failed = [left_by_an_older_version(account, Status.FAILED, State.EXPIRED) for _ in range(5)]
    two = left_by_an_older_version(account, Status.FAILED, State.FAILED, State.BOUNCED)
    still_open = left_by_an_older_version(account, Status.DEFERRED, State.FAILED, State.DEFERRED)
    stopped = left_by_an_older_version(account, Status.PARTIAL, State.SENT, State.CANCELLED)
    partly = left_by_an_older_version(account, Status.PARTIAL, State.SENT, State.FAILED)
    with connection.schema_editor(atomic=False) as editor:
        migration.mark_known_failures(apps, editor)
    counts = dict(Message.objects.filter(has_failure=True).values_list("pk", "failed_count"))
    ones = dict.fromkeys([one.pk for one in (*failed, still_open, partly)], 1)
    assert counts == ones | {two.pk: 2}
    folders = Message.objects.in_bulk([stopped.pk, partly.pk, still_open.pk])
    assert folders[stopped.pk].folder == Folder.SENT
    assert folders[partly.pk].folder == Folder.FAILED
    assert folders[still_open.pk].folder == Folder.OUTBOX
    assert not Message.objects.filter(failure_unseen=True).exists()
    assert not Message.objects.filter(failure_unreported=True).exists()
