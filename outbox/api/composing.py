"""Composing: words, addresses and files become one finished mail, rendered once."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from django.utils import timezone

from outbox.api.options import Wishes
from outbox.api.outgoing import Outgoing, OutgoingRecipient
from outbox.api.values import check_characters, read_moment
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.mail.addresses import Address, AddressError, parse_address_list, unique
from outbox.mail.html import html_to_text
from outbox.mail.mime import (
    AttachmentPart,
    Composition,
    HeaderError,
    make_message_id,
    render,
)
from outbox.models import Account, Origin, Role


def finish(
    *,
    account: Account,
    to: Sequence[Address] = (),
    cc: Sequence[Address] = (),
    bcc: Sequence[Address] = (),
    reply_to: Sequence[Address] = (),
    subject: str,
    text: str,
    html: str = "",
    files: Sequence[AttachmentPart] = (),
    headers: Mapping[str, str] | None = None,
    origin: str = Origin.API,
    **wishes: Unpack[Wishes],
) -> Outgoing:
    """Render a mail once. Raises InvalidMailError naming the field to mend."""
    if not (to or cc or bcc):
        raise InvalidMailError("to", "Enter at least one recipient.")
    check_size(sum(len(part.data) for part in files) + len(text) + len(html))
    check_characters("text", text)
    check_characters("html", html)
    send_at = wishes.get("send_at")
    if send_at is not None:
        read_moment("send_at", send_at)
    identity = identity_of(account)
    options: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    if "from_name" in options:
        identity = replace(identity, name=options.pop("from_name"))
    envelope_sender = options.pop("envelope_sender", identity.spec)
    in_reply_to = options.pop("in_reply_to", "")
    references = options.pop("references", ()) or ([in_reply_to] if in_reply_to else ())
    words = text or html_to_text(html)
    message_id = make_message_id(get_conf().message_id_domain or identity.wire.rpartition("@")[2])
    composition = Composition(
        from_=identity,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=subject,
        date=_date(send_at),
        message_id=message_id,
        in_reply_to=in_reply_to,
        references=references,
        priority=options.get("priority", 3),
        text=words,
        html=html,
        attachments=files,
        headers=headers or {},
    )
    source = _render(composition)
    return Outgoing(
        source=source,
        envelope_sender=envelope_sender,
        recipients=_envelope(to, cc, bcc),
        account=account,
        origin=origin,
        subject=subject,
        from_header=str(identity),
        message_id=message_id,
        in_reply_to=in_reply_to,
        text=words,
        attachment_count=len(files),
        **options,
    )


def _date(send_at: dt.datetime | None) -> dt.datetime:
    """Return the time for the header Date: a time that has passed means now."""
    now = timezone.now()
    return max(send_at, now) if send_at else now


def _render(composition: Composition) -> bytes:
    try:
        return render(composition)
    except HeaderError as error:
        field = "send_at" if error.field == "date" else error.field
        raise InvalidMailError(field, str(error)) from error


def check_size(size: int) -> None:
    """Raise InvalidMailError when this many bytes of text and files are too many for a mail."""
    limit = get_conf().max_message_bytes
    if size > limit:
        raise InvalidMailError(
            "attachments",
            f"The mail would have {size / 1e6:.1f} MB; the limit is {limit / 1e6:.0f} MB in all.",
        )


def read_addresses(field: str, typed: str) -> list[Address]:
    """Read what a person typed in an address field. Raises InvalidMailError for that field."""
    try:
        return parse_address_list(typed)
    except AddressError as error:
        raise InvalidMailError(field, str(error)) from error


def identity_of(account: Account) -> Address:
    """Return the header From of an account. Raises InvalidMailError."""
    try:
        return account.identity
    except AddressError as error:
        raise InvalidMailError("account", f"The account's own address: {error}") from error


def _envelope(
    to: Sequence[Address], cc: Sequence[Address], bcc: Sequence[Address]
) -> list[OutgoingRecipient]:
    """One RCPT each: an address named twice keeps its first role."""
    role_of: dict[str, Role] = {}
    for role, addresses in ((Role.TO, to), (Role.CC, cc), (Role.BCC, bcc)):
        for address in addresses:
            role_of.setdefault(address.key, role)
    return [
        OutgoingRecipient(address=address.spec, role=role_of[address.key], name=address.name)
        for address in unique([*to, *cc, *bcc])
    ]
