"""The parameters that request delivery status notifications (RFC 3461): RET, ENVID, NOTIFY, ORCPT.

They are sent only to servers that announce DSN.
"""

from collections.abc import Iterable
from typing import Any

from outbox.mail.envelope import Envelope
from outbox.mail.xtext import utf8_xtext, xtext


def mail_parameters(envelope: Envelope) -> bytes:
    """Return the parameters of MAIL: what notifications return, and the envelope id."""
    mark = f" ENVID={xtext(envelope.envid)}" if envelope.envid else ""
    return f" RET={envelope.ret or 'HDRS'}{mark}".encode()


def rcpt_parameters(envelope: Envelope, address: str, *, as_is: bool = False) -> bytes:
    """Return the parameters of RCPT: when to notify, and the original address.

    An address outside ASCII has a type of its own, which only servers with SMTPUTF8 know.
    """
    notify = f" NOTIFY={','.join(envelope.notify)}" if envelope.notify else ""
    if address.isascii():
        original = f" ORCPT=rfc822;{xtext(address)}"
    else:
        original = f" ORCPT=utf-8;{utf8_xtext(address)}" if as_is else ""
    return (notify + original).encode()


def were_sent(lines: Iterable[list[Any]]) -> bool:
    """Return whether the latest MAIL command of a transcript has the parameters.

    A server that announces DSN may reject them, and gets the message without them.
    """
    commands = [str(text) for _, side, text in lines if side == "C" and "MAIL FROM" in str(text)]
    return bool(commands) and " RET=" in commands[-1]
