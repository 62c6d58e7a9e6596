"""The tokens of an address list (RFC 5322 3.2), none of which spans a line break.

A quote or a comment that is never closed is a token as well, up to the end of the line, so that any
text has tokens. The script of the composer (`compose/address_parser.js`) follows the same rules.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from outbox.mail.mailbox import INVISIBLE, WIDE_MARKS, quote

Kind = Literal["quoted", "curly", "literal", "space", "atom", "mark", "comment", "open"]

# Listed, because browsers and Python disagree about what a space is.
SPACES = rf"\t \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000{INVISIBLE}"
_TOKEN = re.compile(
    rf"""
    (?P<quoted>"(?:[^"\\]|\\.)*")
  | (?P<curly>“[^“”]*”)
  | (?P<literal>\[[^\[\]\\{SPACES}]*\])
  | (?P<space>[{SPACES}]+)
  | (?P<atom>[^{SPACES}"()<>\[\],;:@\\{WIDE_MARKS}]+)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PARENTHESIS = re.compile(r"\\.|[()（）]", re.DOTALL)
_DEPTH = {"(": 1, "（": 1, ")": -1, "）": -1}
_ASCII = {"，": ",", "；": ";", "、": ";", "＜": "<", "＞": ">", "＠": "@"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text; `text` is its original form."""

    kind: Kind
    text: str

    @property
    def value(self) -> str:
        """The meaning of the token, without its quotes."""
        if self.kind == "quoted":
            return re.sub(r"\\(.)", r"\1", self.text[1:-1], flags=re.DOTALL)
        return " " if self.kind == "space" else self.text

    @property
    def in_ascii(self) -> "Token":
        """The same with ASCII punctuation in place of full-width punctuation."""
        if self.kind == "curly":
            return Token("quoted", quote(self.text[1:-1]))
        if self.kind == "comment":
            return Token("comment", f"({self.text[1:-1]})")
        return Token(self.kind, _ASCII.get(self.text, self.text))


Tokens = Sequence[Token]
ANY_QUOTES = '"“'


def tokenize(line: str, quotes: str = '"') -> Iterator[Token]:
    """Yield the tokens of one line; together they are the line.

    `quotes` are the characters that begin a quoted string.
    """
    position = 0
    while position < len(line):
        token = _token_at(line, position, quotes)
        yield token
        position += len(token.text)


def _token_at(line: str, position: int, quotes: str) -> Token:
    if line[position] in "(（":
        end = _comment_end(line, position)
        return Token("comment", line[position:end]) if end else Token("open", line[position:])
    match = _TOKEN.match(line, position)
    assert match is not None  # the last branch matches any character
    if match.group() in quotes:  # the quote is never closed
        return Token("open", line[position:])
    return Token(match.lastgroup, match.group())  # type: ignore[arg-type]  # the groups are the kinds


def _comment_end(line: str, start: int) -> int:
    """Return the end of a comment, 0 if it is never closed."""
    depth = 0
    for match in _PARENTHESIS.finditer(line, start):
        depth += _DEPTH.get(match.group(), 0)
        if depth == 0:
            return match.end()
    return 0


def trimmed(tokens: Tokens) -> Tokens:
    """Return the tokens without the space at both ends."""
    solid = [number for number, token in enumerate(tokens) if token.kind != "space"]
    return tokens[solid[0] : solid[-1] + 1] if solid else []


def text_of(tokens: Tokens) -> str:
    """Return the original text, without the space at both ends."""
    return "".join(token.text for token in trimmed(tokens))
