"""Reports on TLS to `https:` URIs (RFC 8460 3): one POST to each, within one limit of time.

The domain's owner chose the hosts, so only those are contacted that any account may reach. A
redirect is a failure. The receiver recognizes a repeated report by its id.
"""

import logging
import time
from collections.abc import Sequence
from functools import partial
from http.client import HTTPException

from outbox.conf import Conf, get_conf
from outbox.delivery.server import address_rule
from outbox.mail.tls_report import TlsReport
from outbox.net.dns_lookup import Dns, LookupFailedError
from outbox.net.http import request
from outbox.smtp.tls import tls_context

logger = logging.getLogger(__name__)
SECONDS = 30.0  # for all URIs of one domain
_BODY_MAX = 10_000_000  # bytes that are sent: of a domain with more results, the report is left out


def post_report(report: TlsReport, uris: Sequence[str], *, seconds: float = SECONDS) -> bool:
    """Send a report to each URI; return whether all of them accepted it. A failure is logged."""
    body = report.compressed()
    if len(body) > _BODY_MAX:
        logger.error("The report on TLS to %s is too large to be sent.", report.domain)
        return True  # it is as large the next time
    ends_at = time.monotonic() + seconds
    # One that does not respond leaves a share of the time for each of those after it.
    results = [
        _post(report.domain, uri, body, (ends_at - time.monotonic()) / (len(uris) - number))
        for number, uri in enumerate(uris)
    ]
    return all(results)


def _post(domain: str, uri: str, body: bytes, seconds: float) -> bool:
    conf = get_conf()
    try:
        response = request(
            "POST",
            uri,
            seconds=max(seconds, 0.001),
            is_allowed=address_rule(conf, trusted=False),
            resolve=partial(_addresses, conf=conf) if conf.dns_servers else None,
            headers={"Content-Type": "application/tlsrpt+gzip"},
            body=body,
            context=tls_context(conf.ca_file or None),
        )
    except (OSError, HTTPException, ValueError) as error:
        cause = str(error) or type(error).__name__
    else:
        if 200 <= response.status < 300:  # noqa: PLR2004  # what HTTP calls success
            return True
        cause = f"HTTP {response.status}"
    logger.warning("The report on TLS to %s was not accepted at %s: %s", domain, uri, cause)
    return False


def _addresses(host: str, conf: Conf) -> list[str]:
    try:
        return Dns(conf.dns_servers).addresses(host)
    except LookupFailedError as error:
        raise OSError(str(error)) from error
