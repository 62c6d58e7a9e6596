"""Before a mail goes, what is odd is said: once, as advice, and in the server's own words."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Destination, Message, Recipient, Session, State, Status
from outbox.web.compose.advice import MANY_VISIBLE, advice_on
from tests.integration.web.conftest import typed

MANY = ", ".join(f"p{number}@example.com" for number in range(MANY_VISIBLE + 1))
ODD = [
    # what is typed, what is said
    ({"subject": ""}, ["subject"]),
    ({"subject": "  "}, ["subject"]),
    ({"text": "The plan is attached."}, ["attachment"]),
    ({"text": "See the enclosed figures"}, ["attachment"]),
    ({"text": "详见附件。"}, ["attachment"]),
    ({"subject": "Attachment: the plan"}, ["attachment"]),
    ({"text": "Dear {{ name }},"}, ["placeholder"]),
    ({"subject": "{{order}}"}, ["placeholder"]),
    ({"to": MANY}, ["visible"]),
    ({"to": "x@example.com", "cc": MANY}, ["visible"]),
    ({"bcc": MANY}, []),
    ({"text": "> the plan is attached\n\nThank you!"}, []),  # somebody else's words
    ({"text": "Hi\n\n-- \nEnclosed in love"}, []),  # the signature
    ({"text": "I am unattached."}, []),
    ({}, []),
]


def keys(draft: Message) -> list[str]:
    return [advice.key for advice in advice_on(draft)]


def write(anna: User, account: Account, **fields: str) -> Message:
    usual = {"to": "jane@example.com", "subject": "Figures", "text": "Hello"}
    return api.save_draft(anna, api.DraftFields(account=account, **(usual | fields)))  # type: ignore[arg-type]  # all of these are texts


@pytest.mark.parametrize(("fields", "said"), ODD)
def test_it_says_what_is_odd(
    anna: User, account: Account, fields: dict[str, str], said: list[str]
) -> None:
    assert keys(write(anna, account, **fields)) == said


def test_an_attachment_that_is_there_is_not_missed(anna: User, account: Account) -> None:
    draft = write(anna, account, text="The plan is attached.")
    api.attach(draft, "plan.pdf", "application/pdf", b"%PDF")
    assert keys(draft) == []


@pytest.mark.parametrize("state", [State.FAILED, State.BOUNCED, State.EXPIRED])
def test_an_address_that_failed_lately_is_named_with_the_reply(
    anna: User, account: Account, mail: Message, state: State
) -> None:
    mail.recipients.filter(address="joe@example.org").update(
        state=state,
        settled_at=timezone.now() - dt.timedelta(days=2),
        reply_code=550,
        reply_text="5.1.1 No such user",
    )
    (advice,) = advice_on(write(anna, account, to="jane@example.com", cc="joe@example.org"))
    assert "joe@example.org" in advice.text
    assert advice.detail == "550 5.1.1 No such user"


@pytest.mark.parametrize(
    ("state", "days"),
    [(State.SENT, 2), (State.CANCELLED, 2), (State.FAILED, 40)],
    ids=["it arrived", "it never left", "long ago"],
)
def test_an_address_that_did_not_fail_lately_is_not_named(
    anna: User, account: Account, mail: Message, state: State, days: int
) -> None:
    at = timezone.now() - dt.timedelta(days=days)
    mail.recipients.update(state=state, settled_at=at)
    assert keys(write(anna, account)) == []


def test_a_failure_before_a_success_is_forgiven(
    anna: User, account: Account, mail: Message
) -> None:
    now = timezone.now()
    mail.recipients.update(state=State.FAILED, settled_at=now - dt.timedelta(days=2))
    later = api.send_draft(write(anna, account), actor=anna)
    later.recipients.update(state=State.SENT, settled_at=now)
    assert keys(write(anna, account)) == []


def test_a_failure_of_somebody_else_s_mail_is_nobody_s_business(
    ben: User, account: Account, mail: Message
) -> None:
    mail.recipients.update(state=State.FAILED, settled_at=timezone.now())
    assert keys(write(ben, account)) == []


@pytest.mark.parametrize(
    ("size", "said"),
    [("1000", ["size"]), ("3000", []), ("0", []), ("", []), ("much", [])],
    ids=["too small", "large enough", "no limit", "not said", "nonsense"],
)
def test_a_mail_larger_than_the_server_takes_is_told(
    anna: User, account: Account, mail: Message, size: str, said: list[str]
) -> None:
    route = Destination.objects.get(pk=Recipient.objects.values_list("destination", flat=True)[0])
    Session.objects.create(
        destination=route, host="x", started_at=timezone.now(), extensions={"SIZE": size}
    )
    draft = write(anna, account)
    api.attach(draft, "data.bin", "application/x-thing", b"x" * 1_500)
    assert keys(draft) == said


def copy(mail: Message, to: str = "jane@example.com, new@example.com") -> Message:
    """An edited copy of the mail, on its way to somebody who may have it."""
    assert mail.owner is not None
    fields = api.DraftFields(account=mail.account, to=to, subject="Figures", text="Once more")
    return api.save_draft(
        mail.owner, fields, draft=api.answer(mail, api.Answer.COPY, actor=mail.owner)
    )


def test_a_copy_says_who_has_the_mail_already(mail: Message) -> None:
    mail.recipients.update(state=State.SENT)
    (advice,) = advice_on(copy(mail))
    assert advice.text == "1 person has this mail already and would get it twice."
    assert advice.detail == "jane@example.com"
    (advice,) = advice_on(copy(mail, "jane@example.com, Joe <joe@example.org>"))
    assert advice.text.startswith("2 people")


def test_a_copy_says_to_whom_the_first_mail_is_still_on_its_way(mail: Message) -> None:
    mail.recipients.update(state=State.DEFERRED)
    (advice,) = advice_on(copy(mail))
    assert "still on its way to 1 person" in advice.text


def test_who_got_an_earlier_copy_has_the_mail_too(anna: User, mail: Message) -> None:
    mail.recipients.update(state=State.CANCELLED)
    api.send_draft(copy(mail), actor=anna).recipients.update(state=State.SENT)
    (advice,) = advice_on(copy(mail))
    assert advice.detail == "jane@example.com, new@example.com"


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.EXPIRED, State.BOUNCED])
def test_a_copy_to_who_did_not_get_the_mail_is_nothing_odd(mail: Message, state: State) -> None:
    mail.recipients.update(state=state)
    assert keys(copy(mail)) == []


@pytest.mark.parametrize("kind", [api.Answer.REPLY, api.Answer.FORWARD])
def test_a_reply_or_forward_to_the_same_people_is_nothing_odd(mail: Message, kind: str) -> None:
    assert mail.owner is not None
    mail.recipients.update(state=State.SENT)
    draft = api.answer(mail, api.Answer(kind), actor=mail.owner)
    fields = api.DraftFields(account=mail.account, to="jane@example.com", subject="Re", text="Hi")
    assert keys(api.save_draft(mail.owner, fields, draft=draft)) == []


def test_sending_to_who_has_it_is_asked_about_again_for_everybody_added(
    as_anna: Client, mail: Message
) -> None:
    mail.recipients.update(state=State.SENT)
    draft = copy(mail, "jane@example.com")
    address = reverse("outbox:draft", args=[draft.pk])
    fields = typed(mail.account, form="page-1", send="1", version=str(draft.draft.version))
    first = as_anna.post(address, fields)
    assert first.status_code == 422
    assert "1 person has this mail already" in first.content.decode()
    again = fields | {"advised": [one.key for one in first.context["advice"]]}
    more = as_anna.post(address, again | {"to": "jane@example.com, joe@example.org"})
    assert more.status_code == 422
    assert "2 people have this mail already" in more.content.decode()
    both = again | {"to": "jane@example.com, joe@example.org"}
    both["advised"] = [one.key for one in more.context["advice"]]
    assert as_anna.post(address, both).status_code == 302
    draft.refresh_from_db()
    assert draft.status == Status.QUEUED


def test_advice_stops_send_once_and_only_for_what_was_not_said(
    as_anna: Client, account: Account
) -> None:
    fields = typed(account, subject="", form="page-1", send="1")
    answer = as_anna.post(reverse("outbox:compose"), fields)
    assert answer.status_code == 422
    assert "The subject is empty." in answer.content.decode()
    assert Message.objects.get().status == Status.DRAFT
    address = reverse("outbox:draft", args=[Message.objects.get().pk])
    again = fields | {"advised": ["subject"], "version": "1"}
    more = as_anna.post(address, again | {"text": "It is attached"})
    assert more.status_code == 422
    assert "nothing is attached" in more.content.decode()
    sent = as_anna.post(
        address, again | {"text": "It is attached", "advised": ["subject", "attachment"]}
    )
    assert sent.status_code == 302
    assert Message.objects.get().status == Status.QUEUED


def test_what_cannot_be_sent_is_said_before_what_is_odd(as_anna: Client, account: Account) -> None:
    answer = as_anna.post(
        reverse("outbox:compose"), typed(account, to="jane@", subject="", send="1")
    )
    assert list(answer.context["form"].errors) == ["to"]
    assert "subject is empty" not in answer.content.decode()
