"""The inbox: lists, reading, actions, replies, and what hostile messages can do there."""

import datetime as dt
import html
import re
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from outbox import api
from outbox.api.received import RECEIVED_ACTIONS, change_received
from outbox.models import (
    Account,
    DiscardedFile,
    InboundFolder,
    InboundMessage,
    InboundSource,
    Mailbox,
    Message,
    ServerMessage,
)
from outbox.web.folders.pagination import PAGE_SIZE
from tests.integration.web.conftest import signed_in
from tests.received import add_many, letter, receive

pytestmark = pytest.mark.every_database

INBOX = reverse("outbox:inbox")


@pytest.fixture
def lunch(anna: User, account: Account) -> InboundMessage:
    source = letter(
        "Lunch",
        "Are you free?\n",
        To="Anna <anna@example.com>, Ben <ben@example.net>",
        Cc="Tom Miller <tom@example.net>, jane@example.org",
        Message_ID="<lunch@example.org>",
        References="<first@example.org> <second@example.org>",
    )
    return receive(anna, source, account, thread="t")


def page_of(message: InboundMessage) -> str:
    return reverse("outbox:received", args=[message.pk])


def subjects(client: Client, url: str = INBOX) -> list[str]:
    return [row.message.subject for row in client.get(url).context["list"].rows]


def change(client: Client, name: str, *messages: InboundMessage, **more: str) -> str:
    url = reverse("outbox:received-bulk", args=[name])
    keys = [str(message.pk) for message in messages]
    return client.post(url, {"received": keys, **more}, follow=True).content.decode()


@pytest.mark.parametrize("folder", InboundFolder.values)
def test_an_empty_folder_has_a_text(as_anna: Client, folder: str) -> None:
    page = as_anna.get(reverse("outbox:received-folder", args=[folder])).content.decode()
    assert 'class="empty"' in page


def test_the_empty_inbox_names_the_next_step(as_anna: Client, account: Account) -> None:
    assert "No mailbox is connected" in as_anna.get(INBOX).content.decode()
    Mailbox.objects.create(account=account, host="pop.example.com")
    assert "The inbox is empty" in as_anna.get(INBOX).content.decode()


def test_reading_marks_as_read_and_lowers_the_badge(
    as_anna: Client, anna: User, lunch: InboundMessage
) -> None:
    receive(anna, letter("Other"))
    unread = f"{reverse('outbox:received-folder', args=['inbox'])}?show=unread"
    assert '<span class="count">2<' in as_anna.get(INBOX).content.decode()
    page = as_anna.get(page_of(lunch)).content.decode()
    assert "Are you free?" in page
    assert '<span class="count">1<' in page
    assert subjects(as_anna, unread) == ["Other"]
    assert subjects(as_anna) == ["Other", "Lunch"]
    change(as_anna, "unread", lunch)
    assert subjects(as_anna, unread) == ["Other", "Lunch"]


def test_pages_have_no_gap_and_no_overlap(anna: User, as_anna: Client) -> None:
    add_many(anna, 2 * PAGE_SIZE + 7)
    first = as_anna.get(INBOX)
    second = as_anna.get(INBOX, {"before": first.context["list"].slice.older})
    third = as_anna.get(INBOX, {"before": second.context["list"].slice.older})
    found = [row.message.pk for page in (first, second, third) for row in page.context["list"].rows]
    assert len(found) == len(set(found)) == 2 * PAGE_SIZE + 7
    back = as_anna.get(INBOX, {"after": third.context["list"].slice.newer})
    assert [row.message.pk for row in back.context["list"].rows] == found[PAGE_SIZE : 2 * PAGE_SIZE]


def test_rows_are_sent_again_only_after_a_change(
    as_anna: Client, anna: User, lunch: InboundMessage
) -> None:
    seen = as_anna.get(INBOX).context["list"].fingerprint
    url = reverse("outbox:received-rows", args=["inbox"])
    assert as_anna.get(url, {"seen": seen}).status_code == 204
    receive(anna, letter("Other"))
    changed = as_anna.get(url, {"seen": seen}).content.decode()
    assert "Other" in changed
    assert 'id="folders"' in changed  # with the new badge


