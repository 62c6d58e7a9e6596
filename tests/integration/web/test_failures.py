"""A failure is on every page until its owner has seen it; lists say why a message failed."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Account, Folder, Message, Recipient, State
from outbox.models.rollup import roll_up
from outbox.reasons import Reason, ReasonCode
from tests.integration.web.conftest import signed_in
from tests.states import set_state

FAILED = reverse("outbox:folder", args=[Folder.FAILED])
OUTBOX = reverse("outbox:list")
CONTACTS = reverse("outbox:contacts")
REFUSED: dict[str, Any] = {
    "state": State.FAILED,
    "reply_code": 550,
    "reply_text": "5.1.1 no such user\nask them",
}
GREYLISTED = Reason(ReasonCode.SERVER_REPLY, reply="451 4.7.1 greylisted")


def refuse(message: Message, address: str = "joe@example.org") -> None:
    set_state(message.recipients.filter(address=address), **REFUSED)
    roll_up([message.pk], timezone.now(), "default")


def defer(message: Message, address: str) -> None:
    set_state(
        message.recipients.filter(address=address),
        State.DEFERRED,
        reason="451 4.7.1 greylisted",
        reply_code=451,
        reply_text="4.7.1 greylisted",
        attempts=1,
        next_attempt_at=timezone.now() + dt.timedelta(minutes=5),
    )
    roll_up([message.pk], timezone.now(), "default")


def badge(client: Client, url: str = CONTACTS) -> str:
    """Return the number beside Failed."""
    html = client.get(url).content.decode()
    entry = html.partition('id="folder-failed"')[2].partition("</a>")[0]
    return entry.partition('<span class="count alert">')[2].partition("<")[0]


def unseen(message: Message) -> bool:
    return Message.objects.values_list("failure_unseen", flat=True).get(pk=message.pk)


def page_of(client: Client, url: str = CONTACTS) -> str:
    return client.get(url).content.decode()


def test_an_unseen_failure_is_a_badge_and_a_notice_on_any_page(
    as_anna: Client, mail: Message
) -> None:
    assert badge(as_anna) == ""
    refuse(mail)
    assert badge(as_anna) == "1"
    page = page_of(as_anna)
    assert "Delivery of “Figures” to joe@example.org failed." in page
    assert "550 5.1.1 no such user" in page
    assert reverse("outbox:message", args=[mail.pk]) in page


def test_several_are_counted(as_anna: Client, anna: User, account: Account, mail: Message) -> None:
    refuse(mail)
    Message.objects.bulk_create(
        Message(
            owner=anna, subject=f"No {n}", status="failed", folder=Folder.FAILED,
            has_failure=True, failed_count=1, failure_unseen=True,
        )
        for n in range(120)
    )  # fmt: skip
    assert badge(as_anna) == "99+"
    assert "Delivery of 99+ messages failed." in page_of(as_anna)


def test_opening_failed_marks_all_as_seen_and_shows_which_were_new(
    as_anna: Client, mail: Message
) -> None:
    refuse(mail)
    page = page_of(as_anna, FAILED)
    assert 'class="row new"' in page
    assert "Delivery of" not in page
    assert not unseen(mail)
    assert badge(as_anna) == ""
    assert 'class="row new"' not in page_of(as_anna, FAILED)


def test_opening_the_message_marks_it_alone(
    as_anna: Client, anna: User, account: Account, mail: Message
) -> None:
    refuse(mail)
    other = Message.objects.create(
        owner=anna, status="failed", folder=Folder.FAILED, has_failure=True, failed_count=1,
        failure_unseen=True,
    )  # fmt: skip
    page = page_of(as_anna, reverse("outbox:message", args=[mail.pk]))
    assert "0 of 2 sent. 1 failed: 550 5.1.1 no such user." in page
    assert (unseen(mail), unseen(other)) == (False, True)
    assert badge(as_anna) == "1"


def test_a_watched_message_page_marks_what_it_shows(as_anna: Client, mail: Message) -> None:
    as_anna.get(reverse("outbox:message", args=[mail.pk]))
    refuse(mail)
    live = as_anna.get(reverse("outbox:live", args=[mail.pk]), {"seen": "before"})
    assert "550 5.1.1 no such user" in live.content.decode()
    assert not unseen(mail)


def test_the_list_of_replies_marks_all_as_seen(as_anna: Client, mail: Message) -> None:
    refuse(mail)
    as_anna.get(reverse("outbox:failed-by-reply"))
    assert not unseen(mail)


def test_a_list_that_refreshes_itself_marks_nothing(as_anna: Client, mail: Message) -> None:
    refuse(mail)
    for folder in (Folder.FAILED, Folder.OUTBOX):
        as_anna.get(reverse("outbox:rows", args=[folder]))
    as_anna.get(OUTBOX)
    assert unseen(mail)


def test_a_notice_can_be_dismissed(as_anna: Client, mail: Message) -> None:
    refuse(mail)
    address = reverse("outbox:dismiss-failures")
    assert as_anna.get(address).status_code == 405
    assert unseen(mail)
    response = as_anna.post(address, {"back": CONTACTS})
    assert response["Location"] == CONTACTS
    assert not unseen(mail)
    assert as_anna.post(address, {"back": "//evil.example"})["Location"] == FAILED


def test_another_person_sees_and_marks_nothing(as_ben: Client, mail: Message) -> None:
    refuse(mail)
    assert badge(as_ben) == ""
    as_ben.post(reverse("outbox:dismiss-failures"))
    assert unseen(mail)


def test_staff_who_open_a_message_do_not_mark_it_for_its_owner(ben: User, mail: Message) -> None:
    ben.is_staff = True
    ben.save()
    names = ("view_message", "view_all_accounts")
    ben.user_permissions.set(
        Permission.objects.filter(codename__in=names, content_type__app_label="outbox")
    )
    refuse(mail)
    page = page_of(signed_in(ben), reverse("outbox:message", args=[mail.pk]))
    assert "550 5.1.1 no such user" in page
    assert unseen(mail)


def test_a_message_with_a_refusal_is_in_failed_while_another_recipient_waits(
    as_anna: Client, mail: Message
) -> None:
    refuse(mail, "joe@example.org")
    defer(mail, "jane@example.com")
    for url in (FAILED, OUTBOX):
        page = as_anna.get(url)
        assert [row.message.pk for row in page.context["list"].rows] == [mail.pk]
        assert "550 5.1.1 no such user" in page.content.decode()  # the worst reason
    assert as_anna.get(reverse("outbox:search"), {"q": "in:failed"}).context["list"].rows


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (REFUSED, "550 5.1.1 no such user"),
        (
            {
                "state": State.FAILED,
                "reply_code": 550,
                "reply_text": "5.1.1 <joe@example.org>: Recipient address rejected",
            },
            "550 5.1.1 Recipient address rejected",
        ),
        ({"state": State.FAILED, "reason": "network_timeout"}, "The network timed out"),
        (
            {"state": State.DEFERRED, "reason": GREYLISTED, "reply_code": 550},
            "451 4.7.1 greylisted",
        ),
        (
            {"state": State.DEFERRED, "reason": "connection_refused"},
            "No server is listening at",
        ),
        (
            {"state": State.EXPIRED, "reply_code": 452, "reply_text": "4.2.2 full", "reason": "x"},
            "452 4.2.2 full",
        ),
        ({"state": State.HELD, "reason": "account_deleted"}, "The account was deleted."),
    ],
)
def test_a_row_has_the_reason_in_place_of_the_snippet(
    as_anna: Client, mail: Message, values: dict[str, Any], reason: str
) -> None:
    assert "Hello" in page_of(as_anna, OUTBOX)
    set_state(mail.recipients, **values)
    roll_up([mail.pk], timezone.now(), "default")
    message = Message.objects.get(pk=mail.pk)
    page = page_of(as_anna, reverse("outbox:folder", args=[message.folder]))
    assert reason in page
    assert "Hello" not in page


def test_a_delivered_row_keeps_its_snippet(as_anna: Client, mail: Message) -> None:
    set_state(mail.recipients, State.SENT, reply_code=250, reply_text="2.0.0 ok")
    roll_up([mail.pk], timezone.now(), "default")
    page = page_of(as_anna, reverse("outbox:folder", args=[Folder.SENT]))
    assert "Hello" in page
    assert "2.0.0 ok" not in page


def test_a_reason_of_a_hostile_server_is_inert(as_anna: Client, mail: Message) -> None:
    text = "5.0.0 <script>alert(1)</script>\x1b[2J\u202e"
    set_state(mail.recipients, State.FAILED, reply_code=550, reply_text=text)
    roll_up([mail.pk], timezone.now(), "default")
    for url in (CONTACTS, FAILED):
        page = page_of(as_anna, url)
        assert "&lt;script&gt;" in page
        assert "<script>alert" not in page
        assert "\u202e" not in page
        if url == FAILED:
            break
        set_state(Recipient.objects.filter(address="jane@example.com"), State.FAILED)


def test_the_preference_is_offered_and_stored(as_anna: Client, anna: User) -> None:
    address = reverse("outbox:preferences")
    page = page_of(as_anna, address)
    assert "Notifications" in page
    form = as_anna.get(address).context["form"]
    given = {name: field.initial or "" for name, field in form.fields.items()}
    as_anna.post(address, given | {"failure_digest": "daily"})
    page = page_of(as_anna, address)
    assert '<option value="daily" selected>' in page
