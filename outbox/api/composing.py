"""Composing: words, addresses and files become one finished mail, rendered once."""

from collections.abc import Mapping, Sequence
from typing import Unpack

from django.utils import timezone

from outbox.api.outgoing import Outgoing, OutgoingRecipient, Wishes
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
    in_reply_to: str = "",
    references: Sequence[str] = (),
    origin: str = Origin.API,
    wants_report: bool = False,
    **wishes: Unpack[Wishes],
) -> Outgoing:
    """Render a mail once. Raises InvalidMailError naming the field to mend."""
    if not (to or cc or bcc):
        raise InvalidMailError("to", "Name at least one recipient.")
    check_size(sum(len(part.data) for part in files) + len(text) + len(html))
    identity = _identity(account)
    message_id = make_message_id(get_conf().message_id_domain or identity.wire.rpartition("@")[2])
    words = text or html_to_text(html)
    composition = Composition(
        from_=identity,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=subject,
        date=wishes.get("send_at") or timezone.now(),
        message_id=message_id,
        in_reply_to=in_reply_to,
        references=references,
        priority=wishes.get("priority", 3),
        text=words,
        html=html,
        attachments=files,
        headers=headers or {},
    )
    try:
        source = render(composition)
    except HeaderError as error:
        field = "send_at" if error.field == "date" else error.field
        raise InvalidMailError(field, str(error)) from error
    return Outgoing(
        source=source,
        envelope_sender=identity.spec,
        recipients=_envelope(to, cc, bcc),
        account=account,
        origin=origin,
        subject=subject,
        from_header=str(identity),
        message_id=message_id,
        in_reply_to=in_reply_to,
        text=words,
        attachment_count=len(files),
        wants_report=wants_report,
        **wishes,
    )


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


def _identity(account: Account) -> Address:
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
