"""How a source stands in its row: deflated where that makes it smaller, else as it is.

A deflated one begins with NUL, which no message does, and the number of its form. A form is never
changed, since its rows stay: another dictionary is another number.
"""

import zlib

_FORM_1 = b"\0\1"
# What most messages begin with, so that a short one need not spell it out.
_WORDS_1 = (
    b'multipart/alternative; boundary="===============\r\nContent-Type: text/html; charset="utf-8"'
    b"\r\nContent-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 7bit\r\n'
    b"MIME-Version: 1.0\r\nSubject: \r\nFrom: \r\nTo: \r\nReply-To: \r\n"
    b"Date: Sat, Sun, Mon, Tue, Wed, Thu, Fri,  Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "
    b"2026 -0000\r\nMessage-ID: <"
)
_LONGEST = 32_768  # bytes; of what is longer, most is an attachment, which is compressed already
_LEVEL, _WINDOW, _MEMORY = 3, -12, 6  # 20 µs for 2 KB: the database's own compression takes as long


def pack(source: bytes) -> bytes:
    """Return what to store for a source."""
    if not len(_FORM_1) < len(source) <= _LONGEST:
        return source
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=_WORDS_1)
    packed = _FORM_1 + deflate.compress(source) + deflate.flush()
    return packed if len(packed) < len(source) else source


def unpack(stored: bytes) -> bytes:
    """Return the source of what was stored. Raise ValueError for a form that is not known."""
    if not stored.startswith(b"\0"):
        return stored
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
