"""A Message-ID of any valid length is stored in full, found by a search, and used in replies."""

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.backend import EmailBackend
from outbox.models import Account, DraftKind, Message
from tests.integration.api.reading import read

LENGTHS = [100, 253, 254, 300, 900, 970]
LONGEST = f"<{'l' * 983}@example.com>"  # a line of its own has no room for more


def queue(account: Account, owner: User, message_id: str) -> Message:
    """Queue a message with the id as another program rendered it."""
    source = f"From: a@example.com\r\nMessage-ID:\r\n {message_id}\r\nSubject: x\r\n\r\ntext\r\n"
    item = api.Outgoing(
        source=source.encode(),
        envelope_sender="a@example.com",
        recipients=[api.OutgoingRecipient("bob@example.net")],
        account=account,
        owner=owner,
    )
    return Message.objects.get(pk=api.queue_ids([item])[0])


def send_reply(message: Message, person: User, account: Account) -> Message:
    draft = api.reply_to_message(message, DraftKind.REPLY, actor=person)
    draft.account = account
    draft.save()
    return api.send_draft(draft, actor=person)


def ids(message: Message, name: str) -> list[str]:
    return str(read(api.Handle(message.pk))[name]).split()


@pytest.mark.parametrize("length", LENGTHS)
def test_a_reply_names_the_whole_id(ann: User, account: Account, length: int) -> None:
    message_id = f"<{'l' * length}@example.com>"
    headers, to = {"Message-ID": message_id}, ["bob@example.net"]
    message = EmailMessage("Hi", "x", "a@example.com", to, headers=headers)
    EmailBackend().send_messages([message])
    Message.objects.update(owner=ann)

    reply = send_reply(Message.objects.get(), ann, account)

    assert ids(reply, "In-Reply-To") == [message_id]
    assert ids(reply, "References") == [message_id]


def test_a_thread_of_the_longest_ids_goes_on(ann: User, account: Account) -> None:
    first = queue(account, ann, LONGEST)
    second = send_reply(first, ann, account)
    third = send_reply(second, ann, account)

    assert first.message_id == LONGEST[1:-1]
    assert max(map(len, second.source.read().split(b"\r\n"))) <= 998
    assert ids(second, "In-Reply-To") == [LONGEST]
    assert ids(third, "References") == [LONGEST, f"<{second.message_id}>"]


def test_the_page_of_a_reply_links_to_the_original_message(ann: User, account: Account) -> None:
    first = queue(account, ann, LONGEST)
    reply = send_reply(first, ann, account)
    client = Client()
    client.force_login(ann)

    page = client.get(reverse("outbox:message", args=[reply.pk])).content.decode()

    assert reverse("outbox:message", args=[first.pk]) in page


def test_a_search_finds_the_longest_id(ann: User, account: Account) -> None:
    message = queue(account, ann, LONGEST)
    client = Client()
    client.force_login(ann)

    page = client.get(reverse("outbox:search"), {"q": f"id:{LONGEST}"}).content.decode()

    assert reverse("outbox:message", args=[message.pk]) in page


@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param("\r\n ".join(["<" + "x" * 900 + ">"] * 5), id="several ids"),
        pytest.param("\r\n ".join(["x" * 900] * 5), id="no brackets"),
        pytest.param("<" + "日" * 320 + "@例子.example>", id="UTF-8"),
        pytest.param("\r\n ".join(["日" * 300] * 5), id="UTF-8 without brackets"),
        pytest.param("", id="empty"),
    ],
)
def test_an_odd_id_is_stored_as_far_as_an_index_can_hold_it(
    ann: User, account: Account, message_id: str
) -> None:
    message = queue(account, ann, message_id)

    assert len(message.message_id.encode()) <= 998
    assert "\n" not in message.message_id
    assert send_reply(message, ann, account).status == "queued"
