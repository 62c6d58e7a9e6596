"""Which messages are sensitive: those that their caller marks, and password resets.

The mark is the option `sensitive`, or a header for callers that can set nothing else. A message
with a token of Django's password reset needs no mark, whichever view, form or app wrote it.
"""

import re
from collections.abc import Mapping

from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError

HEADER = "X-Outbox-Sensitive"  # removed from the message before it is stored
_WORDS = {"yes": True, "true": True, "1": True, "on": True}
_WORDS |= {"no": False, "false": False, "0": False, "off": False}
# What PasswordResetTokenGenerator makes: a time in base 36, and half of a SHA-256.
# The pattern begins with the hyphen, which is searched for faster than what precedes it.
_RESET_TOKEN = re.compile(r"-(?<=[0-9a-z]-)[0-9a-f]{32}(?![0-9A-Za-z])")


def read_mark(value: object) -> bool:
    """Return the meaning of the header's value. Raise InvalidMessageError."""
    word = str(value).strip().lower()
    if word not in _WORDS:
        raise InvalidMessageError("headers", f"{HEADER} must be yes or no, not {word[:60]!r}.")
    return _WORDS[word]


def split_mark(headers: Mapping[str, str]) -> tuple[Mapping[str, str], bool | None]:
    """Return the headers without the mark, and its meaning; None if there is no mark."""
    marks = [value for name, value in headers.items() if name.lower() == HEADER.lower()]
    if not marks:
        return headers, None
    others = {name: value for name, value in headers.items() if name.lower() != HEADER.lower()}
    return others, True in [read_mark(value) for value in marks]


def is_sensitive(option: bool | None, mark: bool | None, *texts: str) -> bool:  # noqa: FBT001  # None: not given
    """Return whether a message is sensitive. The option precedes the mark, and that the text."""
    if option is not None:
        return option
    if mark is not None:
        return mark
    return get_conf().detect_reset_links and any(map(_RESET_TOKEN.search, texts))
