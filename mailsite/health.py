"""`/healthz`: tells a load balancer or a container engine that web and database answer.

A middleware, and the first one, because such probes come with any Host header and without TLS,
which the pages behind it must refuse. It never says why the database is away: the log does.
"""

import logging
from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase

logger = logging.getLogger(__name__)


def health_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Answer /healthz with 200 or 503, and hand every other request on."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return answer() if request.path == "/healthz" else get_response(request)

    return middleware


def answer() -> HttpResponse:
    """Ask the database for one row."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        logger.exception("The database does not answer.")
        return HttpResponse("database unavailable\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")
