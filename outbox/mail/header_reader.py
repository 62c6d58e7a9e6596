"""Parse received header fields: split, unfold, and read their MIME parameters (RFC 2231).

Headers may come from attackers: everything takes linear time and never raises. Values are text, in
which bytes outside UTF-8 are U+FFFD.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from outbox.mail.charsets import decode_text
from outbox.mail.encoded_words import decode_words

MAX_HEAD = 256 * 1024  # bytes of one header block that are read
MAX_FIELDS = 2_000
MAX_PARAMETERS = 1_000

_FIELD = re.compile(r"^([!-9;-~]++)[ \t]*+:((?:[^\n]|\n[ \t])*+)", re.MULTILINE)
_PARAMETER = re.compile(
    r""";\s*+
    (?P<name>[^\s=;"*]++)
    (?:\*(?P<section>[0-9]{1,4}))?
    (?P<encoded>\*)?
    \s*+=\s*+
    (?: "(?P<quoted>(?:[^"\\]|\\.)*+)" | (?P<bare>[^;"]*+) )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LANGUAGE = re.compile(r"([^']*)'[^']*'(.*)", re.DOTALL)


def read_fields(head: bytes) -> list[tuple[str, str]]:
    """Return the names and the folded values of a header block."""
    text = decode_text(head[:MAX_HEAD], "utf-8").replace("\r\n", "\n")
    return [(name, raw.strip()) for name, raw in _FIELD.findall(text)[:MAX_FIELDS]]


def unfolded(raw: str) -> str:
    """Return a value without its folding (RFC 5322 2.2.3)."""
    return raw.replace("\r\n", "").replace("\n", "") if "\n" in raw else raw


def parameters(value: str) -> dict[str, str]:
    """Return the parameters after `type/subtype` or a disposition, with names in lower case.

    Sections are joined and decoded. Encoded words are decoded, too: many senders use them.
    """
    if ";" not in value:
        return {}
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    for number, match in enumerate(_PARAMETER.finditer(value)):
        if number == MAX_PARAMETERS:
            break
        name, text = match["name"].lower(), _text(match)
        if match["section"] is None and not match["encoded"]:
            plain.setdefault(name, decode_words(text))
        else:
            found = sections.setdefault(name, {})
            found.setdefault(int(match["section"] or 0), (bool(match["encoded"]), text))
    return plain | {name: _joined(found) for name, found in sections.items()}


def _text(match: re.Match[str]) -> str:
    if match["quoted"] is not None:
        return _ESCAPED.sub(r"\1", match["quoted"])
    return match["bare"].strip()


def _joined(sections: Mapping[int, tuple[bool, str]]) -> str:
    """Join the sections before decoding them: some senders split inside a character."""
    charset = ""
    data = b""
    ordered = sorted(sections.items())
    if ordered[0][1][0] and (declared := _LANGUAGE.fullmatch(ordered[0][1][1])):
        charset = declared[1]
        ordered[0] = (ordered[0][0], (True, declared[2]))
    for _, (encoded, text) in ordered:
        raw = text.encode("utf-8", "replace")
        data += unquote_to_bytes(raw) if encoded else raw
    return decode_text(data, charset)
