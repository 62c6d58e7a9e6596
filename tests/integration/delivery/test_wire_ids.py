"""Servers that replace the Message-ID: a reply names the id that its recipient knows."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.models import DraftKind, Message, Recipient, State
from outbox.testing.capabilities import EXTENSIONS, Capabilities
from outbox.testing.dialogue import Transaction
from outbox.testing.receiver import Receiver
from outbox.testing.serving import serving_in_thread
from tests.integration.delivery.mail_client import account, deliver

pytestmark = pytest.mark.django_db(transaction=True)

JANE, LEON = "jane@example.com", "leon@example.net"
# How each service names the id in its reply, and the id in the copies of the recipients.
SERVICES = {
    "smtp.office365.com": (
        "250 2.0.0 OK <AM0{}@AM0PR01MB0001.eurprd01.prod.outlook.com> [Hostname=AM0PR01MB0001]",
        "AM0{}@AM0PR01MB0001.eurprd01.prod.outlook.com",
    ),
    "smtp-mail.outlook.com": (
        "250 2.0.0 OK <DB9{}@DB9PR10MB0001.EURPRD10.PROD.OUTLOOK.COM> [Hostname=DB9PR10MB0001]",
        "DB9{}@DB9PR10MB0001.EURPRD10.PROD.OUTLOOK.COM",
    ),
    "email-smtp.eu-west-1.amazonaws.com": (
        "250 Ok 010201912a3b4c5d-0a1b2c3d-1111-2222-3333-44445555000{}-000000",
        "010201912a3b4c5d-0a1b2c3d-1111-2222-3333-44445555000{}-000000@eu-west-1.amazonses.com",
    ),
    "email-smtp.us-east-1.amazonaws.com": (
        "250 Ok 010001912a3b4c5d-0a1b2c3d-1111-2222-3333-44445555000{}-000000",
        "010001912a3b4c5d-0a1b2c3d-1111-2222-3333-44445555000{}-000000@email.amazonses.com",
    ),
}


class Service:
    """A server under the name of a service. `copies` are the recipients' copies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reply, self.given = SERVICES[name]
        self.copies: dict[str, list[bytes]] = {}
        self.greylisted: set[str] = set()
        self.accepted = 0

    def accept(self, transaction: Transaction) -> str:
        self.accepted += 1
        id_field = f"Message-ID: <{self.given.format(self.accepted)}>".encode()
        copy = re.sub(rb"(?m)^Message-ID: [^\r]*", id_field, transaction.source, count=1)
        for address in transaction.recipients:
            self.copies.setdefault(address, []).append(copy)
        return self.reply.format(self.accepted)


@contextmanager
def running(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve on this host, with the service's name in DNS."""
    lookup = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        return lookup("127.0.0.1" if host == service.name else host, *args, **options)

    class Replacing(Receiver):
        def judge_recipient(self, address: str) -> str:
            if address in service.greylisted:
                return "450 4.2.0 Come back later"
            return "250 2.1.5 Ok"

        def judge_message(self, transaction: Transaction) -> str:
            return service.accept(transaction)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    capabilities = Capabilities(name=service.name, extensions=EXTENSIONS)
    with serving_in_thread(lambda: Replacing(capabilities)) as port:
        yield port


def written(owner: User, port: int, host: str, **fields: Any) -> Message:
    sender = account(port, host=host, owner=owner)
    typed = api.DraftFields(account=sender, subject="Figures", text="Here.", **fields)
    return api.send_draft(api.save_draft(owner, typed), actor=owner)


def replied(message: Message, owner: User) -> Message:
    draft = api.reply_to_message(message, DraftKind.REPLY, actor=owner)
    return api.send_draft(draft, actor=owner)


def id_of(copy: bytes) -> str:
    return str(message_from_bytes(copy)["Message-ID"])


def retry_now() -> None:
    Recipient.objects.filter(state=State.DEFERRED).update(next_attempt_at="2020-01-01T00:00Z")


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna")


@pytest.mark.parametrize("host", SERVICES)
def test_a_reply_names_the_id_in_the_recipients_copy(
    anna: User, monkeypatch: pytest.MonkeyPatch, client: Client, host: str
) -> None:
    service = Service(host)
    with running(service, monkeypatch) as port:
        first = written(anna, port, host, to=JANE)
        deliver()
        second = replied(first, anna)
        deliver()
    original, reply = service.copies[JANE]
    fields = message_from_bytes(reply)
    assert fields["In-Reply-To"] == id_of(original)
    assert fields["References"].split() == [f"<{first.message_id}>", id_of(original)]
    assert Recipient.objects.get(message=first).wire_message_id == id_of(original)[1:-1]

    client.force_login(anna)
    page = client.get(reverse("outbox:message", args=[first.pk])).content.decode()
    assert "Message-ID on the wire" in page
    assert id_of(original)[1:-1] in page
    shown = client.get(reverse("outbox:message", args=[second.pk])).context["page"]
    assert shown.replied_to == first
    assert shown.original is None


def test_of_several_ids_the_first_recipients_is_named(
    anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three SMTP transactions. The first one was for a recipient who does not get the reply.

    The id of the other recipient is among the References.
    """
    service = Service("smtp.office365.com")
    service.greylisted = {JANE, LEON}
    with running(service, monkeypatch) as port:
        first = written(anna, port, service.name, to=JANE, cc=LEON, bcc="boss@example.org")
        deliver()
        service.greylisted = {JANE}
        retry_now()
        deliver()
        service.greylisted = set()
        retry_now()
        deliver()
        replied(first, anna)
        deliver()
    assert [len(service.copies[one]) for one in (JANE, LEON, "boss@example.org")] == [2, 2, 1]
    (jane, reply), (leon, _) = service.copies[JANE], service.copies[LEON]
    fields = message_from_bytes(reply)
    assert fields["In-Reply-To"] == id_of(jane) != id_of(leon)
    assert id_of(leon) in fields["References"].split()
    assert fields["References"].split()[-1] == id_of(jane)


def test_a_reply_that_was_begun_before_the_delivery_names_the_id(
    anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service("smtp.office365.com")
    with running(service, monkeypatch) as port:
        first = written(anna, port, service.name, to=JANE)
        early = api.reply_to_message(first, DraftKind.REPLY, actor=anna)
        assert early.in_reply_to == f"<{first.message_id}>"
        deliver()
        api.send_draft(early, actor=anna)
        deliver()
    original, reply = service.copies[JANE]
    assert message_from_bytes(reply)["In-Reply-To"] == id_of(original)


def test_a_server_that_keeps_the_id_is_replied_to_by_it(
    anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service("smtp.office365.com")
    service.reply = "250 2.0.0 OK 1700000000 a1-20020a1709.1 - gsmtp"
    with running(service, monkeypatch) as port:
        first = written(anna, port, service.name, to=JANE)
        deliver()
        second = replied(first, anna)
    assert second.in_reply_to == first.message_id
