"""The options of a Django message: its attribute `outbox`, and the attributes of Anymail.

`message.outbox` is a dict with the options of `send`, and `account`. It overrides Anymail's.
"""

import copy
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from django.core.mail import EmailMessage
from django.utils import timezone

from outbox.api.accounts import account_named
from outbox.api.limits import (
    check_address_field,
    check_attachments,
    check_headers_count,
    check_length,
    check_recipients,
    check_size,
)
from outbox.api.options import SendOptions, read_options
from outbox.api.unsubscribing import headers_of_options
from outbox.api.values import read_mapping, shown, wrong_type
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.mail.header_writer import X_PRIORITY
from outbox.models import Account

# Anymail's attributes that send one message per recipient, or fill in a provider's template.
MERGES = ("merge_data", "merge_global_data", "merge_headers", "merge_metadata", "template_id")
KEPT = ("tags", "metadata")


def has_options(message: EmailMessage) -> bool:
    """Return whether the attribute `outbox` is set."""
    return _attribute(message, "outbox") is not None


def read_message_options(message: EmailMessage) -> dict[str, Any]:
    """Return the options of a message, checked; `account` is the row.

    Raise InvalidMessageError naming the option, and NoAccountError.
    """
    _refuse_merges(message)
    given = {name: value for name in KEPT if (value := _attribute(message, name)) is not None}
    if (send_at := _attribute(message, "send_at")) is not None:
        given["send_at"] = _moment(send_at)
    if not has_options(message):
        return dict(read_options(given)) if given else {}
    own = dict(read_mapping("outbox", _attribute(message, "outbox")))
    account = own.pop("account", None)
    _check_known(own)
    options = dict(read_options(given | own))
    return options if account is None else options | {"account": account_named(account)}


def anymail_sender(message: EmailMessage) -> object:
    """Return Anymail's `envelope_sender`, or None where it is not set."""
    return _attribute(message, "envelope_sender")


def with_header_options(
    message: EmailMessage, options: dict[str, Any], account: Account | None
) -> EmailMessage:
    """Move the options that are header fields from `options` into a copy of the message.

    A link to unsubscribe names the account, so that one is chosen here if None is given.
    """
    headers = _added_headers(message, options, account)
    if "importance" in options:
        headers["Importance"] = options["importance"]
        headers["X-Priority"] = X_PRIORITY[options["importance"]]
    if "in_reply_to" in options:
        headers["In-Reply-To"] = headers["References"] = options["in_reply_to"]
    if references := options.pop("references", None):
        headers["References"] = " ".join(references)
    if "from_name" in options:
        headers["From"] = _renamed(message, options.pop("from_name"))
    if not headers:
        return message
    own = copy.copy(message)
    replaced = {name.lower() for name in headers}
    kept = {name: one for name, one in own.extra_headers.items() if name.lower() not in replaced}
    own.extra_headers = kept | headers
    return own


def _added_headers(
    message: EmailMessage, options: dict[str, Any], account: Account | None
) -> dict[str, str]:
    added = SendOptions(
        unsubscribe=options.pop("unsubscribe", False),
        auto_submitted=options.pop("auto_submitted", False),
    )
    if not added["unsubscribe"]:
        return headers_of_options(added, account, (), given=message.extra_headers)
    account = options.setdefault("account", account or account_named(None))
    recipients = [*map(str, message.recipients()), *_header_bcc(message)]
    addresses = {one.key: one.spec for one in map(_parsed, recipients)}
    return headers_of_options(added, account, list(addresses.values()), given=message.extra_headers)


def _header_bcc(message: EmailMessage) -> list[str]:
    """Return the values of a header Bcc, each of which adds recipients."""
    headers = message.extra_headers.items()
    return [str(value) for name, value in headers if name.lower() == "bcc"]


def _parsed(address: str) -> Address:
    try:
        return parse_address(address)
    except AddressError as error:
        raise InvalidMessageError("unsubscribe", error) from error


def _attribute(message: EmailMessage, name: str) -> Any:
    """Return what was set on a message, else None: Anymail's own classes have a class there."""
    given = getattr(message, name, None)
    return None if isinstance(given, type) else given


def _refuse_merges(message: EmailMessage) -> None:
    """Reject what one message cannot do: it would be unfilled, and show every address to all."""
    for name in MERGES:
        if _attribute(message, name) is not None:
            raise InvalidMessageError(
                name, f"A message with {name} cannot be queued as it is: use outbox.api.send_many."
            )


def _check_known(own: Mapping[str, Any]) -> None:
    for name in own:
        if name not in SendOptions.__annotations__:
            known = ", ".join(["account", *SendOptions.__annotations__])
            raise InvalidMessageError("outbox", f"There is no option {name!r}; there are {known}.")


def _moment(given: object) -> dt.datetime:
    """Read Anymail's `send_at`: a datetime, a date or a timestamp; local where it says no zone."""
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return dt.datetime.fromtimestamp(given, dt.UTC)
        if isinstance(given, dt.date) and not isinstance(given, dt.datetime):
            given = dt.datetime.combine(given, dt.time.min)
        if not isinstance(given, dt.datetime):
            raise wrong_type("send_at", "a time", given)
        return timezone.make_aware(given) if timezone.is_naive(given) else given
    except (OverflowError, OSError, ValueError) as error:
        if isinstance(error, InvalidMessageError):
            raise
        raise InvalidMessageError("send_at", f"send_at is out of range: {shown(given)}.") from error


def _renamed(message: EmailMessage, name: str) -> str:
    """Return the message's From with another name."""
    written = str(message.extra_headers.get("From", message.from_email))
    try:
        return str(replace(parse_address(written), name=name))
    except AddressError as error:
        raise InvalidMessageError("from", f"Invalid address {written[:100]!r}: {error}.") from error


def check_message_limits(message: EmailMessage) -> None:
    """Raise InvalidMessageError for a message that is too large to be rendered."""
    for field in ("to", "cc", "bcc", "reply_to"):
        check_address_field(field, sum(len(str(one)) for one in getattr(message, field)))
    check_recipients(len(message.recipients()))
    check_attachments(len(message.attachments))
    check_headers_count(len(message.extra_headers))
    check_length("subject", len(str(message.subject)), get_conf().max_subject)
    check_size(len(str(message.body)) + sum(map(_size_of, _parts(message))))


def _parts(message: EmailMessage) -> Iterator[Any]:
    yield from getattr(message, "alternatives", None) or ()
    yield from message.attachments


def _size_of(part: Any) -> int:
    """Return the length of an alternative or a file; a MIME object is measured when rendered."""
    return (
        sum(len(one) for one in part if isinstance(one, str | bytes))
        if isinstance(part, tuple)
        else 0
    )
