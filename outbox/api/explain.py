"""Why a message is where it is, in words, and until when. Failures come first.

Everything that a message can wait for has its words here; a page or a command only shows them.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from outbox.api.phrases import translate
from outbox.api.reasons import reason_of
from outbox.api.times import format_clock, format_relative
from outbox.conf import get_conf
from outbox.delivery.route import is_paused
from outbox.models import (
    FAILURES,
    FINAL,
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
from outbox.models.states import shown_status


@dataclass(frozen=True, slots=True)
class Explanation:
    """`until` is when the next thing happens by itself; None: nothing will, or at once."""

    sentence: str
    until: dt.datetime | None = None
    gives_up_at: dt.datetime | None = None


def explain(message: Message) -> Explanation:
    """Return what is happening to a message, what it waits for and until when."""
    if message.is_draft:
        return Explanation(_("This is a draft; nothing was sent."))
    using = get_conf().database
    recipients = list(Recipient.objects.using(using).filter(message=message))
    if any(row.state in FAILURES for row in recipients):
        return _with_failures(message, recipients, using)
    return _without_failures(message, recipients, using)


def _without_failures(message: Message, recipients: Sequence[Recipient], using: str) -> Explanation:
    match shown_status(message.status, {row.state for row in recipients}):
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


def _with_failures(message: Message, recipients: Sequence[Recipient], using: str) -> Explanation:
    """Lead with what failed; what is still open follows."""
    lead = _counted(recipients)
    if all(row.state in FINAL for row in recipients):
        return Explanation(lead)
    rest = _without_failures(message, recipients, using)
    return Explanation(_joined(lead, rest.sentence), rest.until, rest.gives_up_at)


def _counted(recipients: Sequence[Recipient]) -> str:
    """Count the recipients that are over, and name why some failed."""
    total = len(recipients)
    sentences = []
    if total > 1:
        sent = sum(row.state == State.SENT for row in recipients)
        delivered = _("%(sent)d of %(total)d delivered.")
        sentences.append(delivered % {"sent": sent, "total": total})
    for state in FAILURES:
        rows = [row for row in recipients if row.state == state]
        if rows:
            sentences.append(_failed(state, rows, total))
    if cancelled := sum(row.state == State.CANCELLED for row in recipients):
        text = ngettext("%(count)d cancelled.", "%(count)d cancelled.", cancelled)
        sentences.append(text % {"count": cancelled})
    return _joined(*sentences)


def _failed(state: State, rows: Sequence[Recipient], total: int) -> str:
    reasons = {reason_of(row) for row in rows}
    reason = _ended(reason_of(rows[0]))
    if total == 1:
        words = {
            State.FAILED: _("Refused: %(reason)s"),
            State.EXPIRED: _("Expired: %(reason)s"),
            State.BOUNCED: _("Bounced: %(reason)s"),
        }[state]
        return words % {"reason": reason}
    words = {
        State.FAILED: _("%(count)d refused: %(reason)s"),
        State.EXPIRED: _("%(count)d expired: %(reason)s"),
        State.BOUNCED: _("%(count)d bounced: %(reason)s"),
    }[state]
    if len(reasons) > 1:
        words = {
            State.FAILED: _("%(count)d refused, one of them: %(reason)s"),
            State.EXPIRED: _("%(count)d expired, one of them: %(reason)s"),
            State.BOUNCED: _("%(count)d bounced, one of them: %(reason)s"),
        }[state]
    return words % {"count": len(rows), "reason": reason}


def _ended(text: str) -> str:
    """Return the text with a full stop, which few servers write."""
    text = text or _("no reason was given")
    return text if text[-1] in ".!?。！？…" else _("%(sentence)s.") % {"sentence": text}


def _joined(*sentences: str) -> str:
    joined = sentences[0]
    for sentence in sentences[1:]:
        joined = _("%(first)s %(second)s") % {"first": joined, "second": sentence}
    return joined


def _final(message: Message, recipients: Sequence[Recipient]) -> str:
    total = len(recipients)
    if message.status == Status.SENT:
        return ngettext(
            "Accepted by the server for its recipient.",
            "Accepted by the server for all %(total)d recipients.",
            total,
        ) % {"total": total}
    if message.status == Status.CANCELLED:
        return _("Cancelled before anything was sent.")
    return _counted(recipients)


def _sending(message: Message, using: str) -> str:
    attempt = (
        Attempt.objects.using(using)
        .filter(message=message, ended_at=None)
        .select_related("worker")
        .last()
    )
    worker = str(attempt.worker) if attempt and attempt.worker else "?"
    return _("Sending now (worker %(worker)s).") % {"worker": worker}


def _uncertain(recipients: Sequence[Recipient]) -> Explanation:
    moments = [
        row.resend_at
        for row in recipients
        if row.state == State.UNCERTAIN and row.resend_at is not None
    ]
    if moments:
        return Explanation(
            _(
                "The whole message was sent, but the server's reply was lost. It will be sent "
                "again unless you say first whether it arrived; a second copy is possible."
            ),
            until=min(moments),
        )
    return Explanation(
        _(
            "The whole message was sent, but the server's reply was lost. It waits for a person "
            "to say whether it arrived."
        )
    )


def _waiting(message: Message, recipients: Sequence[Recipient], using: str) -> Explanation:
    now = database_now(using)
    open_ones = [row for row in recipients if row.state in {State.QUEUED, State.DEFERRED}]
    if not open_ones:
        return Explanation(_("Its state is being written."))
    first = min(open_ones, key=lambda row: row.next_attempt_at or now)
    if message.status == Status.SCHEDULED and (first.next_attempt_at or now) > now:
        time = format_clock(first.next_attempt_at or now)
        sentence = _("Scheduled for %(time)s.") % {"time": time}
        if message.waits_for_undo:
            sentence = _("Sending in a few seconds. You can still undo.")
        return Explanation(sentence, until=first.next_attempt_at)
    blocked = _blocked(first, now, using)
    if blocked is not None:
        return Explanation(blocked.sentence, blocked.until, first.expires_at)
    if first.next_attempt_at is not None and first.next_attempt_at > now:
        sentence = _deferred(first)
        if any(row.state in FAILURES for row in recipients):
            count, when = len(open_ones), format_relative(first.next_attempt_at)
            sentence = ngettext(
                "%(count)d waiting, next attempt %(when)s.",
                "%(count)d waiting, next attempt %(when)s.",
                count,
            ) % {"count": count, "when": when}
        return Explanation(sentence, first.next_attempt_at, first.expires_at)
    sentence = _("In the queue; a worker sends it next.")
    if not Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now).exists():
        sentence = _("No worker is running; it is sent as soon as one does.")
    return Explanation(sentence, gives_up_at=first.expires_at)


def _deferred(recipient: Recipient) -> str:
    reason = translate(recipient.reason)
    if recipient.attempts == recipient.attempts_at_retry:  # the connection came to nothing
        return _("Cannot reach the server: %(reason)s") % {"reason": reason}
    if not recipient.reply_code or not reason.startswith(str(recipient.reply_code)):
        return ngettext(
            "The last attempt failed: %(reason)s",
            "%(count)d attempts so far. The last one failed: %(reason)s",
            recipient.attempts,
        ) % {"count": recipient.attempts, "reason": reason}
    return ngettext(
        "The server asked us to retry later: %(reason)s",
        "%(count)d attempts so far. The server asked us to retry later: %(reason)s",
        recipient.attempts,
    ) % {"count": recipient.attempts, "reason": reason}


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
