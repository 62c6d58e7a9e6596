"""The layout of the message page: content before attempts, and long lists folded."""

import datetime as dt
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Attempt, Message, Recipient, State
from outbox.models.rollup import roll_up
from outbox.reasons import Reason, ReasonCode
from outbox.texts import cause_of
from tests.states import set_state

pytestmark = pytest.mark.every_database

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def page_of(client: Client, message: Message, **query: str) -> str:
    return client.get(reverse("outbox:message", args=[message.pk]), query).content.decode()


def test_content_comes_before_the_attempts(as_anna: Client, mail: Message) -> None:
    page = page_of(as_anna, mail)
    assert page.index('id="content"') < page.index('id="attempts"')


def test_update_replaces_recipients_and_attempts_but_not_the_content(
    as_anna: Client, mail: Message
) -> None:
    update = as_anna.get(reverse("outbox:live", args=[mail.pk])).content.decode()
    assert 'id="recipients-title"' in update
    assert 'id="attempts"' in update
    assert update.index('id="attempts"') < update.index("hx-swap-oob")
    assert 'id="content"' not in update


@pytest.mark.parametrize(("others", "folded"), [(0, 0), (3, 0), (4, 3), (38, 37)])
def test_more_than_five_recipients_are_folded(
    as_anna: Client, mail: Message, others: int, folded: int
) -> None:
    Recipient.objects.bulk_create(
        Recipient(message=mail, address=f"r{n}@example.com", state=State.SENT)
        for n in range(others)
    )
    page = page_of(as_anna, mail)
    if folded:
        assert f"Show {folded} more recipients" in page
    else:
        assert "more recipient" not in page


def test_a_failed_recipient_is_never_folded(as_anna: Client, mail: Message) -> None:
    Recipient.objects.bulk_create(
        Recipient(message=mail, address=f"r{n}@example.com", state=State.SENT) for n in range(6)
    )
    Recipient.objects.create(message=mail, address="last@example.com", state=State.FAILED)
    page = page_of(as_anna, mail)
    assert page.index("last<wbr>@") < page.index("more recipients")


def test_attachments_are_counted_and_listed_below_the_text(
    as_anna: Client, anna: User, account: Account
) -> None:
    draft = api.save_draft(
        anna,
        api.DraftFields(
            account=account,
            to="jane@example.com",
            html='<p>See <img src="cid:yard@outbox" alt="the yard"></p>',
        ),
    )
    api.attach(draft, "yard.png", "image/png", PNG, content_id="yard@outbox")
    for name in ("zebra.pdf", "apple.pdf"):
        api.attach(draft, name, "application/pdf", b"%PDF-1.4")
    page = page_of(as_anna, api.send_draft(draft, actor=anna))
    assert "3 attachments" in page
    assert page.index("zebra.pdf") < page.index("apple.pdf") < page.index("yard.png")
    assert page.count("in the text") == 1
    assert page.index("yard.png") < page.index("in the text")


def test_an_attempt_in_progress_is_counted_and_has_no_conversation_yet(
    as_anna: Client, mail: Message
) -> None:
    now = timezone.now()
    Attempt.objects.create(message=mail, started_at=now)
    set_state(mail.recipients, State.SENDING, last_attempt_at=now)
    roll_up([mail.pk], now, "default")
    page = page_of(as_anna, mail)
    assert "No conversation recorded yet." in page
    assert "started <time" in page
    assert "latest <time" not in page


def test_cancelled_message_was_not_attempted(as_anna: Client, mail: Message, anna: User) -> None:
    assert "No delivery was attempted yet." in page_of(as_anna, mail)
    api.cancel(mail, actor=anna)
    assert "No delivery was attempted." in page_of(as_anna, mail)


def test_a_message_has_one_primary_action(as_anna: Client, mail: Message) -> None:
    jane, _joe = mail.recipients.order_by("pk")
    set_state(mail.recipients, State.FAILED)
    set_state(mail.recipients.filter(pk=jane.pk), State.UNCERTAIN)
    roll_up([mail.pk], timezone.now(), "default")
    page = page_of(as_anna, mail)
    primary = re.findall(r'id="action-([\w-]+)" class="button primary"', page)
    assert primary == ["mark-sent"]


def test_the_next_attempt_is_shown_once(as_anna: Client, mail: Message) -> None:
    _jane, joe = mail.recipients.order_by("pk")
    soon = timezone.now() + dt.timedelta(minutes=10)
    set_state(mail.recipients, State.DEFERRED, attempts=1, next_attempt_at=soon)
    roll_up([mail.pk], timezone.now(), "default")
    assert page_of(as_anna, mail).count("Next attempt") == 1
    mail.recipients.filter(pk=joe.pk).update(next_attempt_at=soon + dt.timedelta(hours=1))
    assert page_of(as_anna, mail).count("Next attempt") == 2


def test_a_scheduled_message_shows_its_time_once(
    as_anna: Client, anna: User, account: Account
) -> None:
    moment = timezone.now() + dt.timedelta(days=3)
    fields = api.DraftFields(account=account, to="jane@example.com", send_at=moment)
    draft = api.save_draft(anna, fields)
    page = page_of(as_anna, api.send_draft(draft, actor=anna))
    assert page.count("Scheduled for") == 1
    assert "Next attempt" not in page
    assert "queued" not in page.partition('id="recipients-title"')[2].partition("</table>")[0]


def test_retry_and_resend_are_explained(as_anna: Client, mail: Message) -> None:
    set_state(mail.recipients, State.FAILED)
    roll_up([mail.pk], timezone.now(), "default")
    page = page_of(as_anna, mail)
    assert "Retry delivery sends the same message again, to the recipients" in page
    assert "Edit and resend opens a draft" in page
    set_state(mail.recipients, State.SENT)
    roll_up([mail.pk], timezone.now(), "default")
    assert "Retry delivery" not in page_of(as_anna, mail)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ConnectionAbortedError(103, "Connection aborted"), "broke: ConnectionAbortedError: "),
        (TimeoutError(110, "Operation timed out"), "TimeoutError: Operation timed out"),
    ],
)
def test_system_error_numbers_are_not_shown(
    as_anna: Client, mail: Message, error: OSError, shown: str
) -> None:
    later = timezone.now() + dt.timedelta(hours=1)
    reason = Reason(ReasonCode.CONNECTION_BROKEN, cause=cause_of(error))
    set_state(mail.recipients, State.DEFERRED, attempts=1, reason=reason, next_attempt_at=later)
    roll_up([mail.pk], timezone.now(), "default")
    page = page_of(as_anna, mail)
    assert shown in page
    assert "Errno" not in page
