"""A seven-bit form of a message, for a server without 8BITMIME (RFC 6152 3).

Only the transfer encodings of 8-bit parts change. A signed message is rejected instead, since any
change invalidates the signature.
"""

import base64
import binascii
from email import message_from_bytes
from email.generator import BytesGenerator
from email.message import Message
from email.policy import compat32
from io import BytesIO

from outbox.mail.envelope import UnsendableError
from outbox.reasons import Reason, ReasonCode


def seven_bit(source: bytes) -> bytes:
    """Re-encode 8-bit parts as quoted-printable or base64. Raises UnsendableError."""
    message = message_from_bytes(source, policy=compat32)
    if _is_signed(message):
        raise UnsendableError(Reason(ReasonCode.EIGHT_BIT_SIGNED))
    for part in message.walk():
        _encode_part(part)
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, maxheaderlen=0, policy=compat32).flatten(
        message, linesep="\r\n"
    )
    encoded = out.getvalue()
    if not encoded.isascii():
        raise UnsendableError(Reason(ReasonCode.EIGHT_BIT_STRAY))
    return encoded


def _is_signed(message: Message) -> bool:
    return "DKIM-Signature" in message or any(
        part.get_content_type() == "multipart/signed" for part in message.walk()
    )


def _encode_part(part: Message) -> None:
    if part.is_multipart():
        # The encoding of a multipart must cover its parts, which are 7-bit now.
        if "Content-Transfer-Encoding" in part:
            part.replace_header("Content-Transfer-Encoding", "7bit")
        return
    if str(part.get_payload()).isascii():
        return
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    name, encoded = _encoded(raw, is_text=part.get_content_maintype() == "text")
    part.set_payload(encoded.decode("ascii"))
    if "Content-Transfer-Encoding" in part:
        part.replace_header("Content-Transfer-Encoding", name)
    else:
        part["Content-Transfer-Encoding"] = name
    if "MIME-Version" not in part and part.get("From") is not None:
        part["MIME-Version"] = "1.0"


def _encoded(raw: bytes, *, is_text: bool) -> tuple[str, bytes]:
    """Return the shorter encoding of a text and its result; other content becomes base64.

    Quoted-printable keeps Latin text readable and triples Chinese or Cyrillic text, for which
    base64 adds a third.
    """
    base64_form = _base64(raw)
    if is_text:
        printable = binascii.b2a_qp(raw, istext=True)
        if len(printable) <= len(base64_form):
            return "quoted-printable", printable
    return "base64", base64_form


def _base64(raw: bytes) -> bytes:
    return base64.encodebytes(raw).replace(b"\n", b"\r\n")
