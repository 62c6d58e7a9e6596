"""Values as callers pass them: types checked, lazy translations resolved, the argument named.

Each function raises an InvalidMessageError that names the argument, so that a wrong value never
surfaces as a TypeError of our own code or as an error of the database.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from django.db import DatabaseError
from django.utils.functional import Promise

from outbox.api.limits import FieldName, check_headers_count, check_length
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.header_writer import HeaderError, check_name
from outbox.models.suppression import TAG_MAX
from outbox.texts import UNSTORABLE, gettext_noop

# The calendar ends at 9999: beyond these years a time zone or a lifetime could overflow it.
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2999, 12, 31, tzinfo=dt.UTC)
LONGEST = dt.timedelta(days=365_000)
_BYTES = (bytes, bytearray, memoryview)
_DEPTH_MAX = 500  # levels of JSON; SQLite reads 1,000


def read_text(field: str, value: object, *, longest: int | None = None) -> str:
    """Return a text; a lazy translation is resolved, None is the empty text."""
    if value is None:
        return ""
    if isinstance(value, Promise):
        value = _resolved(field, value)
    if not isinstance(value, str):
        raise wrong_type(field, "a string", value)
    # A subclass, such as SafeString or an enumeration's member, becomes a plain string.
    text = value if type(value) is str else str.__str__(value)
    if longest is not None and len(text) > longest:  # a call per text would cost too much
        check_length(field, len(text), longest)
    check_characters(field, text)
    return text


def read_line(field: str, value: object, *, longest: int | None = None) -> str:
    """Return a text without line breaks."""
    text = read_text(field, value, longest=longest)
    if "\n" in text or "\r" in text:
        raise InvalidMessageError(field, f"{field} has a line break in it.")
    return text


def check_characters(field: str, text: str) -> None:
    """Refuse characters that no database stores and no message can contain."""
    found = UNSTORABLE.search(text) if "\0" in text or not text.isascii() else None
    if found:
        what = "a NUL character" if found.group() == "\0" else "half of a surrogate pair"
        raise InvalidMessageError(field, f"{field} has {what} in it.")


def read_list(field: str, value: object, *, of: str, most: int | None = None) -> list[Any]:
    """Return the items of any iterable but a text, bytes or a mapping; None has no items.

    With `most`, at most one item more is read, because an iterable may be endless.
    """
    if value is None:
        return []
    if isinstance(value, (str, Promise, Mapping, *_BYTES)) or not isinstance(value, Iterable):
        raise wrong_type(field, f"a list of {of}", value)
    try:
        return list(value if most is None else islice(value, most + 1))
    except DatabaseError:  # it may have ended the transaction
        raise
    except Exception as error:  # a generator runs the caller's code
        raise InvalidMessageError(field, f"{field} cannot be read: {error}") from error


def read_mapping(field: str, value: object) -> Mapping[str, Any]:
    """Return a mapping whose keys are strings; None is the empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type(field, "a mapping", value)
    for key in value:
        if not isinstance(key, str):
            raise InvalidMessageError(field, f"{field} has the key {shown(key)}, not a string.")
    return value


def read_headers(field: str, value: object) -> dict[str, str]:
    """Return header fields by name; numbers are written as Django's messages write them."""
    headers = {}
    mapping = read_mapping(field, value)
    check_headers_count(len(mapping))
    for name, given in mapping.items():
        try:
            check_name(name)
        except HeaderError as error:
            raise InvalidMessageError(field, f"{field}: {error}.") from error
        headers[str(name)] = _header_value(name, given)
    return headers


