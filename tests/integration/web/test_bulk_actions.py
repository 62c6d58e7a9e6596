"""One action on many messages: counted first, then performed on exactly those."""

import re

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.api.message_actions import BULK_ACTIONS
from outbox.models import Account, AuditAction, AuditEntry, Event, Message, State, Status
from outbox.models.rollup import roll_up
from outbox.web.folders import bulk
from outbox.web.reauthentication import FIELD
from outbox.web.recent_sign_in import AUTHENTICATED_AT
from tests.integration.web.conftest import signed_in, staff_member
from tests.states import set_state

pytestmark = pytest.mark.every_database

LIST = reverse("outbox:list")


def bulk_url(action: str) -> str:
    return reverse("outbox:bulk", args=[action])


@pytest.fixture
def messages(anna: User, account: Account) -> list[Message]:
    """Three queued messages of Anna, to two recipients each."""
    made = []
    for number in range(3):
        fields = api.DraftFields(
            account=account, to="jane@example.com, joe@example.org", subject=f"Mail {number}"
        )
        made.append(api.send_draft(api.save_draft(anna, fields), actor=anna))
    return made


def bring_to(mail: Message, state: State) -> None:
    set_state(mail.recipients, state)
    roll_up([mail.pk], timezone.now(), "default")


def keys(messages: list[Message]) -> str:
    return ",".join(str(mail.pk) for mail in messages)


def named_in(page: str) -> str:
    found = re.search(r'name="messages" value="([\d,]*)"', page)
    return found[1] if found else ""


def statuses(messages: list[Message]) -> list[str]:
    found = Message.objects.in_bulk([mail.pk for mail in messages])
    return [found[mail.pk].status for mail in messages]


def perform(client: Client, action: str, **fields: str) -> list[str]:
    response = client.post(bulk_url(action), fields)
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_the_question_counts_and_changes_nothing(as_anna: Client, messages: list[Message]) -> None:
    bring_to(messages[2], State.SENT)
    page = as_anna.get(bulk_url("cancel"), {"m": [mail.pk for mail in messages]}).content.decode()
    assert "2 messages, 4 recipients: 4 queued." in page
    assert "1 other selected message is not changed, because of its state." in page
    assert named_in(page) == keys(messages[:2])
    assert statuses(messages) == [Status.QUEUED, Status.QUEUED, Status.SENT]


def test_cancel_stops_the_messages_of_the_question(
    as_anna: Client, messages: list[Message]
) -> None:
    reported = perform(as_anna, "cancel", messages=keys(messages[:2]), why="Wrong list")
    assert reported == ["Delivery cancelled: 2 messages."]
    assert statuses(messages) == [Status.CANCELLED, Status.CANCELLED, Status.QUEUED]
    assert set(Event.objects.filter(kind="cancelled").values_list("why", flat=True)) == {
        "Wrong list"
    }


def test_retry_queues_failed_messages_again(as_anna: Client, messages: list[Message]) -> None:
    bring_to(messages[0], State.FAILED)
    bring_to(messages[1], State.SENT)
    assert perform(as_anna, "retry", messages=keys(messages[:2])) == [
        "Queued again: 1 message.",
        "1 message had already changed state and was skipped.",
    ]
    assert statuses(messages[:2]) == [Status.QUEUED, Status.SENT]


