"""The page of a message in the admin: what each permission shows, and what is recorded."""

import json
import re
from collections import Counter
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox import api
from outbox.db.clock import database_now
from outbox.mail.parts import outline
from outbox.models import (
    Account,
    Attempt,
    AuditAction,
    AuditEntry,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    SmtpSession,
    State,
)
from tests.integration.admin.conftest import queue
from tests.received import letter, receive
from tests.states import set_state

PAGE = "/admin/outbox/message/{}/"
HTML = (
    b"From: shop@example.com\r\nSubject: Invoice\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
    b"--x\r\nContent-Type: text/html\r\n\r\n"
    b'<p>Secret <script>alert(1)</script><img src="https://track.example/p.png"></p>\r\n'
    b'--x\r\nContent-Type: text/plain; name="n.txt"\r\n'
    b'Content-Disposition: attachment; filename="n.txt"\r\n\r\nnote\r\n--x--\r\n'
)
FILE = next(part.path for part in outline(HTML).walk() if part.name)


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("owner")


@pytest.fixture
def owned(account: Account, owner: User) -> Message:
    """A message of another user, with HTML and a file."""
    outgoing = api.Outgoing(
        source=HTML,
        envelope_sender=account.from_address,
        recipients=[api.OutgoingRecipient("jane@example.com")],
        account=account,
        owner=owner,
        subject="Invoice",
        from_header="shop@example.com",
    )
    return api.queue_sources([outgoing])[0]


def client_with(*permissions: str, is_staff: bool = True) -> Client:
    name = f"user with {' '.join(permissions) or 'nothing'}"
    user = User.objects.create_user(name, is_staff=is_staff)
    names = (*permissions, "view_all_accounts")
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="outbox", codename__in=names)
    )
    client = Client()
    client.force_login(user)
    return client


READER = ("view_message", "read_source")


@pytest.mark.parametrize(
    ("permissions", "is_staff", "expected"),
    [
        pytest.param((), True, dict.fromkeys(("page", "record", "source"), 403), id="staff only"),
        pytest.param(READER, False, {"page": 302, "source": 302, "list": 302}, id="not staff"),
        pytest.param(
            ("view_message",),
            True,
            {"page": 200, "record": 200, "source": 403, "part": 403, "list": 200, "export": 200},
            id="viewer",
        ),
        pytest.param(
            READER,
            True,
            {"page": 200, "record": 200, "source": 200, "part": 200, "list": 200, "export": 200},
            id="reader",
        ),
        pytest.param(
            ("change_message",),
            True,
            {"page": 200, "source": 403, "list": 200, "export": 200},
            id="operator",
        ),
    ],
)
def test_a_permission_opens(
    permissions: tuple[str, ...], is_staff: bool, expected: dict[str, int], owned: Message
) -> None:
    client = client_with(*permissions, is_staff=is_staff)
    base = PAGE.format(owned.pk)
    addresses = {
        "page": f"{base}change/",
        "record": f"{base}record/",
        "source": f"{base}source/",
        "part": f"{base}parts/{FILE}/",
        "list": "/admin/outbox/message/",
        "export": "/admin/outbox/message/export/csv/",
    }
    found = {name: client.get(addresses[name]).status_code for name in expected}

    # A missing permission is 403, or 404 where it must not reveal that the message exists.
    assert {name: 403 if code == 404 else code for name, code in found.items()} == expected


def test_a_viewer_sees_the_delivery_and_not_the_content(owned: Message) -> None:
    shown = client_with("view_message").get(f"{PAGE.format(owned.pk)}change/?content=text")

    assert "jane@example.com" in shown.content.decode()
    assert "Secret" not in shown.content.decode()
    name = Permission.objects.get(codename="read_source").name
    assert f"you need the permission “{name}”" in unescape(shown.content.decode())
    assert not AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ).exists()


def test_opening_the_content_is_recorded_and_its_owner_sees_it(owned: Message, owner: User) -> None:
    client = client_with(*READER)
    page = f"{PAGE.format(owned.pk)}change/"

    assert "Secret" not in client.get(page).content.decode()
    assert not AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ).exists()
    assert "Secret" in client.get(f"{page}?content=html").content.decode()
    client.get(f"{PAGE.format(owned.pk)}source/")

    entries = AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ)
    assert [entry.target_key for entry in entries] == [str(owned.pk)] * 2
    event = Event.objects.get(kind=EventKind.READ)  # one for both
    assert event.actor is not None
    visitor = Client()
    visitor.force_login(owner)
    seen = visitor.get(f"/messages/{owned.pk}/").content.decode()
    assert "Content opened by staff" in seen
    assert event.actor.get_username() in seen