def _header_value(field: str, value: object) -> str:
    if value is None:
        raise wrong_type(field, "a string", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _resolved(field, value)
    return read_text(field, value, longest=get_conf().max_header)


def read_moment(field: str, value: object) -> dt.datetime:
    """Return a time between 1970 and 2999 that has a time zone."""
    if not isinstance(value, dt.datetime):
        raise wrong_type(field, "a datetime", value)
    if value.utcoffset() is None:
        raise InvalidMessageError(field, f"{field} needs a time zone.")
    if not EARLIEST <= value <= LATEST:
        raise InvalidMessageError(field, f"{field} must be between the years 1970 and 2999.")
    return value


def read_duration(field: str, value: object) -> dt.timedelta:
    """Return a positive duration of at most 1,000 years."""
    if not isinstance(value, dt.timedelta):
        raise wrong_type(field, "a timedelta", value)
    if not dt.timedelta() < value <= LONGEST:
        raise InvalidMessageError(field, f"{field} must be positive and at most 1,000 years.")
    return value


def read_integer(field: str, value: object, least: int, most: int) -> int:
    """Return a whole number within these bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(field, "a whole number", value)
    if not least <= value <= most:
        raise InvalidMessageError(field, f"{field} must be from {least} to {most}.")
    return int(value)


def read_flag(field: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise wrong_type(field, "True or False", value)
    return value


def read_tag(field: str, given: object) -> str:
    """Return a tag to which an entry of a suppression list may be limited."""
    tag = read_line(field, given, longest=TAG_MAX)
    if len(tag.encode()) > TAG_MAX:
        raise InvalidMessageError(
            field,
            gettext_noop("%(field)s has %(count)s bytes. The limit is %(limit)s."),
            field=FieldName(field),
            count=len(tag.encode()),
            limit=TAG_MAX,
        )
    if tag != tag.strip():
        problem = gettext_noop("%(field)s must not begin or end with white space.")
        raise InvalidMessageError(field, problem, field=FieldName(field))
    return tag


def read_choice(field: str, value: object, choices: Iterable[str]) -> str:
    """Return one of these texts; None and "" are none of them, which is allowed."""
    text = read_text(field, value)
    if text and text not in (known := list(choices)):
        raise InvalidMessageError(field, f"{text[:60]!r} is none of {', '.join(known)}.")
    return text


def _check_depth(written: str) -> None:
    """Raise ValueError for JSON that is nested deeper than SQLite reads (1,000 levels)."""
    depth = deepest = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', written):
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        deepest = max(deepest, depth)
    if deepest > _DEPTH_MAX:
        raise ValueError(f"it is nested more than {_DEPTH_MAX} levels deep")


def read_json(field: str, value: object) -> dict[str, Any]:
    """Return a mapping as JSON stores it, with lazy translations resolved."""
    given = read_mapping(field, value)
    lazy: list[object] = []

    def resolve(item: object) -> str:
        if not isinstance(item, Promise):
            raise TypeError(f"{type(item).__name__} is not JSON serializable")
        lazy.append(item)
        return _resolved(field, item)

    try:
        written = json.dumps(dict(given), allow_nan=False, ensure_ascii=False, default=resolve)
        _check_depth(written)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessageError(field, f"{field} cannot be written as JSON: {error}.") from error
    check_length(field, len(written), get_conf().max_metadata)
    check_characters(field, written)
    if "\\u0000" in written:  # unless the backslash is one of the text itself
        _check_each(field, json.loads(written))
    return json.loads(written) if lazy else dict(given)


def _check_each(field: str, value: Any) -> None:
    if isinstance(value, str):
        check_characters(field, value)
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            _check_each(field, item)
    elif isinstance(value, list):
        for item in value:
            _check_each(field, item)


def wrong_type(field: str, expected: str, value: object) -> InvalidMessageError:
    """Return the error for a value of another type than the argument takes."""
    return InvalidMessageError(field, f"{field} must be {expected}, not {_kind(value)}.")


def shown(value: object) -> str:
    """Return a short form of any value for an error message."""
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001  # a caller's class with a broken repr is not the mistake
        return f"<{type(value).__name__}>"


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _resolved(field: str, lazy: object) -> str:
    resolve: Callable[[object], str] = str
    try:
        return resolve(lazy)
    except Exception as error:  # what it calls is the caller's, for example a URL to reverse
        raise InvalidMessageError(field, f"{field} cannot be resolved: {error}") from error
