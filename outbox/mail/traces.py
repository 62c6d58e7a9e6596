"""Traces of one address: where it occurs in texts, JSON and messages, and texts without it.

The forms are those in which the address is stored here: as it is, with the domain in A-labels or in
Unicode, and as URLs, HTML, JSON, quoted-printable, DSN parameters and reports (xtext, RFC 3461 4
and RFC 6533 3) and return paths (VERP) write it. A longer address that contains it is another one.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from outbox.mail.addresses import Address, AddressError, mailbox_key, parse_address_header
from outbox.mail.encoded_words import decode_words
from outbox.mail.header_reader import read_fields, unfolded
from outbox.mail.header_writer import address_field
from outbox.mail.mime_reader import body_start, read_entities
from outbox.mail.xtext import utf8_xtext

PLACEHOLDER = "erased@erased.invalid"
_ADDRESS_FIELDS = frozenset(
    {
        "to",
        "cc",
        "bcc",
        "from",
        "sender",
        "reply-to",
        "resent-to",
        "resent-cc",
        "disposition-notification-to",
    }
)
_FIELD = re.compile(rb"^[!-9;-~]++[ \t]*+:(?:[^\n]|\n[ \t])*+\n?", re.MULTILINE)
# What may precede the address without being a part of it: see the escapes of JSON and URLs.
_BEFORE = (
    r"(?:(?<![\w.+-])|(?<=\\[nrtbf])|(?<=\\u[0-9a-f]{4})|(?<=%[0-9A-Fa-f]{2})|(?<==[0-9A-F]{2}))"
)
_AFTER = r"(?![\w-]|\.[\w])"


class Traces:
    """The forms of one address."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.folded = mailbox_key(address.spec).casefold()
        self.spellings = tuple(dict.fromkeys((address.spec, address.wire, _in_unicode(address))))
        forms = {form for spelling in self.spellings for form in _forms(spelling)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(
            f"(?:{_BEFORE}(?:{'|'.join(map(re.escape, longest_first))})"
            f"|(?<=\\+)(?:{'|'.join(map(_return_path, self.spellings))})){_AFTER}",
            re.IGNORECASE,
        )
        # What a database looks for before the pattern decides.
        self.needles = tuple(sorted({form.casefold() for form in forms}))

    def is_in(self, text: str) -> bool:
        """Return whether a text has the address."""
        return self._pattern.search(text) is not None

    def without(self, text: str) -> str:
        """Return a text with a placeholder instead of the address."""
        return self._pattern.sub(PLACEHOLDER, text)

    def without_in(self, value: Any) -> Any:
        """Return what JSON was decoded to, with a placeholder in each text and key."""
        if isinstance(value, str):
            return self.without(value)
        if isinstance(value, list):
            return [self.without_in(one) for one in value]
        if isinstance(value, dict):
            return {self.without(key): self.without_in(one) for key, one in value.items()}
        return value

    def is_mailbox(self, address: Address) -> bool:
        """Return whether this is the address; the case of letters does not matter."""
        return mailbox_key(address.spec).casefold() == self.folded

    def is_in_bytes(self, data: bytes) -> bool:
        """Return whether a file or a part of a message has the address, in a usual encoding."""
        codecs = ["utf-8", "utf-16-le", "utf-16-be"] if b"\0" in data else ["utf-8"]
        return any(self.is_in(data.decode(codec, "replace")) for codec in codecs)

    def is_in_source(self, source: bytes) -> bool:
        """Return whether a message has the address: raw, in a decoded part, in a decoded field."""
        if self.is_in_bytes(source):
            return True
        fields = read_fields(source[: body_start(source, 0, len(source))])
        if any(self.is_in(decode_words(unfolded(raw))) for _name, raw in fields):
            return True
        return any(
            self.is_in_bytes(entity.content()) or self.is_in(entity.name)
            for entity in read_entities(source)
            if not entity.children
        )

    def source_without(self, source: bytes) -> bytes | None:
        """Return a message whose fields do not have the address; None if its body has it.

        A mailbox is removed from its list with its name. Any other field is removed as a whole.
        """
        end = body_start(source, 0, len(source))
        fields = _FIELD.findall(source[:end])
        kept = b"".join(self._field_without(field) for field in fields)
        if _mime_fields(kept) != _mime_fields(source[:end]):
            return None  # without them, the body would be another one
        blank = b"\r\n" if b"\r\n" in source[:end] else b"\n"
        without = kept + blank + source[end:]
        return None if self.is_in_source(without) else without

    def _field_without(self, field: bytes) -> bytes:
        text = field.decode("utf-8", "replace")
        value = unfolded(text)
        if not self.is_in(value) and not self.is_in(decode_words(value)):
            return field
        name, _, raw = text.partition(":")
        if name.strip().lower() not in _ADDRESS_FIELDS:
            return b""
        try:
            left = [one for one in parse_address_header(raw) if not self.is_mailbox(one)]
        except AddressError:
            return b""
        rewritten = address_field(name.strip(), left) if left else b""
        return b"" if self.is_in(rewritten.decode("utf-8", "replace")) else rewritten


def _mime_fields(head: bytes) -> list[bytes]:
    return [field for field in _FIELD.findall(head) if field.lower().startswith(b"content-")]


def _in_unicode(address: Address) -> str:
    """Return the address with its domain in Unicode, whichever way it was given."""
    local, _, domain = address.wire.rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode().decode("idna")
    return f"{local}@{domain}"


def _forms(spelling: str) -> Iterable[str]:
    local, _, domain = spelling.rpartition("@")
    escapes: tuple[Callable[[str], str], ...] = (
        str,
        html.escape,
        _xtext,
        utf8_xtext,
        lambda text: quote(text, safe=""),
    )
    for escape in escapes:
        start, end = escape(local), escape(domain)
        for at in ("@", "%40", "=40", "&#64;", "&#x40;", "&commat;", "\\u0040"):
            yield f"{start}{at}{end}"
            yield json.dumps(f"{start}{at}{end}")[1:-1]
    yield f"{local}={domain}"


def _return_path(spelling: str) -> str:
    return re.escape(spelling.replace("@", "="))


def _xtext(text: str) -> str:
    return "".join(
        char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text
    )
