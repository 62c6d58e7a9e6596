"""Failed mail by what the servers said: alike replies are one row, and lead to their mails."""

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
from outbox.web.messages import replies
from outbox.web.messages.replies import read_groups

UNKNOWN = (550, "5.1.1", "5.1.1 <{}>: User unknown in table {}")
FULL = (552, "5.2.2", "5.2.2 <{}>: Mailbox full, {} bytes over")


def fail(account: Account, address: str, reply: tuple[int, str, str], number: int = 1) -> Message:
    mail = api.send(
        to=address, subject=f"To {address}", text="x", account=account, owner=account.owner
    ).message()
    code, enhanced, text = reply
    mail.recipients.update(
        state=State.FAILED, reply_code=code, reply_enhanced=enhanced,
        reply_text=text.format(address, number),
    )  # fmt: skip
    roll_up([mail.pk], timezone.now(), "default")
    return mail


@pytest.fixture
def failed(account: Account) -> list[Message]:
    """Two that failed alike, one otherwise."""
    return [
        fail(account, "bob@example.org", UNKNOWN, 17),
        fail(account, "eve@example.net", UNKNOWN, 4),
        fail(account, "joe@example.net", FULL),
    ]


def test_alike_replies_are_one_row_the_most_frequent_first(
    as_anna: Client, failed: list[Message]
) -> None:
    page = as_anna.get(reverse("outbox:replies")).content.decode()
    assert page.index("2 messages with this reply") < page.index("1 message with this reply")
    assert "&lt;eve@example.net&gt;: User unknown in table 4" in page  # the latest one's words
    assert "bob@example.org" not in page


def test_a_row_leads_to_its_mails_to_be_tried_again(
    as_anna: Client, anna: User, failed: list[Message]
) -> None:
    (group, _), _ = read_groups(anna)
    page = as_anna.get(reverse("outbox:replies"), {"alike": group.mark}).content.decode()
    for mail in failed[:2]:
        assert f'name="m" value="{mail.pk}"' in page
    assert f'value="{failed[2].pk}"' not in page
    assert 'name="all"' not in page  # that would be the whole folder
    assert reverse("outbox:bulk", args=["retry"]) in page


def test_what_never_got_a_reply_is_grouped_by_what_became_of_it(
    anna: User, account: Account
) -> None:
    mail = fail(account, "bob@example.org", UNKNOWN)
    Recipient.objects.filter(message=mail).update(
        state=State.EXPIRED, reply_code=None, reply_text="", reason="Nobody answered."
    )
    ((group,), _) = read_groups(anna)
    assert (group.code, group.text) == (None, "Nobody answered.")


def test_what_did_not_fail_is_not_among_them(anna: User, account: Account) -> None:
    fail(account, "bob@example.org", UNKNOWN).recipients.update(state=State.SENT)
    assert read_groups(anna) == ([], False)


def test_a_group_that_is_gone_is_no_page(as_anna: Client, failed: list[Message]) -> None:
    assert as_anna.get(reverse("outbox:replies"), {"alike": "x"}).status_code == 404


def test_others_mail_is_in_no_group(as_ben: Client, failed: list[Message], ben: User) -> None:
    assert read_groups(ben) == ([], False)
    assert b"No failed messages" in as_ben.get(reverse("outbox:replies")).content


def test_of_many_the_latest_are_looked_at_and_that_is_said(
    as_anna: Client, anna: User, failed: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "LATEST", 2)
    groups, is_bounded = read_groups(anna)
    assert is_bounded
    assert sum(len(group.messages) for group in groups) == 2
    assert b"Only the latest 2 failed messages" in as_anna.get(reverse("outbox:replies")).content


def test_it_costs_two_queries_however_many_failed(anna: User, failed: list[Message]) -> None:
    with CaptureQueriesContext(connection) as asked:
        read_groups(anna)
    assert len(asked) == 2
