"""`/healthz`, `/readyz` and `/metrics`, for load balancers, containers and Prometheus.

This is the first middleware, because probes use any Host header and no TLS, which the other
middlewares reject. The responses of the first two do not say why something is unavailable; the log
does.
"""

from collections.abc import Callable
from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from outbox.api.readiness import readiness
from outbox.web.monitoring.metrics import metrics


def health_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return a middleware that responds to these addresses."""
    pages = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return pages.get(request.path, get_response)(request)

    return middleware


def alive(_request: HttpRequest) -> HttpResponse:
    """Return 200: the process responds."""
    return HttpResponse("ok\n", content_type="text/plain")


def ready(_request: HttpRequest) -> HttpResponse:
    """Return 200 if the process can serve, else 503, with what each check found."""
    found = readiness()
    return JsonResponse(asdict(found), status=200 if found.is_ready else 503)
