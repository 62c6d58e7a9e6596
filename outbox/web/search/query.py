"""What is searched for: read from one line of text, or from a form, and written as that line.

`to:jane subject:"annual report" code:5.1 before:2026-11-01 invoice` asks for all of it at once. A
name before the colon that is no operator belongs to a word, which the page says. A value that an
operator cannot mean is an error.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from django.utils.translation import gettext as _

from outbox.models import FOLDER_OF, Folder, State, Status

_PIECE = re.compile(r'(?:([a-zA-Z]+)[:：])?("[^"]*"?|\S+)')
_CODE = re.compile(r"[2-5](?:\d{2}|(?:\.\d{1,3}){0,2}\.?)")
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?")
TEXT_MAX = 1_100  # characters of a line; a Message-ID may have 998
STATES = (*Status.values, State.EXPIRED.value, State.BOUNCED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """All of it has to be true of a mail. Texts of several words are looked for as they stand."""

    words: tuple[str, ...] = ()  # anywhere
    to: tuple[str, ...] = ()  # whatever the role
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    code: str = ""  # 5, 550, 5.1, 5.1.1
    message_id: str = ""
    state: str = ""
    folder: str = ""
    after: dt.date | None = None  # that day and later
    before: dt.date | None = None  # the day before that one and earlier
    has_files: bool = False

    def __str__(self) -> str:
        pieces: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            name = _NAMES.get(field.name, field.name)
            if field.name == "has_files":
                pieces += ["has:attachment"] if value else []
            elif isinstance(value, tuple):
                prefix = "" if field.name == "words" else f"{name}:"
                pieces += [prefix + _quoted(one) for one in value]
            elif value:
                pieces.append(f"{name}:{value}")
        return " ".join(pieces)


class QueryError(ValueError):
    """A part of the line that cannot be meant."""


# How fields are called in the line, where that is another word.
_NAMES = {"sender": "from", "message_id": "id", "state": "is", "folder": "in"}
_ALIASES = {"since": "after", "until": "before"}
_TEXTS = {
    "to": "to",
    "cc": "cc",
    "bcc": "bcc",
    "from": "sender",
    "subject": "subject",
    "body": "body",
    "tag": "tag",
}


def read_query(text: str) -> tuple[Query, list[str]]:
    """Read a line; what is wrong with it comes beside, in words for people."""
    query, wrong = Query(), []
    for name, raw in _PIECE.findall(text[:TEXT_MAX]):
        value = raw.replace('"', "").strip()
        if empty := _operator_alone(name, raw, value):
            wrong.append(_("“%(name)s:” needs a value directly after the colon.") % {"name": empty})
            continue
        if not value:
            continue
        try:
            query = _with(query, _operator(name), value, f"{name}:{raw}" if name else raw)
        except QueryError as error:
            wrong.append(str(error))
    return query, wrong


def unknown_operators(text: str) -> list[str]:
    """Return the names in a line that look like operators; they are searched as words."""
    found = [
        name.lower()
        for name, raw in _PIECE.findall(text[:TEXT_MAX])
        if name and not raw.startswith("//") and _operator(name) not in OPERATORS
    ]
    return list(dict.fromkeys(found))


def _operator(name: str) -> str:
    return _ALIASES.get(name.lower(), name.lower())


def _operator_alone(name: str, raw: str, value: str) -> str:
    """Return the name of an operator that has no value, as in `to:` and `to:""`."""
    alone = name if not value else raw.rstrip(":：") if not name and raw[-1:] in ":：" else ""
    return alone.lower() if _operator(alone) in OPERATORS else ""


def _with(query: Query, name: str, value: str, piece: str) -> Query:
    if name == "domain":
        return replace(query, to=(*query.to, f"@{value.lstrip('@')}"))
    if name in _TEXTS:
        field = _TEXTS[name]
        texts: dict[str, Any] = {field: (*getattr(query, field), value)}
        return replace(query, **texts)
    if name in _READERS:
        return replace(query, **_READERS[name](value))
    word = value if not name else piece.replace('"', "")
    return replace(query, words=(*query.words, word))


def _read_code(value: str) -> dict[str, Any]:
    if not _CODE.fullmatch(value):
        told = _("“code:%(value)s” is not a reply code. Use 550, 5 or 5.1.1.")
        raise QueryError(told % {"value": value})
    return {"code": value.rstrip(".")}


def _read_state(value: str) -> dict[str, Any]:
    if value.lower() not in STATES:
        raise QueryError(
            _("“is:%(value)s” is not a state. Use one of %(states)s.")
            % {"value": value, "states": ", ".join(STATES)}
        )
    return {"state": value.lower()}


def _read_folder(value: str) -> dict[str, Any]:
    if value.lower() not in Folder.values:
        raise QueryError(
            _("“in:%(value)s” is not a folder. Use one of %(folders)s.")
            % {"value": value, "folders": ", ".join(Folder.values)}
        )
    return {"folder": value.lower()}


def _read_has(value: str) -> dict[str, Any]:
    if value.lower() not in {"attachment", "attachments", "file", "files"}:
        told = _("“has:%(value)s” is not supported. Use has:attachment.")
        raise QueryError(told % {"value": value})
    return {"has_files": True}


def _read_day(value: str) -> dt.date:
    """Read a day; a month or a year alone is its first day."""
    found = _DATE.fullmatch(value)
    parts = [int(part or 1) for part in found.groups()] if found else [0, 0, 0]
    try:
        return dt.date(*parts)
    except ValueError as error:
        told = _("“%(value)s” is not a date. Use YYYY-MM-DD.")
        raise QueryError(told % {"value": value}) from error


_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "code": _read_code,
    "is": _read_state,
    "in": _read_folder,
    "has": _read_has,
    "id": lambda value: {"message_id": value.strip("<>")},
    "after": lambda value: {"after": _read_day(value)},
    "before": lambda value: {"before": _read_day(value)},
}
OPERATORS = frozenset((*_TEXTS, *_READERS, "domain"))


def _quoted(text: str) -> str:
    """Keep together what is one value; a quote has no place in it."""
    bare = text.replace('"', "")
    return f'"{bare}"' if re.search(r"\s|[:：]", bare) else bare


def folder_of_state(state: str) -> tuple[str, ...]:
    """Return the folders in which mail of that state can be."""
    if state in Status.values:
        return (FOLDER_OF[Status(state)].value,)
    return (Folder.FAILED.value, Folder.OUTBOX.value)  # other recipients may still be under way
