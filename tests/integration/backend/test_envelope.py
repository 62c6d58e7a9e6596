"""The envelope is Django's, with each mailbox once and no Bcc recipient in the source."""

import django
import pytest
from django.core.mail import EmailMessage

from outbox.models import Message, Recipient, Role
from tests.integration.backend.conftest import by_django, by_outbox

pytestmark = pytest.mark.usefixtures("app_account")


def test_it_is_the_envelope_django_would_use() -> None:
    message = EmailMessage(
        from_email='"Shop, The" <bounces@example.com>',
        to=['"Doe, Jane" <jane@example.com>', "root"],
        cc=["cc@Example.COM"],
        bcc=["Blind <bcc@example.com>"],
        headers={"From": "shop@example.com", "To": "list@example.com"},
    )

    expected = by_django(message)
    message.send()

    assert (by_outbox().sender, by_outbox().recipients) == (expected.sender, expected.recipients)


@pytest.mark.parametrize(
    "address",
    [
        '"john smith"@example.com',
        '"(eve)"@example.com',
        r'"a \"b\" c"@example.com',
        '"a@b"@[127.0.0.1]',
    ],
)
def test_a_local_part_in_quotes_may_hold_what_a_bare_one_may_not(address: str) -> None:
    """RFC 5321 4.1.2: Quoted-string."""
    message = EmailMessage(from_email=address, to=["jane@example.com", address])

    message.send()

    assert by_outbox().sender == address
    assert by_outbox().recipients == ["jane@example.com", address]


def test_it_keeps_name_and_role_of_each_recipient() -> None:
    EmailMessage(to=["Jane <a@example.com>"], cc=["b@example.com"], bcc=["c@example.com"]).send()

    rows = Recipient.objects.values_list("role", "name", "address")
    assert list(rows) == [
        (Role.TO, "Jane", "a@example.com"),
        (Role.CC, "", "b@example.com"),
        (Role.BCC, "", "c@example.com"),
    ]


def test_it_sends_once_to_a_mailbox_named_twice() -> None:
    EmailMessage(to=["a@example.com", "A <a@EXAMPLE.com>"], bcc=["a@example.com"]).send()

    assert by_outbox().recipients == ["a@example.com"]


def test_a_blind_copy_is_not_in_the_source() -> None:
    EmailMessage(to=["a@example.com"], bcc=["Secret <hidden@example.com>"]).send()

    assert b"hidden" not in by_outbox().source
    assert by_outbox().recipients == ["a@example.com", "hidden@example.com"]


@pytest.mark.skipif(django.VERSION >= (6,), reason="Django 6 refuses a Bcc header itself")
def test_it_takes_a_bcc_header_out_and_sends_to_it() -> None:
    hidden = "Secret <hidden@example.com>, other@example.com"
    EmailMessage(to=["a@example.com"], headers={"Bcc": hidden}).send()

    assert b"hidden" not in by_outbox().source
    assert by_outbox().recipients == ["a@example.com", "hidden@example.com", "other@example.com"]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        pytest.param("a@bücher.example", "a@bücher.example", id="as both standards have it"),
        pytest.param("a@faß.example", "a@fass.example", id="where they differ, as in the header"),
        pytest.param("A <a@i€.example>", "a@i€.example", id="forbidden by IDNA 2008"),
        pytest.param("a@xn--fa-hia.example", "a@xn--fa-hia.example", id="encoded already"),
    ],
)
def test_a_domain_outside_ascii_is_the_one_in_the_header(typed: str, kept: str) -> None:
    EmailMessage(to=[typed]).send()

    assert by_outbox().recipients == [kept]
    domain = kept.partition("@")[2].encode("idna")
    assert b"@" + domain in by_outbox().source


@pytest.mark.parametrize(
    "address",
    [
        "taro..suzuki@mobile.example.jp",
        "taro.@mobile.example.jp",
        ".taro@mobile.example.jp",
        '"taro..suzuki"@mobile.example.jp',
        '"a b"@example.com',
        f"reply+{'A7' * 36}@reply.tracker.example",
    ],
)
def test_a_local_part_is_sent_as_django_sends_it(address: str) -> None:
    message = EmailMessage(to=[f"Taro <{address}>"])

    try:
        expected = list(by_django(message).recipients)
    except ValueError:  # since Django 6.0 its own backend refuses some that real mailboxes have
        expected = [address]
    message.send()

    assert list(by_outbox().recipients) == expected


def test_it_asks_recipients_of_a_subclass_that_chooses_them() -> None:
    class Diverted(EmailMessage):
        def recipients(self) -> list[str]:
            return ["tester@example.com"]

    Diverted(to=["customer@example.com"]).send()

    assert by_outbox().recipients == ["tester@example.com"]


@pytest.mark.parametrize(
    ("header", "importance", "place"),
    [
        pytest.param({}, "normal", 3, id="no header"),
        pytest.param({"X-Priority": "1"}, "high", 1, id="highest"),
        pytest.param({"X-Priority": "2"}, "high", 1, id="high"),
        pytest.param({"X-Priority": "4"}, "low", 5, id="low"),
        pytest.param({"X-Priority": "5 (Lowest)"}, "low", 5, id="with a comment"),
        pytest.param({"X-Priority": "urgent"}, "normal", 3, id="not a number"),
    ],
)
def test_importance_and_place_in_the_queue_follow_x_priority(
    header: dict[str, str], importance: str, place: int
) -> None:
    EmailMessage(to=["a@example.com"], headers=header).send()

    message = Message.objects.get()
    assert (message.importance, message.recipients.get().priority) == (importance, place)
