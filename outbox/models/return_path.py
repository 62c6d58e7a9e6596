"""The signed token of a delivery: in the envelope sender (VERP), and as the envelope id.

    bounces+2rk3f0mzxw6ytboi4qa7dm3k@example.com

A bounce comes back to this address, so that the token names the message that it is about. Only this
site can make a token or read one: the ids in clear would show how many messages the site sends. All
recipients of a transaction share it. Further attempts after a temporary rejection have the same
one, since greylisting (RFC 6647 2.2) compares envelope senders. After a retry by a person it is
another one.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import NamedTuple

from outbox.models.secrets import keyed_hashes

LOCAL_MAX = 64  # octets before the "@" (RFC 5321 4.5.3.1.1)
_PURPOSE = "outbox.return_path"
_PURPOSE_OF_MASK = "outbox.return_path.mask"
_ID_BYTES = 6
_COUNT_BYTES = 2
_HASH_BYTES = 7
TOKEN_MAX = (_HASH_BYTES + _ID_BYTES + _COUNT_BYTES) * 8 // 5  # characters of 5 bits, none padded
ROOM = LOCAL_MAX - TOKEN_MAX - 1  # octets of a local part that a token can follow
# Servers may change the case of a local part (RFC 5321 2.4 forbids it), so that it has no meaning.
_TOKEN = re.compile(rf"[a-z2-7]{{{TOKEN_MAX}}}", re.IGNORECASE | re.ASCII)


class SignedDelivery(NamedTuple):
    """What a token names."""

    message_id: int
    attempts_at_retry: int  # of the recipients: attempts before the last retry by a person


def token_of(message_id: int, attempts_at_retry: int) -> str:
    """Return the token of a delivery; "" if a number is too large for one."""
    if message_id >= 1 << 8 * _ID_BYTES or attempts_at_retry >= 1 << 8 * _COUNT_BYTES:
        return ""
    named = message_id.to_bytes(_ID_BYTES) + attempts_at_retry.to_bytes(_COUNT_BYTES)
    signature = _hashes(named, _PURPOSE)[0]
    masked = _masked(named, _hashes(signature, _PURPOSE_OF_MASK)[0])
    return base64.b32encode(signature + masked).decode().lower()


def read_token(text: str) -> SignedDelivery | None:
    """Return what a token names; None unless one of the site's keys has signed it."""
    if _TOKEN.fullmatch(text) is None:
        return None
    given = base64.b32decode(text.upper())
    signature, masked = given[:_HASH_BYTES], given[_HASH_BYTES:]
    for number, mask in enumerate(_hashes(signature, _PURPOSE_OF_MASK)):
        named = _masked(masked, mask)
        if hmac.compare_digest(signature, _hashes(named, _PURPOSE)[number]):
            numbers = named[:_ID_BYTES], named[_ID_BYTES:]
            return SignedDelivery(*map(int.from_bytes, numbers))
    return None


def with_token(return_path: str, token: str) -> str:
    """Return an address with a token after its local part; the address itself without a token."""
    local, at, domain = return_path.rpartition("@")
    return f"{local}+{token}{at}{domain}" if token and local else return_path


def has_room(return_path: str) -> bool:
    """Return whether the local part is short enough for any token."""
    return len(return_path.rpartition("@")[0].encode()) <= ROOM


def _hashes(data: bytes, purpose: str) -> list[bytes]:
    """Return the beginning of the hash with each key of the site, the present one first."""
    size = _HASH_BYTES if purpose == _PURPOSE else _ID_BYTES + _COUNT_BYTES
    return [bytes.fromhex(one)[:size] for one in keyed_hashes(data.hex(), purpose)]


def _masked(data: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(data, mask, strict=True))
