"""Masking: what a server repeats of a login is hidden before anything is recorded.

A server may repeat a password in any reply: as it is, with escapes of URLs, HTML, JSON or
quoted-printable, in Base64 or hexadecimal, and split over the lines of a reply. Short secrets are
masked in the replies to the login only, because elsewhere the mask would make ordinary words
unreadable.
"""

import base64
import html
import quopri
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from outbox.smtp.content_words import MASK, ContentWords
from outbox.smtp.reply import CUT_LINE, escape

LONG = 8  # characters: a secret of this length occurs in no ordinary text
_PARTIAL = 4  # characters of a secret, at the place where a line was cut
# Blanks, and the end of a line with what begins the next one before its text.
_BREAK = re.compile(r"\n[ \t]*(?:[245]\.\d{1,3}\.\d{1,3}[ \t]+)?|[ \t]+")
_IN_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]")
_SHARED = 2  # characters of Base64 that may have bits of a secret and of its neighbor
_URL_SAFE = str.maketrans("+/", "-_")
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(?=[^\w\s])")
_RUN = re.compile(r"\S+")
_ESCAPES = frozenset("%=&\\+")
_CACHED = 64  # replies; a reused session gets the same few again and again


class Masker:
    """The secrets of one session, and the words of the sensitive messages that it transported."""

    def __init__(self) -> None:
        self._words: ContentWords | None = None
        self._secrets: dict[str, None] = {}
        self._forms: dict[str, int] = {}  # what to search for → characters around it to mask
        self._joined_forms: dict[str, int] = {}  # the same without blanks, for several lines
        self._cache: dict[tuple[str, bool], str] = {}

    def add_secret(self, secret: str) -> None:
        """Mask a secret from now on."""
        if secret and secret not in self._secrets:
            self._cache.clear()
            self._secrets[secret] = None
            if len(secret) >= LONG:
                self._forms |= _forms(secret)
                self._joined_forms = {
                    _BREAK.sub("", form): edge for form, edge in self._forms.items()
                }

    def add_content(self, source: bytes, addresses: tuple[str, ...]) -> None:
        """Mask the words of a sensitive message from now on, but not those of its envelope."""
        self._cache.clear()
        self._words = self._words or ContentWords()
        self._words.add(source, addresses)

    def masked(self, text: str, *, in_login: bool = False) -> str:
        """Return a text of the server without secrets."""
        key = (text, in_login)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            found = self._cache[key] = self._mask(text, in_login=in_login)
        return found

    def masked_start(self, text: str) -> str:
        """Do the same with a text that was cut, perhaps within a secret."""
        text = self.masked(text, in_login=True)
        for secret in self._secrets:
            for size in range(len(secret) - 1, _PARTIAL - 1, -1):
                if text.endswith(secret[:size]):
                    return text[:-size] + MASK
        return text

    def _mask(self, text: str, *, in_login: bool) -> str:
        if self._forms:
            text = self._without_forms(text)
            text = self._without_escaped(text)
            if CUT_LINE in text:
                start, mark, rest = text.partition(CUT_LINE)
                text = self.masked_start(start) + mark + self._mask(rest, in_login=in_login)
        if in_login:
            for secret in self._secrets:
                text = text.replace(secret, MASK)
        return self._words.masked(text) if self._words else text

    def _without_forms(self, text: str) -> str:
        is_split = "\n" in text
        joined = _BREAK.sub("", text) if is_split else text
        forms = self._joined_forms if is_split else self._forms
        found = {form: edge for form, edge in forms.items() if form in joined}
        if not found:
            return text
        places = _places(text) if is_split else range(len(text))
        spans = sorted(
            _widened(text, places[start], places[end - 1] + 1, edge)
            for form, edge in found.items()
            for start, end in _spans(joined, form)
        )
        pieces, done = [], 0
        for start, end in spans:
            if start >= done:
                pieces += [text[done:start], MASK]
            done = max(done, end)
        return "".join([*pieces, text[done:]])

    def _without_escaped(self, text: str) -> str:
        """Mask what has escapes if the text has a secret once they are resolved."""
        is_split = "\n" in text
        plain = _BREAK.sub("", text) if is_split else text
        forms = self._joined_forms if is_split else self._forms
        if any(form in other for other in _resolved(plain) for form in forms):
            return _RUN.sub(_masked_if_escaped, text)
        return text


def _masked_if_escaped(run: re.Match[str]) -> str:
    return run[0] if _ESCAPES.isdisjoint(run[0]) else MASK


def _forms(secret: str) -> dict[str, int]:
    """Return the forms of a secret, each with the number of characters around it to mask."""
    raw = secret.encode()
    shown = escape(raw)  # as the reader of replies has it
    forms = dict.fromkeys((secret, shown, quote(secret, safe=""), quote_plus(secret)), 0)
    forms |= dict.fromkeys((raw.hex(), raw.hex().upper()), 0)
    return forms | dict.fromkeys(_base64(raw), _SHARED)


def _base64(raw: bytes) -> Iterator[str]:
    """Yield a secret in Base64, alone or within a longer text.

    It is the part that the secret alone decides, for each place in a group of three bytes.
    """
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw).decode().rstrip("=")
        inner = encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        yield inner
        yield inner.translate(_URL_SAFE)


def _resolved(text: str) -> Iterator[str]:
    """Yield a text with its escapes resolved, for each kind of escapes that it may have."""
    if "%" in text or "+" in text:
        yield unquote(text)
        yield unquote_plus(text)
    if "&" in text:
        yield html.unescape(text)
    if "=" in text:
        yield quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    if "\\" in text:
        yield _UNICODE_ESCAPE.sub(lambda found: chr(int(found[1] or "0", 16)).strip("\0"), text)


def _places(text: str) -> list[int]:
    """Return where each character of the text without `_BREAK` is in the text."""
    breaks = [found.span() for found in _BREAK.finditer(text)]
    starts = [0, *(end for _, end in breaks)]
    ends = [*(start for start, _ in breaks), len(text)]
    return [at for start, end in zip(starts, ends, strict=True) for at in range(start, end)]


def _spans(text: str, form: str) -> Iterator[tuple[int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + len(form))


def _widened(text: str, start: int, end: int, edge: int) -> tuple[int, int]:
    """Return a span with up to `edge` characters of Base64 on both sides."""
    first, last = start, end
    while start - first < edge and first and _IN_BASE64.match(text, first - 1):
        first -= 1
    while last - end < edge and _IN_BASE64.match(text, last):
        last += 1
    return first, last
