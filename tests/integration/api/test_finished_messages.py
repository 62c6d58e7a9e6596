"""Messages that an app rendered itself: what is queued is valid, and leaves byte for byte."""

import email.policy
from email.message import EmailMessage
from typing import Any

import pytest

from outbox import api
from outbox.exceptions import InvalidMessageError, NoAccountError
from outbox.models import Account, Message, Recipient
from outbox.testing.inbox import Inbox
from outbox.testing.mailserver import MailServer

HEAD = b"From: shop@example.com\r\nTo: ann@example.com\r\nSubject: Hello\r\n"
SOURCE = HEAD + b"\r\nHello\r\n"


def outgoing(source: bytes = SOURCE, *addresses: str, **fields: Any) -> api.Outgoing:
    return api.Outgoing(
        source=source,
        envelope_sender="shop@example.com",
        recipients=[api.OutgoingRecipient(one) for one in addresses or ("ann@example.com",)],
        **fields,
    )


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(SOURCE + b"a\0b\r\n", id="NUL in the body"),
        pytest.param(HEAD + b"X-One: a\0b\r\n\r\nHello\r\n", id="NUL in the header"),
        pytest.param(HEAD + b"X-One: a\rBcc: eve@example.com\r\n\r\n.\r\n", id="CR in the header"),
        pytest.param(HEAD + b"X-One: a\nBcc: eve@example.com\r\n\r\n.\r\n", id="LF in the header"),
        pytest.param(HEAD + b"X-One: a\r\n\n\r\nHello\r\n", id="LF ends the header"),
        pytest.param(SOURCE + b"a\rb\r\n", id="CR in the body"),
        pytest.param(SOURCE + b"a\nb\r\n", id="LF in the body"),
        pytest.param(SOURCE + b"\r\r\n", id="CR before a line end"),
        pytest.param(SOURCE.replace(b"\r\n", b"\n"), id="LF everywhere"),
        pytest.param(SOURCE + b"no end", id="no end of the last line"),
        pytest.param(SOURCE + b"a\r\n.\nRCPT TO:<eve@example.com>\r\n", id="smuggled end"),
        pytest.param(HEAD + b"Bcc: eve@example.com\r\n\r\nHello\r\n", id="Bcc"),
        pytest.param(HEAD + b"BCC:\r\n eve@example.com\r\n\r\nHello\r\n", id="folded BCC"),
        pytest.param(HEAD + b"Resent-Bcc: e@example.com\r\n\r\nHello\r\n", id="Resent-Bcc"),
        pytest.param(HEAD + b"no header field\r\n\r\nHello\r\n", id="no header field"),
        pytest.param(HEAD + HEAD + b"\r\nHello\r\n", id="two of each header"),
        pytest.param(b"To: ann@example.com\r\n\r\nHello\r\n", id="no From"),
        pytest.param(SOURCE + b"x" * 999 + b"\r\n", id="a line that is too long"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="an empty line"),
    ],
)
@pytest.mark.parametrize("queue", [api.queue_ids, api.queue_sources])
def test_bytes_that_could_not_leave_as_they_are_are_refused(queue: Any, source: bytes) -> None:
    with pytest.raises(InvalidMessageError, match="The message cannot be sent: ") as raised:
        queue([outgoing(), outgoing(source)])

    assert raised.value.field == "source"
    assert not Message.objects.exists()


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com.",
        "ann@.example.com",
        "ann@example..com",
        "ann@-example.com",
        "ann@exa_mple.com>",
        "ann@[300.1.1.1]",
        "ann@example.com, ben@example.com",
        "Ann <ann@example.com>",
        "ann@" + "x" * 64 + ".com",
        "@example.com",
        "ann@",
        "",
        "ann@example.com\n",
        "ann@exämple..com",
    ],
)
@pytest.mark.parametrize("field", ["from", "to"])
def test_an_address_that_send_refuses_is_refused(field: str, address: str) -> None:
    item = api.Outgoing(
        source=SOURCE,
        envelope_sender=(address or "@") if field == "from" else "shop@example.com",
        recipients=[api.OutgoingRecipient(address if field == "to" else "ann@example.com")],
    )

    with pytest.raises(InvalidMessageError, match="Not an address") as raised:
        api.queue_ids([item])

    assert raised.value.field == field
    assert not Message.objects.exists()


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("address", ["root", "ann+b@exa-mple.co.uk", "ann@xn--bcher-kva.example"])
def test_an_address_of_another_form_passes(address: str) -> None:
    api.queue_ids([outgoing(SOURCE, address)])

    assert Recipient.objects.get().address == address


@pytest.mark.usefixtures("shop")
def test_an_address_named_twice_gets_one_copy_as_in_send() -> None:
    api.queue_ids([outgoing(SOURCE, "ann@example.com", "ann@EXAMPLE.com", "Ann@example.com")])

    addresses = Recipient.objects.order_by("pk").values_list("address", flat=True)
    assert list(addresses) == ["ann@example.com", "Ann@example.com"]


@pytest.mark.usefixtures("shop")
def test_an_account_that_was_deleted_is_said_to_be_gone(shop: Account) -> None:
    stale = Account.objects.get(pk=shop.pk)
    Account.objects.all().delete()

    with pytest.raises(NoAccountError, match="was deleted"):
        api.queue_ids([outgoing(account=stale)])


def _built() -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "Zoë <shop@example.com>"
    message["To"] = "ann@example.com"
    message["Subject"] = "Grüße " * 30
    message.set_content("Grüße\n.\n..\nFrom here\n" + "x" * 900, cte="8bit")
    message.add_attachment(bytes(range(256)), "application", "octet-stream", filename="ä.bin")
    return message.as_bytes()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(SOURCE, id="short"),
        pytest.param(_built(), id="built by Python"),
        pytest.param(SOURCE + b".\r\n..\r\n.x\r\n\r\n\r\n", id="dots and empty lines"),
        pytest.param(HEAD + b"\r\n", id="no body"),
        pytest.param(HEAD, id="a header alone"),
        pytest.param(SOURCE + b"\x01\x1a\x7f\x0c\x0b\r\n", id="control characters"),
    ],
)
def test_what_was_given_is_stored_and_what_is_stored_leaves(
    source: bytes,
    inbox: Inbox,  # the fixture above
    mail_server: MailServer,
) -> None:
    (pk,) = api.queue_ids([outgoing(source)])

    inbox.drain(mail_server)

    assert Message.objects.get(pk=pk).source.read() == source
    assert _received(mail_server) == source


def _received(server: MailServer) -> bytes:
    """Return the message that the server got, without the trace headers that it adds."""
    (message,) = server.mailboxes.messages("ann@example.com")
    return message.source
