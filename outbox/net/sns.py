"""Messages of Amazon SNS: who signed them, and what confirms a subscription.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from outbox.net.address import is_public
from outbox.net.http import request

_HOST = re.compile(r"sns\.([a-z]{2,4}(?:-[a-z]+){1,3}-\d)\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_PEM = b"-----BEGIN CERTIFICATE-----"
_ARN = re.compile(r"arn:aws[a-z-]{0,10}:sns:([a-z0-9-]{3,30}):\d{12}:[\w.-]{1,256}")
_SECONDS = 10.0
_CERTIFICATE_MAX = 20_000  # bytes
_CACHED = 8  # certificates
_CACHED_FOR = 86_400.0  # seconds
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
Get = Callable[[str], bytes]
_PAUSE = 5.0  # seconds after a failure
_FAILED_MAX = 1_000  # URLs
_failed_at: dict[str, float] = {}  # by URL: an attacker cannot cause a pause for the genuine one
_certificates: dict[str, tuple[float, bytes]] = {}  # by URL: when it was read, and its text


class SnsError(Exception):
    """The message is not one that Amazon SNS signed for one of the topics."""


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """A message whose signature was verified."""

    type: str
    topic: str
    text: str
    subscribe_url: str = ""


def verify(
    found: Mapping[str, object], topics: frozenset[str], get: Get | None = None
) -> SnsMessage:
    """Return a message of one of the topics. Raise SnsError, and OSError without a certificate.

    `get` returns what is at a URL of Amazon SNS. The signature covers the topic, so that the owner
    of another topic cannot send a message as one of the site's.
    """
    values = {key: value for key, value in found.items() if isinstance(value, str)}
    kind, topic = values.get("Type", ""), values.get("TopicArn", "")
    region = _ARN.fullmatch(topic)
    if kind not in _SIGNED or region is None or topic not in topics:
        raise SnsError("The topic or the type is unknown.")
    certificate = _certificate(_certificate_url(values, region[1]), get or fetch)
    _check_signature(certificate, values, _SIGNED[kind])
    subscribe_url = values.get("SubscribeURL", "")
    if subscribe_url:
        _check_url(subscribe_url, region[1])
    return SnsMessage(kind, topic, values.get("Message", ""), subscribe_url)


def fetch(url: str) -> bytes:
    """Return what is at a URL of Amazon SNS. Raise OSError and HTTPException."""
    found = request(
        "GET",
        url,
        seconds=_SECONDS,
        is_allowed=is_public,
        body_max=_CERTIFICATE_MAX,
        context=ssl.create_default_context(),
    )
    if found.status != HTTPStatus.OK:
        raise OSError(f"the server responded {found.status}")
    return found.body


def _check_url(url: str, region: str) -> None:
    """Raise SnsError unless a URL leads to Amazon SNS in the region of the topic."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SnsError("The URL is invalid.") from error
    host = _HOST.fullmatch(parts.hostname or "")
    if (
        parts.scheme != "https"
        or host is None
        or host[1] != region
        or port not in {None, 443}
        or parts.username is not None
    ):
        raise SnsError("The URL is not one of Amazon SNS.")


def _certificate_url(values: Mapping[str, str], region: str) -> str:
    """Return the URL of the certificate in its only form. Raise SnsError.

    The host serves other documents as well, for instance for a query.
    """
    url = values.get("SigningCertURL", "")
    _check_url(url, region)
    parts = urlsplit(url)
    if parts.query or parts.fragment or not _CERTIFICATE.fullmatch(parts.path):
        raise SnsError("The URL is not that of a certificate.")
    return f"https://{parts.hostname}{parts.path}"


def _certificate(url: str, get: Get) -> bytes:
    """Return a certificate. Raise OSError, also soon after the URL led to none, and SnsError.

    Anyone can send a message with a URL that leads to nothing.
    """
    now = time.monotonic()
    known = _certificates.get(url)
    if known is not None and now - known[0] < _CACHED_FOR:
        return known[1]
    if now - _failed_at.get(url, -_PAUSE) < _PAUSE:
        raise OSError("a certificate could not be fetched just before")
    try:
        found = _checked_certificate(get(url))
    except Exception:
        if len(_failed_at) >= _FAILED_MAX:
            _failed_at.clear()
        _failed_at[url] = now
        raise
    if len(_certificates) >= _CACHED:
        _certificates.clear()
    _certificates[url] = (now, found)
    return found


def _checked_certificate(found: bytes) -> bytes:
    if not found.startswith(_PEM):
        raise SnsError("The URL leads to another text than a certificate.")
    return found


def _check_signature(certificate: bytes, values: Mapping[str, str], names: tuple[str, ...]) -> None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    algorithms = {"1": hashes.SHA1, "2": hashes.SHA256}  # SHA1: what version 1 prescribes
    algorithm = algorithms.get(values.get("SignatureVersion", ""))
    if algorithm is None:
        raise SnsError("The version of the signature is unknown.")
    signed = "".join(f"{name}\n{values[name]}\n" for name in names if name in values)
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        key = parsed.public_key()
        now = dt.datetime.now(dt.UTC)
        if not isinstance(key, rsa.RSAPublicKey):
            raise SnsError("The certificate has no RSA key.")
        if not parsed.not_valid_before_utc <= now <= parsed.not_valid_after_utc:
            raise SnsError("The certificate has expired.")
        signature = base64.b64decode(values.get("Signature", ""), validate=True)
        key.verify(signature, signed.encode(), padding.PKCS1v15(), algorithm())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SnsError("The signature is not valid.") from error
