"""A message on its whole way: composed, rendered, signed, delivered by MX, fetched and displayed.

Postfix receives by MX and stores into a Maildir, from which Dovecot serves it by POP3. The key of
the signature is published in the DNS that also names Postfix.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dns.resolver
import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.urls import reverse

from dev.sockets import free_port
from outbox import api
from outbox.inbound.fetch import fetch_mailbox
from outbox.mail.dkim_keys import Algorithm
from outbox.models import Account, InboundMessage, Mailbox, Message, SigningKey
from outbox.testing.certificates import Authority, Certificate
from tests.dkim_dns import Lookup, verified
from tests.integration.delivery.conftest import OURS
from tests.integration.delivery.direct_lab import direct_account
from tests.integration.delivery.mail_client import deliver, last_attempt, states
from tests.integration.web.conftest import signed_in, typed
from tests.mailbox_servers import dovecot
from tests.mailbox_servers.dovecot import Dovecot
from tests.mx_servers import postfix, unpack
from tests.mx_servers.postfix import Postfix
from tests.shares import share
from tests.unbound_server import PROGRAM, Unbound

IS_REQUIRED = bool(os.environ.get("MAIL_SERVERS_REQUIRED"))
SENDER, RECIPIENT = "anna@sender.test", "ben@receiver.test"
HOST, ADDRESS = "mx.receiver.test", "127.0.74.1"
TEXT = "Grüße from the composer.\nFrom here on\n"
_TXT_MAX = 255  # octets of one string of a TXT record

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.system,
    pytest.mark.timeout(300),
]


class Receiver(NamedTuple):
    """The servers of the recipient's domain, and the DNS of both domains."""

    postfix: Postfix
    dovecot: Dovecot
    unbound: Unbound


@pytest.fixture
def key() -> SigningKey:
    key = api.generate_signing_key("sender.test", Algorithm.RSA)
    api.activate_signing_key(key)
    return key


@pytest.fixture
def receiver(key: SigningKey, settings: LazySettings, tmp_path: Path) -> Iterator[Receiver]:
    _require_programs()
    authority = Authority(tmp_path, [HOST])
    authority.context(Certificate.GOOD)  # it writes the file
    port = free_port()
    zones = {
        "receiver.test": f"@ 60 MX 10 mx\nmx 60 A {ADDRESS}\n",
        "sender.test": f"{key.record_name}. 60 TXT {_strings(key.record_text)}\n",
    }
    with (
        Postfix(port, {ADDRESS: tmp_path / f"{Certificate.GOOD}.pem"}) as receiving,
        Unbound(signed={}, plain=zones) as resolver,
        Dovecot(f"mail_location = maildir:{receiving.maildir}") as serving,
    ):
        trusted = tmp_path / "authorities.pem"
        trusted.write_text(authority.ca_file.read_text() + Path(serving.ca_file).read_text())
        settings.OUTBOX = (
            settings.OUTBOX
            | OURS
            | {
                "ALLOW_PRIVATE_HOSTS": True,
                "CA_FILE": str(trusted),
                "DNS_SERVERS": [resolver.address],
                "MX_PORT": port,
            }
        )
        yield Receiver(receiving, serving, resolver)


def test_a_composed_message_is_read_in_the_inbox_of_its_recipient(
    receiver: Receiver, key: SigningKey
) -> None:
    anna, ben = (User.objects.create_user(name) for name in ("anna", "ben"))
    account = direct_account(from_name="Anna", from_address=SENDER)
    share(account, anna)
    mailbox = _mailbox_of(ben, receiver.dovecot)

    signed_in(anna).post(
        reverse("outbox:compose"),
        typed(account, to=RECIPIENT, subject="你好, Ben", text=TEXT, send="1"),
    )
    message = Message.objects.get()
    deliver()

    assert states(message) == ["sent"]
    session = last_attempt(message).session
    assert session is not None
    assert (session.host, session.address, session.tls_achieved) == (HOST, ADDRESS, "verified")
    [stored] = receiver.postfix.stored()
    assert (stored.message_id, stored.recipient) == (message.message_id, RECIPIENT)

    outcome = fetch_mailbox(mailbox.pk)

    assert outcome.stored == 1, outcome.reason
    found = InboundMessage.objects.get()
    assert (found.account, found.message_id) == (mailbox.account, message.message_id)
    reader = signed_in(ben)
    assert "你好, Ben" in reader.get(reverse("outbox:inbox")).content.decode()
    page = reader.get(reverse("outbox:received", args=[found.pk])).content.decode()
    for line in TEXT.splitlines():
        assert line in page
    source = reader.get(reverse("outbox:received-source", args=[found.pk]))
    received = b"".join(source)
    assert received.startswith(b"Return-Path: <anna@sender.test>")
    assert message.source.read() in received  # no server has changed a byte
    published = _published_in(receiver.unbound)
    assert verified(received, published) == [True]
    assert verified(received.replace(b"To: ben@", b"To: eve@"), published) == [False]
    assert signed_in(anna).get(reverse("outbox:received", args=[found.pk])).status_code == 404


def _require_programs() -> None:
    if IS_REQUIRED:
        unpack.unpack()  # raises if that fails
    elif PROGRAM is None or dovecot.PROGRAM is None:
        pytest.skip("the packages unbound and dovecot-pop3d are not installed")
    elif not unpack.is_unpacked():
        pytest.skip("python3 -m tests.mx_servers.unpack was not run")
    elif not postfix.CAN_RUN:
        pytest.skip("Postfix needs root")


def _mailbox_of(owner: User, server: Dovecot) -> Mailbox:
    account = Account.objects.create(
        owner=owner, name="Ben", from_address=RECIPIENT, host="127.0.0.1", security="none"
    )
    mailbox = Mailbox(
        account=account,
        host="localhost",
        port=server.ports["pop3s"],
        security="tls",
        username=dovecot.USER,
    )
    mailbox.secret = dovecot.PASSWORD
    mailbox.save()
    return mailbox


def _strings(text: str) -> str:
    """Return the text of a TXT record as a zone file has it."""
    parts = [text[start : start + _TXT_MAX] for start in range(0, len(text), _TXT_MAX)]
    return " ".join(f'"{part}"' for part in parts)


def _published_in(server: Unbound) -> Lookup:
    """Return the DNS function of dkimpy that asks this server."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server.host], server.port

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:
        [record] = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        return b"".join(record.strings)

    return lookup