def test_retry_lists_rejected_recipients_and_skips_cancelled_ones(
    as_anna: Client, messages: list[Message]
) -> None:
    bring_to(messages[0], State.CANCELLED)
    refused, deferred = messages[1].recipients.all()
    set_state(
        messages[1].recipients.filter(pk=refused.pk),
        State.FAILED,
        reply_code=550,
        reply_text="5.1.1 no <user>",
    )
    set_state(messages[1].recipients.filter(pk=deferred.pk), State.DEFERRED)
    roll_up([messages[1].pk], timezone.now(), "default")
    page = as_anna.get(bulk_url("retry"), {"m": [mail.pk for mail in messages]}).content.decode()
    assert "1 message, 2 recipients: 1 deferred, 1 failed." in page
    assert "1 recipient was rejected permanently and will probably be rejected again:" in page
    assert refused.address in page
    assert "550 5.1.1 no &lt;user&gt;" in page
    assert named_in(page) == keys(messages[1:2])
    perform(as_anna, "retry", messages=keys(messages))
    assert statuses(messages) == [Status.CANCELLED, Status.QUEUED, Status.QUEUED]
    assert set(messages[0].recipients.values_list("state", flat=True)) == {State.CANCELLED}


def test_other_actions_list_no_recipients(as_anna: Client, messages: list[Message]) -> None:
    bring_to(messages[0], State.HELD)
    page = as_anna.get(bulk_url("release"), {"m": [messages[0].pk]}).content.decode()
    assert "rejected permanently" not in page


def test_the_folder_cancelled_offers_no_retry(as_anna: Client, messages: list[Message]) -> None:
    bring_to(messages[0], State.CANCELLED)
    page = as_anna.get(reverse("outbox:folder", args=["cancelled"])).content.decode()
    assert bulk_url("retry") not in page


def test_hold_stops_waiting_messages_and_release_queues_them(
    as_anna: Client, messages: list[Message]
) -> None:
    bring_to(messages[2], State.SENT)
    page = as_anna.get(bulk_url("hold"), {"m": [mail.pk for mail in messages]}).content.decode()
    assert "2 messages, 4 recipients: 4 queued." in page
    reported = perform(as_anna, "hold", messages=keys(messages[:2]), why="Check")
    assert reported == ["Delivery held: 2 messages."]
    assert statuses(messages) == [Status.HELD, Status.HELD, Status.SENT]
    page = as_anna.get(bulk_url("release"), {"all": "1", "folder": "outbox"}).content.decode()
    assert named_in(page) == keys(messages[:2])
    assert perform(as_anna, "release", messages=keys(messages)) == [
        "Delivery released: 2 messages.",
        "1 message had already changed state and was skipped.",
    ]
    assert statuses(messages) == [Status.QUEUED, Status.QUEUED, Status.SENT]
    events = Event.objects.filter(kind__in=["held", "released"])
    assert set(events.values_list("kind", "actor__username")) == {
        ("held", "anna"),
        ("released", "anna"),
    }


def test_discard_deletes_drafts_only(
    as_anna: Client, draft: Message, messages: list[Message]
) -> None:
    chosen = [draft, *messages]
    page = as_anna.get(bulk_url("discard"), {"m": [mail.pk for mail in chosen]}).content.decode()
    assert "1 draft." in page
    reported = perform(as_anna, "discard", messages=keys(chosen))
    assert reported[0] == "Discarded: 1 message."
    assert not Message.objects.filter(pk=draft.pk).exists()
    assert statuses(messages) == [Status.QUEUED] * 3


@pytest.mark.parametrize("where", [{"folder": "outbox"}, {"q": "subject:mail"}])
def test_a_whole_list_does_not_include_later_messages(
    as_anna: Client, anna: User, account: Account, messages: list[Message], where: dict[str, str]
) -> None:
    page = as_anna.get(bulk_url("cancel"), {"all": "1", **where}).content.decode()
    assert named_in(page) == keys(messages)
    fields = api.DraftFields(account=account, to="late@example.com", subject="Mail late")
    late = api.send_draft(api.save_draft(anna, fields), actor=anna)
    perform(as_anna, "cancel", messages=named_in(page))
    assert statuses([*messages, late]) == [*[Status.CANCELLED] * 3, Status.QUEUED]


