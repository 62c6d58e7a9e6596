"""DKIM: what a server receives verifies, and a retry sends the same bytes."""

import hashlib
import re

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.urls import reverse

from outbox import api
from outbox.api import erasure
from outbox.delivery import signing_keys
from outbox.mail.dkim_keys import Algorithm
from outbox.models import Attempt, KeyState, Message, SigningKey, State
from outbox.reasons import ReasonCode
from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.dkim_dns import records, verified
from tests.integration.delivery.mail_client import (
    BOB,
    Working,
    account_at,
    all_in,
    deliver,
    last_attempt,
    queue,
    queue_many,
    row,
    states,
    until,
)
from tests.integration.web.conftest import signed_in
from tests.planted import CODES, queue_planted

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = "offer PIPELINING, SIZE 35882577, DSN"
ALL = f"{SHORT}, 8BITMIME, SMTPUTF8"
EIGHT_BIT = (
    b"Message-ID: <8@example.org>\r\nFrom: alice@example.org\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "grüße\r\n.\r\n..\r\n.x\r\n".encode()
)
UTF8_HEAD = (
    "Message-ID: <9@example.org>\r\nFrom: Jörg <alice@example.org>\r\nSubject: 你好\r\n\r\nHi\r\n"
).encode()


def a_key(
    algorithm: Algorithm = Algorithm.RSA, *, domain: str = "example.org", active: bool = True
) -> SigningKey:
    key = api.generate_signing_key(domain, algorithm)
    if active:
        api.activate_signing_key(key)
    return key


@pytest.fixture
def both_keys(db: None) -> list[SigningKey]:
    return [a_key(Algorithm.RSA), a_key(Algorithm.ED25519)]


def received(lab: FaultLab) -> bytes:
    """Return the message that the lab accepted last."""
    return bytes(lab.ledger.accepted[-1].source)


def signature_of(message: Message) -> bytes:
    return (last_attempt(message).signature or "").encode()


@pytest.mark.parametrize("offer", [ALL, f"{ALL}, CHUNKING", "offer 8BITMIME, SMTPUTF8"])
@pytest.mark.parametrize("source", [EIGHT_BIT, UTF8_HEAD], ids=["8-bit, with dots", "UTF-8 header"])
def test_what_the_server_receives_verifies_with_each_key(
    fault_lab: StartLab, both_keys: list[SigningKey], offer: str, source: bytes
) -> None:
    a_key(active=False)
    lab = fault_lab(offer)
    message = queue(account_at(lab), source=source)
    deliver()
    assert states(message) == [State.SENT]
    assert verified(received(lab), records()) == [True, True]
    assert received(lab) == signature_of(message) + message.source.read()
    assert message.source.read() == source
    assert [one.algorithm for one in last_attempt(message).signatures] == list(Algorithm)
    assert lab.ledger.violations == []


