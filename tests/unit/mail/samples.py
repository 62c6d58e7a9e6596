"""What the tests of mail share: one small composition, and the texts of all the world."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from typing import Any

from hypothesis import strategies as st

from outbox.mail.addresses import Address
from outbox.mail.mime_writer import Composition, render

BOB = Address("", "bob", "example.org")
ANN = Address("Ann", "ann", "example.net")

# No line breaks and no half characters (refused elsewhere), no controls (a subject has none).
line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=300)
awkward = st.sampled_from(
    [
        "Grüße, „Zoë“ & 日本語 📬" * 12,
        'a, "b"; <c> (d) \\e',
        "=?utf-8?q?not_encoded?=",
        "  two  blanks  ",
        "e\u0301\u200d👩‍👩‍👧" * 20,
        "x" * 300,
        "%41'%27*=; name=x",
        "",
    ]
)
texts = line | awkward


def compose(**changes: Any) -> Composition:
    """A mail from Ann to Bob, changed as given."""
    given: dict[str, Any] = {
        "from_": ANN,
        "to": [BOB],
        "subject": "Hello",
        "date": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        "message_id": "<1@example.net>",
        "text": "Hello Bob.\n",
    }
    return Composition(**(given | changes))


def head_of(source: bytes) -> list[bytes]:
    """The lines of the header."""
    return source.partition(b"\r\n\r\n")[0].split(b"\r\n")


def modern(**changes: Any) -> EmailMessage:
    """Render, and read with the newer parser of the standard library."""
    return email.message_from_bytes(render(compose(**changes)), policy=email.policy.default)


def classic(**changes: Any) -> Message:
    """Render, and read with the older one."""
    return email.message_from_bytes(render(compose(**changes)), policy=email.policy.compat32)
