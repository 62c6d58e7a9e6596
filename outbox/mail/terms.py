"""The terms by which a text is found, and those that a person's words ask for.

Words are folded (Unicode NFKC, no case). Chinese and Japanese write none apart, so there every two
neighbours are a term, and the last character is one alone: whatever is asked for, one character or
ten, begins with a term of the text. Both sides are cut here and nowhere else, so that no database
needs to know a language.
"""

import re
import unicodedata
from collections.abc import Iterator

MAX_TERM = 60  # characters; longer words are found by their beginning
_UNSPACED = "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # fmt: skip  # noqa: E501  # ranges read best in one line
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


def fold(text: str) -> str:
    """Make equal what a reader takes for equal."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def terms_of(text: str) -> Iterator[str]:
    """Yield the terms of a text in their order."""
    for run in _runs(text):
        if _IS_UNSPACED.match(run):
            yield from (run[at : at + 2] for at in range(len(run)))
        else:
            yield run[:MAX_TERM]


def terms_asked(text: str) -> list[str]:
    """List the terms that must follow each other; the last may be the beginning of one."""
    asked = list(terms_of(text))
    # More may follow the last character in the text, which then is not one alone.
    if len(asked) > 1 and _IS_UNSPACED.match(asked[-1]) and asked[-2][1:] == asked[-1]:
        del asked[-1]
    return asked


def _runs(text: str) -> list[str]:
    return _RUN.findall(fold(text))
