"""A mailbox, its account or its owner is deleted while messages are fetched."""

from collections.abc import Callable

import pytest

from outbox.api.mailboxes import remove_mailbox
from outbox.inbound.fetch import fetch_mailbox
from outbox.models import Mailbox, ServerMessage
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PopServer
from tests.integration.races import ONE_WRITER, committed_before

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


@ONE_WRITER
@pytest.mark.parametrize(
    "delete",
    [
        remove_mailbox,
        lambda mailbox: mailbox.account.delete(),
        lambda mailbox: mailbox.account.owner.delete(),
    ],
    ids=["mailbox", "account", "owner"],
)
def test_a_mailbox_is_deleted_during_a_fetch(
    server: PopServer, mailbox: Mailbox, delete: Callable[[Mailbox], object]
) -> None:
    server.mailbox.messages = {"1": message(1)}
    pk = mailbox.pk
    with committed_before('DELETE FROM "outbox_mailbox"', lambda: fetch_mailbox(pk)):
        delete(mailbox)
    assert not Mailbox.objects.exists()
    assert not ServerMessage.objects.exists()
