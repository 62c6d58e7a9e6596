"""Files of large sources and attachments: written whole or not at all, under names of their own.

A file is written before its row is committed, so a rolled-back transaction leaves the file, which a
worker finds later. The names say which message of which database a file belongs to.
"""

import datetime as dt
import errno
import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.core.files.base import ContentFile
from django.db.models.fields.files import FieldFile

from outbox.conf import get_conf
from outbox.db import clock
from outbox.db.packing import unpack
from outbox.exceptions import StorageWriteError
from outbox.texts import cause_of, gettext_noop

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NAME = re.compile(r"(?P<message_id>\d{1,19})-[0-9a-f]{12}-(?P<mark>[0-9a-f]{8})")


class StoredName(NamedTuple):
    """What the name of a file says."""

    path: str
    message_id: int


def write_file(
    file: FieldFile, message_id: int, digest: str, data: bytes, ending: str = ""
) -> None:
    """Write a new file for a field. Raise StorageWriteError if the storage cannot store it."""
    name = f"{message_id}-{digest[:12]}-{_mark()}{secrets.token_hex(4)}{ending}"
    path = f"{clock.now().strftime(str(file.field.upload_to))}/{name}"
    try:
        stored = file.storage.save(path, ContentFile(data), max_length=file.field.max_length)
    except Exception as error:  # a storage other than the file system raises its library's own
        with suppress(Exception):  # it probably fails as well; a worker finds the file later
            file.storage.delete(path)
        raise _write_error(error) from error
    setattr(file.instance, file.field.attname, stored)


def read_stored(data: bytes | memoryview | None, file: FieldFile) -> bytes:
    """Return the bytes of a source. Raises OSError if they are in a file that is missing."""
    if data is not None:
        return unpack(bytes(data))
    with file.open("rb") as stored:
        return bytes(stored.read())


def _write_error(error: Exception) -> StorageWriteError:
    number = getattr(error, "errno", None)
    if number in _FULL:
        template = gettext_noop("The storage for files is full. Try again later, or without files.")
        return StorageWriteError(template, number=number)
    template = gettext_noop("The storage for files cannot be written to at present: %(cause)s.")
    return StorageWriteError(template, number=number, cause=cause_of(error))


def names_in(folder: str, names: list[str]) -> Iterator[StoredName]:
    """Yield those of the names in a folder that belong to messages of this database."""
    for name in names:
        found = _NAME.match(name)
        if found and found["mark"] == _mark():
            yield StoredName(f"{folder}/{name}", int(found["message_id"]))


def folder_of(upload_to: object, day: dt.date) -> str:
    """Return the folder of the files that were written on a day."""
    return day.strftime(str(upload_to))


def _mark() -> str:
    """Return a mark of the database: a copy of the site may have the same storage."""
    return _mark_of(get_conf().database)


@lru_cache(maxsize=4)
def _mark_of(alias: str) -> str:
    described = settings.DATABASES[alias]
    place = [str(described.get(name, "")) for name in ("ENGINE", "HOST", "PORT", "NAME")]
    return hashlib.sha256("\n".join(place).encode()).hexdigest()[:8]
