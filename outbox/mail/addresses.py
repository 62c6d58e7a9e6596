"""One mail address, and what a person types where addresses go.

`parse_address_list` reads commas, semicolons and new lines, quoted names, groups and comments
(RFC 5322 3.4), and names the entry it cannot read. An `Address` that exists can be put on the
wire: its parts hold no line break and keep to the limits of RFC 5321 4.5.3.1.
It does not ask any server whether the mailbox exists.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import idna

from outbox.mail.words import decode_words

MAX_LOCAL = 64
MAX_DOMAIN = 255
MAX_PATH = 256  # "<" and ">" included
_MAX_QUOTED = 60  # characters of an entry that an error shows

_ATOM = r"[^\s\"(),.:;<>@\[\\\]]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # "_" is no host name, but private ones have it
_HOST = re.compile(rf"(?=.{{1,{MAX_DOMAIN}}}\Z){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What copying out of web pages and dialogs leaves between the characters and nobody sees.
_INVISIBLE = r"\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
_PLAIN_NAME = re.compile(rf"[^\"(),.:;<>@\[\\\]{_INVISIBLE}]+")


class AddressError(ValueError):
    """The text is no mail address; the message quotes the text and says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A display name (may be empty) and a mailbox, both as people read them, unquoted."""

    name: str
    local: str
    domain: str

    def __post_init__(self) -> None:
        if _CONTROL.search(self.name + self.local):
            raise _error(self.name + self.local, "has a control character in it")
        if not self.local:
            raise _error(f"@{self.domain}", "has nothing before the @")
        local = _local_form(self.local)
        if len(local.encode()) > MAX_LOCAL:
            raise _error(self.spec, f"has more than {MAX_LOCAL} bytes before the @")
        _check_domain(self.spec, self.domain)
        if len(self.wire.encode()) > MAX_PATH - len("<>"):
            raise _error(self.spec, f"has more than {MAX_PATH - len('<>')} bytes")

    @property
    def spec(self) -> str:
        """The addr-spec with the domain as people read it."""
        return f"{_local_form(self.local)}@{self.domain}"

    @property
    def wire(self) -> str:
        """The addr-spec with the domain in A-labels (RFC 5891), as the envelope carries it."""
        return f"{_local_form(self.local)}@{_wire_domain(self.domain)}"

    @property
    def key(self) -> str:
        """Equal for two spellings of one mailbox: only the domain folds (RFC 5321 2.4)."""
        return f"{_local_form(self.local)}@{_wire_domain(self.domain).lower()}"

    @property
    def needs_smtputf8(self) -> bool:
        """Only a local part outside ASCII does; a domain has its A-labels (RFC 6531 3.7)."""
        return not self.local.isascii()

    def __str__(self) -> str:
        """The form of a header (RFC 5322 3.4), Unicode kept; `parse_address` reads it back."""
        return f"{quote_name(self.name)} <{self.spec}>" if self.name else self.spec


def quote_name(name: str) -> str:
    """Put a display name in quotes where RFC 5322 3.2.5 asks for them."""
    plain = _PLAIN_NAME.fullmatch(name) and "=?" not in name and name == " ".join(name.split())
    return name if plain else _in_quotes(name)


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Keep the first address of each mailbox."""
    first: dict[str, Address] = {}
    for address in addresses:
        first.setdefault(address.key, address)
    return list(first.values())


def _check_domain(spec: str, domain: str) -> None:
    if not domain:
        raise _error(spec, "has no domain")
    if domain.startswith("["):
        if not _is_literal(domain):
            raise _error(spec, "has no valid IP address in its brackets")
        return
    if len(domain) > MAX_DOMAIN:  # A-labels are longer still, and cost time to find
        raise _error(spec, f"has a domain of more than {MAX_DOMAIN} bytes")
    try:
        wire = _wire_domain(domain)
    except UnicodeError:
        wire = ""
    if not _HOST.fullmatch(wire):
        raise _error(spec, "has no valid domain")


def _is_literal(domain: str) -> bool:
    """Know the two forms of RFC 5321 4.1.3 that anybody uses."""
    inner = domain.removeprefix("[").removesuffix("]")
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        return False
    return domain == f"[{inner}]" and "%" not in inner


def _local_form(local: str) -> str:
    return local if _DOT_ATOM.fullmatch(local) else _in_quotes(local)


def _in_quotes(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _wire_domain(domain: str) -> str:
    """Turn U-labels into A-labels. Raises UnicodeError where there are none for them."""
    if domain.isascii():
        return domain
    return idna.encode(domain, uts46=True).decode("ascii")


def _error(text: str, problem: str) -> AddressError:
    start = text[:_MAX_QUOTED]
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in start)
    return AddressError(f"“{shown}{'…' if start != text else ''}” {problem}")


# --- reading what was typed ----------------------------------------------------------------------

