"""Download a message, its parts and its record. Nothing of a message is displayed as a page."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from outbox.mail.parts import outline, part_bytes
from outbox.models import Attachment, Message, Source, Status
from outbox.models.access import can_view_others
from outbox.web.auth import UserRequest, signed_in
from outbox.web.downloads.record import as_json, as_text, attempts_of
from outbox.web.downloads.responses import download
from outbox.web.messages.access import get_readable, get_viewable
from outbox.web.parameters import integer


@signed_in
@require_safe
def source(request: UserRequest, pk: int) -> HttpResponse:
    """Download the exact bytes of the message."""
    message, data = _message_and_source(request, pk)
    return download(data, f"{message.subject[:100] or 'message'}.eml", "message/rfc822")


@signed_in
@require_safe
def transcript(request: UserRequest, pk: int) -> HttpResponse:
    """Download the transcripts of all attempts, or of the one that `attempt` names."""
    message = _queued(request, pk)
    attempts = attempts_of(message)
    name = f"transcript-{pk}"
    if one := integer(request.GET.get("attempt")):
        attempts = [attempt for attempt in attempts if attempt.pk == one]
        name += f"-{one}"
        if not attempts:
            raise Http404
    text = as_text(message, attempts, shows_network=can_view_others(request.user))
    return download(text.encode(), f"{name}.txt", "text/plain; charset=utf-8")


@signed_in
@require_safe
def record(request: UserRequest, pk: int) -> HttpResponse:
    """Download everything that is recorded about the delivery, as JSON."""
    message = _queued(request, pk)
    shows_network = can_view_others(request.user)
    data = as_json(message, attempts_of(message), shows_network=shows_network).encode()
    return download(data, f"message-{pk}.json", "application/json")


@signed_in
@require_safe
def part(request: UserRequest, pk: int, path: str) -> HttpResponse:
    """Download one part of the message, decoded."""
    _message, data = _message_and_source(request, pk)
    found = next((part for part in outline(data).walk() if part.path == path), None)
    if found is None:
        raise Http404
    return download(part_bytes(data, path), found.name or f"part-{path}")


@signed_in
@require_safe
def attachment(request: UserRequest, pk: int, attachment: int) -> HttpResponse:
    """Download a file of a draft."""
    visible = Attachment.objects.filter(message__in=Message.objects.visible_to(request.user))
    stored = get_object_or_404(visible, pk=attachment, message=pk)
    try:
        return download(stored.read(), stored.name)
    except OSError as error:
        raise Http404 from error


def _queued(request: UserRequest, pk: int) -> Message:
    queued = Message.objects.exclude(status=Status.DRAFT).select_related("account")
    return get_viewable(request, pk, queued)


def _message_and_source(request: UserRequest, pk: int) -> tuple[Message, bytes]:
    message = get_readable(request, pk, Message.objects.select_related("source"))
    try:
        return message, message.source.read()
    except (Source.DoesNotExist, OSError) as error:
        raise Http404 from error