def test_an_owner_s_own_reading_is_not_recorded(owned: Message, owner: User) -> None:
    visitor = Client()
    visitor.force_login(owner)
    assert visitor.get(f"/messages/{owned.pk}/").status_code == 200
    assert not Event.objects.filter(kind=EventKind.READ).exists()


def test_the_preview_is_the_sandboxed_frame_of_the_site(owned: Message) -> None:
    client = client_with(*READER)
    page = client.get(f"{PAGE.format(owned.pk)}change/?content=preview").content.decode()
    frame = re.search(r'<iframe[^>]* src="([^"]+)"[^>]* sandbox="([^"]*)"', page)
    assert frame is not None
    assert "allow-scripts" not in frame[2]
    assert "allow-same-origin" not in frame[2]
    assert "track.example" in page

    shown = Client().get(frame[1])  # the frame has no cookie

    assert "Secret" in shown.content.decode()
    assert "<script" not in shown.content.decode()
    assert "default-src 'none'" in shown["Content-Security-Policy"]
    assert Client().get(frame[1].replace("/preview/", "/preview/x")).status_code == 403


@pytest.mark.parametrize("tab", ["text", "html", "headers", "raw", "parts"])
def test_every_tab_shows(tab: str, staff: Client, owned: Message) -> None:
    shown = staff.get(f"{PAGE.format(owned.pk)}change/?content={tab}").content.decode()
    assert f'?content={tab}#content-of-message" aria-current="true"' in shown
    assert "n.txt" in shown or tab != "parts"


def test_the_page_takes_as_many_queries_for_many_recipients_as_for_one(
    staff: Client, account: Account
) -> None:
    def queries(message: Message) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(f"{PAGE.format(message.pk)}change/").status_code == 200
        assert not any('"outbox_source"."data"' in one["sql"] for one in captured.captured_queries)
        return len(captured)

    one = queries(queue(account, "a@example.com"))
    many = queue(account, *(f"r{number}@example.com" for number in range(150)))

    assert queries(many) == one
    shown = staff.get(f"{PAGE.format(many.pk)}change/").content.decode()
    assert "50 more recipients are not shown here." in shown


def test_the_command_before_a_reply_has_the_name_of_the_other_pages(
    staff: Client, account: Account
) -> None:
    message = queue(account, "a@example.com")
    set_state(
        message.recipients.all(),
        State.SENT,
        reply_code=250,
        reply_text="2.0.0 Ok",
        reply_command="DOT",
    )

    shown = staff.get(f"{PAGE.format(message.pk)}change/").content.decode()

    assert "after the end of DATA" in shown


def attempts(message: Message, count: int) -> None:
    now = database_now()
    session = SmtpSession.objects.create(
        host="mx.example.com", address="192.0.2.1", port=25, started_at=now
    )
    for _number in range(count):
        Attempt.objects.create(
            message=message, session=session, started_at=now, outcome=State.DEFERRED
        )


def test_the_page_repeats_no_query(staff: Client, account: Account) -> None:
    message = queue(account, "a@example.com")
    attempts(message, 3)

    with CaptureQueriesContext(connection) as captured:
        assert staff.get(f"{PAGE.format(message.pk)}change/").status_code == 200

    asked = Counter(one["sql"] for one in captured)
    assert [sql for sql, times in asked.items() if times > 1] == []
    assert sum(Recipient._meta.db_table in one["sql"] for one in captured) <= 5