def test_a_file_is_signed_too(
    fault_lab: StartLab, both_keys: list[SigningKey], settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    lab = fault_lab(ALL)
    message = queue(account_at(lab), source=EIGHT_BIT + b"0123456789abcdef \t\r\n" * 70_000)
    deliver()
    assert states(message) == [State.SENT]
    assert verified(received(lab), records()) == [True, True]


@pytest.mark.parametrize(
    "script", [SHORT, f"{ALL}\nreject 8BITMIME: 555 5.5.4 Unsupported option: BODY"]
)
def test_the_seven_bit_form_is_signed_where_it_is_sent(
    fault_lab: StartLab, both_keys: list[SigningKey], script: str
) -> None:
    lab = fault_lab(script)
    message = queue(account_at(lab), source=EIGHT_BIT)
    deliver()
    assert states(message) == [State.SENT]
    assert received(lab).isascii()
    assert verified(received(lab), records()) == [True, True]
    form = received(lab).removeprefix(signature_of(message))
    assert last_attempt(message).sent_sha256 == hashlib.sha256(form).hexdigest()


def test_a_retry_sends_the_same_bytes_also_after_a_rotation(fault_lab: StartLab) -> None:
    former = a_key()
    lab = fault_lab("on connection 1: at dot: 451 4.3.0 try again")
    message = queue(account_at(lab), source=EIGHT_BIT)
    deliver()
    assert states(message) == [State.DEFERRED]
    a_key(Algorithm.ED25519)
    api.retire_signing_key(former)
    api.retry(message)
    deliver()
    assert states(message) == [State.SENT]
    first, second = lab.ledger.transactions
    assert first.source == second.source
    assert verified(bytes(second.source), records(former)) == [True]


def test_a_removed_key_is_not_used_by_a_retry(fault_lab: StartLab) -> None:
    """Its record is not published any more."""
    former = a_key()
    lab = fault_lab("on connection 1: at dot: 451 4.3.0 try again")
    message = queue(account_at(lab), source=EIGHT_BIT)
    deliver()
    api.retire_signing_key(former)
    api.remove_signing_key(former)
    present = a_key(Algorithm.ED25519)
    api.retry(message)
    deliver()
    assert verified(received(lab), records(present)) == [True]


def test_a_retry_on_a_server_without_8bitmime_signs_the_other_form(
    fault_lab: StartLab, both_keys: list[SigningKey]
) -> None:
    lab = fault_lab(f"{ALL}\nat dot: 451 4.3.0 try again")
    message = queue(account_at(lab), source=EIGHT_BIT)
    deliver()
    lab.play(SHORT)
    api.retry(message)
    deliver()
    assert received(lab).isascii()
    assert verified(received(lab), records()) == [True, True]


def test_each_transaction_of_a_message_sends_the_same_signature(
    fault_lab: StartLab, both_keys: list[SigningKey], settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"RECIPIENTS_PER_TRANSACTION": 1}
    lab = fault_lab(ALL)
    message = queue(account_at(lab), BOB, "eve@example.net")
    deliver()
    assert states(message) == [State.SENT] * 2
    first, second = lab.ledger.accepted
    assert first.source == second.source
    assert verified(bytes(first.source), records()) == [True, True]


def test_the_page_of_the_message_names_domain_and_selector(
    fault_lab: StartLab, both_keys: list[SigningKey]
) -> None:
    message = queue(account_at(fault_lab(ALL)))
    deliver()
    client = signed_in(User.objects.create_superuser("staff"))
    page = client.get(reverse("outbox:message", args=[message.pk])).content.decode()
    assert "DKIM signature" in page
    for key in both_keys:
        assert f"selector {key.selector}, {key.algorithm}" in page


def test_a_rejected_envelope_stores_no_signature(
    fault_lab: StartLab, both_keys: list[SigningKey]
) -> None:
    message = queue(account_at(fault_lab("at rcpt: 550 5.1.1 no such user")))
    deliver()
    assert last_attempt(message).signature is None


@pytest.mark.parametrize("state", [KeyState.NEW, KeyState.RETIRED])
def test_only_an_active_key_signs(fault_lab: StartLab, state: KeyState) -> None:
    a_key(active=False)
    SigningKey.objects.update(state=state)
    lab = fault_lab(ALL)
    message = queue(account_at(lab))
    deliver()
    assert received(lab) == message.source.read()
    assert last_attempt(message).signature is None


def test_the_key_of_another_domain_does_not_sign(fault_lab: StartLab) -> None:
    a_key(domain="example.com")
    lab = fault_lab(ALL)
    message = queue(account_at(lab))
    deliver()
    assert received(lab) == message.source.read()


@pytest.mark.parametrize(
    ("allowed", "is_signed"), [("", False), ("Example.org", True), ("a.example EXAMPLE.org", True)]
)
def test_the_account_of_a_user_signs_only_for_domains_that_staff_allow(
    fault_lab: StartLab,
    both_keys: list[SigningKey],
    settings: LazySettings,
    allowed: str,
    is_signed: bool,
) -> None:
    """A user may enter any server. The setting allows its domains as senders, to every user."""
    settings.OUTBOX = settings.OUTBOX | {"SENDER_DOMAINS": ["example.org"]}
    ann = User.objects.create_user("ann")
    lab = fault_lab(ALL)
    queue(account_at(lab, owner=ann, sender_domains=allowed))
    deliver()
    assert (b"DKIM-Signature" in received(lab)) is is_signed


def test_without_a_readable_key_the_message_waits(
    fault_lab: StartLab, both_keys: list[SigningKey], settings: LazySettings
) -> None:
    keys = settings.OUTBOX["SECRET_KEYS"]
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [Fernet.generate_key().decode()]}
    lab = fault_lab(ALL)
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.DEFERRED]
    assert row(message).reason.code == ReasonCode.SIGNING_KEY_UNREADABLE
    assert lab.ledger.transactions == []
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": keys}
    api.retry(message)
    deliver()
    assert verified(received(lab), records()) == [True, True]