def test_messages_move_between_folders(as_anna: Client, lunch: InboundMessage) -> None:
    for name, folder in (("archive", "archive"), ("trash", "trash"), ("inbox", "inbox")):
        change(as_anna, name, lunch)
        lunch.refresh_from_db()
        assert lunch.folder == folder
    assert "nothing was done" in change(as_anna, "inbox", lunch)
    assert as_anna.post(reverse("outbox:received-bulk", args=["burn"])).status_code == 404


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"on_server": "keep"}, "The copy on the server is kept."),
        ({"on_server": "delete"}, "The copy on the server is deleted after each fetch."),
        (
            {"on_server": "days", "keep_days": 9},
            "The copy on the server is deleted 9 days after it was fetched.",
        ),
        (None, "No mailbox is connected, so that nothing changes on the server."),
    ],
)
def test_deleting_says_what_happens_on_the_server(
    as_anna: Client, account: Account, lunch: InboundMessage, policy: dict[str, object] | None,
    said: str,
) -> None:  # fmt: skip
    if policy is not None:
        Mailbox.objects.create(account=account, host="pop.example.com", **policy)
    assert said in as_anna.get(page_of(lunch)).content.decode()
    assert said in change(as_anna, "trash", lunch)
    assert said in change(as_anna, "delete", lunch)  # the question


def test_what_was_deleted_on_the_server_is_said(
    as_anna: Client, account: Account, lunch: InboundMessage
) -> None:
    mailbox = Mailbox.objects.create(account=account, host="pop.example.com")
    now = timezone.now()
    known = ServerMessage.objects.create(
        mailbox=mailbox, uid="1", message=lunch, seen_at=now, deleted_at=now
    )
    change(as_anna, "trash", lunch)
    assert "The server has no copy any more." in change(as_anna, "delete", lunch)
    change(as_anna, "delete", lunch, confirmed="1")
    known.refresh_from_db()
    assert known.message_id is None  # it is known, and not fetched again


def test_deleting_permanently_asks_and_discards_the_file(
    as_anna: Client, lunch: InboundMessage
) -> None:
    InboundSource.objects.update(data=None, file="received/1.eml")
    assert "nothing was done" in change(as_anna, "delete", lunch, confirmed="1")  # not in the trash
    change(as_anna, "trash", lunch)
    assert "Delete 1 message permanently?" in change(as_anna, "delete", lunch)
    assert InboundMessage.objects.exists()
    change(as_anna, "delete", lunch, confirmed="1")
    assert not InboundMessage.objects.exists()
    assert DiscardedFile.objects.get().name == "received/1.eml"


def test_actions_do_not_touch_the_messages_of_others(
    lunch: InboundMessage, carl: User, as_anna: Client
) -> None:
    for name in ("archive", "trash", "read", "delete"):
        change(signed_in(carl), name, lunch, confirmed="1")
        assert change_received(RECEIVED_ACTIONS[name], [lunch.pk], actor=carl) == 0
    lunch.refresh_from_db()
    assert (lunch.folder, lunch.is_read) == ("inbox", False)


def test_neighbors_are_those_of_the_folder(anna: User, as_anna: Client) -> None:
    newest, middle, oldest = add_many(anna, 3)
    add_many(anna, 1, folder="archive")
    InboundMessage.objects.filter(subject="Message 0", folder="archive").update(
        received_at=timezone.now() - dt.timedelta(seconds=30)
    )
    page = as_anna.get(page_of(middle))
    assert page.context["page"].newer == newest
    assert page.context["page"].older == oldest
    assert f'href="{page_of(oldest)}" rel="next" aria-keyshortcuts="j"' in page.content.decode()
    assert as_anna.get(page_of(newest)).context["page"].newer is None


def composed(client: Client, message: InboundMessage, kind: str) -> dict[str, Any]:
    """Return what the composer is filled with."""
    response = client.post(reverse("outbox:received-reply", args=[message.pk]), {"as": kind})
    initial: dict[str, Any] = client.get(response["Location"]).context["form"].initial
    return initial


def test_a_reply_goes_to_the_sender_and_quotes(as_anna: Client, lunch: InboundMessage) -> None:
    form = composed(as_anna, lunch, "reply")
    assert (form["to"], form["cc"]) == ("Jane Doe <jane@example.org>", "")
    assert form["subject"] == "Re: Lunch"
    assert "Jane Doe <jane@example.org> wrote:\n> Are you free?" in form["text"]
    assert form["account"] == lunch.account


def test_a_reply_to_all_leaves_out_the_user(as_anna: Client, lunch: InboundMessage) -> None:
    form = composed(as_anna, lunch, "all")
    assert form["to"] == "Jane Doe <jane@example.org>"
    assert form["cc"] == "Ben <ben@example.net>, Tom Miller <tom@example.net>"


