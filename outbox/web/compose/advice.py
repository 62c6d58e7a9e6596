"""What is odd about a mail that is about to go, as advice: its writer may send it all the same.

Nothing here refuses anything; what cannot be sent at all is told by `api.send_draft`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from outbox.mail.addresses import AddressError, parse_address_list
from outbox.models import COPIES, OPEN, Message, Recipient, Session, State
from outbox.web.wording import inert, size

MANY_VISIBLE = 10  # so many people who see each other's addresses are worth a second look
NAMED = 5  # of those who would get it twice
LATELY = dt.timedelta(days=30)
BASE64_GROWTH = 78 / 57  # 57 bytes become a line of 76 characters and its end (RFC 2045 6.8)
_REFUSED = (State.FAILED, State.BOUNCED, State.EXPIRED)
# Words by which people say that something is attached, in the languages of the site and beside it.
_ATTACHED = re.compile(
    r"\b(?:attached|attachments?|enclosed|enclosures?|angehängt|im anhang|anbei|ci-joint)\b"
    r"|附件|附上|随信附",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"^>.*$", re.MULTILINE)  # what somebody else wrote

_PLACEHOLDER = re.compile(r"\{\{ ?\w+ ?\}\}")


@dataclass(frozen=True, slots=True)
class Advice:
    """One odd thing; `key` tells whether it was said before."""

    key: str
    text: str
    detail: str = ""  # a server's own words


def advice_on(draft: Message) -> list[Advice]:
    """Return what is odd about a saved draft, most telling first."""
    return [advice for look in _LOOKS for advice in look(draft)]


def _has_it_already(draft: Message) -> Iterator[Advice]:
    """A copy may reach somebody twice; the copies made beside it count like the mail itself."""
    if draft.draft.made_as not in COPIES or draft.made_from_id is None:
        return
    beside = Q(message__made_from=draft.made_from_id, message__draft__made_as__in=COPIES)
    rows = Recipient.objects.with_address_in(_readers(draft)).filter(
        Q(message=draft.made_from_id) | beside, message__owner=draft.owner_id
    )
    yield from _twice("have", _have_it, rows.filter(state=State.SENT))
    yield from _twice("await", _await_it, rows.filter(state__in=OPEN))


def _twice(key: str, say: Callable[[int], str], rows: QuerySet[Recipient]) -> Iterator[Advice]:
    named = [inert(address) for address in sorted(set(rows.values_list("address", flat=True)))]
    if named:
        detail = ", ".join(named[:NAMED]) + (", …" if len(named) > NAMED else "")
        yield Advice(f"{key} {' '.join(named)}", say(len(named)), detail)


def _have_it(count: int) -> str:
    text = ngettext(
        "%(count)d person has this mail already and would get it twice.",
        "%(count)d people have this mail already and would get it twice.",
        count,
    )
    return text % {"count": count}


def _await_it(count: int) -> str:
    text = ngettext(
        "The first mail is still on its way to %(count)d person, who may get it twice.",
        "The first mail is still on its way to %(count)d people, who may get it twice.",
        count,
    )
    return text % {"count": count}


def _empty_subject(draft: Message) -> Iterator[Advice]:
    if not draft.subject.strip():
        yield Advice("subject", _("The subject is empty."))


def _missing_attachment(draft: Message) -> Iterator[Advice]:
    own_words = re.split(r"^-- $", _QUOTED.sub("", draft.draft.text), flags=re.MULTILINE)[0]
    said = _ATTACHED.search(f"{draft.subject}\n{own_words}")
    if said and not draft.attachments.exists():
        text = _("The text says “%(word)s”, but nothing is attached.")
        yield Advice("attachment", text % {"word": said[0]})


def _left_placeholder(draft: Message) -> Iterator[Advice]:
    left = _PLACEHOLDER.search(f"{draft.subject}\n{draft.draft.text}")
    if left:
        text = _("Fill in the placeholder %(placeholder)s.")
        yield Advice("placeholder", text % {"placeholder": left[0]})


def _many_visible(draft: Message) -> Iterator[Advice]:
    count = len(_keys(f"{draft.draft.to}\n{draft.draft.cc}"))
    if count > MANY_VISIBLE:
        text = ngettext(
            "%(count)d person will see the address. Bcc would hide it.",
            "%(count)d people will see each other's addresses. Bcc would hide them.",
            count,
        )
        yield Advice("visible", text % {"count": count})


def _failed_lately(draft: Message) -> Iterator[Advice]:
    rows = Recipient.objects.with_address_in(_readers(draft)).filter(
        message__owner=draft.owner_id,
        settled_at__gt=timezone.now() - LATELY,
    )
    latest = {row.address.casefold(): row for row in rows.order_by("settled_at")}
    for row in latest.values():
        address = row.address
        if row.state in _REFUSED:
            text = _("The last mail to %(address)s did not arrive.")
            reply = inert(row.reply_text or row.reason)
            detail = f"{row.reply_code} {reply}" if row.reply_code else reply
            yield Advice(f"failed {address}", text % {"address": inert(address)}, detail)


def _too_large(draft: Message) -> Iterator[Advice]:
    limit = _announced_size(draft)
    files = sum(draft.attachments.values_list("size", flat=True))
    text_size = len(draft.draft.text.encode()) + len(draft.draft.html.encode())
    expected = round(files * BASE64_GROWTH) + text_size
    if limit and expected > limit:
        text = _(
            "On its way the mail has about %(size)s; the server of this account said it takes"
            " %(limit)s at most."
        )
        yield Advice("size", text % {"size": size(expected), "limit": size(limit)})


def _announced_size(draft: Message) -> int:
    """Return the SIZE that the account's server named last (RFC 1870); 0 where it named none."""
    sessions = Session.objects.filter(destination__account=draft.account_id or 0)
    latest = sessions.order_by("-pk").values_list("extensions", flat=True).first() or {}
    named = str(latest.get("SIZE", ""))
    return int(named) if named.isascii() and named.isdigit() else 0


def _readers(draft: Message) -> set[str]:
    content = draft.draft
    return _keys("\n".join((content.to, content.cc, content.bcc)))


def _keys(typed: str) -> set[str]:
    """Return the mailboxes of what was typed, none where it does not read."""
    try:
        return {address.spec for address in parse_address_list(typed)}
    except AddressError:
        return set()


_LOOKS: tuple[Callable[[Message], Iterator[Advice]], ...] = (
    _has_it_already,
    _missing_attachment,
    _left_placeholder,
    _empty_subject,
    _failed_lately,
    _too_large,
    _many_visible,
)
