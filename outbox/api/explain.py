"""Why is this mail where it is? One sentence, and until when. Everything that can hold a mail has
its words here; a page or a command only shows them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from outbox.api.phrases import translate
from outbox.conf import get_conf
from outbox.delivery.route import is_paused
from outbox.models import (
    Attempt,
    Circuit,
    Destination,
    Message,
    Recipient,
    State,
    Status,
    Worker,
)
from outbox.models.clock import database_now


@dataclass(frozen=True, slots=True)
class Explanation:
    """`until` is when the next thing happens by itself; None: nothing will, or at once."""

    sentence: str
    until: dt.datetime | None = None
    gives_up_at: dt.datetime | None = None


def explain(message: Message) -> Explanation:
    """Say in one sentence what is happening to a message, which rule holds it and until when."""
    if message.is_draft:
        return Explanation(_("This is a draft; nothing was sent."))
    using = get_conf().database
    recipients = list(Recipient.objects.using(using).filter(message=message))
    match message.status:
        case Status.SENT | Status.PARTIAL | Status.FAILED | Status.CANCELLED:
            return Explanation(_final(message, recipients))
        case Status.SENDING:
            return Explanation(_sending(message, using), gives_up_at=message.expires_at)
        case Status.UNCERTAIN:
            return _uncertain(recipients)
        case Status.HELD:
            held = next(row for row in recipients if row.state == State.HELD)
            return Explanation(
                _("Held back until a person releases it. %(why)s") % {"why": translate(held.reason)}
            )
        case _:
            return _waiting(message, recipients, using)


def _final(message: Message, recipients: Sequence[Recipient]) -> str:
    sent = sum(row.state == State.SENT for row in recipients)
    total = len(recipients)
    if message.status == Status.SENT:
        return ngettext(
            "Taken by the server for its recipient.",
            "Taken by the server for all %(total)d recipients.",
            total,
        ) % {"total": total}
    if message.status == Status.CANCELLED:
        return _("Cancelled before anything was sent.")
    named = _named(recipients)
    if message.status == Status.PARTIAL:
        return _("Taken by the server for %(sent)d of %(total)d recipients; %(others)s.") % {
            "sent": sent,
            "total": total,
            "others": named,
        }
    return _("Not sent: %(others)s.") % {"others": named}


def _named(recipients: Sequence[Recipient]) -> str:
    """Count the final states that are not "sent", by their names."""
    counts: dict[str, int] = {}
    for row in recipients:
        if row.state != State.SENT:
            label = str(State(row.state).label)
            counts[label] = counts.get(label, 0) + 1
    one = _("%(count)d %(state)s")
    each = [one % {"count": count, "state": label} for label, count in counts.items()]
    return pgettext("between entries", ", ").join(each)


def _sending(message: Message, using: str) -> str:
    attempt = (
        Attempt.objects.using(using)
        .filter(message=message, ended_at=None)
        .select_related("worker")
        .last()
    )
    worker = str(attempt.worker) if attempt and attempt.worker else "?"
    return _("Worker %(worker)s is handing it to the server.") % {"worker": worker}


def _uncertain(recipients: Sequence[Recipient]) -> Explanation:
    moments = [
        row.next_attempt_at
        for row in recipients
        if row.state == State.UNCERTAIN and row.next_attempt_at is not None
    ]
    if moments:
        return Explanation(
            _(
                "The whole mail was sent, but the server's answer was lost. It will be sent again "
                "unless a person settles it first; a second copy is possible then."
            ),
            until=min(moments),
        )
    return Explanation(
        _(
            "The whole mail was sent, but the server's answer was lost. It waits for a person to "
            "say whether it arrived."
        )
    )


def _waiting(message: Message, recipients: Sequence[Recipient], using: str) -> Explanation:
    now = database_now(using)
    open_ones = [row for row in recipients if row.state in {State.QUEUED, State.DEFERRED}]
    if not open_ones:
        return Explanation(_("Its state is being written."))
    first = min(open_ones, key=lambda row: row.next_attempt_at or now)
    if message.status == Status.SCHEDULED and (first.next_attempt_at or now) > now:
        sentence = _("Scheduled: it leaves at its time, not before.")
        if message.waits_for_undo:
            sentence = _("It is about to leave; until then it can be taken back.")
        return Explanation(sentence, until=first.next_attempt_at)
    blocked = _blocked(first, now, using)
    if blocked is not None:
        return Explanation(blocked.sentence, blocked.until, first.expires_at)
    if first.next_attempt_at is not None and first.next_attempt_at > now:
        sentence = ngettext(
            "%(count)d attempt was put off: %(reason)s",
            "%(count)d attempts were put off; the last answer: %(reason)s",
            first.attempts,
        ) % {"count": first.attempts, "reason": translate(first.reason)}
        if first.attempts == 0:
            sentence = _("The way to the server is blocked: %(reason)s") % {
                "reason": translate(first.reason)
            }
        return Explanation(sentence, first.next_attempt_at, first.expires_at)
    sentence = _("In the queue; a worker takes it next.")
    if not Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now).exists():
        sentence = _("No worker is running; it leaves as soon as one does.")
    return Explanation(sentence, gives_up_at=first.expires_at)


def _blocked(recipient: Recipient, now: dt.datetime, using: str) -> Explanation | None:
    route = (
        Destination.objects.using(using)
        .filter(pk=recipient.destination_id or 0)
        .select_related("account")
        .first()
    )
    if route is None:
        return Explanation(_("Its account was deleted; choose another one or cancel it."))
    if route.circuit == Circuit.OPEN and route.circuit_until and route.circuit_until > now:
        words = (
            _("All mail to %(route)s waits, and somebody has to act: %(reason)s")
            if route.circuit_needs_person
            else _("All mail to %(route)s waits: %(reason)s")
        )
        sentence = words % {"route": route, "reason": translate(route.circuit_reason)}
        return Explanation(sentence, route.circuit_until)
    if route.circuit == Circuit.HALF_OPEN:
        return Explanation(
            _("One mail is being tried on %(route)s; the others wait for its outcome.")
            % {"route": route}
        )
    if is_paused(route, now):
        return Explanation(
            _("Held back because %(reason)s.") % {"reason": translate(route.paused_reason)},
            route.paused_until,
        )
    return None
