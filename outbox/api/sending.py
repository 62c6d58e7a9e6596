"""Sending: one mail of another app, in its own words or a template's, queued at once."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from outbox.api.composing import finish, read_addresses
from outbox.api.handle import Handle
from outbox.api.merging import Wording, filling
from outbox.api.outgoing import Wishes
from outbox.api.queueing import queue_ids
from outbox.api.routes import account_named
from outbox.api.twins import twin
from outbox.mail.addresses import Address
from outbox.mail.mime import AttachmentPart
from outbox.models import Account, Template

Addresses = str | Sequence[str]


def send(
    *,
    to: Addresses = (),
    cc: Addresses = (),
    bcc: Addresses = (),
    reply_to: Addresses = (),
    subject: str = "",
    text: str = "",
    html: str = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    attachments: Sequence[AttachmentPart] = (),
    headers: Mapping[str, str] | None = None,
    account: Account | str | int | None = None,
    **wishes: Unpack[Wishes],
) -> Handle:
    """Queue one mail inside the caller's transaction; return what its state can be asked of.

    Its words are `subject`, `text` and `html`, or a template (the site's, by name) and the values
    for it. An account is named by itself, its name or its id; None is the default for apps.
    Raises InvalidMailError naming the field to mend, and NoAccountError, with nothing queued.
    """
    words = filling(template, Wording(subject, text, html))(context or {})
    item = finish(
        account=account_named(account),
        to=read_all("to", to),
        cc=read_all("cc", cc),
        bcc=read_all("bcc", bcc),
        reply_to=read_all("reply_to", reply_to),
        subject=words.subject,
        text=words.text,
        html=words.html,
        files=attachments,
        headers=headers,
        **wishes,
    )
    return Handle(queue_ids([item])[0])


def read_all(field: str, given: Addresses) -> list[Address]:
    """Read one text of addresses, or several. Raises InvalidMailError for that field."""
    texts = [given] if isinstance(given, str) else given
    return [address for text in texts for address in read_addresses(field, text)]


asend = twin(send)
