"""Hand out what a mail carries. Always as a download: nothing of it is ever shown as a page."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from outbox.mail.names import safe_filename
from outbox.mail.parts import outline, part_bytes
from outbox.models import Attachment, Message, Source, Status
from outbox.web.attachments.record import as_json, as_text, attempts_of
from outbox.web.messages.access import get_readable, get_viewable
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_safe
def source(request: PersonRequest, pk: int) -> HttpResponse:
    """Hand out the exact bytes of the mail."""
    mail, data = _mail_and_source(request, pk)
    return download(data, f"{mail.subject[:100] or 'mail'}.eml", "message/rfc822")


@signed_in
@require_safe
def transcript(request: PersonRequest, pk: int) -> HttpResponse:
    """Hand out what both sides said at every attempt, or at the one of `attempt`."""
    mail = _sent(request, pk)
    attempts = attempts_of(mail)
    name = f"transcript-{pk}"
    if one := number(request.GET.get("attempt")):
        attempts = [attempt for attempt in attempts if attempt.pk == one]
        name += f"-{one}"
        if not attempts:
            raise Http404
    return download(as_text(mail, attempts).encode(), f"{name}.txt", "text/plain; charset=utf-8")


@signed_in
@require_safe
def record(request: PersonRequest, pk: int) -> HttpResponse:
    """Hand out everything that is known of the mail's fate, for a program."""
    mail = _sent(request, pk)
    data = as_json(mail, attempts_of(mail)).encode()
    return download(data, f"mail-{pk}.json", "application/json")


@signed_in
@require_safe
def part(request: PersonRequest, pk: int, path: str) -> HttpResponse:
    """Hand out one part of the mail, decoded."""
    _mail, data = _mail_and_source(request, pk)
    found = next((part for part in outline(data).walk() if part.path == path), None)
    if found is None:
        raise Http404
    return download(part_bytes(data, path), found.name or f"part-{path}")


@signed_in
@require_safe
def attachment(request: PersonRequest, pk: int, attachment: int) -> HttpResponse:
    """Hand out a file of a draft."""
    mine = Attachment.objects.filter(message__in=Message.objects.visible_to(request.user))
    kept = get_object_or_404(mine, pk=attachment, message=pk)
    try:
        return download(kept.read(), kept.name)
    except OSError as error:
        raise Http404 from error


def download(
    data: bytes, name: str, content_type: str = "application/octet-stream"
) -> HttpResponse:
    """Answer with a file that no browser opens in the site's name, whatever it claims to be."""
    response = HttpResponse(data, content_type=content_type)
    disposition = content_disposition_header(as_attachment=True, filename=safe_filename(name))
    response["Content-Disposition"] = disposition or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _sent(request: PersonRequest, pk: int) -> Message:
    queued = Message.objects.exclude(status=Status.DRAFT).select_related("account")
    return get_viewable(request, pk, queued)


def _mail_and_source(request: PersonRequest, pk: int) -> tuple[Message, bytes]:
    mail = get_readable(request, pk, Message.objects.select_related("source"))
    try:
        return mail, mail.source.read()
    except (Source.DoesNotExist, OSError) as error:
        raise Http404 from error
