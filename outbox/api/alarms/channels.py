"""The channels of notifications: an HTTP call, a command, and email as an extra."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from outbox.api.alarms.payload import Payload
from outbox.conf import Conf
from outbox.exceptions import OutboxError
from outbox.models import Channel
from outbox.models.webhook import key_of
from outbox.net import is_public, request
from outbox.net.http import NotAllowedError
from outbox.reasons import NO_REASON, Reason, ReasonCode, quoted
from outbox.texts import cause_of
from outbox.webhooks.request import FAILURES, describe, failure, signed_headers

# A command does not need the secrets of the site, which are in the other variables.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Sender:
    """One channel: whether the settings name it, and how it sends."""

    is_configured: Callable[[Conf], bool]
    send: Callable[[Payload, Conf], Reason]  # why it failed, or no reason


def post(payload: Payload, conf: Conf) -> Reason:
    """Send the JSON to the URL of the settings."""

    def is_allowed(address: str) -> bool:
        may_be_private = conf.allow_private_hosts or conf.alarm_allow_private_hosts
        return may_be_private or is_public(address)

    body = payload.body()
    try:
        if urlsplit(conf.alarm_url).scheme not in {"http", "https"}:
            raise NotAllowedError("the URL begins neither with https nor with http")
        keys = [key_of(conf.alarm_secret)] if conf.alarm_secret else []
        response = request(
            "POST",
            conf.alarm_url,
            seconds=conf.alarm_timeout,
            is_allowed=is_allowed,
            headers=signed_headers(payload.id, keys, body, payload.now),
            body=body,
        )
    except FAILURES as error:
        return failure(error)
    if 200 <= response.status < 300:  # noqa: PLR2004  # what HTTP calls success
        return NO_REASON
    return describe(response.status)


def run(payload: Payload, conf: Conf) -> Reason:
    """Run the command of the settings, without a shell, with the JSON on its standard input."""
    given = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        process = subprocess.Popen(  # noqa: S603  # the operator's own command
            conf.alarm_command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=given,
            start_new_session=True,  # so that its children can be ended as well
        )
    except (OSError, ValueError) as error:
        return Reason(ReasonCode.COMMAND_NOT_STARTED, cause=cause_of(error))
    with process:
        try:
            process.communicate(payload.body(), timeout=conf.alarm_timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Reason(ReasonCode.COMMAND_TIMEOUT, seconds=conf.alarm_timeout)
    if process.returncode:
        return Reason(ReasonCode.COMMAND_FAILED, code=process.returncode)
    return NO_REASON


def email(payload: Payload, conf: Conf) -> Reason:
    """Queue an email to the addresses of the settings."""
    from outbox.api.sending import send  # loads what composing needs, and most checks send nothing

    try:
        send(
            to=list(conf.alarm_addresses),
            subject=payload.subject,
            text=payload.text(),
            auto_submitted=True,
            idempotency_key=payload.id,
            priority="urgent",
        )
    except OutboxError as error:
        return quoted(str(error))
    return NO_REASON


CHANNELS: Mapping[Channel, Sender] = {
    Channel.HTTP: Sender(lambda conf: bool(conf.alarm_url), post),
    Channel.COMMAND: Sender(lambda conf: bool(conf.alarm_command), run),
    Channel.EMAIL: Sender(lambda conf: bool(conf.alarm_addresses), email),
}