_Kind = Literal["quoted", "literal", "newline", "space", "atom", "mark", "comment"]
_TOKEN = re.compile(
    rf"""
    (?P<quoted>"(?:[^"\\]|\\.)*")
  | (?P<literal>\[[^\[\]\\\s]*\])
  | (?P<newline>[\r\n]+)
  | (?P<space>[\s{_INVISIBLE}]+)
  | (?P<atom>[^\s"()<>\[\],;:@\\{_INVISIBLE}]+)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    text: str

    @property
    def value(self) -> str:
        if self.kind == "quoted":
            return re.sub(r"\\(.)", r"\1", self.text[1:-1])
        return " " if self.kind == "space" else self.text


_Entry = Sequence[_Token]


def parse_address(text: str) -> Address:
    """Read exactly one address. Raises AddressError, also where there are two."""
    if _SIMPLE.fullmatch(text):  # nearly every address an app passes; a tenth of the time
        local, _, domain = text.rpartition("@")
        return Address("", local, domain)
    if "\n" in text or "\r" in text:
        raise _error(text, "has a line break in it")
    found = parse_address_list(text)
    if len(found) != 1:
        raise _error(text, "is more than one address" if found else "is no address")
    return found[0]


def parse_address_list(text: str) -> list[Address]:
    """Read every address of what a person typed, in order and with doubles; [] for blank text."""
    return [_read_entry(entry) for entry in _entries(text)]


def _entries(text: str) -> Iterator[_Entry]:
    """Split at separators; drop the names of groups (RFC 5322 3.4) and what is blank."""
    entry: list[_Token] = []
    for token in _tokens(text):
        if token.kind == "newline" or token.text in {",", ";"}:
            yield from _unless_blank(entry)
            entry = []
        elif token.text == ":":
            if any(earlier.text in {"@", "<"} for earlier in entry) or not _trimmed(entry):
                raise _error(_raw(entry) + ":", "has a colon where none can stand")
            entry = []
        else:
            entry.append(token)
    yield from _unless_blank(entry)


def _unless_blank(entry: _Entry) -> Iterator[_Entry]:
    if _trimmed(entry):
        yield entry


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        if text[position] == "(":
            token = _Token("comment", text[position : _comment_end(text, position)])
        else:
            match = _TOKEN.match(text, position)
            assert match is not None  # the last branch takes any character
            kind: _Kind = match.lastgroup  # type: ignore[assignment]  # the group names are the kinds
            token = _Token(kind, match.group())
        if token.text == '"':  # at once: an open quote is sought to the end of the text
            raise _error(text[position:], "has a quote that is never closed")
        yield token
        position += len(token.text)


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"\\.|[()]", re.DOTALL).finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    raise _error(text[start:], "has a “(” that is never closed")


def _raw(tokens: _Entry) -> str:
    return "".join(token.text for token in _trimmed(tokens))


def _trimmed(tokens: _Entry) -> _Entry:
    """Leave out blanks at both ends."""
    solid = [number for number, token in enumerate(tokens) if token.kind != "space"]
    return tokens[solid[0] : solid[-1] + 1] if solid else []


def _read_entry(entry: _Entry) -> Address:
    raw = _raw(entry)
    if _CONTROL.search(raw.replace("\t", " ")):
        raise _error(raw, "has a line break or another control character in it")
    texts = [token.text for token in entry]
    if "<" not in texts:
        comment = next((t.text[1:-1] for t in entry if t.kind == "comment"), "")
        return _mailbox(comment, entry, raw)
    start = texts.index("<")
    if ">" not in texts[start:]:
        raise _error(raw, "has a “<” that is never closed")
    end = texts.index(">", start)
    if any(token.kind not in {"space", "comment"} for token in entry[end + 1 :]):
        raise _error(raw, "has text behind the “>”")
    return _mailbox(_name(entry[:start]), entry[start + 1 : end], raw)


def _name(phrase: _Entry) -> str:
    name = "".join(token.value for token in _trimmed(phrase))
    if any(token.kind == "quoted" for token in phrase):
        return name  # RFC 2047 5 (3): no encoded words inside quotes
    return decode_words(name)


def _mailbox(name: str, tokens: _Entry, raw: str) -> Address:
    spec = [token for token in tokens if token.kind != "comment"]
    ats = [number for number, token in enumerate(spec) if token.text == "@"]
    if len(ats) != 1:
        raise _error(raw, "has more than one @" if ats else "has no @")
    local, domain = _trimmed(spec[: ats[0]]), _trimmed(spec[ats[0] + 1 :])
    for token in (*local, *domain):
        if token.kind == "space":
            raise _error(raw, "has a space in it; put a comma between two addresses")
        if token.kind == "mark":
            raise _error(raw, f"has “{token.text}” where none can stand")
    return Address(name, _local(local, raw), _domain(domain, raw))


def _local(tokens: _Entry, raw: str) -> str:
    local = "".join(token.value for token in tokens)
    bare = all(token.kind == "atom" for token in tokens)
    if bare and tokens and not _DOT_ATOM.fullmatch(local):
        raise _error(raw, "has a dot at an end, or two in a row, before the @")
    return local


def _domain(tokens: _Entry, raw: str) -> str:
    if any(token.kind == "quoted" for token in tokens):
        raise _error(raw, "has quotes behind the @")
    return "".join(token.text for token in tokens)