def test_reply_to_takes_precedence_and_own_messages_go_to_their_recipients(
    anna: User, as_anna: Client, account: Account
) -> None:
    listed = receive(anna, letter(Reply_To="list@example.net"), account)
    assert composed(as_anna, listed, "reply")["to"] == "list@example.net"
    own = receive(anna, letter(sender="Anna <ANNA@example.com>", To="jo@example.org"), account)
    assert composed(as_anna, own, "all")["to"] == "jo@example.org"
    note = receive(anna, letter("Note", sender="Anna <anna@example.com>"), account)
    assert composed(as_anna, note, "reply")["to"] == "Anna <anna@example.com>"


def test_a_sent_reply_is_linked_and_in_the_thread(
    as_anna: Client, anna: User, account: Account, lunch: InboundMessage
) -> None:
    data = {"received": str(lunch.pk), "as": "reply", "account": str(account.pk),
            "to": "jane@example.org", "subject": "Re: Lunch", "text": "Yes", "send": "1",
            "form": "m" * 22, "importance": "normal"}  # fmt: skip
    as_anna.post(reverse("outbox:compose"), data)
    sent = Message.objects.get()
    assert (sent.made_from_received, sent.made_from) == (lunch, None)
    assert sent.in_reply_to == "lunch@example.org"
    source = sent.source.read().decode()
    assert "In-Reply-To: <lunch@example.org>" in source
    references = " ".join(re.findall(r"<[^>]+>", source.partition("References:")[2])[:3])
    assert references == "<first@example.org> <second@example.org> <lunch@example.org>"
    # The reply to the reply, from a program that sends no References.
    receive(anna, letter("Great"), account, replies_to=sent)
    thread = as_anna.get(page_of(lunch)).context["page"].thread
    assert [str(entry.received or entry.sent) for entry in thread] == [
        "Lunch",
        "Re: Lunch",
        "Great",
    ]
    assert page_of(lunch) in as_anna.get(reverse("outbox:message", args=[sent.pk])).content.decode()


def test_the_thread_has_no_messages_of_others(
    as_anna: Client, anna: User, carl: User, lunch: InboundMessage
) -> None:
    receive(carl, letter("Of Carl"), thread="t")
    foreign = Message.objects.create(owner=carl, subject="Sent by Carl", message_id="x@y.example")
    receive(anna, letter("Mine"), thread="t", replies_to=foreign, in_reply_to="x@y.example")
    receive(anna, letter("Deleted"), thread="t", folder="trash")
    page = as_anna.get(page_of(lunch))
    assert {str(one.received or one.sent) for one in page.context["page"].thread} == {
        "Lunch",
        "Mine",
    }
    assert "Carl" not in page.content.decode()


WITH_FILES = (
    "From: jane@example.org\nSubject: Files\nMIME-Version: 1.0\n"
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n"
    '<p>Look</p><img src="https://t.example/p.gif"><img src="cid:dot"><b>bold</b>\n'
    "--b\nContent-Type: image/png\nContent-ID: <dot>\nContent-Transfer-Encoding: base64\n\ncG5n\n"
    '--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename="a.csv"\n\n1;2\n--b--\n'
)


@pytest.mark.parametrize(("kind", "is_said"), [("forward", True), ("reply", False)])
def test_a_forward_says_that_remote_pictures_are_missing(
    as_anna: Client, anna: User, account: Account, kind: str, is_said: bool
) -> None:
    pictures = '<p>Look</p><img src="https://cdn.example.net/1.png" alt="">' * 2
    source = letter("Offer").replace("text/plain", "text/html").replace("Are you free", pictures)
    message = receive(anna, source, account)
    url = f"{reverse('outbox:compose')}?received={message.pk}&as={kind}"
    page = as_anna.get(url).content.decode()
    assert ("2 remote pictures of the message are not forwarded." in page) == is_said
    assert "cdn.example.net" not in page
    plain = receive(anna, letter("Lunch"), account)
    composer = as_anna.get(f"{reverse('outbox:compose')}?received={plain.pk}&as={kind}")
    assert "not forwarded" not in composer.content.decode()


def test_a_forward_has_the_files(as_anna: Client, anna: User, account: Account) -> None:
    message = receive(anna, WITH_FILES, account)
    response = as_anna.post(reverse("outbox:received-reply", args=[message.pk]), {"as": "forward"})
    page = as_anna.get(response["Location"]).content.decode()
    assert "a.csv" in page
    assert reverse("outbox:received-part", args=[message.pk, "1.3"]) in page
    picture = f"{reverse('outbox:received-picture', args=[message.pk])}?cid=dot"
    assert picture in html.unescape(html.unescape(page))
    assert as_anna.get(picture).content == b"png"
    assert "t.example" not in page  # the editor contacts no server
    data = {"received": str(message.pk), "as": "forward", "included": ["1.2", "1.3"],
            "html": f'<p>See</p><img src="{picture}">', "form": "m" * 22}  # fmt: skip
    as_anna.post(reverse("outbox:compose"), data | {"save": "1"})
    draft = Message.objects.get()
    assert {row.name for row in draft.attachments.all()} >= {"a.csv"}
    assert 'src="cid:dot"' in draft.draft.html
    assert draft.made_from_received == message


