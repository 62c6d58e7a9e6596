"""Reports on sensitive messages, and automatic replies: they quote the message, or its subject.

Of what is stored about them, only values of a known form stay: addresses, actions, status codes,
dates and ids. A server may quote the message in any text, also in the fields of its report, and a
report of any kind may enclose the header of the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from django.utils.http import http_date

from outbox.db.packing import pack
from outbox.inbound.address_text import first_address, report_address
from outbox.inbound.inspection import Action
from outbox.inbound.received import Received, report_text
from outbox.inbound.report_fields import read_blocks, read_status
from outbox.mail.dates import read_date
from outbox.mail.replies import bare_message_id
from outbox.models import InboundMessage, InboundSource
from outbox.models.discarded_file import discard_files

_REPORTS = ("delivery-status", "feedback-report", "disposition-notification")
_NOTE = b"\r\n\r\nThe content was removed: it is that of a sensitive message.\r\n\r\n"
_HEADER_MAX = 64 * 1024  # bytes
_REPORT_MAX = 256 * 1024  # bytes
_WORD = re.compile(r"[a-z][a-z-]*")
# The words of RFC 3464 2.3.3, RFC 8098 3.2.6, RFC 5965 7.3 and RFC 3834 5.
_WORDS = frozenset(Action) | {
    "displayed", "deleted", "dispatched", "processed", "denied",
    "abuse", "fraud", "virus", "other", "not-spam", "opt-out", "auth-failure",
    "auto-replied", "auto-generated", "auto-notified",
}  # fmt: skip


def known_action(value: str) -> str:
    """Return an action that a standard names, or "": any other word may be of the message."""
    return value if value in _WORDS else ""


def remove_quoted_content(message: InboundMessage, using: str) -> None:
    """Remove the subject, and what may quote the message in the row and in the stored source."""
    message.subject, message.snippet, message.attachment_count = "", "", 0
    message.from_header = first_address(message.from_header)
    message.to_summary = ""
    message.kind_sign = message.kind_sign.partition(":")[0]  # a field, without its value
    fields = ["subject", "snippet", "attachment_count", "from_header", "to_summary", "kind_sign"]
    message.save(using=using, update_fields=fields)
    source = InboundSource.objects.using(using).filter(pk=message.pk).first()
    if source is None:
        return
    try:
        received = Received(source.read())
    except OSError:  # the file is missing: nothing can be displayed either
        return
    header = "\r\n".join(_kept(received.fields, _HEADER_FIELDS)).encode()
    reports = [
        _kept_report(report_text(leaf)).encode()
        for leaf in received.leaves
        if leaf.content_type.endswith(_REPORTS)
    ]
    discard_files([source.file.name] if source.file else [], using)
    source.data = pack(
        header[:_HEADER_MAX] + _NOTE + b"\r\n\r\n".join(reports)[:_REPORT_MAX] + b"\r\n"
    )
    source.file = ""
    source.is_redacted = True
    source.save(using=using, update_fields=["data", "file", "is_redacted"])


def _kept_report(text: str) -> str:
    """Return the blocks of a report with the fields that cannot quote a message."""
    blocks = ("\r\n".join(_kept(block.items(), _REPORT_FIELDS)) for block in read_blocks(text))
    return "\r\n\r\n".join(filter(None, blocks))


def _kept(
    fields: Iterable[tuple[str, str]], readers: Mapping[str, Callable[[str], str]]
) -> Iterator[str]:
    """Yield the fields whose values have a known form, rewritten from what was read."""
    for name, value in fields:
        if name in readers and (kept := readers[name](value)) and kept.isprintable():
            yield f"{name.title()}: {kept}"


def _recipient(value: str) -> str:
    address = report_address(value)
    return f"rfc822; {address}" if address else ""


def _word(value: str) -> str:
    """Return the word of a standard at the end of a value: "automatic-action/…; displayed"."""
    found = _WORD.match(value.rpartition(";")[2].strip().lower())
    return known_action(found[0]) if found else ""


def _date(value: str) -> str:
    date = read_date(value)
    return http_date(date.timestamp()) if date else ""


def _message_id(value: str) -> str:
    found = bare_message_id(value)
    return f"<{found}>" if found else ""


_HEADER_FIELDS: Mapping[str, Callable[[str], str]] = {
    "from": first_address,
    "to": first_address,
    "date": _date,
    "message-id": _message_id,
    "auto-submitted": lambda value: _word(value.partition(";")[0].partition("(")[0]),
}
_REPORT_FIELDS: Mapping[str, Callable[[str], str]] = {
    "original-recipient": _recipient,
    "final-recipient": _recipient,
    "removal-recipient": _recipient,
    "original-rcpt-to": _recipient,
    "action": _word,
    "status": read_status,
    "disposition": _word,
    "feedback-type": _word,
}
