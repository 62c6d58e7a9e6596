"""The limits of messages, drafts and templates, checked before the work that they bound.

The numbers are settings (`outbox.conf`). Each error names what is too large, the number that was
given, and the limit. Limits of one user are in `quotas`.
"""

from dataclasses import dataclass

from outbox.api.sizes import Size
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import estimate_entries
from outbox.mail.transfer_encodings import base64_size
from outbox.texts import Translate, gettext_noop

_LABELS = {
    "to": gettext_noop("To"),
    "cc": gettext_noop("Cc"),
    "bcc": gettext_noop("Bcc"),
    "reply_to": gettext_noop("Reply to"),
    "subject": gettext_noop("Subject"),
    "text": gettext_noop("Text"),
    "html": gettext_noop("HTML"),
}
_SOURCE_FRAME = 1_000_000  # bytes of header fields and boundaries


@dataclass(frozen=True, slots=True)
class FieldName:
    """The name of an argument, which a page shows as the label of its field."""

    name: str

    def in_words(self, translate: Translate = str) -> str:
        """Return the name, or the label in the reader's language."""
        label = _LABELS.get(self.name)
        return self.name if label is None or translate is str else translate(label)


def check_length(field: str, length: int, limit: int) -> None:
    """Raise InvalidMessageError for a text with more characters than the limit."""
    if length > limit:
        raise InvalidMessageError(
            field,
            gettext_noop("%(field)s has %(count)s characters. The limit is %(limit)s."),
            field=FieldName(field),
            count=length,
            limit=limit,
        )


def check_address_field(field: str, length: int) -> None:
    """Raise InvalidMessageError for an address field with too many characters."""
    check_length(field, length, get_conf().max_address_field)


def check_recipients(count: int, field: str = "to") -> None:
    """Raise InvalidMessageError for too many recipients of one message."""
    limit = get_conf().max_recipients
    if count > limit:
        template = gettext_noop("The message has %(count)s recipients. The limit is %(limit)s.")
        raise InvalidMessageError(field, template, count=count, limit=limit)


def check_typed_recipients(field: str, typed: str) -> None:
    """Raise InvalidMessageError for a text that is too long, or has too many marks to be parsed.

    The number of recipients is estimated without splitting the text.
    """
    check_address_field(field, len(typed))
    check_recipients(estimate_entries(typed), field)


def check_attachments(count: int) -> None:
    """Raise InvalidMessageError for too many attachments of one message."""
    limit = get_conf().max_attachments
    if count > limit:
        template = gettext_noop("The message has %(count)s attachments. The limit is %(limit)s.")
        raise InvalidMessageError("attachments", template, count=count, limit=limit)


def check_size(size: int, field: str = "attachments") -> None:
    """Raise InvalidMessageError when text and files have too many bytes for a message."""
    limit = get_conf().max_message_bytes
    if size > limit:
        template = gettext_noop("The message would be %(size)s. The limit is %(limit)s.")
        raise InvalidMessageError(field, template, size=Size(size), limit=Size(limit))


def check_source(size: int) -> None:
    """Raise InvalidMessageError for a rendered message with too many bytes, all encoded."""
    limit = base64_size(get_conf().max_message_bytes) + _SOURCE_FRAME
    if size > limit:
        template = gettext_noop("The message is %(size)s. The limit is %(limit)s.")
        raise InvalidMessageError("source", template, size=Size(size), limit=Size(limit))


def check_headers_count(count: int) -> None:
    """Raise InvalidMessageError for too many custom header fields."""
    limit = get_conf().max_headers
    if count > limit:
        template = gettext_noop("The message has %(count)s header fields. The limit is %(limit)s.")
        raise InvalidMessageError("headers", template, count=count, limit=limit)


def check_rows(count: int) -> None:
    """Raise InvalidMessageError for too many rows of one call."""
    limit = get_conf().max_rows
    if count > limit:
        template = gettext_noop("The call has %(count)s rows. The limit is %(limit)s.")
        raise InvalidMessageError("rows", template, count=count, limit=limit)
