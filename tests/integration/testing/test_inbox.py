"""An Inbox shows what was queued as `mail.outbox` would, and delivers it to a local server."""

from collections.abc import Iterator
from email.message import EmailMessage as Parsed
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.db import connection

from outbox.models import Account, Message, Recipient
from outbox.testing.faultlab import FaultLab
from outbox.testing.inbox import Inbox
from outbox.testing.mailserver import MailServer

PDF = b"%PDF-1.4 \x00\xff"


@pytest.fixture
def inbox(db: None) -> Iterator[Inbox]:
    with Inbox() as opened:
        yield opened


def _plain(**values: Any) -> EmailMessage:
    given = {"subject": "Hi", "body": "Hello", "from_email": "ann@example.org", "to": ["b@c.org"]}
    return EmailMultiAlternatives(**given | values)


def _with_html() -> EmailMessage:
    message = EmailMultiAlternatives("Hi", "plain\n\nfür dich", "ann@example.org", ["b@c.org"])
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach_alternative("BEGIN:VCALENDAR", "text/calendar")
    return message


def _html_only() -> EmailMessage:
    message = _plain(body="<p>html</p>")
    message.content_subtype = "html"
    return message


def _with_files() -> EmailMessage:
    message = _with_html()
    message.attach("offer.pdf", PDF, "application/pdf")
    message.attach("notes.txt", "two\nlines", "text/plain")
    message.attach("same.txt", "two", "text/plain")
    message.attach("same.txt", "three", "text/plain")
    return message


def _files_only() -> EmailMessage:
    message = _plain(body="")
    message.attach("offer.pdf", PDF, "application/pdf")
    return message


SHAPES = [
    pytest.param(_plain(), id="plain"),
    pytest.param(_plain(subject="Grüße 🎉", body="Zeile\n.\nFrom here\n\nZeile"), id="non-ascii"),
    pytest.param(_plain(from_email="Ann Özil <ann@example.org>"), id="a sender with a name"),
    pytest.param(
        _plain(to=["b@c.org", "d@e.org"], cc=["f@g.org"], bcc=["h@i.org"]), id="all roles"
    ),
    pytest.param(
        _plain(to=['"B, Bob" <b@c.org>', "Bö <d@e.org>"], reply_to=["Shop <r@c.org>"]),
        id="names",
    ),
    pytest.param(_plain(headers={"X-Order": "7", "List-Id": "<a.b>"}), id="headers"),
    pytest.param(_with_html(), id="alternatives"),
    pytest.param(_html_only(), id="html only"),
    pytest.param(_with_files(), id="attachments"),
    pytest.param(_files_only(), id="attachments without a body"),
]


FIELDS = ("subject", "body", "from_email", "to", "cc", "bcc", "reply_to", "extra_headers")


def _fields(message: EmailMessage) -> dict[str, object]:
    names = [
        "subject",
        "body",
        "from_email",
        "to",
        "cc",
        "bcc",
        "reply_to",
        "extra_headers",
        "content_subtype",
    ]
    fields = {name: getattr(message, name) for name in names}
    fields["alternatives"] = [tuple(one) for one in getattr(message, "alternatives", ())]
    fields["attachments"] = [tuple(one) for one in message.attachments]
    fields["content_subtype"] = message.content_subtype
    return fields | {"recipients": message.recipients()}


@pytest.mark.parametrize("message", SHAPES)
def test_a_queued_message_reads_as_in_mail_outbox(message: EmailMessage, inbox: Inbox) -> None:
    message.send()

    (queued,) = inbox
    assert _fields(queued) == _fields(message)


def test_its_message_is_what_was_queued_byte_for_byte(inbox: Inbox) -> None:
    _with_files().send()

    parsed = inbox[0].message()
    assert isinstance(parsed, Parsed)
    assert parsed["Message-ID"] == f"<{inbox[0].row.message_id}>"
    assert inbox[0].source == Message.objects.get().source.read()


def test_it_behaves_like_a_list(inbox: Inbox) -> None:
    assert not inbox
    for number in range(3):
        send_mail(f"mail {number}", "", "ann@example.org", ["bob@example.net"])

    assert len(inbox) == 3
    assert inbox[-1].subject == "mail 2"
    assert [one.subject for one in inbox[:2]] == ["mail 0", "mail 1"]
    assert repr(inbox) == "<Inbox: 'mail 0', 'mail 1', 'mail 2'>"


def test_it_starts_empty_and_can_be_cleared(inbox: Inbox) -> None:
    send_mail("earlier", "", "ann@example.org", ["bob@example.net"])
    with Inbox() as later:
        assert repr(later) == "<Inbox: empty>"
        _plain().send()
        assert len(later) == 1
    inbox.clear()

    assert len(inbox) == 0
    assert Message.objects.count() == 2


def test_while_it_is_closed_django_s_test_backend_is_used(db: None) -> None:
    with Inbox() as inbox:
        send_mail("inside", "", "ann@example.org", ["bob@example.net"])
    send_mail("outside", "", "ann@example.org", ["bob@example.net"])

    assert [one.subject for one in inbox] == ["inside"]
    assert [one.subject for one in mail.outbox] == ["outside"]


def test_an_account_of_the_project_is_used(db: None) -> None:
    own = Account.objects.create(name="own", from_address="a@b.org", host="mail.example.org")
    with Inbox() as inbox:
        _plain().send()

        assert inbox[0].row.account == own


@pytest.mark.django_db(transaction=True)
def test_it_drains_to_a_local_server_and_shows_the_states(tmp_path: Any) -> None:
    own = Account.objects.create(name="own", from_address="a@b.org", host="mail.example.org")
    with Inbox() as inbox, MailServer(tmp_path) as server:
        _plain(to=["bob@example.net", "reject@example.net"]).send()
        inbox.drain(server)

        assert inbox[0].states == {"bob@example.net": "sent", "reject@example.net": "failed"}
        (received,) = server.mailboxes.messages("bob@example.net")
        assert received.source == inbox[0].source
    own.refresh_from_db()
    assert own.host == "mail.example.org"


@pytest.mark.django_db(transaction=True)
def test_it_drains_to_the_fault_lab() -> None:
    with Inbox() as inbox, FaultLab("greylisting") as lab:
        _plain().send()
        inbox.drain(lab)

        assert inbox[0].states == {"b@c.org": "deferred"}


def test_it_reports_why_it_cannot_drain_inside_a_transaction(inbox: Inbox) -> None:
    with FaultLab() as lab, pytest.raises(RuntimeError, match="TransactionTestCase"):
        inbox.drain(lab)


@pytest.mark.django_db(transaction=True)
def test_it_reports_why_it_cannot_drain_a_database_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has databases in memory")
    monkeypatch.setattr(connection, "is_in_memory_db", lambda: True, raising=False)
    with Inbox() as inbox, FaultLab() as lab, pytest.raises(RuntimeError, match="in a file"):
        inbox.drain(lab)


def test_nothing_but_the_setting_is_changed(inbox: Inbox) -> None:
    _plain().send()

    assert Recipient.objects.get().state == "queued"
