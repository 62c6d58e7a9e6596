"""`send`: queues one message of another app."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from django.utils.functional import Promise

from outbox.api.accounts import account_named
from outbox.api.async_variants import as_async
from outbox.api.attachments import Attachable, read_attachments
from outbox.api.handle import Handle
from outbox.api.limits import check_address_field, check_recipients, check_typed_recipients
from outbox.api.options import SendOptions, check_names, read_options
from outbox.api.outgoing import check_finished
from outbox.api.queueing import queue_checked
from outbox.api.quotas import check_messages
from outbox.api.rendering import Content, render_outgoing
from outbox.api.suppressions import suppressed
from outbox.api.templates import Wording, filling
from outbox.api.unsubscribing import lacks_link, warn_of_many
from outbox.api.values import read_headers, read_list, read_mapping, read_text
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import Address, AddressError, parse_address, parse_addresses
from outbox.models import Account, Template

Addresses = str | Iterable[str] | None


def send(
    *,
    to: Addresses = (),
    cc: Addresses = (),
    bcc: Addresses = (),
    reply_to: Addresses = (),
    subject: str | None = "",
    text: str | None = "",
    html: str | None = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    attachments: Sequence[Attachable] | None = (),
    headers: Mapping[str, str] | None = None,
    account: Account | str | int | None = None,
    **options: Unpack[SendOptions],
) -> Handle:
    """Queue one message inside the caller's transaction and return its handle.

    The content is `subject`, `text` and `html`, or a template: an object, or the name of one of the
    site's. With a `context`, `subject`, `text` and `html` are templates as well. The account is
    given as itself, its name or its id; None means the default for apps. Recipients whose address
    is suppressed are named by the handle, and held. Raise InvalidMessageError
    naming the argument to correct, QuotaExceededError and NoAccountError; then nothing is queued.
    """
    check_names("send", options)
    options = read_options(options)
    check_messages(options.get("owner"))
    has_values = context is not None
    fill = filling(template, read_wording(subject, text, html), has_values=has_values)
    words = fill(read_mapping("context", context))
    content = Content(
        account=account_named(account),
        to=read_all("to", to),
        cc=read_all("cc", cc),
        bcc=read_all("bcc", bcc),
        reply_to=read_all("reply_to", reply_to),
        subject=words.subject,
        text=words.text,
        html=words.html,
        files=read_attachments(attachments),
        headers=read_headers("headers", headers),
    )
    checked = check_finished(render_outgoing(content, **options))
    (handle,) = queue_checked([checked]).handles
    addresses = [one.spec for one in (*content.to, *content.cc, *content.bcc)]
    if lacks_link(options, content.headers):
        warn_of_many(len(addresses))
    held = suppressed(addresses, content.account, tags=options.get("tags") or ())
    return replace(handle, suppressed=tuple(held))


def read_wording(subject: object, text: object, html: object) -> Wording:
    """Return the content that a caller gave. Raise InvalidMessageError."""
    return Wording(
        read_text("subject", subject, longest=get_conf().max_subject),
        read_text("text", text),
        read_text("html", html),
    )


def read_all(field: str, given: object) -> list[Address]:
    """Return the addresses of a text, or of a list in which each item is exactly one address.

    The values may come from a form, so no item of a list can add a recipient. A text may have
    several addresses between commas or semicolons, but no line break and no group. Raise
    InvalidMessageError for that field.
    """
    try:
        if isinstance(given, str | Promise):
            text = read_text(field, given)
            check_typed_recipients(field, text)
            addresses = parse_addresses(text)
            check_recipients(len(addresses), field)
            return addresses
        most = get_conf().max_recipients
        several = read_list(field, given, of="strings", most=most)
        check_recipients(len(several), field)
        texts = [_read_one(field, one) for one in several]
        check_address_field(field, sum(map(len, texts)))
        return [parse_address(text) for text in texts]
    except AddressError as error:
        raise InvalidMessageError(field, error) from error


def _read_one(field: str, given: object) -> str:
    if given is None:
        raise InvalidMessageError(field, f"{field} has None in it, which is not an address.")
    return read_text(field, given)


asend = as_async(send)
