"""Read the source of a queued message with Python's own parser."""

import email
import email.policy
from email.message import EmailMessage

from outbox.api import Handle
from outbox.models import Source


def read(handle: Handle) -> EmailMessage:
    """Parse the bytes that will be sent."""
    source = Source.objects.get(pk=handle.pk).read()
    parsed = email.message_from_bytes(source, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def body(handle: Handle, kind: str = "plain") -> str:
    """Return the text of the message, or its HTML, without the line end after it."""
    part = read(handle).get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").rstrip("\n")
