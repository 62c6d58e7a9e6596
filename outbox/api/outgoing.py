"""Outgoing: a finished mail and what its sender wishes, and the check that it can be sent at all.

Everything that can be wrong with a mail is found here, in the caller's stack, before any row is
written.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model
from django.utils import timezone

from outbox.exceptions import InvalidMailError
from outbox.mail.source import SourceError, SourceFacts, validate_source
from outbox.models import Account, OnUncertain, Origin, Role
from outbox.smtp.envelope import UnsendableError, path

KEY_MAX = 255
# Beyond these, adding a lifetime or changing the time zone overflows the calendar.
EARLIEST_SEND_AT = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST_SEND_AT = dt.datetime(2999, 12, 31, tzinfo=dt.UTC)


class Lane(StrEnum):
    """What a mail may overtake in the queue; its reader sees nothing of it."""

    URGENT = "urgent"  # before all other mail: somebody waits for it
    NORMAL = "normal"
    BULK = "bulk"  # behind all other mail


_URGENCY = {Lane.URGENT.value: 1, Lane.NORMAL.value: 3, Lane.BULK.value: 5}


class Wishes(TypedDict, total=False):
    """What may be asked for a mail beside its words; each is optional."""

    owner: AbstractBaseUser | None  # the user who sees it among their mail; None: nobody's
    priority: int  # what its reader is told: 1 highest … 5 lowest, 3 if not said
    lane: str  # what it may overtake, a `Lane`; "": as its priority says
    send_at: dt.datetime | None  # not before; aware
    expires_after: dt.timedelta | None  # how long it may wait, once it may leave
    expires_at: dt.datetime | None  # instead: when it is of no use any more; aware
    idempotency_key: str | None  # whoever comes second with a key gets the first one's mail
    tags: Sequence[str]  # kept with it, for your own use
    metadata: Mapping[str, Any]  # likewise; anything that JSON can hold
    related: Model | None  # the object it is about, of any model
    on_uncertain: str  # an `OnUncertain`; "": the account's policy


@dataclass(frozen=True, slots=True)
class OutgoingRecipient:
    """One envelope recipient; `address` is an addr-spec."""

    address: str
    role: str = Role.TO
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A finished mail: its bytes (CRLF line ends) and its envelope."""

    source: bytes
    envelope_sender: str  # "" is the null sender
    recipients: Sequence[OutgoingRecipient]
    account: Account | None = None  # None: the default account for apps
    owner: AbstractBaseUser | None = None
    origin: str = Origin.API
    priority: int = 3  # X-Priority: 1 highest … 5 lowest
    lane: str = ""  # a `Lane`; "": as its priority says
    send_at: dt.datetime | None = None
    expires_after: dt.timedelta | None = None  # neither: OUTBOX["QUEUE_LIFETIME"]
    expires_at: dt.datetime | None = None
    idempotency_key: str | None = None
    on_uncertain: str = ""  # an `OnUncertain`; "": the account's policy
    wants_report: bool = False  # of delivery, where servers give one
    subject: str = ""
    from_header: str = ""
    message_id: str = ""
    in_reply_to: str = ""
    text: str = ""  # for the snippet in lists
    attachment_count: int = 0
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    related: Model | None = None  # what it is about

    @property
    def urgency(self) -> int:
        """Its place in the queue: 1 first … 5 last."""
        return _URGENCY[self.lane] if self.lane else self.priority


@dataclass(frozen=True, slots=True)
class Checked:
    """A mail that was found sendable."""

    item: Outgoing
    facts: SourceFacts


def check(item: Outgoing) -> Checked:
    """Find the facts of a mail. Raises InvalidMailError for what can never be sent."""
    if not item.recipients:
        raise InvalidMailError("to", "The mail has no recipient.")
    if item.envelope_sender:
        _check_address("from", item.envelope_sender)
    for recipient in item.recipients:
        _check_address("to", recipient.address)
    _check_wishes(item)
    try:
        return Checked(item, validate_source(item.source))
    except SourceError as error:
        raise InvalidMailError("source", f"The message cannot be sent: {error}.") from error


def _check_address(field: str, address: str) -> None:
    """Ask the grammar that a session goes by, so that no worker refuses what was queued."""
    try:
        path(address, as_is=False)
    except (UnsendableError, UnicodeEncodeError) as error:
        raise InvalidMailError(field, f"Not an address: {address!r}.") from error


def _check_wishes(item: Outgoing) -> None:
    if not 1 <= item.priority <= 5:  # noqa: PLR2004  # as X-Priority has it
        raise InvalidMailError("priority", "A priority is a number from 1 to 5.")
    if item.lane and item.lane not in _URGENCY:
        raise InvalidMailError("lane", f"{item.lane!r} is none of {', '.join(_URGENCY)}.")
    if item.on_uncertain and item.on_uncertain not in OnUncertain.values:
        known = ", ".join(OnUncertain.values)
        raise InvalidMailError("on_uncertain", f"{item.on_uncertain!r} is none of {known}.")
    if item.idempotency_key is not None and not 0 < len(item.idempotency_key) <= KEY_MAX:
        problem = f"An idempotency key has 1 to {KEY_MAX} characters."
        raise InvalidMailError("idempotency_key", problem)
    if item.send_at is not None or item.expires_at is not None:
        _check_times(item)
    if item.related is not None and item.related.pk is None:
        raise InvalidMailError("related", "What a mail is about has to be saved first.")
    if item.tags or item.metadata:
        _check_json(item)


def _check_times(item: Outgoing) -> None:
    for name, moment in (("send_at", item.send_at), ("expires_at", item.expires_at)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidMailError(name, f"{name} needs a time zone.")
        if moment is not None and not EARLIEST_SEND_AT <= moment <= LATEST_SEND_AT:
            raise InvalidMailError(name, f"{name} must be between the years 1970 and 2999.")
    if item.expires_at is not None and item.expires_at <= (item.send_at or timezone.now()):
        raise InvalidMailError("expires_at", "It would expire before it may leave.")


def _check_json(item: Outgoing) -> None:
    if isinstance(item.tags, str) or not all(isinstance(tag, str) for tag in item.tags):
        raise InvalidMailError("tags", "Tags are a list of texts.")
    try:
        json.dumps(dict(item.metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidMailError("metadata", f"The metadata is no JSON: {error}.") from error
