"""Encode and decode text outside ASCII in headers: the encoded words of RFC 2047.

An encoded word has at most 75 characters and whole characters only. Decoding accepts what senders
write in practice, including unknown charsets and broken base64. It never raises, and a decoded word
contains no line break and no control character.
"""

import binascii
import re
from collections.abc import Callable, Iterator

from outbox.mail.charsets import decode_text
from outbox.mail.transfer_encodings import decode_base64

MAX_WORD = 75  # RFC 2047 2

_FRAME = len("=?utf-8?q??=")
_ROOM = MAX_WORD - _FRAME
_LEAST_ROOM = 12  # one character of four bytes, as "=F0=9F=93=AC"
# Characters that need no encoding in any place, a phrase included (RFC 2047 5 (3)).
_BARE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q = [chr(b) if b in _BARE else f"={b:02X}" for b in range(256)]
_Q[ord(" ")] = "_"

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bq])\?([^?\r\n]*)\?=", re.IGNORECASE)

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def encode_words(text: str, first_room: int, room: int = MAX_WORD) -> list[str]:
    """Return a text as encoded words in UTF-8, with the shorter one of Q and B.

    The first word has at most `first_room` characters, so that it fits after a field name, and each
    further one at most `room`.
    """
    first, further = (min(max(limit - _FRAME, _LEAST_ROOM), _ROOM) for limit in (first_room, room))
    if sum(map(_q_cost, text)) <= sum(map(_b_cost, text)) * 4 // 3:
        return [_q_word(piece) for piece in _pieces(text, _q_cost, first, further)]
    pieces = _pieces(text, _b_cost, first // 4 * 3, further // 4 * 3)
    return [_b_word(piece) for piece in pieces]


def _q_cost(char: str) -> int:
    return sum(len(_Q[byte]) for byte in char.encode())


def _b_cost(char: str) -> int:
    return len(char.encode())


def _pieces(text: str, cost: Callable[[str], int], first: int, room: int) -> Iterator[str]:
    start = used = 0
    limit = first
    for number, char in enumerate(text):
        used += cost(char)
        if used > limit:
            yield text[start:number]
            start, used, limit = number, cost(char), room
    yield text[start:]


def _q_word(text: str) -> str:
    return "=?utf-8?q?" + "".join(_Q[byte] for byte in text.encode()) + "?="


def _b_word(text: str) -> str:
    return "=?utf-8?b?" + binascii.b2a_base64(text.encode(), newline=False).decode("ascii") + "?="


def decode_words(text: str) -> str:
    """Return an unfolded value with its encoded words decoded, without spaces between two words."""
    if "=?" not in text:
        if text.isprintable():  # most fields: without a search
            return text
        return _CONTROL.sub("\ufffd", text)
    plain_from = 0
    run: list[bytes] = []  # the bytes of adjacent words in one charset
    charset = ""
    decoded: list[str] = []
    for match in _WORD.finditer(text):
        between = text[plain_from : match.start()]
        declared = match[1].partition("*")[0].lower()  # RFC 2231 5: "*language" may follow
        # Some senders split characters, against the RFC: join the bytes before decoding.
        if declared != charset or between.strip():
            decoded.append(decode_text(b"".join(run), charset))
            run, charset = [], declared
        if between.strip() or plain_from == 0:
            decoded.append(between)
        run.append(_word_bytes(match[2], match[3]))
        plain_from = match.end()
    decoded.append(decode_text(b"".join(run), charset))
    return _CONTROL.sub("\ufffd", "".join(decoded) + text[plain_from:])


def _word_bytes(encoding: str, payload: str) -> bytes:
    data = payload.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    return decode_base64(data)
