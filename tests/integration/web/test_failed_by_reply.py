"""Failed messages by server reply: one group for each reply, with a link to its messages."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Message, Recipient, State
from outbox.models.rollup import roll_up
from outbox.web.folders import failed_by_reply
from outbox.web.folders.failed_by_reply import read_groups
from tests.states import set_state

pytestmark = pytest.mark.every_database

UNKNOWN = (550, "5.1.1", "5.1.1 <{}>: User unknown in table {}")
FULL = (552, "5.2.2", "5.2.2 <{}>: Mailbox full, {} bytes over")


def fail(account: Account, address: str, reply: tuple[int, str, str], number: int = 1) -> Message:
    mail = api.send(
        to=address, subject=f"To {address}", text="x", account=account, owner=account.owner
    ).message()
    code, enhanced, text = reply
    set_state(
        mail.recipients,
        State.FAILED,
        reply_code=code,
        reply_enhanced=enhanced,
        reply_text=text.format(address, number),
    )
    roll_up([mail.pk], timezone.now(), "default")
    return mail


@pytest.fixture
def failed(account: Account) -> list[Message]:
    """Two messages that failed with the same reply, and one with another."""
    return [
        fail(account, "bob@example.org", UNKNOWN, 17),
        fail(account, "eve@example.net", UNKNOWN, 4),
        fail(account, "joe@example.net", FULL),
    ]


def test_equal_replies_are_one_group_and_the_largest_is_first(
    as_anna: Client, failed: list[Message]
) -> None:
    page = as_anna.get(reverse("outbox:failed-by-reply")).content.decode()
    assert page.index("<span>2 messages</span>") < page.index("<span>1 message</span>")
    assert "&lt;eve@example.net&gt;: User unknown in table 4" in page  # the latest one's words
    assert "bob@example.org" not in page


def test_a_group_lists_its_messages_for_a_retry(
    as_anna: Client, anna: User, failed: list[Message]
) -> None:
    (group, _), _ = read_groups(anna)
    page = as_anna.get(reverse("outbox:failed-by-reply"), {"reply": group.key}).content.decode()
    for mail in failed[:2]:
        assert f'name="m" value="{mail.pk}"' in page
    assert f'value="{failed[2].pk}"' not in page
    assert 'name="all"' not in page  # that would be the whole folder
    assert reverse("outbox:bulk", args=["retry"]) in page


def test_messages_without_a_reply_are_grouped_by_their_reason(anna: User, account: Account) -> None:
    mail = fail(account, "bob@example.org", UNKNOWN)
    set_state(
        Recipient.objects.filter(message=mail),
        State.EXPIRED,
        reply_code=None,
        reply_text="",
        reason="No response.",
    )
    ((group,), _) = read_groups(anna)
    assert (group.code, group.text) == (None, "No response.")


def test_sent_messages_are_in_no_group(anna: User, account: Account) -> None:
    set_state(fail(account, "bob@example.org", UNKNOWN).recipients, State.SENT)
    assert read_groups(anna) == ([], False)


def test_an_unknown_group_is_not_found(as_anna: Client, failed: list[Message]) -> None:
    assert as_anna.get(reverse("outbox:failed-by-reply"), {"reply": "x"}).status_code == 404


def test_messages_of_other_users_are_in_no_group(
    as_ben: Client, failed: list[Message], ben: User
) -> None:
    assert read_groups(ben) == ([], False)
    assert b"No failed messages" in as_ben.get(reverse("outbox:failed-by-reply")).content


def test_only_the_latest_messages_are_grouped_and_the_page_says_so(
    as_anna: Client, anna: User, failed: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_by_reply, "MESSAGES_READ", 2)
    groups, is_bounded = read_groups(anna)
    assert is_bounded
    assert sum(len(group.messages) for group in groups) == 2
    assert (
        b"Only the latest 2 failed messages"
        in as_anna.get(reverse("outbox:failed-by-reply")).content
    )


def test_the_groups_take_two_queries(anna: User, failed: list[Message]) -> None:
    with CaptureQueriesContext(connection) as asked:
        read_groups(anna)
    assert len(asked) == 2
