"""`Outgoing`: a rendered message with its options, and the check that it can be sent.

Every mistake is found here, in the caller's stack, before a row is written.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model

from outbox.api.account_rules import check_account_allows, check_sender_domains
from outbox.api.limits import check_recipients, check_source
from outbox.api.options import Priority, SendOptions, read_options
from outbox.api.values import (
    read_choice,
    read_flag,
    read_integer,
    read_line,
    read_list,
    read_text,
    wrong_type,
)
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, is_usual, mailbox_key, parse_address
from outbox.mail.envelope import UnsendableError, path
from outbox.mail.source import SourceError, SourceFacts, validate_source
from outbox.models import Account, Importance, Message, Notify, Origin, Role
from outbox.models.report_request import REPORTED
from outbox.texts import gettext_noop

# The place in the queue, smallest first, of each priority and of each importance without one.
_PLACES = {
    Priority.URGENT.value: 1,
    Priority.NORMAL.value: 3,
    Priority.BULK.value: 5,
    Importance.HIGH.value: 1,
    Importance.LOW.value: 5,
}
_ROLES = tuple(Role.values)  # `values` makes a list at each call
_INTEGER_MAX = 2**31 - 1  # of a database column


@dataclass(frozen=True, slots=True)
class OutgoingRecipient:
    """One envelope recipient; `address` is an addr-spec."""

    address: str
    role: str = Role.TO
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A rendered message: its bytes, with CRLF line ends, and its envelope."""

    source: bytes
    envelope_sender: str  # "" is the null sender
    # Nothing replaces it. Otherwise the account's return path does, and a null sender that the
    # server rejects is replaced by the account's address.
    is_sender_given: bool = False
    recipients: Sequence[OutgoingRecipient]
    account: Account | None = None  # None: the default account for apps
    owner: AbstractBaseUser | None = None
    origin: str = Origin.API
    importance: str = Importance.NORMAL
    priority: str = ""  # a `Priority`; "": follows importance
    send_at: dt.datetime | None = None
    expires_after: dt.timedelta | None = None  # neither: OUTBOX["QUEUE_LIFETIME"]
    expires_at: dt.datetime | None = None
    idempotency_key: str | None = None
    on_uncertain: str = ""  # an `OnUncertain`; "": the account's policy
    require_tls: bool = False  # send only over verified TLS, and so on from there (RFC 8689)
    tls_optional: bool = False  # instead: whatever the recipient's domain says (TLS-Required: No)
    wants_report: bool = False  # delivery reports of success, failure and delay
    notify: Sequence[str] = ()  # instead: which reports, of `Notify`
    ret: str = ""  # a `Ret`; "": the header only
    envid: str = ""  # the caller's own envelope id
    sensitive: bool = False  # no page shows the content, and it is erased when delivery ends
    subject: str = ""
    from_header: str = ""
    message_id: str = ""
    in_reply_to: str = ""
    text: str = ""  # for the snippet in lists
    attachment_count: int = 0
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    related: Model | None = None  # the object that the message is about

    @property
    def notified(self) -> Sequence[str]:
        """What the sender is notified of, of `Notify`; empty if nothing was requested."""
        return self.notify or ([one.value for one in REPORTED] if self.wants_report else ())

    @property
    def is_report_wanted(self) -> bool:
        """Whether any report was requested."""
        return bool(self.notified) and Notify.NEVER not in self.notified

    @property
    def place(self) -> int:
        """The place in the queue: 1 first … 5 last."""
        return _PLACES[self.priority or self.importance]


@dataclass(frozen=True, slots=True)
class Checked:
    """A message that was found sendable. `draft` is the message whose row it takes over, if any."""

    item: Outgoing
    facts: SourceFacts
    draft: Message | None = None


