"""Responses that are streamed to the browser, so that their memory does not depend on the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def streamed(
    request: HttpRequest, lines: Iterable[str], content_type: str, filename: str
) -> StreamingHttpResponse:
    """Return a file as a streamed response. Under ASGI, each batch is read in a thread."""
    pieces = _joined(lines)
    content: Any = _in_threads(pieces) if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _joined(lines: Iterable[str], size: int = 65_536) -> Iterator[str]:
    """Yield the lines in larger pieces."""
    waiting: list[str] = []
    length = 0
    for line in lines:
        waiting.append(line)
        length += len(line)
        if length >= size:
            yield "".join(waiting)
            waiting, length = [], 0
    yield "".join(waiting)


async def _in_threads(lines: Iterator[str]) -> AsyncIterator[str]:
    read = sync_to_async(_next)
    while (piece := await read(lines)) is not None:
        yield piece


def _next(lines: Iterator[str]) -> str | None:
    return next(lines, None)
