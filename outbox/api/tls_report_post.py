"""Reports on TLS to `https:` URIs (RFC 8460 3): one POST to each, within one limit of time.

The domain's owner chose the hosts, so only public addresses are contacted, also where
`ALLOW_PRIVATE_HOSTS` is set. A redirect is a failure. The receiver recognizes a repeated report by
its id.
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from outbox.conf import Conf, get_conf
from outbox.mail.tls_report import TlsReport
from outbox.net.address import is_public
from outbox.net.dns_lookup import Dns, LookupFailedError
from outbox.net.http import NotAllowedError, cause_of_failure, request
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp.tls import tls_cause, tls_context

logger = logging.getLogger(__name__)
SECONDS = 30.0  # for all URIs of one domain
_BODY_MAX = 10_000_000  # bytes


class PostResult(Enum):
    """What became of a report."""

    ACCEPTED = "accepted"  # by all URIs
    FAILED = "failed"  # at one of them: it may be accepted later
    TOO_LARGE = "too large"  # nothing was sent, and it is as large the next time


class Posted(NamedTuple):
    """The result, and the first failure: a URI, and why it did not accept the report."""

    result: PostResult
    failure: Reason = NO_REASON
    accepted: int = 0  # URIs


def post_report(
    report: TlsReport,
    uris: Sequence[str],
    *,
    seconds: float = SECONDS,
    is_allowed: Callable[[str], bool] = is_public,
) -> Posted:
    """Send a report to each URI, and log what failed. `is_allowed` judges an IP address."""
    body = report.compressed()
    if len(body) > _BODY_MAX:
        logger.error("The report on TLS to %s is too large to be sent.", report.domain)
        return Posted(PostResult.TOO_LARGE)
    ends_at = time.monotonic() + seconds
    # One that does not respond leaves a share of the time for each of those after it.
    failures = [
        _post(
            report.domain,
            uri,
            body,
            seconds=(ends_at - time.monotonic()) / (len(uris) - number),
            is_allowed=is_allowed,
        )
        for number, uri in enumerate(uris)
    ]
    failure = next(filter(None, failures), NO_REASON)
    result = PostResult.FAILED if failure else PostResult.ACCEPTED
    return Posted(result, failure, accepted=failures.count(NO_REASON))


def _post(
    domain: str, uri: str, body: bytes, *, seconds: float, is_allowed: Callable[[str], bool]
) -> Reason:
    """Send a report to one URI. Return why it was not accepted; NO_REASON if it was."""
    conf = get_conf()
    try:
        response = request(
            "POST",
            uri,
            seconds=max(seconds, 0.001),
            is_allowed=is_allowed,
            resolve=partial(_addresses, conf=conf, seconds=seconds) if conf.dns_servers else None,
            headers={"Content-Type": "application/tlsrpt+gzip"},
            body=body,
            context=tls_context(conf.ca_file or None),
        )
    except (OSError, HTTPException, ValueError) as error:
        cause = cause_of_failure(error)
        why = _why(error, urlsplit(uri).hostname or "")
        failure = Reason(ReasonCode.TLS_REPORT_FAILED, uri=uri, why=why)
    else:
        if 200 <= response.status < 300:  # noqa: PLR2004  # what HTTP calls success
            return NO_REASON
        cause = f"HTTP {response.status}"
        failure = Reason(ReasonCode.TLS_REPORT_REJECTED, uri=uri, status=str(response.status))
    logger.warning("The report on TLS to %s was not accepted at %s: %s", domain, uri, cause)
    return failure


def _why(error: Exception, host: str) -> Reason:
    """Return why there is no response from a host."""
    why = Reason(ReasonCode.UNREACHABLE, cause=cause_of_failure(error))
    match error:
        case NotAllowedError():
            why = Reason(ReasonCode.ADDRESS_FORBIDDEN)
        case HTTPException():
            why = Reason(ReasonCode.HTTP_INVALID)
        case ssl.SSLError():
            _, why = tls_cause(error)
        case TimeoutError():
            why = Reason(ReasonCode.NETWORK_TIMEOUT)
        case ConnectionRefusedError():
            why = Reason(ReasonCode.CONNECTION_REFUSED)
        case ConnectionResetError():
            why = Reason(ReasonCode.CONNECTION_RESET)
        case socket.gaierror():
            why = Reason(ReasonCode.NAME_UNRESOLVED, host=host, cause=error.strerror or str(error))
        case OSError(__cause__=LookupFailedError() as failed):
            why = Reason(ReasonCode.NAME_UNRESOLVED, host=host, cause=failed.cause)
    return why


def _addresses(host: str, conf: Conf, seconds: float) -> list[str]:
    try:
        # A DNS server that does not respond about one family leaves time for the connection.
        return Dns(conf.dns_servers, seconds=seconds / 3).reachable_addresses(host)
    except LookupFailedError as error:
        raise OSError(str(error)) from error
