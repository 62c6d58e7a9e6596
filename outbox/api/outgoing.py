"""Outgoing: a finished mail and what its sender wishes, and the check that it can be sent at all.

Everything that can be wrong with a mail is found here, in the caller's stack, before any row is
written.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model

from outbox.api.options import Lane, Wishes, read_options
from outbox.api.values import read_choice, read_integer, read_line, read_list, read_text, wrong_type
from outbox.exceptions import InvalidMailError
from outbox.mail.addresses import AddressError, parse_address
from outbox.mail.source import SourceError, SourceFacts, validate_source
from outbox.models import Account, Origin, Role
from outbox.smtp.envelope import UnsendableError, folded, path

_URGENCY = {Lane.URGENT.value: 1, Lane.NORMAL.value: 3, Lane.BULK.value: 5}
_ROLES = tuple(Role.values)  # `values` makes a list at each call
_INTEGER_MAX = 2**31 - 1  # of a database column
_USUAL_MAX = 200
# What nearly every address looks like; all others are parsed.
_USUAL_ADDRESS = re.compile(r"[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9]{1,63}\.){1,3}[A-Za-z]{2,}")


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
    """Return a caller's message with its facts. Raise InvalidMailError for what cannot be sent."""
    if not isinstance(item, Outgoing):
        raise wrong_type("items", "a list of Outgoing", item)
    changes = _read_columns(item) | _read_given_options(item)
    recipients = _read_recipients(item.recipients)
    if not _are_same(recipients, item.recipients):
        changes["recipients"] = recipients
    return check_finished(replace(item, **changes) if changes else item)


def check_finished(item: Outgoing) -> Checked:
    """Do what `check` does for a message whose options were read before it was rendered."""
    if not item.recipients:
        raise InvalidMailError("to", "The mail has no recipient.")
    if item.envelope_sender != "":
        _check_address("from", item.envelope_sender)
    for recipient in item.recipients:
        _check_address("to", recipient.address)
    try:
        return Checked(item, validate_source(item.source))
    except SourceError as error:
        raise InvalidMailError("source", f"The message cannot be sent: {error}.") from error


# --- values of a stranger -------------------------------------------------------------------------

_TEXTS = ("subject", "from_header", "message_id", "in_reply_to", "text")
_DEFAULTS: dict[str, Any] = {
    one.name: {} if one.name == "metadata" else one.default
    for one in fields(Outgoing)
    if one.name in Wishes.__annotations__.keys() - {"envelope_sender", "in_reply_to"}
}


def _read_given_options(item: Outgoing) -> dict[str, Any]:
    """Return the options that are not at their defaults, checked."""
    given = {
        name: value
        for name, default in _DEFAULTS.items()
        if (value := getattr(item, name)) is not default and not _is_empty(name, value)
    }
    if not given:
        return given
    unset = {name: _DEFAULTS[name] for name, value in given.items() if value is None}
    return {**unset, **read_options(given)}


def _is_empty(name: str, value: object) -> bool:
    return name in {"tags", "metadata"} and type(value) in (list, tuple, dict) and not value


def _read_columns(item: Outgoing) -> dict[str, Any]:
    """Return what is stored as it was given, where that is not a plain string."""
    if not isinstance(item.source, bytes):
        raise wrong_type("source", "bytes", item.source)
    if item.account is not None:
        check_account(item.account)
    if item.origin != Origin.BACKEND:
        read_choice("origin", item.origin or "-", Origin.values)
    if item.attachment_count != 0:
        read_integer("attachment_count", item.attachment_count, 0, _INTEGER_MAX)
    changes: dict[str, Any] = {}
    for name in _TEXTS:
        value = getattr(item, name)
        if value != "":
            text = (read_text if name == "text" else read_line)(name, value)
            if text is not value:
                changes[name] = text
    return changes


def check_account(account: object) -> Account:
    """Return the account. Raise InvalidMailError for what is none, or was never saved."""
    if not isinstance(account, Account):
        raise wrong_type("account", "an account, its name or its id", account)
    if account.pk is None:
        raise InvalidMailError("account", "The account must be saved first.")
    return account


def _read_recipients(given: object) -> list[OutgoingRecipient]:
    """Return the recipients, the first of each mailbox."""
    first: dict[str, OutgoingRecipient] = {}
    for recipient in read_list("recipients", given, of="OutgoingRecipient"):
        if not isinstance(recipient, OutgoingRecipient):
            raise wrong_type("recipients", "a list of OutgoingRecipient", recipient)
        if not isinstance(recipient.role, str) or recipient.role not in _ROLES:
            read_choice("recipients", recipient.role or "-", _ROLES)
        if not isinstance(recipient.address, str):
            raise wrong_type("to", "a string", recipient.address)
        if recipient.name != "":
            name = read_line("recipients", recipient.name)
            recipient = replace(recipient, name=name)  # noqa: PLW2901  # the same, as plain text
        first.setdefault(folded(recipient.address), recipient)
    return list(first.values())


def _are_same(ours: list[OutgoingRecipient], given: object) -> bool:
    """Compare by identity: a lazy name equals the text that it became."""
    if not isinstance(given, list | tuple) or len(ours) != len(given):
        return False
    return all(one is other for one, other in zip(ours, given, strict=True))


def _check_address(field: str, address: str) -> None:
    """Ask the grammar that a session goes by, so that no worker refuses what was queued.

    A local part alone passes: a host's server knows its users by it.
    """
    if not isinstance(address, str):
        raise wrong_type(field, "a string", address)
    if len(address) <= _USUAL_MAX and _USUAL_ADDRESS.fullmatch(address):
        return
    try:
        path(address, as_is=False)
        if "@" in address:
            parse_address(address)
    except (UnsendableError, AddressError, UnicodeError) as error:
        raise InvalidMailError(field, f"Not an address: {address[:60]!r}.") from error
