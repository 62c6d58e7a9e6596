"""Warnings before sending: what the user may have overlooked. The message can be sent all the same.

Errors that prevent sending come from `api.send_draft`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from outbox.api.reasons import in_words
from outbox.api.sizes import format_size
from outbox.api.suppressions import suppressed
from outbox.api.unsubscribing import BULK_FROM
from outbox.db import clock
from outbox.mail.addresses import AddressError, parse_address_list
from outbox.mail.transfer_encodings import base64_size
from outbox.models import COPIES, OPEN, SMARTHOST_KEY, Message, Recipient, SmtpSession, State
from outbox.web.display import inert
from outbox.web.parameters import integer

MANY_VISIBLE = 10  # recipients who see each other's addresses
ADDRESSES_SHOWN = 5  # of those that may receive the message twice
RECENT = dt.timedelta(days=30)
_FAILED = (State.FAILED, State.BOUNCED, State.EXPIRED)
# Words that announce an attachment, in the site's languages and a few more.
_ATTACHED = re.compile(
    r"\b(?:attached|attachments?|enclosed|enclosures?|angehängt|im anhang|anbei|ci-joint)\b"
    r"|附件|附上|随信附",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"^>.*$", re.MULTILINE)

_PLACEHOLDER = re.compile(r"\{\{ ?\w+ ?\}\}")


@dataclass(frozen=True, slots=True)
class SendWarning:
    """One warning; `key` identifies it, so that it is shown only once."""

    key: str
    text: str
    detail: str = ""  # addresses, or a server's reply


def warnings_for(draft: Message) -> list[SendWarning]:
    """Return the warnings about a saved draft, the most important first."""
    return [warning for check in _CHECKS for warning in check(draft)]


def _duplicates(draft: Message) -> Iterator[SendWarning]:
    """Yield a warning about recipients of the original, or of another copy of it."""
    if draft.draft.made_as not in COPIES or draft.made_from_id is None:
        return
    other_copies = Q(message__made_from=draft.made_from_id, message__draft__made_as__in=COPIES)
    rows = Recipient.objects.with_address_in(_recipients(draft)).filter(
        Q(message=draft.made_from_id) | other_copies, message__owner=draft.owner_id
    )
    yield from _twice("have", _already_sent, rows.filter(state=State.SENT))
    yield from _twice("await", _not_yet_sent, rows.filter(state__in=OPEN))


def _twice(
    key: str, text_for: Callable[[int], str], rows: QuerySet[Recipient]
) -> Iterator[SendWarning]:
    addresses = [inert(address) for address in sorted(set(rows.values_list("address", flat=True)))]
    if addresses:
        more = ", …" if len(addresses) > ADDRESSES_SHOWN else ""
        detail = ", ".join(addresses[:ADDRESSES_SHOWN]) + more
        yield SendWarning(f"{key} {' '.join(addresses)}", text_for(len(addresses)), detail)


def _already_sent(count: int) -> str:
    text = ngettext(
        "%(count)d recipient already has this message and would receive it twice.",
        "%(count)d recipients already have this message and would receive it twice.",
        count,
    )
    return text % {"count": count}


def _not_yet_sent(count: int) -> str:
    text = ngettext(
        "The original message to %(count)d recipient is not sent yet. They may receive it twice.",
        "The original message to %(count)d recipients is not sent yet. They may receive it twice.",
        count,
    )
    return text % {"count": count}


def _empty_subject(draft: Message) -> Iterator[SendWarning]:
    if not draft.subject.strip():
        yield SendWarning("subject", _("The subject is empty."))


def _missing_attachment(draft: Message) -> Iterator[SendWarning]:
    own_text = re.split(r"^-- $", _QUOTED.sub("", draft.draft.text), flags=re.MULTILINE)[0]
    found = _ATTACHED.search(f"{draft.subject}\n{own_text}")
    if found and not draft.attachments.exists():
        text = _("The text says “%(word)s”, but nothing is attached.")
        yield SendWarning("attachment", text % {"word": found[0]})


def _unfilled_placeholder(draft: Message) -> Iterator[SendWarning]:
    found = _PLACEHOLDER.search(f"{draft.subject}\n{draft.draft.text}")
    if found:
        text = _("Fill in the placeholder %(placeholder)s.")
        yield SendWarning("placeholder", text % {"placeholder": found[0]})


def _many_visible(draft: Message) -> Iterator[SendWarning]:
    count = len(_mailboxes(f"{draft.draft.to}\n{draft.draft.cc}"))
    if count > MANY_VISIBLE:
        text = ngettext(
            "%(count)d recipient sees the address. Use Bcc to hide it.",
            "%(count)d recipients see each other's addresses. Use Bcc to hide them.",
            count,
        )
        yield SendWarning("visible", text % {"count": count})


def _no_link_to_unsubscribe(draft: Message) -> Iterator[SendWarning]:
    count = len(_recipients(draft))
    if count >= BULK_FROM:
        text = ngettext(
            "The message goes to %(count)d recipient and has no link to unsubscribe. Large mailbox"
            " providers reject newsletters without one.",
            "The message goes to %(count)d recipients and has no link to unsubscribe. Large mailbox"
            " providers reject newsletters without one.",
            count,
        )
        yield SendWarning("unsubscribe", text % {"count": count})


def _failed_recently(draft: Message) -> Iterator[SendWarning]:
    rows = Recipient.objects.with_address_in(_recipients(draft)).filter(
        message__owner=draft.owner_id,
        final_at__gt=clock.now() - RECENT,
    )
    latest = {row.address.casefold(): row for row in rows.order_by("final_at")}
    for row in latest.values():
        address = row.address
        if row.state in _FAILED:
            text = _("The latest message to %(address)s failed.")
            reply = inert(row.reply_text or in_words(row.reason))
            detail = f"{row.reply_code} {reply}" if row.reply_code else reply
            yield SendWarning(f"failed {address}", text % {"address": inert(address)}, detail)


def _suppressed(draft: Message) -> Iterator[SendWarning]:
    found = suppressed(sorted(_recipients(draft)), draft.account_id, tags=draft.tags)
    for address, entry in found.items():
        text = _("%(address)s is on the suppression list. Delivery to it will be held.")
        yield SendWarning(
            f"suppressed {address}",
            text % {"address": inert(address)},
            inert(in_words(entry.reason)),
        )


def _too_large(draft: Message) -> Iterator[SendWarning]:
    limit = _announced_size(draft)
    files = sum(draft.attachments.values_list("size", flat=True))
    text_size = len(draft.draft.text.encode()) + len(draft.draft.html.encode())
    expected = base64_size(files) + text_size
    if limit and expected > limit:
        text = _(
            "The message will be about %(size)s. The server of this account accepts at most"
            " %(limit)s."
        )
        yield SendWarning(
            "size", text % {"size": format_size(expected), "limit": format_size(limit)}
        )


def _announced_size(draft: Message) -> int:
    """Return the SIZE that the account's server announced last (RFC 1870), else 0."""
    of_account = {"destination__account": draft.account_id or 0}
    sessions = SmtpSession.objects.filter(**of_account, destination__key=SMARTHOST_KEY)
    latest = sessions.order_by("-pk").values_list("extensions", flat=True).first() or {}
    return integer(str(latest.get("SIZE", ""))) or 0


def _recipients(draft: Message) -> set[str]:
    content = draft.draft
    return _mailboxes("\n".join((content.to, content.cc, content.bcc)))


def _mailboxes(typed: str) -> set[str]:
    """Return the mailboxes in the typed text; none when it has a mistake."""
    try:
        return {address.spec for address in parse_address_list(typed)}
    except AddressError:
        return set()


_CHECKS: tuple[Callable[[Message], Iterator[SendWarning]], ...] = (
    _duplicates,
    _suppressed,
    _missing_attachment,
    _unfilled_placeholder,
    _empty_subject,
    _failed_recently,
    _too_large,
    _many_visible,
    _no_link_to_unsubscribe,
)
