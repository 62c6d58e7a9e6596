"""Attachments: converts the types that callers use for files to `AttachmentPart`.

An error names the attachment by its position in the caller's list, such as `attachments[1]`.
"""

import email.message
import email.policy
import mimetypes
import os
from collections.abc import Callable
from dataclasses import replace
from email.utils import collapse_rfc2231_value
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar, cast

from django.core.files.base import File
from django.core.mail import EmailMessage
from django.utils.functional import Promise

from outbox.api.limits import check_attachments, check_size
from outbox.api.sizes import Size
from outbox.api.values import read_line, read_list, read_text, wrong_type
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.content_type import join_content_type, read_content_type
from outbox.mail.mime_writer import AttachmentPart, HeaderError, check_attachment
from outbox.texts import gettext_noop

# A part; a tuple of name, content and perhaps a type, as Django's messages take it; a path; a
# Django File, such as a FieldFile or an upload; a MIME part of Python's own.
Attachable: TypeAlias = (
    "AttachmentPart | tuple[Any, ...] | str | os.PathLike[str] | File[Any] | email.message.Message"
)
PLAIN_BYTES = "application/octet-stream"
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_PAIR, _TRIPLE = 2, 3
Read = TypeVar("Read")
_NAME_MAX = 255


def read_attachments(given: object, field: str = "attachments") -> list[AttachmentPart]:
    """Return the parts of the given files; None means no files."""
    items = read_list(field, given, of="files", most=get_conf().max_attachments)
    check_attachments(len(items))
    parts: list[AttachmentPart] = []
    size = 0
    for place, item in enumerate(items):
        parts.append(_read(f"{field}[{place}]", item))
        size += len(parts[-1].data)
        check_size(size)  # before the next file is read
    return parts


def guess_type(name: str) -> str:
    """Return the content type of a file name's extension."""
    guessed, compression = mimetypes.guess_type(name)
    if compression:
        return _COMPRESSED.get(compression, PLAIN_BYTES)
    return guessed or PLAIN_BYTES


def _read(field: str, item: object) -> AttachmentPart:
    part = _part(field, item)
    try:
        check_attachment(part)
    except HeaderError as error:
        raise InvalidMessageError(field, f"{field}: {error}") from error
    return part


def _part(field: str, item: object) -> AttachmentPart:
    match item:
        case AttachmentPart():
            return _checked_part(field, item)
        case email.message.Message():
            return _attempted(field, lambda: _from_mime(field, item))
        case tuple():
            return _from_tuple(field, item)
        case str() | os.PathLike():
            return _from_path(field, item)
        case File():
            return _from_file(field, item)
    if hasattr(item, "read"):
        return _from_file(field, File(cast("IO[Any]", item)))
    raise wrong_type(field, "a file, a path, or a tuple of name and content", item)


def _checked_part(field: str, part: AttachmentPart) -> AttachmentPart:
    """Return the part with plain values; an instance keeps what its caller wrote."""
    return replace(
        part,
        name=_name(field, part.name),
        content_type=read_line(field, part.content_type) or guess_type(_name(field, part.name)),
        data=_bytes(field, part.data),
        content_id=read_line(field, part.content_id),
    )


def _from_tuple(field: str, item: tuple[Any, ...]) -> AttachmentPart:
    """Read Django's `(name, content)` or `(name, content, content type)`."""
    if len(item) not in {_PAIR, _TRIPLE}:
        raise InvalidMessageError(
            field, f"{field} must be (name, content) or (name, content, type)."
        )
    name = _name(field, item[0])
    content_type = read_line(field, item[2]) if len(item) == _TRIPLE else ""
    content = item[1]
    if isinstance(content, EmailMessage | email.message.Message):
        content, content_type = _message_bytes(field, content), content_type or "message/rfc822"
    elif isinstance(content, File) or hasattr(content, "read"):
        read = _from_file(field, content if isinstance(content, File) else File(content), name=name)
        content, content_type = read.data, content_type or read.content_type
    guessed = guess_type(name)
    if guessed == PLAIN_BYTES and isinstance(content, str | Promise):
        guessed = "text/plain"
    return AttachmentPart(
        name=name, content_type=content_type or guessed, data=_bytes(field, content)
    )


