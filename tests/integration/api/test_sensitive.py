"""Which messages are sensitive, and what is stored of them."""

import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test import RequestFactory

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Contact, DraftKind, Message, Recipient, SearchEntry, Source
from outbox.models.search import index_new
from tests.email_backend import use_backend

TOKEN = "c8s9tq-0123456789abcdef0123456789abcdef"


def is_sensitive() -> bool:
    return Message.objects.get().is_sensitive


def source() -> bytes:
    return Source.objects.get().read()


@pytest.fixture(autouse=True)
def _backend(settings: LazySettings) -> None:
    use_backend(settings)


def test_nothing_but_the_addresses_is_stored_beside_the_source(shop: Account, ann: User) -> None:
    handle = api.send(
        to="Ann Code1234 <ann@example.com>",
        subject="Code1234",
        text="Code1234",
        from_name="Code1234",
        owner=ann,
        sensitive=True,
    )
    row = handle.message()
    assert (row.is_sensitive, row.subject, row.snippet) == (True, "", "")
    assert (row.from_header, row.to_summary) == ("shop@example.com", "ann@example.com")
    assert Recipient.objects.get().name == ""
    assert str(row) == "(sensitive message)"
    assert source().count(b"Code1234") == 4
    index_new("default", 10)
    assert "code1234" not in str(SearchEntry.objects.values("head", "body"))


def test_many_messages_can_be_sensitive(shop: Account) -> None:
    rows = [api.MergeRow("a@example.com", {"code": "1234"}), api.MergeRow("b@example.com")]
    result = api.send_many(
        rows, subject="Code", text="{{ code|default:'none' }}", context={}, sensitive=True
    )
    assert result.queued == 2
    assert Message.objects.filter(is_sensitive=True, subject="").count() == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"sensitive": True}, True), ({"sensitive": False}, False), ({}, False)],
)
def test_an_attribute_marks_a_message_of_django(
    options: dict[str, Any], expected: bool, shop: Account
) -> None:
    message = EmailMessage("Code1234", "1234", None, ["Ann <ann@example.com>"])
    message.outbox = options  # type: ignore[attr-defined]
    message.send()
    assert is_sensitive() is expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("yes", True), ("True", True), ("1", True), ("no", False), ("off", False)],
)
def test_a_header_marks_a_message_and_is_not_sent(word: str, expected: bool, shop: Account) -> None:
    headers = {"X-Outbox-Sensitive": word, "X-Other": "stays"}
    EmailMessage("Code", "1234", None, ["ann@example.com"], headers=headers).send()
    assert is_sensitive() is expected
    assert b"sensitive" not in source().lower()
    assert b"X-Other: stays" in source()
    Message.objects.all().delete()
    api.send(to="ann@example.com", subject="Code", text="1", headers=headers)
    assert is_sensitive() is expected
    assert b"sensitive" not in source().lower()
    Message.objects.all().delete()
    api.send_many([api.MergeRow("ann@example.com")], subject="A", text="1", headers=headers)
    assert is_sensitive() is expected
    assert b"sensitive" not in source().lower()


def test_the_option_precedes_the_header(shop: Account) -> None:
    headers = {"x-outbox-sensitive": "yes"}
    api.send(to="ann@example.com", subject="A", text="1", headers=headers, sensitive=False)
    assert not is_sensitive()


def test_a_header_that_cannot_be_read_is_rejected(shop: Account) -> None:
    headers = {"X-Outbox-Sensitive": "perhaps"}
    with pytest.raises(InvalidMessageError, match="must be yes or no, not 'perhaps'"):
        api.send(to="ann@example.com", subject="A", text="1", headers=headers)
    with pytest.raises(InvalidMessageError, match="must be yes or no"):
        EmailMessage("A", "1", None, ["ann@example.com"], headers=headers).send()


def test_the_form_of_django_s_password_reset_needs_no_mark(shop: Account, ann: User) -> None:
    """In any project: nothing of it was changed."""
    User.objects.filter(pk=ann.pk).update(email="ann@example.com")
    form = PasswordResetForm({"email": "ann@example.com"})
    assert form.is_valid()
    form.save(
        domain_override="example.com",
        email_template_name="registration/password_reset_email.html",
        request=RequestFactory().get("/"),
    )
    assert is_sensitive()
    assert re.search(rb"-[0-9a-f]{32}", source())


@pytest.mark.parametrize("where", ["text", "html"])
def test_a_message_with_a_token_of_a_password_reset_is_sensitive(
    where: str, shop: Account, ann: User
) -> None:
    token = default_token_generator.make_token(ann)
    content: dict[str, Any] = {where: f"Go to https://example.com/reset/key/3-{token}/"}
    api.send(to="ann@example.com", subject="Reset", **content)
    assert is_sensitive()
    Message.objects.all().delete()
    message = EmailMultiAlternatives("Reset", content.get("text", ""), None, ["ann@example.com"])
    message.attach_alternative(content.get("html", "-"), "text/html")
    message.send()
    assert is_sensitive()


@pytest.mark.parametrize(
    "text",
    [
        "order-0123456789abcdef0123456789abcdefff",  # longer
        "0123456789abcdef0123456789abcdef",  # a hash
        "id 7b3f1c9e-0123-4567-89ab-0123456789ab",  # a UUID
        "- 0123456789abcdef0123456789abcdef",
    ],
)
def test_other_texts_are_not_sensitive(text: str, shop: Account) -> None:
    api.send(to="ann@example.com", subject="A", text=text)
    assert not is_sensitive()


def test_the_detection_can_be_turned_off(shop: Account, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"DETECT_RESET_LINKS": False}
    api.send(to="ann@example.com", subject="A", text=f"https://example.com/reset/MQ/{TOKEN}/")
    assert not is_sensitive()


def test_what_a_person_composed_stays_theirs(shop: Account, ann: User) -> None:
    Account.objects.update(owner=ann, is_app_default=False)
    fields = api.DraftFields(
        account=shop, to="bob@example.net", text=f"https://example.com/{TOKEN}/"
    )
    sent = api.send_draft(api.save_draft(ann, fields), actor=ann)
    assert not sent.is_sensitive
    assert Contact.objects.count() == 1


@pytest.mark.parametrize("kind", DraftKind)
def test_no_draft_is_made_from_a_sensitive_message(
    kind: DraftKind, shop: Account, ann: User
) -> None:
    handle = api.send(to="ann@example.com", subject="A", text="1", owner=ann, sensitive=True)
    with pytest.raises(InvalidMessageError, match="cannot be copied into a draft"):
        api.reply_to_message(handle.message(), kind, actor=ann)
    with pytest.raises(InvalidMessageError):
        api.files_of(handle.message())


def test_a_rendered_message_can_be_marked(account: Account) -> None:
    item = api.Outgoing(
        source=b"From: a@example.org\r\nSubject: Code1234\r\n\r\n1234\r\n",
        envelope_sender="a@example.org",
        recipients=[api.OutgoingRecipient("bob@example.net")],
        account=account,
        sensitive=True,
    )
    [message] = api.queue_sources([item])
    assert (message.is_sensitive, message.subject) == (True, "")
    assert Source.objects.get().erase_at == message.expires_at
