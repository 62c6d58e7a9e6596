"""Removal of what belongs to messages: their content, their conversations, or all of it.

The rows of a message are deleted table by table, since Django would read each of them first. The
caller has a transaction, and has locked the recipients, so that no retry begins in between.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Model
from django.db.models.signals import post_delete, pre_delete

from outbox.db.bulk import Among
from outbox.models.attempt import Attempt, SmtpSession
from outbox.models.discarded_file import discard_files
from outbox.models.event import Event
from outbox.models.failure_digest import FailureDigest
from outbox.models.inbound import InboundMessage, InboundReport, InboundSource
from outbox.models.inbound_search import InboundEntry
from outbox.models.message import Attachment, Draft, Message, Source
from outbox.models.recipient import Recipient
from outbox.models.reminder import ReplyReminder
from outbox.models.report_request import ReportRequest
from outbox.models.search import SearchEntry
from outbox.models.sent_copy import SentCopy
from outbox.models.site_search import SiteEntry

REMOVED = "[]"  # a conversation that was recorded and removed; none was recorded if it is empty
# In this order: a row is deleted after those that refer to it.
_OF_MESSAGE = (
    Event, FailureDigest.messages.through, Recipient, Attempt, Attachment, Draft, Source,
    SearchEntry, SiteEntry, ReplyReminder, SentCopy, ReportRequest,
)  # fmt: skip
_LINKED = (InboundMessage,)  # a received message stays, without the link


def delete_messages(message_ids: Collection[int], using: str) -> None:
    """Delete messages with all their rows. Their files are discarded.

    Raise ProtectedError or RestrictedError if a model of the project refers to one of them and does
    not allow it.
    """
    ids = list(message_ids)
    messages = Message.objects.using(using).filter(Among("pk", ids))
    # A row of one could be written after those of its table were deleted, such as a search entry.
    list(messages.order_by("pk").select_for_update().values_list("pk"))
    _discard_files_of(ids, using)
    reports = InboundReport.objects.using(using).filter(recipient__message__in=ids)
    reports.order_by()._raw_delete(using)  # before the recipients, which they refer to
    for model in _OF_MESSAGE:
        model._default_manager.using(using).filter(Among("message", ids))._raw_delete(using)
    received = InboundMessage.objects.using(using).filter(Among("replies_to", ids))
    received.update(replies_to=None, matched_by="")
    Message.objects.using(using).filter(Among("made_from", ids)).update(made_from=None)
    if _is_followed():
        messages.delete()
    else:
        messages.order_by()._raw_delete(using)


def _is_followed() -> bool:
    """Return whether a model or a receiver of the project takes part in deleting a message.

    Only then does Django's own deletion find something. It looks into every table that refers to
    messages, whose rows are deleted by then.
    """
    if pre_delete.has_listeners(Message) or post_delete.has_listeners(Message):
        return True
    known: set[Any] = {*_OF_MESSAGE, *_LINKED, Message}
    fields = Message._meta.get_fields(include_hidden=True)
    to_one = [one for one in fields if one.auto_created and (one.one_to_one or one.one_to_many)]
    is_generic = any(hasattr(one, "bulk_related_objects") for one in Message._meta.private_fields)
    return is_generic or not {one.related_model for one in to_one} <= known


def remove_content(message_ids: Collection[int], using: str) -> None:
    """Delete the content of messages: source, attachments, draft, snippet and words of the text."""
    ids = list(message_ids)
    _discard_files_of(ids, using)
    for model in (Attachment, Draft, Source):
        model._default_manager.using(using).filter(message__in=ids)._raw_delete(using)
    SearchEntry.objects.using(using).filter(pk__in=ids).update(body=[])
    Message.objects.using(using).filter(pk__in=ids).exclude(snippet="").update(snippet="")


def delete_received(message_ids: Collection[int], using: str) -> None:
    """Delete received messages with their rows. Their ids on the server are kept.

    So they are not fetched again. What they report about a recipient is kept with the recipient.
    """
    ids = list(message_ids)
    messages = InboundMessage.objects.using(using).filter(pk__in=ids)
    # The sweep could write a search entry of one after those of all were deleted.
    list(messages.order_by("pk").select_for_update().values_list("pk"))
    _discard_files_of(ids, using, (InboundSource,))
    reports = InboundReport.objects.using(using).filter(message__in=ids, recipient=None)
    reports.order_by()._raw_delete(using)
    messages.delete()


def remove_received_content(message_ids: Collection[int], using: str) -> None:
    """Delete the content of received messages: the source, the snippet, the words of the text."""
    ids = list(message_ids)
    _discard_files_of(ids, using, (InboundSource,))
    InboundSource.objects.using(using).filter(message__in=ids)._raw_delete(using)
    InboundEntry.objects.using(using).filter(pk__in=ids).update(body=[])
    InboundMessage.objects.using(using).filter(pk__in=ids).exclude(snippet="").update(snippet="")


def remove_transcripts(attempt_ids: Collection[int], using: str) -> None:
    """Remove the conversations of attempts. The replies to their recipients are kept."""
    attempts = Attempt.objects.using(using).filter(pk__in=list(attempt_ids))
    attempts.update(transfer=REMOVED, traceback="")


def remove_session_transcripts(session_ids: Collection[int], using: str) -> None:
    """Remove what was said when connections were opened and closed."""
    sessions = SmtpSession.objects.using(using).filter(pk__in=list(session_ids))
    sessions.update(opening=REMOVED, closing="", greeting="")


def _discard_files_of(
    ids: list[int], using: str, models: tuple[type[Model], ...] = (Attachment, Source)
) -> None:
    for model in models:
        rows = model._default_manager.using(using).filter(Among("message", ids))
        discard_files(list(rows.values_list("file", flat=True)), using)
