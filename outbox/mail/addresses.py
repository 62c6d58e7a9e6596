"""Parse one email address, an address header, and what a person types or pastes as recipients.

`parse_address` and `parse_address_header` keep to RFC 5322 3.4. `parse_address_list` also accepts
what people paste: full-width punctuation, spreadsheet rows, addresses apart by spaces, and
"Doe, John <…>". Two pieces of text that stand apart never become parts of one mailbox.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise

from outbox.mail.address_tokens import ANY_QUOTES, Token, Tokens, text_of, tokenize, trimmed
from outbox.mail.mailbox import (
    Address,
    AddressError,
    address_error,
    has_control,
    quote_name,
    unique,
)
from outbox.mail.words import decode_words

__all__ = [
    "Address",
    "AddressError",
    "parse_address",
    "parse_address_header",
    "parse_address_list",
    "parse_entry",
    "quote_name",
    "split_entries",
    "unique",
]

_SIMPLE = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[\w.-]+", re.ASCII)
_LINE_BREAK = re.compile(r"[\r\n]+")
_FOLD = re.compile(r"\r?\n(?=[ \t])")  # RFC 5322 2.2.3
_NAME_WORDS = 3  # at most, before the comma of "van der Berg, Jan <jan@…>"
_INITIAL = frozenset({"Lu", "Lt", "Lo"})  # upper case, title case, and scripts without case
_UPPER = frozenset({"Lu", "Lt"})


def parse_address(text: str) -> Address:
    """Parse exactly one address. Raise AddressError also for two, or for a group."""
    if _SIMPLE.fullmatch(text):  # nearly every address an app passes; a tenth of the time
        local, _, domain = text.rpartition("@")
        return Address("", local, domain)
    if "\n" in text or "\r" in text:
        raise address_error(text, "has a line break in it")
    entries = list(_mailboxes(text))
    if len(entries) != 1:
        problem = "is more than one address" if entries else "is not an email address"
        raise address_error(text, problem)
    if any(token.text == ":" for token in tokenize(text)):
        raise address_error(text, "has a colon where none can stand")
    return _parse_mailbox(entries[0])


def parse_address_header(value: str) -> list[Address]:
    """Parse the addresses of a header's value, in order; [] for a blank one."""
    return [_parse_mailbox(tokens) for tokens in _mailboxes(_FOLD.sub("", value))]


def parse_address_list(text: str) -> list[Address]:
    """Parse every address of what a person typed, in order and with doubles; [] for blank text."""
    return [parse_entry(entry) for entry in split_entries(text)]


# --- the syntax of RFC 5322 ----------------------------------------------------------------------


def _mailboxes(text: str) -> Iterator[Tokens]:
    """Split at separators, also at line breaks; drop the names of groups and what is blank."""
    for line in _LINE_BREAK.split(text):
        for tokens, _ in _apart(list(tokenize(line))):
            yield tokens


def _apart(tokens: Tokens) -> Iterator[tuple[Tokens, str]]:
    """Split a line at commas and semicolons; yield what stands before each, and the separator."""
    entry: list[Token] = []
    closing = [number for number, token in enumerate(tokens) if token.text == ";"]
    in_group = False
    for number, token in enumerate(tokens):
        if token.text in {",", ";"}:
            in_group = in_group and token.text == ","
            yield from [(entry, token.text)] if trimmed(entry) else ()
            entry = []
        elif token.text == ":" and not in_group and closing and number < closing[-1]:
            in_group = _names_group(entry)
            entry = [] if in_group else [*entry, token]
        else:
            entry.append(token)
    yield from [(entry, "")] if trimmed(entry) else ()


def _names_group(entry: Tokens) -> bool:
    return bool(trimmed(entry)) and not any(token.text in {"@", "<", ":"} for token in entry)


def _parse_mailbox(entry: Tokens) -> Address:
    raw = text_of(entry)
    _check_tokens(entry, raw)
    texts = [token.text for token in entry]
    if "<" not in texts:
        comment = next((token.text[1:-1] for token in entry if token.kind == "comment"), "")
        return _mailbox(comment, entry, raw)
    start = texts.index("<")
    if ">" not in texts[start:]:
        raise address_error(raw, "has a “<” that is never closed")
    end = texts.index(">", start)
    if any(token.kind not in {"space", "comment"} for token in entry[end + 1 :]):
        raise address_error(raw, "has text behind the “>”")
    address = _mailbox(_name(entry[:start]), entry[start + 1 : end], raw)
    if "@" in texts[:start] and text_of(entry[:start]).lower() != address.spec.lower():
        raise address_error(raw, "has more than one @")  # a separator was forgotten
    return address


def _check_tokens(entry: Tokens, raw: str) -> None:
    for token in entry:
        if token.kind == "open":
            unclosed = "a “(”" if token.text[0] in "(（" else "a quote"
            raise address_error(token.text, f"has {unclosed} that is never closed")
        if token.text == ":":
            raise address_error(raw, "has a colon where none can stand")
    if has_control(raw.replace("\t", " ")):
        raise address_error(raw, "has a line break or another control character in it")


def _name(phrase: Tokens) -> str:
    name = "".join(token.value for token in trimmed(phrase))
    if any(token.kind == "quoted" for token in phrase):
        return name  # RFC 2047 5 (3): no encoded words inside quotes
    return decode_words(name)


