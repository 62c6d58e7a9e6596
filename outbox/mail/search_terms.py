"""Split texts and search queries into terms.

Words are folded (Unicode NFKC, case-insensitive). Chinese and Japanese do not separate words, so
every two adjacent characters are a term, and the last character is one, too: a query of any length
then starts with a term of the text. Texts and queries are split here only, so that databases need
no support for languages.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

MAX_TERM = 60  # characters; longer words are found by their start
_UNSPACED = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # fmt: skip  # noqa: E501  # ranges read best in one line


@cache
def _run_pattern() -> re.Pattern[str]:
    """Return the pattern, which takes milliseconds to compile: every command imports this."""
    return re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")


@cache
def _unspaced_pattern() -> re.Pattern[str]:
    return re.compile(rf"[{_UNSPACED}]")


def fold(text: str) -> str:
    """Return a text in which equivalent characters are equal."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def terms_of(text: str) -> Iterator[str]:
    """Yield the terms of a text, in order."""
    is_unspaced = _unspaced_pattern().match
    for run in _runs(text):
        if is_unspaced(run):
            yield from (run[at : at + 2] for at in range(len(run)))
        else:
            yield run[:MAX_TERM]


def terms_asked(text: str) -> list[str]:
    """Return the terms of a query, which must be adjacent; the last may be the start of a term."""
    asked = list(terms_of(text))
    # In the text, another character may follow the last one, which then is not a term.
    if len(asked) > 1 and _unspaced_pattern().match(asked[-1]) and asked[-2][1:] == asked[-1]:
        del asked[-1]
    return asked


def _runs(text: str) -> list[str]:
    return _run_pattern().findall(fold(text))
