"""A Django message says by its attribute `outbox` what `api.send` takes as arguments."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template import loader
from django.utils import timezone
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.api.options import SendOptions
from outbox.exceptions import InvalidMessageError, NoAccountError
from outbox.models import Account, Message, Recipient, Status
from tests.integration.api.reading import read

pytestmark = pytest.mark.usefixtures("app_account")
TOMORROW = timezone.now() + dt.timedelta(days=1)


def send(outbox: Any, **values: Any) -> tuple[Message, Any]:
    """Send a message with these options; return its row and what a recipient reads."""
    given = {"subject": "Hi", "body": "Hello", "from_email": "Shop <shop@example.com>"} | values
    message: Any = EmailMessage(to=["ann@example.com"], **given)
    message.outbox = outbox
    assert message.send() == 1
    row = Message.objects.latest("pk")
    return row, read(api.Handle(row.pk))


def test_a_password_reset_can_be_urgent_and_expire(app_account: Account) -> None:
    class UrgentPasswordResetForm(PasswordResetForm):
        def send_mail(  # type: ignore[no-untyped-def]  # the signature is Django's
            self, subject_template_name, email_template_name, context, from_email, to_email,
            html_email_template_name=None,
        ) -> None:  # fmt: skip
            subject = " ".join(loader.render_to_string(subject_template_name, context).split())
            body = loader.render_to_string(email_template_name, context)
            message: Any = EmailMultiAlternatives(subject, body, from_email, [to_email])
            message.outbox = {"priority": "urgent", "expires_after": dt.timedelta(hours=1)}
            message.send()

    User.objects.create_user("ann", "ann@example.com", "for this test")
    form = UrgentPasswordResetForm({"email": "ann@example.com"})
    assert form.is_valid()

    form.save(domain_override="example.com")

    row = Message.objects.get()
    assert "/reset/" in row.source.read().decode()
    assert Recipient.objects.get().priority == 1
    assert row.queued_at is not None
    assert row.expires_at == row.queued_at + dt.timedelta(hours=1)


def test_what_the_row_holds_is_set(app_account: Account) -> None:
    ann = User.objects.create_user("ann")
    billing = Account.objects.create(
        name="billing", from_address="billing@example.com", host="localhost"
    )

    row, mail = send(
        {
            "account": "billing",
            "owner": ann,
            "priority": "bulk",
            "send_at": TOMORROW,
            "expires_at": TOMORROW + dt.timedelta(hours=1),
            "idempotency_key": "hello 7",
            "tags": ["hello", gettext_lazy("Save")],
            "metadata": {"order": 7},
            "related": ann,
            "on_uncertain": "hold",
            "wants_report": True,
            "envelope_sender": "bounces@example.com",
        }
    )

    assert (row.account, row.owner, row.related) == (billing, ann, ann)
    assert (row.status, row.send_at) == (Status.SCHEDULED, TOMORROW)
    assert row.expires_at == TOMORROW + dt.timedelta(hours=1)
    assert (row.idempotency_key, row.tags) == ("hello 7", ["hello", "Save"])
    assert (row.metadata, row.on_uncertain, row.wants_report) == ({"order": 7}, "hold", True)
    assert row.envelope_sender == "bounces@example.com"
    assert Recipient.objects.get().priority == 5
    assert mail["From"] == "Shop <shop@example.com>"


def test_what_recipients_see_is_written_into_the_header() -> None:
    row, mail = send(
        {
            "from_name": "Zoë, the shop",
            "importance": "high",
            "in_reply_to": "2@a.example",
            "references": ["<1@a.example>", "<2@a.example>"],
        },
        headers={"x-priority": "4", "X-Kept": "yes"},
    )

    assert mail["From"] == '"Zoë, the shop" <shop@example.com>'
    assert (mail["Importance"], mail["X-Priority"]) == ("high", "1")
    assert mail["In-Reply-To"] == "<2@a.example>"
    assert mail["References"] == "<1@a.example> <2@a.example>"
    assert mail["X-Kept"] == "yes"
    assert (row.importance, row.in_reply_to) == ("high", "2@a.example")
    assert row.envelope_sender == "shop@example.com"


def test_a_from_header_is_renamed_too() -> None:
    _, mail = send({"from_name": "Zoë"}, headers={"From": "Old <list@example.com>"})

    assert mail["From"] == "Zoë <list@example.com>"


def test_the_caller_s_message_stays_as_it_was() -> None:
    message: Any = EmailMessage("Hi", "Hello", "shop@example.com", ["ann@example.com"])
    message.outbox = {"importance": "high", "from_name": "Zoë"}

    message.send()

    assert (message.from_email, message.extra_headers) == ("shop@example.com", {})
    assert message.outbox == {"importance": "high", "from_name": "Zoë"}


def test_a_repeated_key_sends_nothing_new() -> None:
    first, _ = send({"idempotency_key": "hello 7"})
    second, _ = send({"idempotency_key": "hello 7"})

    assert first == second
    assert Message.objects.count() == 1


def test_it_goes_over_anymail_s_attributes() -> None:
    message: Any = EmailMessage("Hi", "Hello", "shop@example.com", ["ann@example.com"])
    message.tags, message.metadata = ["anymail"], {"a": 1}
    message.envelope_sender = "a@example.com"
    message.outbox = {"tags": ["outbox"], "envelope_sender": ""}

    message.send()

    row = Message.objects.get()
    assert (row.tags, row.metadata, row.envelope_sender) == (["outbox"], {"a": 1}, "")


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_options_the_bytes_are_django_s_own(nothing: Any) -> None:
    row, _ = send(nothing, headers={"Message-ID": "<1@a.example>", "Date": "x"})

    assert b"X-Priority" not in row.source.read()
    assert row.account is not None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"color": "red"}, "outbox"),
        ({"to": "eve@example.com"}, "outbox"),
        ({"importance": 9}, "importance"),
        ({"priority": 3}, "priority"),
        ({"priority": "fast"}, "priority"),
        ({"from_name": "a\nBcc: eve@example.com"}, "from_name"),
        ("urgent", "outbox"),
        (7, "outbox"),
    ],
)
def test_a_mistake_raises_and_queues_nothing(options: Any, field: str) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        send(options)

    assert raised.value.field == field
    assert not Message.objects.exists()


def test_an_account_that_does_not_exist_raises() -> None:
    with pytest.raises(NoAccountError):
        send({"account": "missing"})


def test_every_option_of_send_is_one_of_a_message() -> None:
    for name in SendOptions.__annotations__:
        row, _ = send({name: None})
        assert row.status == Status.QUEUED


@pytest.mark.parametrize("given", [1e300, float("nan"), float("inf"), -1e300, True, b"x"])
def test_an_invalid_timestamp_is_refused(given: Any) -> None:
    message: Any = EmailMessage("Hi", "Hello", "shop@example.com", ["ann@example.com"])
    message.send_at = given

    with pytest.raises(InvalidMessageError) as raised:
        message.send()

    assert raised.value.field == "send_at"