def _mailbox(name: str, tokens: Tokens, raw: str) -> Address:
    spec = [token for token in tokens if token.kind != "comment"]
    ats = [number for number, token in enumerate(spec) if token.text == "@"]
    if len(ats) != 1:
        raise address_error(raw, "has more than one @" if ats else "has no @")
    local, domain = trimmed(spec[: ats[0]]), trimmed(spec[ats[0] + 1 :])
    for token in (*local, *domain):
        if token.kind == "space":
            raise address_error(raw, "has a space in it; put a comma between two addresses")
        if token.kind in {"mark", "curly"}:
            raise address_error(raw, f"has “{token.text}” where none can stand")
    if any(token.kind == "quoted" for token in domain):
        raise address_error(raw, "has quotes behind the @")
    whole = ("".join(token.value for token in part) for part in (local, domain))
    return Address(name, *whole)


# --- what people paste ---------------------------------------------------------------------------


def split_entries(text: str) -> list[str]:
    """Split what a person typed into one text per recipient, each in the form of a header.

    What is not an address becomes an entry as well, which `parse_entry` then refuses.
    """
    written = (tokenize(line, ANY_QUOTES) for line in _LINE_BREAK.split(text))
    lines = ([token.in_ascii for token in line] for line in written)
    return [entry for line in lines for entry in _line_entries(line)]


def parse_entry(entry: str) -> Address:
    """Parse one of `split_entries`. Raise AddressError."""
    if _SIMPLE.fullmatch(entry):
        return parse_address(entry)
    return _parse_mailbox(list(tokenize(entry, ANY_QUOTES)))


def _line_entries(tokens: Tokens) -> Iterator[str]:
    pieces = list(_apart(_without_schemes(tokens)))
    number = 0
    while number < len(pieces):
        piece, separator = pieces[number]
        after = pieces[number + 1][0] if separator and number + 1 < len(pieces) else ()
        if separator == "," and (joined := _last_name_first(piece, after)):
            yield joined
            number += 1
        else:
            yield from _cells(piece)
        number += 1


def _without_schemes(tokens: Tokens) -> Tokens:
    """Drop "mailto:", which browsers and mail programs copy along."""
    texts = [token.text.lower() for token in tokens]
    schemes = [n for n, pair in enumerate(pairwise(texts)) if pair == ("mailto", ":")]
    dropped = {*schemes, *(number + 1 for number in schemes)}
    return [token for number, token in enumerate(tokens) if number not in dropped]


def _last_name_first(piece: Tokens, after: Tokens) -> str:
    """Return "Doe, John <…>" as one entry; "" if the two are not such a pair.

    Only names in upper case count: "jane, Bob <…>" are more likely two people.
    """
    texts = [token.text for token in after]
    first = after[: texts.index("<")] if "<" in texts else ()
    words = [token for token in piece if token.kind != "space"]
    is_last = 0 < len(words) <= _NAME_WORDS and _starts(words[-1], _UPPER)
    if not (is_last and all(word.kind == "atom" for word in words)):
        return ""
    if not (_is_name(first) and _starts(trimmed(first)[0], _UPPER) and _is_mailbox(after)):
        return ""
    name = f"{_phrase(piece)}, {_phrase(first)}"
    return f"{quote_name(name)} {text_of(after[len(first) :])}"


def _cells(piece: Tokens) -> Iterator[str]:
    """Yield the entries between two separators: of a spreadsheet's row, each cell is one.

    Cells with a name before the only address are its display name.
    """
    cells = [cell for cell in _divided(piece, lambda token: "\t" in token.text) if trimmed(cell)]
    names, last = cells[:-1], cells[-1]
    if names and all(map(_is_name, names)) and _is_mailbox(last, bare=True):
        yield _written(" ".join(map(_phrase, names)), last)
    else:
        for cell in cells:
            yield from _apart_by_spaces(cell)


def _apart_by_spaces(cell: Tokens) -> Iterator[str]:
    if _is_mailbox(cell):
        yield text_of(cell)
        return
    parts = [part for part in _between_addresses(cell) if trimmed(part)]
    *names, last = parts
    words = [token for name in names for token in name]
    if all(map(_is_mailbox, parts)):
        yield from map(text_of, parts)
    elif _is_name(words) and _is_mailbox(last, bare=True):
        yield _written(" ".join(map(_phrase, names)), last)
    else:
        yield text_of(cell)


def _between_addresses(cell: Tokens) -> list[Tokens]:
    """Cut behind each ">"; where there is none, at spaces."""
    if not any(token.text == ">" for token in cell):
        return _divided(cell, lambda token: True)
    parts: list[list[Token]] = [[]]
    for token in cell:
        parts[-1].append(token)
        if token.text == ">":
            parts.append([])
    return list(parts)


def _divided(tokens: Tokens, at: Callable[[Token], bool]) -> list[Tokens]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "space" and at(token):
            parts.append([])
        else:
            parts[-1].append(token)
    return list(parts)


def _is_mailbox(tokens: Tokens, *, bare: bool = False) -> bool:
    try:
        address = _parse_mailbox(tokens)
    except AddressError:
        return False
    return not (bare and address.name)


def _is_name(tokens: Tokens) -> bool:
    """Return whether the words read like a name: in quotes, or with capitals at both ends."""
    words = [token for token in tokens if token.kind not in {"space", "comment"}]
    if not words or any(word.kind not in {"atom", "quoted"} for word in words):
        return False
    return all(word.kind == "quoted" or _starts(word, _INITIAL) for word in (words[0], words[-1]))


def _starts(word: Token, categories: frozenset[str]) -> bool:
    return unicodedata.category(word.text[0]) in categories


def _phrase(tokens: Tokens) -> str:
    return "".join(token.value for token in trimmed(tokens))


def _written(name: str, address: Tokens) -> str:
    spec = text_of(address)
    return f"{quote_name(name)} {spec if spec.startswith('<') else f'<{spec}>'}"
