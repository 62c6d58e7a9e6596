"""Content-Transfer-Encodings of RFC 2045 6: encode bodies as 7-bit, and decode them.

Encoded bodies survive relays that strip trailing spaces or put ">" before "From " (RFC 2049 3).
Damaged bodies are decoded as far as possible.
"""

import binascii
import re

MAX_LINE = 998  # RFC 5322 2.1.1, CRLF not counted
MAX_ENCODED_LINE = 76  # RFC 2045 6.7 (5) and 6.8

_LITERAL = frozenset(b"\t" + bytes(range(32, 127))) - {ord("=")}
_ENCODED = [bytes([b]) if b in _LITERAL else b"=%02X" % b for b in range(256)]
_PRINTABLE = b"\t\r\n" + bytes(range(32, 127))
_NOT_LITERAL = bytes(set(range(256)) - _LITERAL - set(b"\r\n"))
# At most 73, so that encoding the first character (+2) and the soft break (+1) still fit; it never
# ends inside an "=XX".
_SOFT_LINE = re.compile(rb".{1,73}(?<!=)(?<!=.)", re.DOTALL)
_ALTERED_START = re.compile(rb"\.|From ")
_UUENCODE = frozenset({"uuencode", "uue", "x-uuencode", "x-uue"})
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]*+)(?:\r?\n|\Z)", re.MULTILINE)
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)


def base64_size(size: int) -> int:
    """Return about how many bytes a file has in Base64: a line of 78 bytes encodes 57 of them."""
    return round(size * 78 / 57)


def encode_body(text: str) -> tuple[str, bytes]:
    """Return an encoding (7bit, quoted-printable or base64) and the text in it, with CRLF lines."""
    data = _with_crlf(text.encode("utf-8", "replace"))
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    if _arrives_as_it_is(data):
        return "7bit", data
    not_literal = len(data) - len(data.translate(None, _NOT_LITERAL))
    if not_literal * 2 > len(data) // 3:  # "=XX" adds two bytes to one, base64 one to three
        return "base64", encode_base64(data)
    return "quoted-printable", _encode_quoted_printable(data)


def _with_crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _arrives_as_it_is(data: bytes) -> bool:
    """Return whether relays alter none of the lines and clients wrap none of them.

    This is not a single regex, which takes ten times as long.
    """
    lines = b"\n" + data
    return (
        not data.translate(None, _PRINTABLE)
        and not any(altered in lines for altered in (b" \r", b"\t\r", b"\n.", b"\nFrom "))
        and _longest_line(data) <= MAX_ENCODED_LINE
    )


def encode_file(content_type: str, data: bytes) -> tuple[str, bytes]:
    """Return an encoding and the file in it; an enclosed 7-bit message stays readable."""
    if content_type.startswith("message/"):
        lines = _with_crlf(data)
        if lines.isascii() and b"\0" not in lines and _longest_line(lines) <= MAX_LINE:
            return "7bit", lines
    return "base64", encode_base64(data)


def _longest_line(data: bytes) -> int:
    return max(map(len, data.split(b"\r\n")))


def encode_base64(data: bytes) -> bytes:
    """Return base64 in lines of 76 characters, each with CRLF."""
    text = binascii.b2a_base64(data, newline=False)
    starts = range(0, len(text), MAX_ENCODED_LINE)
    return b"".join(text[start : start + MAX_ENCODED_LINE] + b"\r\n" for start in starts)


def _encode_quoted_printable(data: bytes) -> bytes:
    return b"\r\n".join(map(_quoted_printable_line, data.split(b"\r\n")))


def _quoted_printable_line(line: bytes) -> bytes:
    encoded = b"".join([_ENCODED[byte] for byte in line])
    if encoded.endswith((b" ", b"\t")):
        encoded = encoded[:-1] + b"=%02X" % encoded[-1]
    return b"=\r\n".join(map(_kept_start, _SOFT_LINE.findall(encoded)))


def _kept_start(line: bytes) -> bytes:
    return b"=%02X" % line[0] + line[1:] if _ALTERED_START.match(line) else line


def decode(data: bytes, encoding: str) -> bytes:
    """Return the decoded bytes of a part; an unknown encoding leaves them unchanged."""
    match encoding:
        case "base64":
            return decode_base64(data)
        case "quoted-printable":
            return binascii.a2b_qp(data)
    return _decode_uuencode(data) if encoding in _UUENCODE else data


def is_encoded(encoding: str) -> bool:
    """Return whether `decode` changes the bytes of this encoding."""
    return encoding in {"base64", "quoted-printable"} or encoding in _UUENCODE


def uuencoded_name(data: bytes, encoding: str) -> str:
    """Return the file name in uuencoded data, or ""."""
    found = _UU_BEGIN.search(data) if encoding in _UUENCODE else None
    return found[1].strip().decode("utf-8", "replace") if found else ""


def _decode_uuencode(data: bytes) -> bytes:
    """Decode the lines after "begin"; data without that line is not encoded, despite its header."""
    found = _UU_BEGIN.search(data)
    if not found:
        return data
    decoded: list[bytes] = []
    for line in data[found.end() :].splitlines():
        if line.strip() == b"end":
            break
        decoded.append(_decode_uu_line(line))
    return b"".join(decoded)


def _decode_uu_line(line: bytes) -> bytes:
    if not line:
        return b""
    characters = ((line[0] - 32) % 64 * 4 + 5) // 3  # some programs append a checksum
    try:
        return binascii.a2b_uu(line[:characters])
    except binascii.Error:
        return b""


def decode_base64(data: bytes) -> bytes:
    """Decode base64; skip other characters, and stop after the padding.

    Mailing lists append plain footers to encoded bodies.
    """
    kept = data.translate(None, _NOT_BASE64)
    try:
        return binascii.a2b_base64(_in_fours(kept))
    except binascii.Error:  # padding in the wrong place
        return binascii.a2b_base64(_in_fours(kept.replace(b"=", b"")))


def _in_fours(kept: bytes) -> bytes:
    """Drop an incomplete last character, and add padding."""
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    return kept + b"=" * (-len(kept) % 4)
