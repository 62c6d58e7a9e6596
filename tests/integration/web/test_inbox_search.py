"""The search finds received messages beside sent ones, with the same line."""

import re
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.models import Account, InboundEntry, InboundMessage, Message
from outbox.web.folders.pagination import PAGE_SIZE
from tests.integration.web.conftest import signed_in
from tests.received import add_many, letter, receive

pytestmark = pytest.mark.every_database


def found(client: Client, line: str) -> list[str]:
    """Return the subjects of the results."""
    page = client.get(reverse("outbox:search"), {"q": line})
    return [row.message.subject for row in page.context["list"].rows]


@pytest.fixture
def lunch(anna: User, account: Account) -> InboundMessage:
    source = letter("Lunch", "Are you free on Friday?", Cc="Tom Miller <tom@example.net>")
    return receive(anna, source, account)


@pytest.mark.parametrize(
    "line",
    [
        "lunch", "fri", "from:jane", "from:jane@example.org", "jane@example.org", "@example.org",
        "to:tom", "cc:tom@example.net", "subject:lunch", "body:friday", 'body:"free on"',
        "in:inbox", "is:unread", "before:2100", "from:jane body:friday",
    ],
)  # fmt: skip
def test_a_line_finds_a_received_message(as_anna: Client, lunch: InboundMessage, line: str) -> None:
    receive(lunch.owner, letter("Other", "Nothing of it", sender="x@y.example"), folder="trash")
    assert found(as_anna, line) == ["Lunch"]


@pytest.mark.parametrize(
    "line", ["to:jane", "in:archive", "in:sent", "is:failed", "code:550", "tag:x", "after:2100",
             "bcc:tom", "has:attachment", "subject:friday", "nothing"],
)  # fmt: skip
def test_a_line_does_not_find_it(as_anna: Client, lunch: InboundMessage, line: str) -> None:
    assert found(as_anna, line) == []


def test_results_of_both_kinds_are_in_one_order_and_marked(
    anna: User, as_anna: Client, account: Account, lunch: InboundMessage
) -> None:
    draft = api.save_draft(anna, api.DraftFields(to="jane@example.org", subject="Friday it is"))
    Message.objects.filter(pk=draft.pk).update(listed_at=lunch.received_at)
    receive(anna, letter("Friday again", "More"), account)
    assert found(as_anna, "friday")[0] == "Friday again"
    assert sorted(found(as_anna, "friday")) == ["Friday again", "Friday it is", "Lunch"]
    page = as_anna.get(reverse("outbox:search"), {"q": "lunch"}).content.decode()
    assert ">received</span>" in page
    assert reverse("outbox:received", args=[lunch.pk]) in page


def test_pages_of_both_kinds_have_no_gap_and_no_overlap(anna: User, as_anna: Client) -> None:
    add_many(anna, PAGE_SIZE)
    Message.objects.bulk_create(Message(owner=anna, subject=f"Draft {n}") for n in range(30))
    first = as_anna.get(reverse("outbox:search"))
    second = as_anna.get(reverse("outbox:search"), {"before": first.context["list"].slice.older})
    keys = [
        (type(row.message), row.message.pk)
        for page in (first, second)
        for row in page.context["list"].rows
    ]
    assert len(keys) == len(set(keys)) == PAGE_SIZE + 30


def test_no_other_user_finds_it(lunch: InboundMessage, carl: User, as_anna: Client) -> None:
    assert found(signed_in(carl), "lunch") == []
    assert found(signed_in(carl), "") == []


def test_the_trash_is_searched_by_name_only(as_anna: Client, lunch: InboundMessage) -> None:
    InboundMessage.objects.update(folder="trash")
    assert found(as_anna, "lunch") == []
    assert found(as_anna, "lunch in:trash") == ["Lunch"]
    assert found(as_anna, "in:trash") == ["Lunch"]


def test_the_entries_are_written_again(as_anna: Client, lunch: InboundMessage) -> None:
    InboundEntry.objects.all().delete()
    assert found(as_anna, "lunch") == []
    out = StringIO()
    call_command("outbox_reindex", stdout=out)
    assert "Received messages that can be found: 1." in out.getvalue()
    assert found(as_anna, "lunch") == ["Lunch"]


def selected(client: Client, line: str) -> tuple[list[str], list[str], list[str]]:
    """Return the selectable ids of sent and of received messages, and the received actions."""
    page = client.get(reverse("outbox:search"), {"q": line}).content.decode()
    boxes = re.findall(r'type="checkbox" name="(m|received)" value="(\d+)"', page)
    offered = re.findall(r'of-received" type="submit" formaction="[^"]*/(\w+)/"', page)
    return (
        [key for name, key in boxes if name == "m"],
        [key for name, key in boxes if name == "received"],
        offered,
    )


def test_results_offer_the_actions_of_both_kinds(
    anna: User, as_anna: Client, account: Account, lunch: InboundMessage
) -> None:
    draft = api.save_draft(anna, api.DraftFields(to="jane@example.org", subject="Lunch it is"))
    actions = ["archive", "trash", "read", "unread"]
    assert selected(as_anna, "lunch") == ([str(draft.pk)], [str(lunch.pk)], actions)
    receive(anna, letter("Lunch, old"), account, folder="archive")
    assert selected(as_anna, "lunch")[2] == ["archive", "inbox", "trash", "read", "unread"]
    assert selected(as_anna, "subject:it") == ([str(draft.pk)], [], [])
    InboundMessage.objects.update(folder="trash")
    assert selected(as_anna, "in:trash lunch")[2] == ["inbox", "delete", "read", "unread"]


def test_an_action_changes_the_selected_received_messages_only(
    anna: User, as_anna: Client, account: Account, lunch: InboundMessage
) -> None:
    other = receive(anna, letter("Other"), account)
    draft = api.save_draft(anna, api.DraftFields(to="jane@example.org", subject="Lunch it is"))
    back = f"{reverse('outbox:search')}?q=lunch"
    # The id of a sent message may be that of a received one.
    fields = {"m": [draft.pk, other.pk], "received": [lunch.pk], "back": back}
    response = as_anna.post(reverse("outbox:received-bulk", args=["archive"]), fields, follow=True)
    assert "Archived: 1 message." in response.content.decode()
    assert response.redirect_chain == [(back, 302)]
    assert found(as_anna, "in:archive") == ["Lunch"]
    assert found(as_anna, "in:inbox") == ["Other"]
    nothing = {"m": [other.pk], "all": "1", "q": "other", "back": back}
    response = as_anna.post(reverse("outbox:received-bulk", args=["trash"]), nothing, follow=True)
    assert "nothing was done" in response.content.decode()
    assert found(as_anna, "in:inbox") == ["Other"]


def test_deleting_results_permanently_asks_first(as_anna: Client, lunch: InboundMessage) -> None:
    InboundMessage.objects.update(folder="trash")
    fields = {"received": [lunch.pk], "back": f"{reverse('outbox:search')}?q=in:trash"}
    page = as_anna.post(reverse("outbox:received-bulk", args=["delete"]), fields).content.decode()
    assert "Delete 1 message permanently?" in page
    assert InboundMessage.objects.filter(pk=lunch.pk).exists()
    asked = dict(
        re.findall(r'type="hidden" name="(received|confirmed|back)" value="([^"]*)"', page)
    )
    as_anna.post(reverse("outbox:received-bulk", args=["delete"]), asked)
    assert not InboundMessage.objects.filter(pk=lunch.pk).exists()
