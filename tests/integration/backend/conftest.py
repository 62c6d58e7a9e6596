"""An account for apps, and Django's own SMTP backend: the oracle of what should be on the wire."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoBackend

from outbox.models import Account, Recipient, Source
from tests.email_backend import use_backend

BACKEND = "outbox.backend.EmailBackend"


@pytest.fixture(autouse=True)
def _outbox_as_backend(settings: LazySettings) -> None:
    """A test run puts its own backend in place of the site's."""
    use_backend(settings)


@pytest.fixture
def app_account(db: None) -> Account:
    """The account of apps that name none."""
    return Account.objects.create(
        name="apps", from_address="apps@example.com", host="mail.example.com", is_app_default=True
    )


@dataclass
class Wire:
    """The envelope and the source of one message on the wire."""

    sender: str
    recipients: list[str]
    source: bytes


@dataclass
class _Connection:
    """The connection of Django's backend: records the arguments of each smtplib call."""

    wires: list[Wire] = field(default_factory=list)

    def sendmail(self, sender: str, recipients: list[str], data: bytes) -> None:
        # What smtplib itself still does: addr-specs, line endings, and one at the end.
        lines = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
        ended = lines if lines.endswith(b"\r\n") else lines + b"\r\n"
        specs = [parseaddr(recipient)[1] for recipient in recipients]
        self.wires.append(Wire(parseaddr(sender)[1], specs, ended))


def by_django(message: EmailMessage) -> Wire:
    """What Django's own SMTP backend would send."""
    options: dict[str, Any] = {"alias": "test", "host": "localhost"}
    backend: Any = DjangoBackend(**options)
    backend.connection = _Connection()
    backend.send_messages([message])
    wire: Wire = backend.connection.wires[0]
    return wire


def by_outbox() -> Wire:
    """What the outbox holds of its latest message."""
    source = Source.objects.select_related("message").latest("pk")
    recipients = Recipient.objects.filter(message=source.message)
    return Wire(
        source.message.envelope_sender,
        list(recipients.values_list("address", flat=True)),
        source.read(),
    )


Build = Callable[[], EmailMessage]