def test_only_the_owner_makes_drafts_from_it(carl: User, lunch: InboundMessage) -> None:
    client = signed_in(carl)
    url = reverse("outbox:compose")
    assert client.get(url, {"received": str(lunch.pk), "as": "reply"}).status_code == 404
    client.post(url, {"received": str(lunch.pk), "as": "forward", "text": "x", "save": "1"})
    draft = Message.objects.get()
    assert draft.made_from_received is None
    assert "Are you free" not in draft.draft.text


@pytest.mark.parametrize("kind", ["copy", "resend", "x", ""])
def test_a_received_message_is_not_sent_again(
    as_anna: Client, lunch: InboundMessage, kind: str
) -> None:
    url = reverse("outbox:compose")
    assert as_anna.get(url, {"received": str(lunch.pk), "as": kind}).status_code == 400


def frame_of(page: str) -> str:
    found = re.search(r'id="preview-light"[^>]* src="([^"]+)"', page)
    assert found is not None
    return html.unescape(found[1])


def test_remote_pictures_are_blocked_until_one_click(
    as_anna: Client, anna: User, account: Account
) -> None:
    message = receive(anna, WITH_FILES, account)
    page = as_anna.get(page_of(message)).content.decode()
    assert "1 remote file is blocked, from" in page
    shown = Client().get(frame_of(page))
    assert "t.example" not in shown.content.decode()
    assert 'src="data:image/png' in shown.content.decode()
    assert "https:" not in shown["Content-Security-Policy"]

    url = reverse("outbox:received-pictures", args=[message.pk])
    assert as_anna.get(url).status_code == 405
    for is_htmx in ("false", "true"):
        loaded = as_anna.post(url, headers={"HX-Request": is_htmx}).content.decode()
        assert "Remote pictures are displayed." in loaded
        shown = Client().get(frame_of(loaded))
        assert 'src="https://t.example/p.gif"' in shown.content.decode()
        assert shown["Referrer-Policy"] == "no-referrer"
        policy = shown["Content-Security-Policy"].split("; ")
        assert "img-src data: https: http:" in policy
        assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy)
        assert any(one.startswith("sandbox") and "allow-scripts" not in one for one in policy)
    # The next time they are blocked again.
    assert "1 remote file is blocked, from" in as_anna.get(page_of(message)).content.decode()


def test_a_permit_is_for_one_message_and_one_extent(
    as_anna: Client, anna: User, account: Account, mail: Message
) -> None:
    message = receive(anna, WITH_FILES, account)
    other = receive(anna, WITH_FILES, account)
    address = frame_of(as_anna.get(page_of(message)).content.decode()).partition("?")[0]
    permit = address.rstrip("/").rpartition("/")[2]
    for name, pk in (
        ("received-preview", other.pk),
        ("received-pictures-preview", message.pk),
        ("preview", message.pk),
        ("preview", mail.pk),
    ):
        url = reverse(f"outbox:{name}", args=[pk, permit])
        assert Client().get(url).status_code == 403, name
    as_anna.logout()
    assert Client().get(address).status_code == 403


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'\u202eevil\x1b[2J"
PLACES = ("list", "page", "headers", "raw", "parts", "search", "delete", "compose")


@pytest.fixture
def poisoned(anna: User, account: Account) -> InboundMessage:
    """A message with HOSTILE in every text that a stranger writes."""
    source = (
        f"From: {HOSTILE} <x@example.com>\nTo: {HOSTILE}\nSubject: {HOSTILE}\n"
        f"Message-ID: <{HOSTILE}>\nContent-Type: multipart/mixed; boundary=b\n\n"
        f"--b\nContent-Type: text/plain\n\n{HOSTILE}\n--b\nContent-Type: text/html\n"
        f'Content-Disposition: attachment; filename="../../{HOSTILE[:20]}.html"\n\nx\n--b--\n'
    )
    fields = dict.fromkeys(
        ("subject", "from_header", "to_summary", "snippet", "message_id", "in_reply_to",
         "kind_sign"), HOSTILE
    )  # fmt: skip
    message = receive(anna, source, account, kind="bounce", thread="t", **fields)
    receive(anna, letter(), account, thread="t", is_read=True, received_at=timezone.now())
    message.reports.create(kind="bounce", address=HOSTILE, text=HOSTILE, at=timezone.now())
    return message


