"""DKIM signatures (RFC 6376, RFC 8463): relaxed/relaxed, with one field for each key.

A signature has no time (t=), so that the same bytes and key give the same signature: RSA with
PKCS #1 v1.5 and Ed25519 are deterministic. An attempt that is repeated after a crash, of which
nothing is stored, therefore sends the same bytes again.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox.mail.addresses import AddressError, parse_address_header
from outbox.mail.dkim_keys import Algorithm
from outbox.mail.mailbox import to_a_labels
from outbox.mail.source import SourceError, from_header_of

if TYPE_CHECKING:
    from outbox.mail.dkim_keys import PrivateKey

SIGNED = (
    "From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References",
    "MIME-Version", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip
# One more than the message has, so that a second one that is added invalidates the signature: a
# program might display it in place of the first (RFC 6376 8.15).
_OVERSIGNED = "From"
_SLICE = 256_000  # bytes of a body that are canonicalized at once, and the rest of their last line
_MAX_LINE = 76  # characters of a line of the field
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\r]*+(?:\r\n[ \t][^\r]*+)*+)\r\n", re.MULTILINE)
_SIGNATURE = re.compile(r"^DKIM-Signature:((?:[^\r]|\r\n[ \t])*)\r\n", re.IGNORECASE | re.MULTILINE)
_FOLDED = re.compile(rb"[ \t\r\n]+")
_WHITE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a stored field says: who signed, how, and the hash of the body."""

    domain: str
    selector: str
    algorithm: str
    body_hash: str  # empty if it was taken out


class Signable:
    """A message in the form in which it is sent, ready to be signed with several keys."""

    def __init__(self, source: bytes) -> None:
        head, _, body = source.partition(b"\r\n\r\n")
        self._fields: dict[str, list[bytes]] = {}  # of each name, in the order of the message
        for name, value in _FIELD.findall(head + b"\r\n"):
            self._fields.setdefault(name.decode().lower(), []).append(value)
        digest = hashlib.sha256()
        for piece in canonical_body(body):
            digest.update(piece)
        self.body_hash = base64.b64encode(digest.digest()).decode()

    def sign(self, domain: str, selector: str, key: PrivateKey) -> bytes:
        """Return the field DKIM-Signature, with CRLF at its end."""
        names = list(self._names())
        algorithm = _algorithm_of(key)
        field = "\r\n ".join(
            [
                f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;",
                f"d={domain}; s={selector};",
                *_folded("h=" + ":".join(names) + ";", after=":"),
                f"bh={self.body_hash};",
                "b=",
            ]
        )
        covered = [*self._covered(names), _canonical_field(*_split(field))]
        signed = base64.b64encode(_signed(b"\r\n".join(covered), key)).decode()
        lines = [signed[start : start + _MAX_LINE] for start in range(0, len(signed), _MAX_LINE)]
        return ("\r\n ".join([field, *lines]) + "\r\n").encode()

    def _names(self) -> Iterator[str]:
        """Yield the tag h=: each field that the message has, as often as it has it."""
        for name in SIGNED:
            count = len(self._fields.get(name.lower(), ()))
            for _ in range(count + (name == _OVERSIGNED)):
                yield name

    def _covered(self, names: list[str]) -> Iterator[bytes]:
        """Yield the fields of the tag h=; the last of a name is the first (RFC 6376 5.4.2)."""
        rest = {name: list(values) for name, values in self._fields.items()}
        for name in names:
            values = rest.get(name.lower())
            if values:  # a field that the message lacks is the empty string
                yield _canonical_field(name.encode(), values.pop())


def canonical_body(body: bytes) -> Iterator[bytes]:
    """Yield a body in the form "relaxed" (RFC 6376 3.4.4), in a time linear in its size.

    Some lines at a time, so that other threads get the interpreter lock in between. No `re`: its
    substitution collects every part of the result, in about seventy times the memory of the body.
    """
    has_content = False
    ends: list[bytes] = []  # line ends that count only if a line that is not empty follows
    for lines in _some_lines(body):
        piece = lines.replace(b"\t", b" ")
        while b"  " in piece:  # each time, a run of spaces becomes half as long
            piece = piece.replace(b"  ", b" ")
        piece = piece.replace(b" \r\n", b"\r\n")
        if content := piece.rstrip(b"\r\n"):
            yield from ends
            yield content
            ends.clear()
            has_content = True
        ends.append(piece[len(content) :])
    if has_content:
        yield b"\r\n"


def _some_lines(body: bytes) -> Iterator[bytes]:
    """Yield the body in slices that end after a CRLF, so that no white space at it is divided."""
    start = 0
    while start < len(body):
        end = body.find(b"\r\n", start + _SLICE)
        end = len(body) if end < 0 else end + 2
        yield body[start:end]
        start = end


def sender_domain(source: bytes) -> str:
    """Return the domain of the header From, in lower-case A-labels; empty if there is none.

    Of several authors it is the first one's.
    """
    with suppress(SourceError, AddressError, UnicodeError):
        authors = parse_address_header(from_header_of(source))
        return to_a_labels(authors[0].domain).lower() if authors else ""
    return ""


def read_signatures(fields: str) -> list[Signature]:
    """Return what stored signature fields say."""
    return [_read(value) for value in _SIGNATURE.findall(fields)]


def without_hashes(fields: str) -> str:
    """Return signature fields that identify the keys, and from which no content can be guessed."""
    kept = [
        f"DKIM-Signature: v=1; a={one.algorithm}; d={one.domain}; s={one.selector};\r\n"
        for one in read_signatures(fields)
    ]
    return "".join(kept)


def _read(value: str) -> Signature:
    pairs = (one.partition("=") for one in _WHITE.sub("", value).split(";"))
    tags = {name: given for name, _, given in pairs}
    return Signature(tags.get("d", ""), tags.get("s", ""), tags.get("a", ""), tags.get("bh", ""))


def _algorithm_of(key: PrivateKey) -> Algorithm:
    return Algorithm.RSA if hasattr(key, "key_size") else Algorithm.ED25519


def _signed(data: bytes, key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256

    if isinstance(key, RSAPrivateKey):
        return key.sign(data, PKCS1v15(), SHA256())
    return key.sign(hashlib.sha256(data).digest())  # RFC 8463 3


def _split(field: str) -> tuple[bytes, bytes]:
    name, _, value = field.encode().partition(b":")
    return name, value


def _canonical_field(name: bytes, value: bytes) -> bytes:
    """Return a field in the form "relaxed" (RFC 6376 3.4.2), without the line end."""
    return name.strip().lower() + b":" + _FOLDED.sub(b" ", value).strip(b" ")


def _folded(text: str, *, after: str) -> Iterator[str]:
    """Yield the text in lines that end after a separator where they would be too long."""
    line = ""
    for piece in re.findall(rf"[^{after}]*{after}|[^{after}]+", text):
        if line and len(line) + len(piece) > _MAX_LINE:
            yield line
            line = ""
        line += piece
    yield line
