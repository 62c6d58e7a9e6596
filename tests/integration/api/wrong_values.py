"""Values of every wrong kind, to be passed as every argument of the API."""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy

from outbox.exceptions import InvalidMessageError, NoAccountError
from outbox.models import Message


class Unprintable:
    """An object of a caller whose own methods are broken."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


def broken_generator() -> Iterator[str]:
    """Yield a good value, then fail."""
    yield "ann@example.com"
    raise KeyError("row")


def nested(depth: int) -> list[Any]:
    """Return lists inside lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


MAKERS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "lazy text": lambda: gettext_lazy("Save"),
    "number": lambda: 7,
    "huge number": lambda: 10**400,
    "huger number": lambda: 10**5000,
    "negative number": lambda: -1,
    "float": lambda: 2.5,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "decimal": lambda: decimal.Decimal("1e999999"),
    "true": lambda: True,
    "bytes": lambda: b"ann@example.com",
    "bytes that are not UTF-8": lambda: b"\xff",
    "path": lambda: Path("/nowhere/file.txt"),
    "NUL": lambda: "ann\0@example.com",
    "NUL alone": lambda: "\0",
    "half a surrogate pair": lambda: "ann\ud800@example.com",
    "line breaks": lambda: "ann@example.com\r\nBcc: eve@example.com",
    "line feed": lambda: "ann\n",
    "huge text": lambda: "x" * 200_000,
    "huge text of words": lambda: "xyz, " * 2_000,
    "emoji": lambda: "\N{PILE OF POO}",
    "empty text": lambda: "",
    "year 1": lambda: dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
    "year 9999": lambda: dt.datetime(9999, 12, 31, tzinfo=dt.timezone(-dt.timedelta(hours=14))),
    "year 2999": lambda: dt.datetime(2999, 12, 31, tzinfo=dt.UTC),
    "naive time": lambda: dt.datetime(2030, 1, 1),  # noqa: DTZ001  # that is the mistake
    "date": lambda: dt.date(2030, 1, 1),
    "duration": lambda: dt.timedelta(hours=1),
    "no duration": dt.timedelta,
    "longest duration": lambda: dt.timedelta.max,
    "negative duration": lambda: dt.timedelta.min,
    "uuid": uuid.uuid4,
    "empty list": list,
    "list of None": lambda: [None],
    "list of numbers": lambda: [1, 2],
    "list of bytes": lambda: [b"a"],
    "nested lists": lambda: nested(5_000),
    "mapping of numbers": lambda: {1: 2},
    "mapping of None": lambda: {"X-One": None},
    "set": lambda: {"ann@example.com"},
    "tuple": lambda: ("a.txt", "b"),
    "object": object,
    "unprintable object": Unprintable,
    "class": lambda: str,
    "function": lambda: broken_generator,
    "broken generator": broken_generator,
    "unsaved row": Message,
}
# What must never be queued, wherever it stands.
NEVER = {"NUL", "NUL alone", "half a surrogate pair"}


def attempt(send: Callable[[], object]) -> str:
    """Return the name of the field that an error names, or "" when it was queued.

    Any other error is the fault that these tests look for, and is raised.
    """
    before = Message.objects.count()
    try:
        with transaction.atomic():
            send()
    except NoAccountError:
        field = "account"
    except InvalidMessageError as error:
        field = error.field if str(error) else "an error without words"
    else:
        return ""
    assert Message.objects.count() == before
    return field


def problems(
    call: Callable[[Any], object], fields: set[str], *, kinds: dict[str, Callable[[], Any]] = MAKERS
) -> list[str]:
    """Try each kind; return what went wrong with those that neither passed nor were refused."""
    found = []
    for kind, make in kinds.items():
        value = make()
        try:
            field = attempt(lambda: call(value))  # noqa: B023  # called at once
        except Exception as error:  # noqa: BLE001  # it is what the test reports
            found.append(f"{kind}: {type(error).__name__}: {str(error)[:200]}")
            continue
        if field and not any(field == one or field.startswith(f"{one}[") for one in fields):
            found.append(f"{kind}: the error names {field!r}")
        if not field and kind in NEVER:
            found.append(f"{kind}: it was queued")
    return found
