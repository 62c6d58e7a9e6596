"""The bytes of a Django message: those of its own `message()`, in a faster way where possible.

Most messages of an app have one text and no file. Django builds three objects of the standard
library for each, which then serializes them line by line. Here the fields are written directly. A
value that Django would change is given to Django, and so is every message that is not as simple.
"""

import copy
import email.message
import email.policy
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail import message as _message_module

from outbox.exceptions import InvalidMessageError
from outbox.mail.flatten import flatten, is_plain, write_text
from outbox.mail.header_writer import HeaderError, check_name
from outbox.mail.source import SourceError, normalize, strip_bcc
from outbox.texts import gettext_noop

# Read at each call: a project may replace what is in it. The stubs lack most of it.
_django: Any = _message_module
_LINE_MAX = 998  # bytes; Django encodes a body with a longer line
_SUBTYPES = ("plain", "html")
_ADDRESSES = (("To", "to"), ("Cc", "cc"), ("Reply-To", "reply_to"))  # as Django orders them
_WRITTEN = frozenset({"from", "to", "cc", "reply-to"})


class _Text(email.message.Message):
    """The message that Django would build for one text: the same fields, and its body as bytes."""

    body: bytes


def render_message(message: EmailMessage) -> email.message.Message:
    """Call the message's own `message()`, with the policy for SMTP if it accepts one."""
    if text := _text(message):
        return text
    own = _with_parts_of_its_own(message)
    if _takes_policy(EmailMessage.message) and _takes_policy(type(message).message):
        return own.message(policy=email.policy.SMTP)
    return own.message()


def source_of(rendered: email.message.Message) -> bytes:
    """Return the bytes with CRLF and without Bcc. Raise InvalidMessageError."""
    try:
        for name in rendered.keys():  # noqa: SIM118  # not a mapping: names may repeat
            check_name(name)  # a line break in one would begin another header
        source = normalize(_bytes_of(rendered))
    except (HeaderError, SourceError) as error:
        template = gettext_noop("The message cannot be sent: %(why)s.")
        raise InvalidMessageError("source", template, why=error) from error
    return strip_bcc(source)


def _bytes_of(rendered: email.message.Message) -> bytes:
    """Return the bytes; in a faster way where Django 5.2's own method would write them."""
    if isinstance(rendered, _Text):
        return write_text(rendered, rendered.body)
    if type(rendered).as_bytes.__module__ == _django.__name__:
        return flatten(rendered)
    return rendered.as_bytes()


@lru_cache(maxsize=64)
def _takes_policy(method: Callable[..., object]) -> bool:
    """Return whether a `message` method has the argument `policy`, which is new in Django 6."""
    parameters = inspect.signature(method).parameters
    return "policy" in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _with_parts_of_its_own(message: EmailMessage) -> EmailMessage:
    """Return a message with copies of attached MIME objects, because writing one changes it."""
    if not any(_holds_mime(attachment) for attachment in message.attachments):
        return message
    own = copy.copy(message)
    own.attachments = copy.deepcopy(message.attachments)
    return own


def _holds_mime(attachment: Any) -> bool:
    parts = attachment if isinstance(attachment, tuple) else (attachment,)
    return any(isinstance(part, email.message.Message) for part in parts)


# --- one text -------------------------------------------------------------------------------------


def _text(message: EmailMessage) -> _Text | None:
    """Return a message of one text as Django 5.2 builds it; None if it is anything else."""
    if not _is_one_text(message):
        return None
    try:
        body = str(message.body).encode()
    except UnicodeEncodeError:
        return None
    if b"\r" in body or (len(body) > _LINE_MAX and max(map(len, body.split(b"\n"))) > _LINE_MAX):
        return None
    text = _Text()
    for field in _fields(message, is_ascii=body.isascii()):
        text.set_raw(*field)
    text.set_payload(body.decode("ascii", "surrogateescape"))
    text.body = body
    return text


def _is_one_text(message: EmailMessage) -> bool:
    encoding = message.encoding or settings.DEFAULT_CHARSET
    return (
        type(message) in (EmailMessage, EmailMultiAlternatives)
        and not message.attachments
        and not getattr(message, "alternatives", ())
        and isinstance(message.body, str)
        and message.content_subtype in _SUBTYPES
        and isinstance(encoding, str)  # a Charset may ask for base64
        and encoding == "utf-8"
        and not any(map(_is_of_mime, message.extra_headers))
        and _is_original(message)
    )


def _is_of_mime(name: str) -> bool:
    return name.lower().startswith(("content-", "mime-"))


def _is_original(message: EmailMessage) -> bool:
    """Return whether nothing has replaced the methods of Django 5.2 that would be called."""
    return (
        EmailMessage.message.__module__ == _django.__name__
        and "message" not in vars(message)
        and not _takes_policy(EmailMessage.message)
        and _django.utf8_charset.body_encoding is None
    )


def _fields(message: EmailMessage, *, is_ascii: bool) -> Iterator[tuple[str, str]]:
    """Yield the header fields in the order of `EmailMessage.message()`, with its values."""
    yield "Content-Type", f'text/{message.content_subtype}; charset="utf-8"'
    yield "MIME-Version", "1.0"
    yield "Content-Transfer-Encoding", "7bit" if is_ascii else "8bit"
    given = cast("Mapping[str, object]", message.extra_headers)
    yield _field("Subject", message.subject)
    yield _field("From", given.get("From", message.from_email))
    for name, attribute in _ADDRESSES:
        if name in given:
            yield _field(name, given[name])
        elif values := getattr(message, attribute):
            yield _field(name, ", ".join(map(str, values)))
    names = {name.lower() for name in given}
    if "date" not in names:
        yield "Date", _django.formatdate(localtime=settings.EMAIL_USE_LOCALTIME)
    if "message-id" not in names:
        yield _field("Message-ID", _django.make_msgid(domain=_django.DNS_NAME))
    for name, value in given.items():
        if name.lower() not in _WRITTEN:
            yield _field(name, value)


def _field(name: str, value: object) -> tuple[str, str]:
    """Return a field as Django stores it. Raise BadHeaderError."""
    if type(value) is str and is_plain(name, value):
        return name, value
    field: tuple[str, str] = _django.forbid_multi_line_headers(name, value, "utf-8")
    return field
