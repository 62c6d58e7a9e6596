"""Responses with files of messages, in which nothing runs, whatever the file claims to be."""

from django.http import HttpResponse
from django.utils.http import content_disposition_header

from outbox.mail.filenames import safe_filename


def sandboxed_response(data: bytes, content_type: str) -> HttpResponse:
    """Return a response in which the browser runs nothing."""
    response = HttpResponse(data, content_type=content_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def download(
    data: bytes, name: str, content_type: str = "application/octet-stream"
) -> HttpResponse:
    """Return a file that the browser saves and does not open."""
    response = sandboxed_response(data, content_type)
    disposition = content_disposition_header(as_attachment=True, filename=safe_filename(name))
    response["Content-Disposition"] = disposition or "attachment"
    return response
