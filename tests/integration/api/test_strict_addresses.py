"""A value that comes from a form cannot add a recipient."""

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Message, Recipient
from tests.email_backend import use_backend

FIELDS = ("to", "cc", "bcc", "reply_to")
SEVERAL = {  # each has more than the one address that an item may have
    "a header": "v@example.org\r\nBcc: evil@evil.example",
    "a line feed": "v@example.org\nevil@evil.example",
    "a carriage return": "v@example.org\revil@evil.example",
    "a line separator": "v@example.org\u2028evil@evil.example",
    "a next line": "v@example.org\x85evil@evil.example",
    "a vertical tab": "v@example.org\x0bevil@evil.example",
    "a comma": "v@example.org, evil@evil.example",
    "a semicolon": "v@example.org; evil@evil.example",
    "a space": "v@example.org evil@evil.example",
    "a full-width comma": "v@example.org，evil@evil.example",
    "a group": "Bcc: v@example.org, evil@evil.example;",
    "a group of one": "x: evil@evil.example;",
    "a prefix": "mailto:evil@evil.example",
    "no address": "",
    "a blank": " ",
}
LEGAL_SEVERAL = {"a comma", "a semicolon", "no address", "a blank"}  # of a text, not of an item


def send(field: str, value: object) -> None:
    fields = {"to": "ok@example.org", field: value}
    api.send(subject="Hi", text="Hello.", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", SEVERAL)
def test_an_item_of_a_list_is_exactly_one_address(kind: str, field: str, shop: Account) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        send(field, ["ann@example.org", SEVERAL[kind]])
    assert raised.value.field == field
    assert not Message.objects.exists()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", SEVERAL.keys() - LEGAL_SEVERAL)
def test_a_text_has_no_line_break_and_no_group(kind: str, field: str, shop: Account) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        send(field, SEVERAL[kind])
    assert raised.value.field == field
    assert not Message.objects.exists()


def test_a_text_may_have_several_addresses(shop: Account) -> None:
    send("to", 'Ann <ann@example.org>, "Doe, Bob" <bob@example.org>')
    found = Recipient.objects.order_by("pk").values_list("name", "address")
    assert list(found) == [("Ann", "ann@example.org"), ("Doe, Bob", "bob@example.org")]


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize("kind", SEVERAL)
def test_so_are_the_rows_of_a_bulk_send(kind: str, field: str, shop: Account) -> None:
    fields = {"to": ["ok@example.org"], field: [SEVERAL[kind]]}
    result = api.send_many([api.MergeRow(**fields)], subject="Hi", text="Hello.")  # type: ignore[arg-type]
    assert [refused.error.field for refused in result.refused] == [field]
    assert not Message.objects.exists()


@pytest.mark.parametrize("kind", SEVERAL.keys() - {"no address"})
def test_the_other_addresses_are_single_too(kind: str, shop: Account) -> None:
    with pytest.raises(InvalidMessageError):
        send("envelope_sender", SEVERAL[kind] if SEVERAL[kind].strip() else "x y")
    with pytest.raises(InvalidMessageError):
        api.queue_ids(
            [
                api.Outgoing(
                    source=b"From: a@example.org\r\n\r\nHi\r\n",
                    envelope_sender="a@example.org",
                    recipients=[api.OutgoingRecipient(SEVERAL[kind])],
                    account=shop,
                )
            ]
        )
    assert not Message.objects.exists()


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize("kind", SEVERAL.keys() - {"no address"})
def test_the_backend_takes_single_addresses(
    kind: str, field: str, shop: Account, settings: LazySettings
) -> None:
    use_backend(settings)
    message = EmailMessage("Hi", "Hello.", "a@example.org", ["ok@example.org"])
    setattr(message, field, [SEVERAL[kind]])
    with pytest.raises(ValueError):  # noqa: PT011  # Django's or ours
        message.send()
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    "value", ["x: evil@evil.example;", "Hidden: a@example.org, b@example.org;"]
)
def test_a_header_bcc_of_the_backend_has_no_group(
    value: str, shop: Account, settings: LazySettings
) -> None:
    use_backend(settings)
    message = EmailMessage("Hi", "Hello.", "a@example.org", ["ok@example.org"])
    message.extra_headers["Bcc"] = value
    with pytest.raises(ValueError):  # noqa: PT011  # Django's or ours
        message.send()
    assert not Message.objects.exists()


UNSAFE = {
    "a parameter": '"a> NOTIFY=NEVER <b"@example.org',
    "a bracket": '"a>b"@example.org',
    "an opening bracket": '"a<b"@example.org',
    "a parameter without brackets": '"a SIZE=1"@example.org',
    "a line separator": "a\u2028b@example.org",
    "a paragraph separator": "a\u2029b@example.org",
    "a quoted line separator": '"a\u2028b"@example.org',
    "an invisible mark": "a\u202eb@example.org",
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_an_address_that_a_server_may_misread_is_rejected(
    kind: str, shop: Account, settings: LazySettings
) -> None:
    use_backend(settings)
    for given in (UNSAFE[kind], [UNSAFE[kind]]):
        with pytest.raises(InvalidMessageError):
            send("to", given)
    with pytest.raises(ValueError):  # noqa: PT011  # Django's or ours
        EmailMessage("Hi", "Hello.", "a@example.org", [UNSAFE[kind]]).send()
    with pytest.raises(InvalidMessageError):
        api.queue_ids(
            [
                api.Outgoing(
                    source=b"From: a@example.org\r\n\r\nHi\r\n",
                    envelope_sender="a@example.org",
                    recipients=[api.OutgoingRecipient(UNSAFE[kind])],
                    account=shop,
                )
            ]
        )
    assert not Message.objects.exists()