def check(item: Outgoing, *, draft: Message | None = None) -> Checked:
    """Return a caller's message with its facts. Raise InvalidMessageError if it cannot be sent.

    It is queued as a new message, or takes over the row of a draft.
    """
    if not isinstance(item, Outgoing):
        raise wrong_type("items", "a list of Outgoing", item)
    changes = _read_columns(item) | _read_given_options(item)
    recipients = _read_recipients(item.recipients)
    if not _are_same(recipients, item.recipients):
        changes["recipients"] = recipients
    checked = check_finished(replace(item, **changes) if changes else item)
    return replace(checked, draft=draft) if draft else checked


def check_finished(item: Outgoing) -> Checked:
    """Do what `check` does for a message whose options were read before it was rendered."""
    if not item.recipients:
        raise InvalidMessageError("to", "The message has no recipient.")
    check_source(len(item.source))
    if item.envelope_sender != "":
        _check_address("from", item.envelope_sender)
    for recipient in item.recipients:
        _check_address("to", recipient.address)
    if item.account is not None:
        check_account_allows(item.account, item.owner)
    try:
        facts = validate_source(item.source)
    except SourceError as error:
        template = gettext_noop("The message cannot be sent: %(why)s.")
        raise InvalidMessageError("source", template, why=error) from error
    check_sender_domains(item.account, item.envelope_sender, item.source)
    return Checked(item, facts)


# --- values of callers ----------------------------------------------------------------------------

_TEXTS = ("subject", "from_header", "message_id", "in_reply_to", "text")
_DEFAULTS: dict[str, Any] = {
    one.name: {} if one.name == "metadata" else one.default
    for one in fields(Outgoing)
    if one.name in SendOptions.__annotations__.keys() - {"envelope_sender", "in_reply_to"}
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
    check_source(len(item.source))
    read_flag("is_sender_given", item.is_sender_given)
    read_flag("tls_optional", item.tls_optional)
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
    """Return the account. Raise InvalidMessageError for another type, or if it was never saved."""
    if not isinstance(account, Account):
        raise wrong_type("account", "an account, its name or its id", account)
    if account.pk is None:
        raise InvalidMessageError("account", "The account must be saved first.")
    return account


def _read_recipients(given: object) -> list[OutgoingRecipient]:
    """Return the recipients, the first of each mailbox."""
    first: dict[str, OutgoingRecipient] = {}
    most = get_conf().max_recipients
    recipients = read_list("recipients", given, of="OutgoingRecipient", most=most)
    check_recipients(len(recipients))
    for recipient in recipients:
        if not isinstance(recipient, OutgoingRecipient):
            raise wrong_type("recipients", "a list of OutgoingRecipient", recipient)
        if not isinstance(recipient.role, str) or recipient.role not in _ROLES:
            read_choice("recipients", recipient.role or "-", _ROLES)
        if not isinstance(recipient.address, str):
            raise wrong_type("to", "a string", recipient.address)
        if recipient.name != "":
            name = read_line("recipients", recipient.name)
            recipient = replace(recipient, name=name)  # noqa: PLW2901  # the same, as plain text
        first.setdefault(mailbox_key(recipient.address), recipient)
    return list(first.values())


def _are_same(ours: list[OutgoingRecipient], given: object) -> bool:
    """Compare by identity: a lazy name equals the text that it became."""
    if not isinstance(given, list | tuple) or len(ours) != len(given):
        return False
    return all(one is other for one, other in zip(ours, given, strict=True))


def _check_address(field: str, address: str) -> None:
    """Check with the grammar of SMTP sessions, so that no worker rejects what was queued.

    A local part alone is valid: the server of a host knows its users by it.
    """
    if not isinstance(address, str):
        raise wrong_type(field, "a string", address)
    if is_usual(address):
        return
    try:
        path(address, as_is=False)
        if "@" in address:
            parse_address(address)
    except (UnsendableError, AddressError, UnicodeError) as error:
        raise InvalidMessageError(field, f"Not an address: {address[:60]!r}.") from error
