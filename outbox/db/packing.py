"""The stored form of a source: deflated if that makes it smaller, else unchanged.

A stored form other than the source itself begins with NUL and its number. A source that begins with
NUL, as a received one may, has a form as well. A form never changes, since its rows remain: another
dictionary gets another number.
"""

import zlib

_FORM_1 = b"\0\1"
_FORM_2 = b"\0\2"  # before a source that begins with NUL
# What most messages begin with, so that even a short one becomes smaller.
_WORDS_1 = (
    b'multipart/alternative; boundary="===============\r\nContent-Type: text/html; charset="utf-8"'
    b"\r\nContent-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 7bit\r\n'
    b"MIME-Version: 1.0\r\nSubject: \r\nFrom: \r\nTo: \r\nReply-To: \r\n"
    b"Date: Sat, Sun, Mon, Tue, Wed, Thu, Fri,  Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "
    b"2026 -0000\r\nMessage-ID: <"
)
_LONGEST = 32_768  # bytes; a longer source is mostly an attachment, which is compressed already
_LEVEL, _WINDOW, _MEMORY = 3, -12, 6  # 20 µs for 2 KB: the database's own compression takes as long


def pack(source: bytes) -> bytes:
    """Return what to store for a source."""
    if source.startswith(b"\0"):
        return _FORM_2 + source
    if not len(_FORM_1) < len(source) <= _LONGEST:
        return source
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=_WORDS_1)
    packed = _FORM_1 + deflate.compress(source) + deflate.flush()
    return packed if len(packed) < len(source) else source


def unpack(stored: bytes) -> bytes:
    """Return the source of what was stored. Raise ValueError for a form that is not known."""
    if not stored.startswith(b"\0"):
        return stored
    if stored.startswith(_FORM_2):
        return stored.removeprefix(_FORM_2)
    if not stored.startswith(_FORM_1):
        raise ValueError("The source is stored in a form that this version does not know.")
    inflate = zlib.decompressobj(_WINDOW, zdict=_WORDS_1)
    try:
        source = inflate.decompress(stored[len(_FORM_1) :]) + inflate.flush()
    except zlib.error as error:
        raise ValueError(f"The stored source is damaged: {error}") from error
    if not inflate.eof:
        raise ValueError("The stored source is damaged: its end is missing.")
    return source
