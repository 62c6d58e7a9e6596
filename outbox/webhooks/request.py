"""The HTTP request of a webhook call, signed as Standard Webhooks specifies."""

import base64
import datetime as dt
import hashlib
import hmac
import http.client
import ipaddress
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.utils.crypto import salted_hmac

from outbox.conf import get_conf
from outbox.db import clock
from outbox.models import WebhookCall
from outbox.models.secrets import SecretUnreadableError
from outbox.net import is_public, request
from outbox.net.http import NotAllowedError
from outbox.reasons import Reason, ReasonCode
from outbox.texts import cause_of

DEADLINE = 20.0  # seconds for one call, from the lookup of the host to the end of the response
FAILURES = (OSError, http.client.HTTPException, SecretUnreadableError, ValueError)
_ID_LENGTH = 32


def post(call: WebhookCall) -> tuple[int, Reason]:
    """Send a call and return the code of the response, also as a reason. Raise FAILURES.

    The reason contains none of the receiver's own text: the URL may lead to any server.
    """
    url: str = call.webhook.url
    if not is_scheme_allowed(url):
        raise NotAllowedError("the URL does not begin with https")
    body = call.body.encode()
    response = request(
        "POST",
        url,
        seconds=DEADLINE,
        is_allowed=_is_allowed,
        headers=headers_of(call, body, clock.now()),
        body=body,
    )
    return response.status, describe(response.status)


def describe(status: int) -> Reason:
    """Return the status of a response as a reason, in the words of the standard."""
    phrase = http.client.responses.get(status, "")
    return Reason(ReasonCode.WEBHOOK_RESPONSE, status=str(status), phrase=phrase)


def failure(error: BaseException) -> Reason:
    """Return why a call failed, without text of the receiver and without its addresses."""
    if isinstance(error, NotAllowedError):
        return Reason(ReasonCode.WEBHOOK_NOT_ALLOWED)
    if isinstance(error, http.client.HTTPException):
        return Reason(ReasonCode.WEBHOOK_NOT_HTTP)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
        return Reason(ReasonCode.WEBHOOK_NO_RESPONSE, cause="TLS handshake failed")
    return Reason(ReasonCode.WEBHOOK_NO_RESPONSE, cause=cause_of(error))


def is_scheme_allowed(url: str) -> bool:
    """Return whether the URL uses https, or http where that is allowed."""
    parts = urlsplit(url)
    return parts.scheme == "https" or get_conf().webhook_allow_http or _is_loopback(parts.hostname)


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _is_allowed(address: str) -> bool:
    conf = get_conf()
    return conf.allow_private_hosts or conf.webhook_allow_private_hosts or is_public(address)


def headers_of(call: WebhookCall, body: bytes, now: dt.datetime) -> dict[str, str]:
    """Return the headers, with signatures that prove origin, content and time to the receiver.

    While a secret is being replaced, the receiver may still know the former one only, so that the
    call has two signatures.
    """
    return signed_headers(call_id(call), call.webhook.keys_at(now), body, now)


def signed_headers(
    name: str, keys: Sequence[bytes], body: bytes, now: dt.datetime
) -> dict[str, str]:
    """Return the headers of a call with this id, with a signature by each key."""
    moment = str(int(now.timestamp()))
    signed = f"{name}.{moment}.".encode() + body
    signatures = [
        f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys
    ]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "outbox",
        "webhook-id": name,
        "webhook-timestamp": moment,
    }
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def call_id(call: WebhookCall) -> str:
    """Return the id of a call, the same for each attempt. It does not reveal how many there are."""
    digest = salted_hmac("outbox.webhook.call", str(call.pk), algorithm="sha256").hexdigest()
    return f"call_{digest[:_ID_LENGTH]}"