def test_only_the_latest_attempts_are_shown_with_their_numbers(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = queue(account, "a@example.com")
    attempts(message, 3)
    monkeypatch.setattr("outbox.admin.history.page.ATTEMPTS_SHOWN", 2)

    shown = staff.get(f"{PAGE.format(message.pk)}change/").content.decode()

    assert re.findall(r"<summary><b>(\d+)</b>", shown) == ["3", "2"]
    assert "1 older attempt is not shown here." in shown


def test_details_of_an_attempt_need_the_permission(staff: Client, account: Account) -> None:
    message = queue(account, "a@example.com")
    attempts(message, 1)
    link = "Details of this attempt"
    assert link in staff.get(f"{PAGE.format(message.pk)}change/").content.decode()
    viewer = client_with("view_message")
    assert link not in viewer.get(f"{PAGE.format(message.pk)}change/").content.decode()


def test_a_draft_has_no_page(staff: Client, account: Account, owner: User) -> None:
    draft = api.save_draft(owner, api.DraftFields(subject="Private"))
    assert staff.get(f"{PAGE.format(draft.pk)}change/").status_code == 302
    assert "Private" not in staff.get("/admin/outbox/message/").content.decode()


def exported(client: Client, form: str, **query: str) -> str:
    response: Any = client.get(f"/admin/outbox/message/export/{form}/", query)
    assert response.status_code == 200
    assert response.streaming
    return b"".join(response.streaming_content).decode()


def test_a_filtered_list_is_exported(staff: Client, account: Account) -> None:
    queue(account, "a@example.com", "b@example.com", subject="=HYPERLINK(1)")
    queue(account, "c@example.com", subject="Other")

    rows = json.loads(exported(staff, "json"))
    lines = exported(staff, "csv", q="to:a@example.com").removeprefix("\ufeff").splitlines()

    assert [row["address"] for row in rows] == [f"{one}@example.com" for one in "cab"]
    assert lines[0].startswith("id,status,queued_at,subject,")
    assert [line.split(",")[10] for line in lines[1:]] == ["a@example.com", "b@example.com"]
    assert "'=HYPERLINK(1)" in lines[1]
    assert "Text" not in "".join(lines)
    entry = AuditEntry.objects.filter(action=AuditAction.EXPORTED).latest("pk")
    assert entry.details == {"form": "csv", "selection": "q=to%3Aa%40example.com"}
    assert exported(staff, "json", q="to:missing@example.com") == "[]\n"
    assert staff.get("/admin/outbox/message/export/xml/").status_code == 404


def test_an_export_reads_in_batches(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.admin.history.export.BATCH", 2)
    for number in range(5):
        queue(account, f"r{number}@example.com", "x@example.com")

    rows = json.loads(exported(staff, "json"))

    expected = [*(f"r{number}@example.com" for number in range(5)), *["x@example.com"] * 5]
    assert sorted(row["address"] for row in rows) == expected
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)


def test_an_export_has_the_levels_of_tls_of_the_last_attempt(
    staff: Client, account: Account
) -> None:
    """An attempt without a connection clears the levels of the attempt before it."""
    message = queue(account, "ann@example.com", "bob@example.com")
    session = SmtpSession.objects.create(
        host="mx.example.com",
        started_at=database_now(),
        tls_requested="verify",
        tls_achieved="verified",
    )
    connected = Attempt.objects.create(
        message=message, session=session, started_at=database_now(), outcome=Outcome.PARTIAL
    )
    set_state(message.recipients.all(), State.DEFERRED, attempt=connected)
    # Of an attempt whose worker died, no results are stored.
    orphaned = Attempt.objects.create(
        message=message, started_at=database_now(), outcome=Outcome.ABANDONED
    )
    set_state(
        message.recipients.filter(address="bob@example.com"), State.DEFERRED, attempt=orphaned
    )

    rows = {row["address"]: row for row in json.loads(exported(staff, "json"))}

    levels = {name: (row["tls_requested"], row["tls_achieved"]) for name, row in rows.items()}
    assert levels == {"ann@example.com": ("verify", "verified"), "bob@example.com": ("", "")}


@pytest.mark.parametrize("is_received", [False, True], ids=["sent", "received"])
def test_each_field_has_a_chinese_label(owned: Message, is_received: bool) -> None:
    page = f"/admin/outbox/message/{owned.pk}/change/"
    if is_received:
        received = receive(owned.owner, letter(), owned.account)
        page = f"/admin/outbox/inboundmessage/{received.pk}/change/"
    client = client_with("view_message", "view_inboundmessage")
    client.cookies["django_language"] = "zh-hans"
    response = client.get(page)
    assert response.status_code == 200
    shown = re.findall(r"<label[^>]*>([^<]+)</label>", response.content.decode())
    labels = [unescape(one).strip(" \n:：") for one in shown]
    assert len(labels) > 12
    assert [one for one in labels if one.isascii()] == ["Message-ID"]


def test_times_have_one_format(staff: Client, account: Account, owned: Message) -> None:
    """Django's own format of English has twelve hours, and the tables of the page have 24."""
    received = receive(None, letter(), account)
    for url in (PAGE.format(owned.pk), f"/admin/outbox/inboundmessage/{received.pk}/"):
        page = staff.get(f"{url}change/").content.decode()
        assert re.search(r"<time [^>]*>[^<]*\d\d:\d\d:\d\d", page), url
        assert not re.search(r"\b[ap]\.m\.", page), url