def test_one_readable_key_is_enough(fault_lab: StartLab, both_keys: list[SigningKey]) -> None:
    lost, good = both_keys
    SigningKey.objects.filter(pk=lost.pk).update(private_encrypted=good.private_encrypted)
    lab = fault_lab(ALL)
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.SENT]
    assert verified(received(lab), records(good)) == [True]


def test_of_a_sensitive_message_only_the_names_of_the_keys_are_stored(
    fault_lab: StartLab, both_keys: list[SigningKey]
) -> None:
    """A hash of a short code in a known text would reveal the code."""
    lab = fault_lab("on connection 1: at dot: 451 4.3.0 try again")
    sender = account_at(lab)
    message = queue_planted(sender)
    deliver()
    api.retry(message)
    deliver()
    assert states(message) == [State.SENT]
    first, second = lab.ledger.transactions
    assert first.source == second.source
    assert CODES["html"].encode() in second.source
    assert verified(bytes(second.source), records()) == [True, True]
    for attempt in Attempt.objects.all():
        assert [one.domain for one in attempt.signatures] == ["example.org"] * 2
        assert "bh=" not in (attempt.signature or "")
        assert " b=" not in (attempt.signature or "")


def test_erasing_an_address_keeps_only_the_names_of_the_keys(
    fault_lab: StartLab, both_keys: list[SigningKey]
) -> None:
    """The signature would confirm a guess of the address."""
    message = queue(account_at(fault_lab(ALL)), BOB, "eve@example.net")
    deliver()
    assert "bh=" in (last_attempt(message).signature or "")
    erasure.erase_address(BOB)
    assert [one.domain for one in last_attempt(message).signatures] == ["example.org"] * 2
    assert "bh=" not in (last_attempt(message).signature or "")


def test_the_keys_are_read_once_for_many_messages(
    fault_lab: StartLab, both_keys: list[SigningKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = signing_keys._stored_keys

    def counted(using: str) -> list[SigningKey]:
        reads.append(using)
        return read(using)

    monkeypatch.setattr(signing_keys, "_stored_keys", counted)
    lab = fault_lab(ALL)
    queue_many(account_at(lab), 20)
    deliver()
    assert len(lab.ledger.accepted) == 20
    assert len(reads) == 1


def test_a_running_worker_notices_new_keys(
    fault_lab: StartLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "_READ_AGAIN_AFTER", 0.0)
    lab = fault_lab(ALL)
    sender = account_at(lab)
    with Working():
        first = queue(sender)
        until(all_in(State.SENT, [first]), "the first message was sent")
        a_key()
        second = queue(sender)
        until(all_in(State.SENT, [second]), "the second message was sent")
    unsigned, signed = lab.ledger.accepted
    assert verified(bytes(unsigned.source), records()) == []
    assert verified(bytes(signed.source), records()) == [True]


def test_both_headers_of_one_click_are_signed(
    fault_lab: StartLab, both_keys: list[SigningKey], settings: LazySettings
) -> None:
    """RFC 8058 4: otherwise the provider must not offer it."""
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": "https://mail.example.com"}
    lab = fault_lab(ALL)
    account = account_at(lab)
    handle = api.send(to=BOB, text="News", account=account, unsubscribe=True)
    deliver()
    assert states(handle.message()) == [State.SENT]

    source = received(lab)
    for found in re.findall(rb"\sh=([^;]*);", source):
        names = re.sub(rb"\s", b"", found).split(b":")
        assert {b"List-Unsubscribe", b"List-Unsubscribe-Post"} <= set(names)
    assert verified(source, records()) == [True, True]
    one_click = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    assert one_click in source
    assert verified(source.replace(one_click, b""), records()) == [False, False]
    assert verified(source.replace(b"/unsubscribe/", b"/elsewhere/"), records()) == [False, False]
