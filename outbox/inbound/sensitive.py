"""Reports on sensitive messages, and automatic replies: they quote the message, or its subject."""

from __future__ import annotations

from outbox.db.packing import pack
from outbox.inbound.received import Received, report_text
from outbox.models import InboundMessage, InboundSource
from outbox.models.discarded_file import discard_files

_REPORTS = ("delivery-status", "feedback-report", "disposition-notification")
_NOTE = b"\r\n\r\nThe content was removed: it is that of a sensitive message.\r\n\r\n"
_HEADER_MAX = 64 * 1024  # bytes


def remove_quoted_content(message: InboundMessage, using: str) -> None:
    """Remove the subject, and all of the stored source but its header and its reports for programs.

    The text of a notification and its subject may quote the message as well.
    """
    message.subject, message.snippet, message.attachment_count = "", "", 0
    fields = ["subject", "snippet", "attachment_count"]
    message.save(using=using, update_fields=fields)
    source = InboundSource.objects.using(using).filter(pk=message.pk).first()
    if source is None:
        return
    try:
        received = Received(source.read())
    except OSError:  # the file is missing: nothing can be displayed either
        return
    reports = [
        report_text(leaf).encode()
        for leaf in received.leaves
        if leaf.content_type.endswith(_REPORTS)
    ]
    names = ("from", "to", "date", "message-id", "auto-submitted")
    header = b"\r\n".join(
        f"{name.title()}: {value}".encode()
        for name, value in received.fields
        if name in names and value.isprintable()
    )
    discard_files([source.file.name] if source.file else [], using)
    source.data = pack(header[:_HEADER_MAX] + _NOTE + b"\r\n".join(reports))
    source.file = ""
    source.is_redacted = True
    source.save(using=using, update_fields=["data", "file", "is_redacted"])