@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_stays_text(as_anna: Client, poisoned: InboundMessage, place: str) -> None:
    if place == "delete":
        page = change(as_anna, "trash", poisoned) + change(as_anna, "delete", poisoned)
    else:
        url = {
            "list": INBOX,
            "search": f"{reverse('outbox:search')}?q=in:inbox",
            "compose": f"{reverse('outbox:compose')}?received={poisoned.pk}&as=forward",
        }.get(place, f"{page_of(poisoned)}?show={place}")
        response = as_anna.get(url)
        assert response.status_code == 200
        page = response.content.decode()
    assert "alert(1)" in page  # it is shown
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\x1b" not in page or place == "compose"  # a field has what the message has
    assert "\u202e" not in page or place == "compose"


def test_hostile_files_are_downloads(as_anna: Client, poisoned: InboundMessage) -> None:
    part = as_anna.get(reverse("outbox:received-part", args=[poisoned.pk, "1.2"]))
    source = as_anna.get(reverse("outbox:received-source", args=[poisoned.pk]))
    for response in (part, source):
        assert response["Content-Disposition"].startswith("attachment; ")
        assert "/" not in response["Content-Disposition"].partition("''")[2].replace("%2F", "/")
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response["Content-Security-Policy"]
    assert part["Content-Type"] == "application/octet-stream"
    assert source.content == poisoned.source.read()
    for path in ("1.9", "x", "1.2.1"):
        url = reverse("outbox:received-part", args=[poisoned.pk, path])
        assert as_anna.get(url).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "..%2F..%2Fx.html", "a%0D%0AX-Evil%3A%201.html", "%E2%80%AElmth.exe",
        "x" * 300 + ".html", "%22%3Bx%3D%22.html", "%00.html",
    ],
    ids=["path", "line ends", "reversed", "long", "quotes", "nul"],
)  # fmt: skip
def test_hostile_names_are_harmless(
    anna: User, as_anna: Client, account: Account, name: str
) -> None:
    """Protocol item 154."""
    source = (
        "From: x@example.org\nContent-Type: multipart/mixed; boundary=b\n\n"
        f"--b\nContent-Type: text/html\nContent-Disposition: attachment; filename*=utf-8''{name}\n"
        "\n<script>x()</script>\n--b--\n"
    )
    message = receive(anna, source, account)
    response = as_anna.get(reverse("outbox:received-part", args=[message.pk, "1.1"]))
    disposition = unquote(response["Content-Disposition"])
    assert disposition.startswith("attachment; filename")
    assert not re.search("[\x00-\x1f\u202e/]|\\.\\./", disposition)
    assert len(disposition) < 300
    assert "X-Evil" not in response
    assert response["Content-Type"] == "application/octet-stream"


def test_a_missing_source_is_said(as_anna: Client, lunch: InboundMessage) -> None:
    InboundSource.objects.all().delete()
    lunch = InboundMessage.objects.get()
    page = as_anna.get(page_of(lunch)).content.decode()
    assert "The stored source of this message is missing." in page
    assert as_anna.get(reverse("outbox:received-source", args=[lunch.pk])).status_code == 404
    assert composed(as_anna, lunch, "reply")["subject"] == "Re: Lunch"


@pytest.mark.parametrize("show", ["", "unread"])
def test_a_list_of_60_rows_takes_no_more_queries_than_one_of_5(
    anna: User,
    as_anna: Client,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    show: str,
) -> None:
    for count in (5, 60):
        add_many(anna, count)
        # Session, user, preferences, page, counts, accounts, invitations, unseen failures.
        with django_assert_max_num_queries(8):
            as_anna.get(reverse("outbox:received-folder", args=["inbox"]), {"show": show})


def test_a_long_thread_takes_no_more_queries_than_a_short_one(
    anna: User,
    as_anna: Client,
    account: Account,
    lunch: InboundMessage,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    sent = api.send_draft(
        api.save_draft(anna, api.DraftFields(account=account, to="jane@example.org", text="x")),
        actor=anna,
    )
    lunch.replies_to = sent
    lunch.save()
    for count in (3, 40):
        add_many(anna, count, thread="t", replies_to=sent, in_reply_to="a@b.example")
        with django_assert_max_num_queries(24):
            page = as_anna.get(page_of(lunch))
        assert len(page.context["page"].thread) >= count