def _from_path(field: str, item: str | os.PathLike[Any]) -> AttachmentPart:
    """Read a regular file; a device or a pipe could block or never end."""
    try:
        path = Path(os.fsdecode(item))
        if not path.is_file():
            raise InvalidMessageError(
                field, f"{field}: there is no file {os.fspath(path)[:200]!r}."
            )
        _check_size(field, path.stat().st_size)
        data = path.read_bytes()
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, InvalidMessageError):
            raise
        raise InvalidMessageError(field, f"{field} cannot be read: {error}") from error
    name = _name(field, path.name)
    return AttachmentPart(name=name, content_type=guess_type(name), data=data)


def _from_file(field: str, file: "File[Any]", name: str = "") -> AttachmentPart:
    """Read a Django file from its start; one that was open stays open where it was."""
    data = _attempted(field, lambda: _read_all(field, file))
    name = name or Path(_name(field, _text_or_none(file.name))).name
    if not name:
        raise InvalidMessageError(field, f"{field} has no name: give (name, content).")
    return AttachmentPart(
        name=name, content_type=_claimed_type(file) or guess_type(name), data=_bytes(field, data)
    )


def _claimed_type(file: object) -> str:
    """Return an upload's content type if it is one: a browser sent it, not the caller."""
    claimed = getattr(file, "content_type", None)
    try:
        read_content_type(claimed or "")
    except (HeaderError, TypeError):
        return ""
    return str(claimed)


def _name(field: str, value: object) -> str:
    return read_line(field, value, longest=_NAME_MAX)


def _text_or_none(name: object) -> object:
    """Return the name of a file. A file opened by its descriptor has a number instead."""
    return None if isinstance(name, int) else name


def _read_all(field: str, file: "File[Any]") -> object:
    if file.closed:
        with file.open("rb") as opened:
            return _within_size(field, opened).read()
    before = file.tell()
    file.seek(0)
    try:
        return _within_size(field, file).read()
    finally:
        file.seek(before)


def _within_size(field: str, file: Any) -> Any:
    _check_size(field, getattr(file, "size", 0))
    return file


def _from_mime(field: str, item: email.message.Message) -> AttachmentPart:
    """Read a MIME part that a caller built with Python's own classes."""
    if item.get_content_type() == "message/rfc822":
        enclosed: Any = item.get_payload()
        content = enclosed[0].as_bytes() if isinstance(enclosed, list) else enclosed
    elif item.is_multipart():
        raise InvalidMessageError(field, f"{field} is a multipart; attach each of its parts.")
    else:
        content = item.get_payload(decode=True)
    return AttachmentPart(
        name=_name(field, item.get_filename()),
        content_type=read_line(field, _type_of(item)),
        data=_bytes(field, content),
        content_id=read_line(field, _text_of(item.get("Content-ID"))).strip().strip("<>"),
    )


def _type_of(item: email.message.Message) -> str:
    """Return the content type with its parameters; the name is in the disposition."""
    parameters = (item.get_params() or [])[1:]
    values = {name.lower(): collapse_rfc2231_value(value) for name, value in parameters}
    return join_content_type(item.get_content_type(), values)


def _text_of(header: object) -> str:
    return "" if header is None else str(header)


def _message_bytes(field: str, message: EmailMessage | email.message.Message) -> bytes:
    def render() -> bytes:
        rendered = message.message() if isinstance(message, EmailMessage) else message
        return rendered.as_bytes()

    return _attempted(field, render)


def _bytes(field: str, content: object) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, bytearray | memoryview):
        return bytes(content)
    if content is None:
        raise wrong_type(field, "a file with content", content)
    return read_text(field, content).encode()


def _check_size(field: str, size: int) -> None:
    """Refuse what is too large before it is read."""
    limit = get_conf().max_message_bytes
    if size > limit:
        template = gettext_noop("%(field)s is %(size)s. The limit is %(limit)s.")
        raise InvalidMessageError(field, template, field=field, size=Size(size), limit=Size(limit))


def _attempted(field: str, read: Callable[[], Read]) -> Read:
    try:
        return read()
    except InvalidMessageError:
        raise
    except Exception as error:  # a storage raises errors of its own kinds
        raise InvalidMessageError(field, f"{field} cannot be read: {error}") from error
