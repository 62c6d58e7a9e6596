"""Sending: one mail of another app, in its own words or a template's, queued at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

from django.utils.functional import Promise

from outbox.api.attachments import Attachable, read_attachments
from outbox.api.composing import finish, read_addresses
from outbox.api.handle import Handle
from outbox.api.merging import Wording, filling
from outbox.api.options import Wishes, check_names, read_options
from outbox.api.outgoing import check_finished
from outbox.api.queueing import queue_checked
from outbox.api.routes import account_named
from outbox.api.twins import twin
from outbox.api.values import SUBJECT_MAX, read_headers, read_list, read_mapping, read_text
from outbox.exceptions import InvalidMailError
from outbox.mail.addresses import Address
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
    **wishes: Unpack[Wishes],
) -> Handle:
    """Queue one mail inside the caller's transaction; return what its state can be asked of.

    Its words are `subject`, `text` and `html`, or a template (the site's, by name). A `context`
    makes templates of the words, too. An account is named by itself, its name or its id; None is
    the default for apps. Raises InvalidMailError naming the field to mend, and NoAccountError,
    with nothing queued.
    """
    check_names("send", wishes)
    options = read_options(wishes)
    has_values = context is not None
    fill = filling(template, read_wording(subject, text, html), has_values=has_values)
    words = fill(read_mapping("context", context))
    item = finish(
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
        **options,
    )
    (handle,) = queue_checked([check_finished(item)]).handles
    return handle


def read_wording(subject: object, text: object, html: object) -> Wording:
    """Return the words that a caller gave. Raises InvalidMailError."""
    return Wording(
        read_text("subject", subject, longest=SUBJECT_MAX),
        read_text("text", text),
        read_text("html", html),
    )


def read_all(field: str, given: object) -> list[Address]:
    """Read one text of addresses, or several. Raises InvalidMailError for that field."""
    several = [given] if isinstance(given, str | Promise) else read_list(field, given, of="strings")
    addresses: list[Address] = []
    for one in several:
        if one is None:
            raise InvalidMailError(field, f"{field} has None in it, which is not an address.")
        addresses += read_addresses(field, read_text(field, one))
    return addresses


asend = twin(send)
