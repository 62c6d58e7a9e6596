"""send(): every argument is in the source and in the rows."""

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from outbox import api
from outbox.exceptions import InvalidMessageError, NoAccountError
from outbox.models import Account, Message, Origin, Recipient, Role, State, Status
from tests.integration.api.conftest import SOURCE
from tests.integration.api.reading import body, read

pytestmark = pytest.mark.usefixtures("shop")


def test_its_words_and_addresses_are_sent() -> None:
    handle = api.send(
        to="Ann <ann@example.com>",
        cc=["ben@example.com", "Cid <cid@example.com>"],
        reply_to="help@example.com",
        subject="Your order",
        text="It left.",
        html="<p>It <b>left</b>.</p>",
    )

    mail = read(handle)
    assert mail["From"] == "The Shop <shop@example.com>"
    assert mail["To"] == "Ann <ann@example.com>"
    assert mail["Cc"] == "ben@example.com, Cid <cid@example.com>"
    assert mail["Reply-To"] == "help@example.com"
    assert mail["Subject"] == "Your order"
    assert body(handle) == "It left."
    assert body(handle, "html") == "<p>It <b>left</b>.</p>"


@pytest.mark.parametrize("address", ['"john smith"@example.com', '"a@b, (c)"@example.com'])
def test_a_local_part_in_quotes_may_hold_a_space(address: str) -> None:
    handle = api.send(to=f"John Smith <{address}>", subject="Hello", text=".")

    assert list(handle.recipients()) == [address]
    assert f"John Smith <{address}>".encode() in Message.objects.get().source.read()


def test_bcc_is_an_envelope_recipient_that_no_reader_sees() -> None:
    handle = api.send(to="ann@example.com", bcc="eve@example.com", subject="Hello", text="Hello")

    assert "eve" not in read(handle).as_string()
    roles = Recipient.objects.filter(message=handle.pk).values_list("address", "role")
    assert dict(roles) == {"ann@example.com": Role.TO, "eve@example.com": Role.BCC}


def test_html_alone_gets_a_text_made_of_it() -> None:
    handle = api.send(to="ann@example.com", subject="Hello", html="<p>Hello, <b>Ann</b></p>")

    assert body(handle) == "Hello, Ann"


def test_a_file_is_attached() -> None:
    invoice = api.AttachmentPart(name="invoice.pdf", content_type="application/pdf", data=b"%PDF-")

    handle = api.send(to="ann@example.com", subject="Invoice", text=".", attachments=[invoice])

    (part,) = read(handle).iter_attachments()
    assert (part.get_filename(), part.get_content()) == ("invoice.pdf", b"%PDF-")
    assert handle.message().attachment_count == 1


def test_a_header_of_ones_own_is_sent() -> None:
    handle = api.send(
        to="ann@example.com", subject="News", text=".", headers={"List-Id": "<news.example.com>"}
    )

    assert read(handle)["List-Id"] == "<news.example.com>"


@pytest.mark.parametrize("by", ["itself", "name", "id"])
def test_the_account_is_named(by: str) -> None:
    other = Account.objects.create(
        name="billing", from_address="billing@example.com", host="mail.example.com"
    )
    ways: dict[str, Account | str | int] = {"itself": other, "name": "billing", "id": other.pk}

    handle = api.send(to="ann@example.com", subject="Invoice", text=".", account=ways[by])

    assert read(handle)["From"] == "billing@example.com"
    assert handle.message().account == other


def test_an_account_that_does_not_exist_is_an_error_and_queues_nothing() -> None:
    with pytest.raises(NoAccountError, match="no account 'missing'"):
        api.send(to="ann@example.com", subject="Hello", text=".", account="missing")

    assert not Message.objects.exists()


def test_it_is_seen_among_its_owner_s_mail(ann: User) -> None:
    handle = api.send(to="ben@example.com", subject="Hello", text=".", owner=ann)

    assert list(Message.objects.visible_to(ann)) == [handle.message()]
    assert handle.message().origin == Origin.API


def test_it_joins_the_transaction_of_the_caller() -> None:
    with transaction.atomic():
        api.send(to="ann@example.com", subject="Hello", text=".")
        transaction.set_rollback(True)

    assert not Message.objects.exists()


def test_it_waits_for_its_first_attempt() -> None:
    handle = api.send(to="ann@example.com", subject="Hello", text=".")

    assert handle.status() == Status.QUEUED
    assert handle.recipients()["ann@example.com"].state == State.QUEUED


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        pytest.param("to", {"to": ""}, id="no recipient"),
        pytest.param("to", {"to": "no address"}, id="no address"),
        pytest.param("cc", {"cc": ["ann@"]}, id="half an address"),
        pytest.param("subject", {"subject": "one\ntwo"}, id="two lines of subject"),
        pytest.param("List-Id", {"headers": {"List-Id": "a\r\nBcc: eve@example.com"}}, id="inject"),
        pytest.param("Bcc", {"headers": {"Bcc": "eve@example.com"}}, id="a header of the outbox"),
        pytest.param("Errors-To", {"headers": {"Errors-To": "Ann"}}, id="a header without address"),
        pytest.param(
            "attachments[0]",
            {"attachments": [api.AttachmentPart(name="a.pdf", content_type="pdf", data=b"%PDF")]},
            id="no content type",
        ),
        pytest.param("context", {"context": {}, "text": "{{ name }}"}, id="no value for a name"),
        pytest.param("text", {"context": {}, "text": "{% if %}"}, id="an invalid template"),
    ],
)
def test_a_mistake_is_named_and_queues_nothing(field: str, wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"to": "ann@example.com", "subject": "Hello", "text": "."}

    with pytest.raises(InvalidMessageError) as raised:
        api.send(**(arguments | wrong))  # type: ignore[arg-type]  # the table is of many types

    assert raised.value.field == field
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        "ann smith@example.com",
        "ann@example.com>",
        "<ann@example.com",
        "ann@example.com\r\nRCPT TO:<eve@example.com>",
        '"ann"smith@example.com',
        '"ann\0"@example.com',
        '"ann@example.com',
        "ann(b)@example.com",
        "ann\ud800@example.com",
        "ann@" + "x" * 260,
    ],
)
@pytest.mark.parametrize("field", ["from", "to"])
def test_a_finished_mail_with_an_address_that_no_session_could_name_is_refused(
    field: str, address: str
) -> None:
    item = api.Outgoing(
        source=SOURCE,
        envelope_sender=address if field == "from" else "",
        recipients=[api.OutgoingRecipient(address if field == "to" else "ann@example.com")],
    )
    with pytest.raises(InvalidMessageError, match="Not an address") as raised:
        api.queue_sources([item])

    assert raised.value.field == field
    assert not Message.objects.exists()
