"""The parameters that request delivery status notifications (RFC 3461): RET, ENVID, NOTIFY, ORCPT.

They are sent only to servers that announce DSN. Nothing depends on the notifications.
"""

import re

from outbox.smtp.envelope import Envelope

_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")  # "+" and "=" are the two printable ones (RFC 3461 4)


def xtext(text: str) -> str:
    """Return ASCII text encoded as xtext (RFC 3461 4)."""
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)


def mail_parameters(envelope: Envelope) -> bytes:
    """Return the parameters of MAIL: notifications contain the header and our envelope id."""
    mark = f" ENVID={xtext(envelope.envid)}" if envelope.envid else ""
    return f" RET=HDRS{mark}".encode()


def rcpt_parameters(envelope: Envelope, address: str) -> bytes:
    """Return the parameters of RCPT: when to notify, and the original address."""
    notify = f" NOTIFY={','.join(envelope.notify)}" if envelope.notify else ""
    original = f" ORCPT=rfc822;{xtext(address)}" if address.isascii() else ""
    return (notify + original).encode()
