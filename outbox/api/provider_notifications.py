"""Notifications that providers send about messages: by Amazon SNS, and through django-anymail."""

from __future__ import annotations

import http.client
import json
import logging
from typing import Any

from outbox.conf import get_conf
from outbox.inbound.notifications import apply_ses, apply_tracking
from outbox.net import sns
from outbox.net.http import cause_of_failure

logger = logging.getLogger(__name__)

MAX_BODY = 262_144  # bytes, the most that Amazon SNS sends


class NotAcceptedError(Exception):
    """The request is not a notification that the site accepts."""


class TryAgainError(Exception):
    """The sender is to repeat the notification later."""


def receive_sns(body: bytes, get: sns.Get | None = None) -> int:
    """Apply a notification of Amazon SNS; return how many recipients it is about.

    A subscription of one of the topics in the settings is confirmed. Raise NotAcceptedError, and
    TryAgainError if the certificate of the signature cannot be fetched at present.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAcceptedError("The body is not JSON.") from error
    if not isinstance(found, dict):
        raise NotAcceptedError("The body is not an object.")
    try:
        message = sns.verify(found, frozenset(get_conf().sns_topics), get)
        if message.type == "SubscriptionConfirmation":
            (get or sns.fetch)(message.subscribe_url)
            logger.info("The subscription of the topic %s is confirmed.", message.topic)
            return 0
    except sns.SnsError as error:
        raise NotAcceptedError(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgainError(cause_of_failure(error)) from error
    if message.type != "Notification":
        return 0
    try:
        return apply_ses(message.text)
    except (ValueError, RecursionError):
        logger.info("A notification of the topic %s is not about a message.", message.topic)
        return 0


def connect_anymail() -> None:
    """Apply the tracking events of django-anymail, if the project uses it."""
    try:
        from anymail.signals import tracking  # type: ignore[import-not-found]  # optional
    except ImportError:
        return
    tracking.connect(_track, dispatch_uid="outbox.anymail")


def _track(event: Any, esp_name: str = "", **_: object) -> None:
    """Apply a tracking event. A failure makes the provider repeat it."""
    apply_tracking(event, esp_name or "anymail")
