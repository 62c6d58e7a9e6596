"""What is asked of a server about its reports on a mail (RFC 3461): RET, ENVID, NOTIFY, ORCPT.

Only said where DSN is offered; nobody depends on the answer.
"""

import re

from outbox.smtp.envelope import Envelope

_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")  # "+" and "=" are the two printable ones (RFC 3461 4)


def xtext(text: str) -> str:
    """Encode printable and other ASCII as RFC 3461 4 wants it."""
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)


def mail_parameters(envelope: Envelope) -> bytes:
    """Ask for the head of the mail only, and for our own mark, in each report."""
    mark = f" ENVID={xtext(envelope.envid)}" if envelope.envid else ""
    return f" RET=HDRS{mark}".encode()


def rcpt_parameters(envelope: Envelope, address: str) -> bytes:
    """Say when to report on a recipient, and under which name it was given to us."""
    notify = f" NOTIFY={','.join(envelope.notify)}" if envelope.notify else ""
    original = f" ORCPT=rfc822;{xtext(address)}" if address.isascii() else ""
    return (notify + original).encode()
