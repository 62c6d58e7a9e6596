"""Parse one email address, an address header, or recipients that a person typed or pasted.

`parse_address` and `parse_address_header` follow RFC 5322 3.4. `parse_address_list` also accepts
what people paste: full-width punctuation, spreadsheet rows, addresses separated by spaces, and
"Doe, John <…>". Two separate pieces of text never become parts of one mailbox.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise

from outbox.mail.address_tokens import ANY_QUOTES, Token, Tokens, text_of, tokenize, trimmed
from outbox.mail.encoded_words import decode_words
from outbox.mail.mailbox import (
    Address,
    AddressError,
    address_error,
    has_control,
    is_usual,
    mailbox_key,
    quote_name,
    unique,
)
from outbox.texts import gettext_noop

__all__ = [
    "Address",
    "AddressError",
    "estimate_entries",
    "is_usual",
    "mailbox_key",
    "parse_address",
    "parse_address_header",
    "parse_address_list",
    "parse_addresses",
    "parse_entry",
    "quote_name",
    "split_entries",
    "unique",
]

_SIMPLE = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[\w.-]+", re.ASCII)
_LINE_BREAK = re.compile(r"[\r\n]+")
_ANY_LINE_BREAK = re.compile(r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
_FOLD = re.compile(r"\r?\n(?=[ \t])")  # RFC 5322 2.2.3
# How many of each mark an entry has at most, with a name and a comment.
_MARKS = dict.fromkeys('@<>,;\n\t\\()[]"“”，；、＜＞＠（）', 4) | {":": 10, " ": 30}
_NAME_WORDS = 3  # at most, before the comma of "van der Berg, Jan <jan@…>"
_INITIAL = frozenset({"Lu", "Lt", "Lo"})  # upper case, title case, and scripts without case
_UPPER = frozenset({"Lu", "Lt"})


def parse_address(text: str) -> Address:
    """Parse exactly one address. Raise AddressError also for two, or for a group."""
    if _SIMPLE.fullmatch(text):  # nearly every address of an app; takes a tenth of the time
        local, _, domain = text.rpartition("@")
        return Address("", local, domain)
    if "\n" in text or "\r" in text:
        raise address_error(text, gettext_noop("“%(text)s” has a line break in it"))
    entries = list(_mailboxes(text))
    if len(entries) != 1:
        if entries:
            raise address_error(text, gettext_noop("“%(text)s” is more than one address"))
        raise address_error(text, gettext_noop("“%(text)s” is not an email address"))
    if any(token.text == ":" for token in tokenize(text)):
        raise address_error(text, gettext_noop("“%(text)s” has a colon in the wrong place"))
    return _parse_mailbox(entries[0])


def parse_address_header(value: str) -> list[Address]:
    """Return the addresses of a header's value, in order; [] for a blank one."""
    return [_parse_mailbox(tokens) for tokens in _mailboxes(_FOLD.sub("", value))]


def parse_addresses(text: str) -> list[Address]:
    """Return the addresses of a text, separated by commas. Raise AddressError.

    It is for texts that may come from a form: a line break, or a name before a colon, could add
    recipients that the caller did not mean. Blank text has no address.
    """
    if _SIMPLE.fullmatch(text):
        return [parse_address(text)]
    if _ANY_LINE_BREAK.search(text):
        raise address_error(text, gettext_noop("“%(text)s” has a line break in it"))
    if any(token.text == ":" for token in tokenize(text)):
        raise address_error(text, gettext_noop("“%(text)s” has a colon in the wrong place"))
    return parse_address_header(text)


def parse_address_list(text: str) -> list[Address]:
    """Return every address that a person typed, in order, with duplicates; [] for blank text."""
    return [parse_entry(entry) for entry in split_entries(text)]


# --- the syntax of RFC 5322 ----------------------------------------------------------------------


def _mailboxes(text: str) -> Iterator[Tokens]:
    """Split at separators and line breaks; drop names of groups and blank entries."""
    for line in _LINE_BREAK.split(text):
        for tokens, _ in _apart(list(tokenize(line))):
            yield tokens


