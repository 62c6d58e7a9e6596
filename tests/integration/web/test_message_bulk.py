"""One act on many mails: counted first, done for exactly those, told how many."""

import re

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Event, Message, State, Status
from outbox.models.rollup import roll_up
from outbox.web.messages import bulk

LIST = reverse("outbox:list")


def bulk_of(act: str) -> str:
    return reverse("outbox:bulk", args=[act])


@pytest.fixture
def mails(anna: User, account: Account) -> list[Message]:
    """Three queued mails of Anna's, to two recipients each."""
    made = []
    for number in range(3):
        fields = api.DraftFields(
            account=account, to="jane@example.com, joe@example.org", subject=f"Mail {number}"
        )
        made.append(api.send_draft(api.save_draft(anna, fields), actor=anna))
    return made


def put(mail: Message, state: State) -> None:
    mail.recipients.update(state=state)
    roll_up([mail.pk], timezone.now(), "default")


def keys(mails: list[Message]) -> str:
    return ",".join(str(mail.pk) for mail in mails)


def asked_about(page: str) -> str:
    found = re.search(r'name="messages" value="([\d,]*)"', page)
    return found[1] if found else ""


def statuses(mails: list[Message]) -> list[str]:
    found = Message.objects.in_bulk([mail.pk for mail in mails])
    return [found[mail.pk].status for mail in mails]


def do(client: Client, act: str, **fields: str) -> list[str]:
    answer = client.post(bulk_of(act), fields)
    assert answer.status_code == 302
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_it_counts_first_and_changes_nothing(as_anna: Client, mails: list[Message]) -> None:
    put(mails[2], State.SENT)
    page = as_anna.get(bulk_of("cancel"), {"m": [mail.pk for mail in mails]}).content.decode()
    assert "2 messages, 4 recipients: 4 queued." in page
    assert "1 other selected message is in a state that does not allow this." in page
    assert asked_about(page) == keys(mails[:2])
    assert statuses(mails) == [Status.QUEUED, Status.QUEUED, Status.SENT]


def test_cancel_stops_those_that_were_asked_about(as_anna: Client, mails: list[Message]) -> None:
    told = do(as_anna, "cancel", messages=keys(mails[:2]), why="Wrong list")
    assert told == ["2 messages were cancelled."]
    assert statuses(mails) == [Status.CANCELLED, Status.CANCELLED, Status.QUEUED]
    assert set(Event.objects.filter(kind="cancelled").values_list("why", flat=True)) == {
        "Wrong list"
    }


def test_retry_queues_failed_ones_again(as_anna: Client, mails: list[Message]) -> None:
    put(mails[0], State.FAILED)
    put(mails[1], State.SENT)
    assert do(as_anna, "retry", messages=keys(mails[:2])) == [
        "1 message will be retried now.",
        "1 message had already changed state and was skipped.",
    ]
    assert statuses(mails[:2]) == [Status.QUEUED, Status.SENT]


def test_a_retry_names_who_was_refused_and_leaves_the_cancelled_alone(
    as_anna: Client, mails: list[Message]
) -> None:
    put(mails[0], State.CANCELLED)
    refused, deferred = mails[1].recipients.all()
    mails[1].recipients.filter(pk=refused.pk).update(
        state=State.FAILED, reply_code=550, reply_text="5.1.1 no <user>"
    )
    mails[1].recipients.filter(pk=deferred.pk).update(state=State.DEFERRED)
    roll_up([mails[1].pk], timezone.now(), "default")
    page = as_anna.get(bulk_of("retry"), {"m": [mail.pk for mail in mails]}).content.decode()
    assert "1 message, 2 recipients: 1 deferred, 1 failed." in page
    assert "1 of them was refused for good and will probably be refused again:" in page
    assert refused.address in page
    assert "550 5.1.1 no &lt;user&gt;" in page
    assert asked_about(page) == keys(mails[1:2])
    do(as_anna, "retry", messages=keys(mails))
    assert statuses(mails) == [Status.CANCELLED, Status.QUEUED, Status.QUEUED]
    assert set(mails[0].recipients.values_list("state", flat=True)) == {State.CANCELLED}


def test_other_actions_name_nobody(as_anna: Client, mails: list[Message]) -> None:
    put(mails[0], State.HELD)
    page = as_anna.get(bulk_of("release"), {"m": [mails[0].pk]}).content.decode()
    assert "refused for good" not in page


def test_cancelled_offers_no_retry(as_anna: Client, mails: list[Message]) -> None:
    put(mails[0], State.CANCELLED)
    page = as_anna.get(reverse("outbox:folder", args=["cancelled"])).content.decode()
    assert bulk_of("retry") not in page


