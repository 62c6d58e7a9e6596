"""Before a message goes, what is odd is said: once, as warning, and in the server's own words."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.api.unsubscribing import BULK_FROM
from outbox.models import Account, Destination, Message, Recipient, SmtpSession, State, Status
from outbox.web.compose.send_warnings import MANY_VISIBLE, warnings_for
from tests.integration.web.conftest import typed
from tests.states import set_state

MANY = ", ".join(f"p{number}@example.com" for number in range(MANY_VISIBLE + 1))
HIDDEN = ", ".join(f"p{number}@example.com" for number in range(BULK_FROM - 1))
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
    ({"bcc": HIDDEN}, ["unsubscribe"]),
    ({"bcc": HIDDEN.partition(", ")[2]}, []),
    ({"text": "> the plan is attached\n\nThank you!"}, []),  # another user's words
    ({"text": "Hi\n\n-- \nEnclosed in love"}, []),  # the signature
    ({"text": "I am unattached."}, []),
    ({}, []),
]


def keys(draft: Message) -> list[str]:
    return [warning.key for warning in warnings_for(draft)]


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
    set_state(
        mail.recipients.filter(address="joe@example.org"),
        state,
        final_at=timezone.now() - dt.timedelta(days=2),
        reply_code=550,
        reply_text="5.1.1 No such user",
    )
    (warning,) = warnings_for(write(anna, account, to="jane@example.com", cc="joe@example.org"))
    assert "joe@example.org" in warning.text
    assert warning.detail == "550 5.1.1 No such user"


@pytest.mark.parametrize(
    ("state", "days"),
    [(State.SENT, 2), (State.CANCELLED, 2), (State.FAILED, 40)],
    ids=["it arrived", "it never left", "long ago"],
)
def test_an_address_that_did_not_fail_lately_is_not_named(
    anna: User, account: Account, mail: Message, state: State, days: int
) -> None:
    at = timezone.now() - dt.timedelta(days=days)
    set_state(mail.recipients, state, final_at=at)
    assert keys(write(anna, account)) == []


def test_a_failure_before_a_success_is_forgiven(
    anna: User, account: Account, mail: Message
) -> None:
    now = timezone.now()
    set_state(mail.recipients, State.FAILED, final_at=now - dt.timedelta(days=2))
    later = api.send_draft(write(anna, account), actor=anna)
    set_state(later.recipients, State.SENT, final_at=now)
    assert keys(write(anna, account)) == []


def test_a_failure_of_another_user_s_message_causes_no_warning(
    ben: User, account: Account, mail: Message
) -> None:
    set_state(mail.recipients, State.FAILED, final_at=timezone.now())
    assert keys(write(ben, account)) == []


@pytest.mark.parametrize(
    ("size", "said"),
    [("1000", ["size"]), ("3000", []), ("0", []), ("", []), ("much", [])],
    ids=["too small", "large enough", "no limit", "not said", "nonsense"],
)
def test_a_message_larger_than_the_server_accepts_causes_a_warning(
    anna: User, account: Account, mail: Message, size: str, said: list[str]
) -> None:
    destination = Destination.objects.get(
        pk=Recipient.objects.values_list("destination", flat=True)[0]
    )
    SmtpSession.objects.create(
        destination=destination, host="x", started_at=timezone.now(), extensions={"SIZE": size}
    )
    draft = write(anna, account)
    api.attach(draft, "data.bin", "application/x-thing", b"x" * 1_500)
    assert keys(draft) == said


def copy(mail: Message, to: str = "jane@example.com, new@example.com") -> Message:
    """Save an edited copy of the message, to recipients some of which may have it already."""
    assert mail.owner is not None
    fields = api.DraftFields(account=mail.account, to=to, subject="Figures", text="Once more")
    return api.save_draft(
        mail.owner, fields, draft=api.reply_to_message(mail, api.DraftKind.COPY, actor=mail.owner)
    )


def test_a_copy_warns_about_recipients_that_already_have_the_message(mail: Message) -> None:
    set_state(mail.recipients, State.SENT)
    (warning,) = warnings_for(copy(mail))
    assert warning.text == "1 recipient already has this message and would receive it twice."
    assert warning.detail == "jane@example.com"
    (warning,) = warnings_for(copy(mail, "jane@example.com, Joe <joe@example.org>"))
    assert warning.text.startswith("2 recipients")


def test_a_copy_warns_about_recipients_whose_first_message_is_not_sent_yet(
    mail: Message,
) -> None:
    set_state(mail.recipients, State.DEFERRED)
    (warning,) = warnings_for(copy(mail))
    assert "The original message to 1 recipient is not sent yet." in warning.text


def test_a_recipient_of_an_earlier_copy_has_the_message_too(anna: User, mail: Message) -> None:
    set_state(mail.recipients, State.CANCELLED)
    set_state(api.send_draft(copy(mail), actor=anna).recipients, State.SENT)
    (warning,) = warnings_for(copy(mail))
    assert warning.detail == "jane@example.com, new@example.com"


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.EXPIRED, State.BOUNCED])
def test_a_copy_to_recipients_without_the_message_causes_no_warning(
    mail: Message, state: State
) -> None:
    set_state(mail.recipients, state)
    assert keys(copy(mail)) == []


@pytest.mark.parametrize("kind", [api.DraftKind.REPLY, api.DraftKind.FORWARD])
def test_a_reply_or_forward_to_the_same_recipients_causes_no_warning(
    mail: Message, kind: str
) -> None:
    assert mail.owner is not None
    set_state(mail.recipients, State.SENT)
    draft = api.reply_to_message(mail, api.DraftKind(kind), actor=mail.owner)
    fields = api.DraftFields(account=mail.account, to="jane@example.com", subject="Re", text="Hi")
    assert keys(api.save_draft(mail.owner, fields, draft=draft)) == []


def test_each_added_recipient_with_the_message_must_be_confirmed_again(
    as_anna: Client, mail: Message
) -> None:
    set_state(mail.recipients, State.SENT)
    draft = copy(mail, "jane@example.com")
    address = reverse("outbox:draft", args=[draft.pk])
    fields = typed(mail.account, form="page-1", send="1", version=str(draft.draft.version))
    first = as_anna.post(address, fields)
    assert first.status_code == 422
    assert "1 recipient already has this message" in first.content.decode()
    again = fields | {"shown_warning": [one.key for one in first.context["warnings"]]}
    more = as_anna.post(address, again | {"to": "jane@example.com, joe@example.org"})
    assert more.status_code == 422
    assert "2 recipients already have this message" in more.content.decode()
    both = again | {"to": "jane@example.com, joe@example.org"}
    both["shown_warning"] = [one.key for one in more.context["warnings"]]
    assert as_anna.post(address, both).status_code == 302
    draft.refresh_from_db()
    assert draft.status == Status.QUEUED


def test_a_warning_that_was_not_shown_before_stops_the_send_once(
    as_anna: Client, account: Account
) -> None:
    fields = typed(account, subject="", form="page-1", send="1")
    response = as_anna.post(reverse("outbox:compose"), fields)
    assert response.status_code == 422
    assert "The subject is empty." in response.content.decode()
    assert Message.objects.get().status == Status.DRAFT
    address = reverse("outbox:draft", args=[Message.objects.get().pk])
    again = fields | {"shown_warning": ["subject"], "version": "1"}
    more = as_anna.post(address, again | {"text": "It is attached"})
    assert more.status_code == 422
    assert "nothing is attached" in more.content.decode()
    sent = as_anna.post(
        address, again | {"text": "It is attached", "shown_warning": ["subject", "attachment"]}
    )
    assert sent.status_code == 302
    assert Message.objects.get().status == Status.QUEUED


def test_errors_are_shown_before_warnings(as_anna: Client, account: Account) -> None:
    response = as_anna.post(
        reverse("outbox:compose"), typed(account, to="jane@", subject="", send="1")
    )
    assert list(response.context["form"].errors) == ["to"]
    assert "subject is empty" not in response.content.decode()