def _apart(tokens: Tokens) -> Iterator[tuple[Tokens, str]]:
    """Split a line at commas and semicolons; yield the text before each, and the separator."""
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
        raise address_error(raw, gettext_noop("“%(text)s” has a “<” that is never closed"))
    end = texts.index(">", start)
    if any(token.kind not in {"space", "comment"} for token in entry[end + 1 :]):
        raise address_error(raw, gettext_noop("“%(text)s” has text after the “>”"))
    address = _mailbox(_name(entry[:start]), entry[start + 1 : end], raw)
    if "@" in texts[:start] and text_of(entry[:start]).lower() != address.spec.lower():
        raise address_error(
            raw, gettext_noop("“%(text)s” has more than one @")
        )  # a separator was forgotten
    return address


def _check_tokens(entry: Tokens, raw: str) -> None:
    for token in entry:
        if token.kind == "open":
            template = gettext_noop("“%(text)s” has a quote that is never closed")
            if token.text[0] in "(（":
                template = gettext_noop("“%(text)s” has a “(” that is never closed")
            raise address_error(token.text, template)
        if token.text == ":":
            raise address_error(raw, gettext_noop("“%(text)s” has a colon in the wrong place"))
    if has_control(raw.replace("\t", " ")):
        raise address_error(
            raw, gettext_noop("“%(text)s” has a line break or another control character in it")
        )


def _name(phrase: Tokens) -> str:
    name = "".join(token.value for token in trimmed(phrase))
    if any(token.kind == "quoted" for token in phrase):
        return name  # RFC 2047 5 (3): no encoded words inside quotes
    return decode_words(name)


def _mailbox(name: str, tokens: Tokens, raw: str) -> Address:
    spec = [token for token in tokens if token.kind != "comment"]
    ats = [number for number, token in enumerate(spec) if token.text == "@"]
    if len(ats) != 1:
        if ats:
            raise address_error(raw, gettext_noop("“%(text)s” has more than one @"))
        raise address_error(raw, gettext_noop("“%(text)s” has no @"))
    local, domain = trimmed(spec[: ats[0]]), trimmed(spec[ats[0] + 1 :])
    for token in (*local, *domain):
        if token.kind == "space":
            raise address_error(
                raw, gettext_noop("“%(text)s” has a space in it; put a comma between two addresses")
            )
        if token.kind in {"mark", "curly"}:
            template = gettext_noop("“%(text)s” has “%(mark)s” in the wrong place")
            raise address_error(raw, template, mark=token.text)
    if any(token.kind == "quoted" for token in domain):
        raise address_error(raw, gettext_noop("“%(text)s” has quotes after the @"))
    whole = ("".join(token.value for token in part) for part in (local, domain))
    return Address(name, *whole)


# --- what people paste ---------------------------------------------------------------------------


def estimate_entries(text: str) -> int:
    """Return an estimate of the number of entries, from below, in a hundredth of the time."""
    return max(text.count(mark) // most for mark, most in _MARKS.items())


def split_entries(text: str) -> list[str]:
    """Split a text that a person typed into one text per recipient, each as in a header.

    Text that is not an address becomes an entry as well, which `parse_entry` then rejects.
    """
    written = (tokenize(line, ANY_QUOTES) for line in _LINE_BREAK.split(text))
    lines = ([token.in_ascii for token in line] for line in written)
    return [entry for line in lines for entry in _line_entries(line)]


def parse_entry(entry: str) -> Address:
    """Parse an entry of `split_entries`. Raise AddressError if it is not an address."""
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
    """Drop "mailto:", which browsers and email clients include when they copy an address."""
    texts = [token.text.lower() for token in tokens]
    schemes = [n for n, pair in enumerate(pairwise(texts)) if pair == ("mailto", ":")]
    dropped = {*schemes, *(number + 1 for number in schemes)}
    return [token for number, token in enumerate(tokens) if number not in dropped]


def _last_name_first(piece: Tokens, after: Tokens) -> str:
    """Return "Doe, John <…>" as one entry; "" if the pieces are not such a pair.

    Only capitalized names count: "jane, Bob <…>" are more likely two people.
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
    """Yield the entries between two separators: each cell of a spreadsheet row is one.

    Cells with names before a single address are its display name.
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
    """Split after each ">"; if there is none, at spaces."""
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
    """Return whether the words look like a name: quoted, or with capitals at both ends."""
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