def test_many_drafts_are_limited(
    as_anna: Client, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    drafts = [api.save_draft(anna, api.DraftFields(subject=f"Draft {number}")) for number in "123"]
    page = as_anna.get(bulk_url("discard"), {"all": "1", "folder": "drafts"}).content.decode()
    assert named_in(page) == keys(drafts[1:])  # the newest
    assert "this applies to the newest 2" in page


def test_messages_of_other_users_are_neither_counted_nor_changed(
    as_ben: Client, messages: list[Message], draft: Message
) -> None:
    for action in BULK_ACTIONS:
        page = as_ben.get(bulk_url(action), {"m": [mail.pk for mail in [*messages, draft]]})
        assert named_in(page.content.decode()) == ""
        perform(as_ben, action, messages=keys([*messages, draft]))
    assert statuses([*messages, draft]) == [*[Status.QUEUED] * 3, Status.DRAFT]


@pytest.mark.parametrize("chosen", ["", "x", "-1", "1" * 40, "٣"])
def test_an_empty_selection_changes_nothing(
    as_anna: Client, messages: list[Message], chosen: str
) -> None:
    page = as_anna.get(bulk_url("cancel"), {"m": chosen}).content.decode()
    assert "There are none." in page
    assert perform(as_anna, "cancel", messages=chosen) == [
        "No message was selected, so nothing was done."
    ]
    assert statuses(messages) == [Status.QUEUED] * 3


def test_an_unknown_action_is_not_found(as_anna: Client) -> None:
    assert as_anna.get(bulk_url("steal")).status_code == 404


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/search/?q=x", "/search/?q=x"),
        ("https://evil.example/", LIST),
        ("//evil.example/", LIST),
        ("", LIST),
    ],
)
def test_it_returns_to_a_page_of_the_site_only(
    as_anna: Client, messages: list[Message], back: str, leads: str
) -> None:
    fields = {"messages": keys(messages), "back": back}
    assert as_anna.post(bulk_url("cancel"), fields)["Location"] == leads


ACTIONS_OF = [
    ("outbox", {"retry", "hold", "release", "cancel"}),
    ("scheduled", set()),  # which is empty here
    ("drafts", {"discard"}),
    ("sent", set()),
]


@pytest.mark.parametrize(("folder", "actions"), ACTIONS_OF)
def test_a_list_offers_the_actions_of_its_folder(
    as_anna: Client, messages: list[Message], draft: Message, folder: str, actions: set[str]
) -> None:
    page = as_anna.get(reverse("outbox:folder", args=[folder])).content.decode()
    assert {
        action for action in BULK_ACTIONS if f'formaction="{bulk_url(action)}"' in page
    } == actions


def age_sign_in(client: Client) -> Client:
    session = client.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    return client


def test_staff_confirm_the_password_before_they_change_messages_of_others(
    messages: list[Message],
) -> None:
    staff = staff_member("view_message", "change_message")
    staff.set_password("correct horse battery")
    staff.save()
    client = age_sign_in(signed_in(staff))
    response = client.post(bulk_url("cancel"), {"messages": keys(messages)})
    assert response.status_code == 403
    assert set(statuses(messages)) == {Status.QUEUED}
    fields = {"messages": keys(messages), FIELD: "correct horse battery"}
    unexplained = client.post(bulk_url("cancel"), fields)
    assert unexplained.status_code == 422
    page = unexplained.content.decode()
    assert "This field is required." in page
    assert named_in(page) == keys(messages)
    assert set(statuses(messages)) == {Status.QUEUED}
    assert client.post(bulk_url("cancel"), {**fields, "why": "Wrong list"}).status_code == 302
    assert set(statuses(messages)) == {Status.CANCELLED}
    entry = AuditEntry.objects.get(action=AuditAction.BULK_ACTION)
    assert entry.details == {"name": "cancel", "messages": 3}


def test_own_messages_need_no_password(as_anna: Client, messages: list[Message]) -> None:
    perform(age_sign_in(as_anna), "cancel", messages=keys(messages))
    assert set(statuses(messages)) == {Status.CANCELLED}
