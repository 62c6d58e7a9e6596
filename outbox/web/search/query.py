"""A search query: parsed from one line of text or from a form, and written as that line.

A message has to match every part of `to:jane subject:"annual report" code:5.1 invoice`. A name
before a colon that is not an operator is searched as text, and the page says so. An operator with
an invalid value is an error.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from django.utils.translation import gettext as _

from outbox.models import FOLDER_OF, Folder, InboundFolder, State, Status
from outbox.texts import UNSTORABLE

_PIECE = re.compile(r'(?:([a-zA-Z]+)[:：])?("[^"]*"?|\S+)')
_CODE = re.compile(r"[2-5](?:\d{2}|(?:\.\d{1,3}){0,2}\.?)")
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?")
TEXT_MAX = 1_100  # characters of a line; a Message-ID may have 998
STATES = (*Status.values, State.EXPIRED.value, State.BOUNCED.value)
UNREAD = "unread"  # a state that only received messages have
FOLDERS = (*Folder.values, *InboundFolder.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The conditions that a message has to meet. A text of several words is a phrase."""

    words: tuple[str, ...] = ()  # anywhere
    to: tuple[str, ...] = ()  # in any role
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
    after: dt.date | None = None  # on this day or later
    before: dt.date | None = None  # before this day
    has_files: bool = False

    @property
    def is_about_received(self) -> bool:
        """Return whether only received messages can match."""
        return self.state == UNREAD or self.folder in InboundFolder.values

    @property
    def is_about_sent(self) -> bool:
        """Return whether only sent messages and drafts can match."""
        is_about_delivery = self.state not in {"", UNREAD} or bool(self.code or self.tag)
        return is_about_delivery or bool(self.bcc) or self.folder in Folder.values

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
    """An operator with an invalid value."""


# The operators of fields with another name.
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
    """Parse a line. Return the query and the error messages."""
    query, wrong = Query(), []
    # No database stores these characters, so that no message is found by them.
    for name, raw in _PIECE.findall(UNSTORABLE.sub(" ", text[:TEXT_MAX])):
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
    """Return the names in a line that look like operators but are searched as text."""
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
        text = _("“code:%(value)s” is not a reply code. Use 550, 5 or 5.1.1.")
        raise QueryError(text % {"value": value})
    return {"code": value.rstrip(".")}


def _read_state(value: str) -> dict[str, Any]:
    if value.lower() not in {*STATES, UNREAD}:
        raise QueryError(
            _("“is:%(value)s” is not a state. Use one of %(states)s.")
            % {"value": value, "states": ", ".join((*STATES, UNREAD))}
        )
    return {"state": value.lower()}


def _read_folder(value: str) -> dict[str, Any]:
    if value.lower() not in FOLDERS:
        raise QueryError(
            _("“in:%(value)s” is not a folder. Use one of %(folders)s.")
            % {"value": value, "folders": ", ".join(FOLDERS)}
        )
    return {"folder": value.lower()}


def _read_has(value: str) -> dict[str, Any]:
    if value.lower() not in {"attachment", "attachments", "file", "files"}:
        text = _("“has:%(value)s” is not supported. Use has:attachment.")
        raise QueryError(text % {"value": value})
    return {"has_files": True}


def _read_day(value: str) -> dt.date:
    """Parse a day. A month or a year is its first day."""
    found = _DATE.fullmatch(value)
    parts = [int(part or 1) for part in found.groups()] if found else [0, 0, 0]
    try:
        return dt.date(*parts)
    except ValueError as error:
        text = _("“%(value)s” is not a date. Use YYYY-MM-DD.")
        raise QueryError(text % {"value": value}) from error


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
    """Return the value in quotation marks if it needs them; quotation marks in it are removed."""
    bare = text.replace('"', "")
    return f'"{bare}"' if re.search(r"\s|[:：]", bare) else bare


def folder_of_state(state: str) -> tuple[str, ...]:
    """Return the folders that can contain messages in that state."""
    if state in Status.values:
        return (FOLDER_OF[Status(state)].value,)
    return (Folder.FAILED.value, Folder.OUTBOX.value)  # other recipients may still be open
