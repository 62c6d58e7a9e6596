"""`metrics`: the state of the outbox for Prometheus.

All figures are read from the database, so every process returns the same ones. A project adds the
view to its URLs. Without `METRICS_TOKEN` and `METRICS_NETWORKS` it does not exist.
"""

import hmac
import ipaddress
import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound

from outbox.api import audit
from outbox.conf import get_conf

logger = logging.getLogger(__name__)


@login_not_required  # the settings allow clients
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the figures in Prometheus's text format, to clients that the settings allow."""
    if not _may_read(request):
        return HttpResponseNotFound("not found\n", content_type="text/plain")
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    except ImportError:
        text = 'Install prometheus-client, for example by "pip install outbox[metrics]".\n'
        return HttpResponse(text, status=501, content_type="text/plain")
    from outbox.web.monitoring.collector import OutboxCollector

    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(OutboxCollector())
        body = generate_latest(registry)
    except Error:
        logger.exception("The metrics could not be read.")
        return HttpResponse("database unavailable\n", status=503, content_type="text/plain")
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    conf = get_conf()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if conf.metrics_token and scheme.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), conf.metrics_token.encode())
    try:
        address = ipaddress.ip_address(audit.address_of(request))
    except ValueError:  # a Unix socket
        return False
    return any(address in ipaddress.ip_network(one) for one in conf.metrics_networks)