def test_hold_keeps_what_waits_and_release_lets_it_go(
    as_anna: Client, mails: list[Message]
) -> None:
    put(mails[2], State.SENT)
    page = as_anna.get(bulk_of("hold"), {"m": [mail.pk for mail in mails]}).content.decode()
    assert "2 messages, 4 recipients: 4 queued." in page
    assert do(as_anna, "hold", messages=keys(mails[:2]), why="Check") == ["2 messages are held."]
    assert statuses(mails) == [Status.HELD, Status.HELD, Status.SENT]
    page = as_anna.get(bulk_of("release"), {"all": "1", "folder": "outbox"}).content.decode()
    assert asked_about(page) == keys(mails[:2])
    assert do(as_anna, "release", messages=keys(mails)) == [
        "2 messages were released.",
        "1 message had already changed state and was skipped.",
    ]
    assert statuses(mails) == [Status.QUEUED, Status.QUEUED, Status.SENT]
    told = Event.objects.filter(kind__in=["held", "released"])
    assert set(told.values_list("kind", "actor__username")) == {
        ("held", "anna"),
        ("released", "anna"),
    }


def test_discard_deletes_drafts_and_nothing_else(
    as_anna: Client, draft: Message, mails: list[Message]
) -> None:
    chosen = [draft, *mails]
    page = as_anna.get(bulk_of("discard"), {"m": [mail.pk for mail in chosen]}).content.decode()
    assert "1 draft is deleted for good" in page
    told = do(as_anna, "discard", messages=keys(chosen))
    assert told[0] == "1 draft discarded."
    assert not Message.objects.filter(pk=draft.pk).exists()
    assert statuses(mails) == [Status.QUEUED] * 3


@pytest.mark.parametrize("where", [{"folder": "outbox"}, {"q": "subject:mail"}])
def test_a_whole_list_is_taken_and_what_comes_later_is_not(
    as_anna: Client, anna: User, account: Account, mails: list[Message], where: dict[str, str]
) -> None:
    page = as_anna.get(bulk_of("cancel"), {"all": "1", **where}).content.decode()
    assert asked_about(page) == keys(mails)
    fields = api.DraftFields(account=account, to="late@example.com", subject="Mail late")
    late = api.send_draft(api.save_draft(anna, fields), actor=anna)
    do(as_anna, "cancel", messages=asked_about(page))
    assert statuses([*mails, late]) == [*[Status.CANCELLED] * 3, Status.QUEUED]


def test_very_many_are_taken_in_turns(
    as_anna: Client, mails: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    page = as_anna.get(bulk_of("cancel"), {"all": "1", "folder": "outbox"}).content.decode()
    assert asked_about(page) == keys(mails[1:])  # the newest
    assert "this applies to the newest 2" in page


def test_mail_of_others_is_neither_counted_nor_touched(
    as_ben: Client, mails: list[Message], draft: Message
) -> None:
    for act in bulk.ACTS:
        page = as_ben.get(bulk_of(act), {"m": [mail.pk for mail in [*mails, draft]]})
        assert asked_about(page.content.decode()) == ""
        do(as_ben, act, messages=keys([*mails, draft]))
    assert statuses([*mails, draft]) == [*[Status.QUEUED] * 3, Status.DRAFT]


@pytest.mark.parametrize("chosen", ["", "x", "-1", "1" * 40, "٣"])
def test_nothing_chosen_does_nothing_and_says_so(
    as_anna: Client, mails: list[Message], chosen: str
) -> None:
    page = as_anna.get(bulk_of("cancel"), {"m": chosen}).content.decode()
    assert "No selected message is in a state that allows this." in page
    assert do(as_anna, "cancel", messages=chosen) == [
        "No message was selected, so nothing was done."
    ]
    assert statuses(mails) == [Status.QUEUED] * 3


def test_an_unknown_act_is_not_there(as_anna: Client) -> None:
    assert as_anna.get(bulk_of("steal")).status_code == 404


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/search/?q=x", "/search/?q=x"),
        ("https://evil.example/", LIST),
        ("//evil.example/", LIST),
        ("", LIST),
    ],
)
def test_it_leads_back_to_the_list_and_nowhere_else(
    as_anna: Client, mails: list[Message], back: str, leads: str
) -> None:
    fields = {"messages": keys(mails), "back": back}
    assert as_anna.post(bulk_of("cancel"), fields)["Location"] == leads


OFFERED = [
    ("outbox", {"retry", "hold", "release", "cancel"}),
    ("scheduled", set()),  # which is empty here
    ("drafts", {"discard"}),
    ("sent", set()),
]


@pytest.mark.parametrize(("folder", "acts"), OFFERED)
def test_a_list_offers_what_can_be_done_there(
    as_anna: Client, mails: list[Message], draft: Message, folder: str, acts: set[str]
) -> None:
    page = as_anna.get(reverse("outbox:folder", args=[folder])).content.decode()
    assert {act for act in bulk.ACTS if f'formaction="{bulk_of(act)}"' in page} == acts
