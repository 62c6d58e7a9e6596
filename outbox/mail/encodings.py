"""Content-Transfer-Encodings of RFC 2045 6: bodies made 7-bit, and read back.

What is written survives relays that strip trailing blanks or put ">" before "From " (RFC 2049 3).
"""

import binascii
import re

MAX_ENCODED_LINE = 76  # RFC 2045 6.7 (5) and 6.8

_FRAGILE = re.compile(rb"[^\t\r\n -~]|[ \t](?:\r\n|\Z)|(?:^|\n)(?:From |\.)|[^\r\n]{77}")
_LITERAL = frozenset(b"\t " + bytes(range(33, 127))) - {ord("=")}
_QP = [bytes([b]) if b in _LITERAL else b"=%02X" % b for b in range(256)]
# At most 73, so that marking a first character (+2) and the soft break (+1) still fit; never
# ending inside an "=XX".
_SOFT_LINE = re.compile(rb".{1,73}(?<!=)(?<!=.)", re.DOTALL)
_LINE_START = re.compile(rb"\.|From ")


def encode_body(text: str) -> tuple[str, bytes]:
    """Choose 7bit, quoted-printable or base64 for a text; line ends become CRLF."""
    lines = re.sub(r"\r\n|\r|\n", "\r\n", text)
    data = lines.encode("utf-8", "replace")
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    if not _FRAGILE.search(data):
        return "7bit", data
    unsafe = sum(map(data.count, _UNSAFE_BYTES))
    if unsafe * 2 > len(data) // 3:
        return "base64", encode_base64(data)
    return "quoted-printable", encode_quoted_printable(data)


_UNSAFE_BYTES = [bytes([b]) for b in range(256) if b not in _LITERAL and b not in b"\r\n"]


def encode_attachment(content_type: str, data: bytes) -> tuple[str, bytes]:
    """Encode a file byte for byte; an enclosed message stays as it is where 7-bit and short."""
    if content_type.startswith("message/"):
        lines = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
        if lines.isascii() and b"\0" not in lines and not re.search(rb"[^\r\n]{999}", lines):
            return "7bit", lines
    return "base64", encode_base64(data)


def encode_base64(data: bytes) -> bytes:
    """Write base64 in lines of 76, each ended by CRLF."""
    text = binascii.b2a_base64(data, newline=False)
    lines = [text[at : at + MAX_ENCODED_LINE] for at in range(0, len(text), MAX_ENCODED_LINE)]
    return b"".join(line + b"\r\n" for line in lines)


def encode_quoted_printable(data: bytes) -> bytes:
    """Write CRLF text as quoted-printable; no line starts with "." or "From "."""
    return b"\r\n".join(map(_quoted_line, data.split(b"\r\n")))


def _quoted_line(line: bytes) -> bytes:
    encoded = b"".join(_QP[byte] for byte in line)
    if encoded.endswith((b" ", b"\t")):
        encoded = encoded[:-1] + b"=%02X" % encoded[-1]
    pieces = _SOFT_LINE.findall(encoded)
    return b"=\r\n".join(_safe_start(piece) for piece in pieces)


def _safe_start(piece: bytes) -> bytes:
    if _LINE_START.match(piece):
        return b"=%02X" % piece[0] + piece[1:]
    return piece


def decode(data: bytes, encoding: str) -> bytes:
    """Decode a part's bytes as far as they go; an unknown encoding is left as it is."""
    name = encoding.strip().lower()
    if name == "base64":
        return decode_base64(data)
    if name == "quoted-printable":
        return binascii.a2b_qp(data)
    return data


def decode_base64(data: bytes) -> bytes:
    """Decode base64 as far as it goes; what is no base64 is skipped."""
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
