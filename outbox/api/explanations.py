"""What is happening to a message: what it waits for, until when, and what failed.

Failures come first. Pages and commands display these sentences as they are.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from outbox.api.reasons import in_words, reason_of
from outbox.api.recipient_summary import RecipientSummary, summarize
from outbox.api.times import format_clock
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.mail.mailbox import domain_of
from outbox.models import (
    FAILURES,
    FINAL,
    UNRESOLVED_KEY,
    Circuit,
    Destination,
    Message,
    Pause,
    PauseScope,
    Recipient,
    State,
    Status,
    Worker,
)
from outbox.models.pause import pause_of, pause_of_tags, pauses_in_force
from outbox.models.states import shown_status
from outbox.reasons import Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class Explanation:
    """A sentence in the reader's language. `until` is when the next step happens by itself."""

    sentence: str
    until: dt.datetime | None = None
    expires_at: dt.datetime | None = None


def explain(message: Message) -> Explanation:
    """Return what is happening to a message, what it waits for and until when."""
    if message.is_draft:
        return Explanation(_("This is a draft. Nothing was sent."))
    using = get_conf().database
    recipients = summarize(message)
    if recipients.states.intersection(FAILURES):
        return _explain_failures(message, recipients, using)
    return _explain_open(message, recipients, using)


def _explain_open(message: Message, recipients: RecipientSummary, using: str) -> Explanation:
    match shown_status(message.status, recipients.states):
        case Status.SENT | Status.PARTIAL | Status.FAILED | Status.CANCELLED:
            return Explanation(_final(message, recipients))
        case Status.SENDING:
            return Explanation(_("Sending now."), expires_at=message.expires_at)
        case Status.UNCERTAIN:
            return _uncertain(recipients.rows)
        case Status.HELD:
            held = next(row for row in recipients.rows if row.state == State.HELD)
            return Explanation(
                _("Held until a user releases it. %(reason)s") % {"reason": in_words(held.reason)}
            )
        case _:
            return _waiting(message, recipients, using)


def _explain_failures(message: Message, recipients: RecipientSummary, using: str) -> Explanation:
    """Return what failed, followed by what is still open."""
    lead = _counted(recipients)
    if recipients.states.issubset(FINAL):
        return Explanation(lead)
    rest = _explain_open(message, recipients, using)
    return Explanation(_joined(lead, rest.sentence), rest.until, rest.expires_at)


def _counted(recipients: RecipientSummary) -> str:
    """Return how many recipients are sent, failed or cancelled, and why some failed."""
    sentences = []
    if recipients.total > 1:
        values = {"sent": recipients.counts[State.SENT], "total": recipients.total}
        sentences.append(_("%(sent)d of %(total)d sent.") % values)
    sentences += [_failed(state, recipients) for state in FAILURES if recipients.counts[state]]
    if cancelled := recipients.counts[State.CANCELLED]:
        text = ngettext("%(count)d cancelled.", "%(count)d cancelled.", cancelled)
        sentences.append(text % {"count": cancelled})
    return _joined(*sentences)


def _failed(state: State, recipients: RecipientSummary) -> str:
    rows = [row for row in recipients.rows if row.state == state]
    reasons = {reason_of(row) for row in rows}
    reason = _ended(reason_of(rows[0]))
    if recipients.total == 1:
        words = {
            State.FAILED: _("Failed: %(reason)s"),
            State.EXPIRED: _("Expired: %(reason)s"),
            State.BOUNCED: _("Bounced: %(reason)s"),
        }[state]
        return words % {"reason": reason}
    words = {
        State.FAILED: _("%(count)d failed: %(reason)s"),
        State.EXPIRED: _("%(count)d expired: %(reason)s"),
        State.BOUNCED: _("%(count)d bounced: %(reason)s"),
    }[state]
    if len(reasons) > 1:
        words = {
            State.FAILED: _("%(count)d failed, one of them: %(reason)s"),
            State.EXPIRED: _("%(count)d expired, one of them: %(reason)s"),
            State.BOUNCED: _("%(count)d bounced, one of them: %(reason)s"),
        }[state]
    return words % {"count": recipients.counts[state], "reason": reason}


def _ended(text: str) -> str:
    """Return the text with a full stop, which most server replies lack."""
    text = text or _("no reason was given")
    return text if text[-1] in ".!?。！？…" else _("%(sentence)s.") % {"sentence": text}


def _joined(*sentences: str) -> str:
    joined = sentences[0]
    for sentence in sentences[1:]:
        joined = _("%(first)s %(second)s") % {"first": joined, "second": sentence}
    return joined


def _final(message: Message, recipients: RecipientSummary) -> str:
    total = recipients.total
    if message.status == Status.SENT:
        return ngettext(
            "Accepted by the server.",
            "Accepted by the server for all %(total)d recipients.",
            total,
        ) % {"total": total}
    if message.status == Status.CANCELLED:
        return _("Cancelled before anything was sent.")
    return _counted(recipients)


def _uncertain(recipients: Sequence[Recipient]) -> Explanation:
    moments = [
        row.resend_at
        for row in recipients
        if row.state == State.UNCERTAIN and row.resend_at is not None
    ]
    if moments:
        return Explanation(
            _(
                "The whole message was sent, but the server's reply was lost. Unless you mark it as"
                " sent, delivery is retried. If the message has already arrived, a retry delivers a"
                " second copy."
            ),
            until=min(moments),
        )
    return Explanation(
        _(
            "The whole message was sent, but the server's reply was lost. Mark it as sent, or retry"
            " delivery. If the message has already arrived, a retry delivers a second copy."
        )
    )


def _waiting(message: Message, recipients: RecipientSummary, using: str) -> Explanation:
    now = database_now(using)
    unsent = [row for row in recipients.rows if row.state in {State.QUEUED, State.DEFERRED}]
    if not unsent:
        return Explanation(_("Updating the status…"))
    first = min(unsent, key=lambda row: row.next_attempt_at or now)
    is_early = message.status == Status.SCHEDULED and (first.next_attempt_at or now) > now
    if is_early and (message.send_at is None or message.send_at > now):
        time = format_clock(first.next_attempt_at or now)
        sentence = _("Scheduled for %(time)s.") % {"time": time}
        if message.waits_for_undo:
            sentence = _("Not sent yet. You can still undo.")
        return Explanation(sentence, until=first.next_attempt_at)
    blocked = _blocked(message, first, now, using)
    if blocked is not None:
        return Explanation(blocked.sentence, blocked.until, first.expires_at)
    if first.next_attempt_at is not None and first.next_attempt_at > now:
        sentence = _deferred(first)
        if recipients.states.intersection(FAILURES):
            count = recipients.counts[State.QUEUED] + recipients.counts[State.DEFERRED]
            sentence = ngettext("%(count)d waiting.", "%(count)d waiting.", count)
            sentence %= {"count": count}
        return Explanation(sentence, first.next_attempt_at, first.expires_at)
    sentence = _in_queue(first, using)
    if not Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now).exists():
        sentence = _("No worker is running. The message is sent when a worker is running.")
    return Explanation(sentence, expires_at=first.expires_at)


def _in_queue(recipient: Recipient, using: str) -> str:
    unresolved = Destination.objects.using(using).filter(key=UNRESOLVED_KEY)
    if unresolved.filter(pk=recipient.destination_id or 0).exists():
        domain = domain_of(recipient.address)
        words = _("In the queue. The mail servers of %(domain)s will be looked up next.")
        return words % {"domain": domain}
    return _("In the queue. A worker will send it next.")


def _deferred(recipient: Recipient) -> str:
    reason = in_words(recipient.reason)
    if recipient.attempts == recipient.attempts_at_retry:  # no session could be opened
        return _("No session with the server could be opened. %(reason)s") % {"reason": reason}
    if recipient.reason.code != ReasonCode.SERVER_REPLY:
        return ngettext(
            "The latest attempt failed. %(reason)s",
            "%(count)d attempts so far. The latest attempt failed. %(reason)s",
            recipient.attempts,
        ) % {"count": recipient.attempts, "reason": reason}
    return ngettext(
        "The server asked to retry later: %(reason)s",
        "%(count)d attempts so far. The server asked to retry later: %(reason)s",
        recipient.attempts,
    ) % {"count": recipient.attempts, "reason": reason}


def _paused(pause: Pause) -> str:
    """Return who paused delivery, why and until when."""
    by = pause.created_by
    name = by.get_username() if by else _("an administrator")
    values = {"name": name, "reason": _ended(pause.reason), "tag": pause.tag}
    if pause.until is None and pause.scope == PauseScope.TAG:
        return (
            _("Paused by %(name)s until delivery is resumed, with the tag “%(tag)s”: %(reason)s")
            % values
        )
    if pause.until is None:
        return _("Paused by %(name)s until delivery is resumed: %(reason)s") % values
    values["time"] = format_clock(pause.until)
    if pause.scope == PauseScope.TAG:
        return _("Paused by %(name)s until %(time)s, with the tag “%(tag)s”: %(reason)s") % values
    return _("Paused by %(name)s until %(time)s: %(reason)s") % values


def _blocked(
    message: Message, recipient: Recipient, now: dt.datetime, using: str
) -> Explanation | None:
    destination = (
        Destination.objects.using(using)
        .filter(pk=recipient.destination_id or 0)
        .select_related("account")
        .first()
    )
    if destination is None:
        return Explanation(in_words(Reason(ReasonCode.ACCOUNT_DELETED)))
    pauses = pauses_in_force(using, now)
    paused = pause_of(destination, pauses) or pause_of_tags(message.tags, pauses)
    if paused is not None:
        return Explanation(_paused(paused), paused.until)
    return blocked_by(destination, now, pauses)


def blocked_by(
    destination: Destination, now: dt.datetime, pauses: Sequence[Pause]
) -> Explanation | None:
    """Return what keeps all messages for a destination waiting; None if nothing does."""
    paused = pause_of(destination, pauses)
    if paused is not None:
        return Explanation(_paused(paused), paused.until)
    if not destination.fits_account:
        return None
    return _blocked_by_circuit(destination, now) or _blocked_by_limit(destination, now)


def _blocked_by_circuit(destination: Destination, now: dt.datetime) -> Explanation | None:
    until = destination.circuit_until
    if destination.circuit == Circuit.OPEN and until and until > now:
        values = {"server": destination, "reason": in_words(destination.circuit_reason)}
        words = _("All messages for %(server)s are waiting. %(reason)s")
        if destination.circuit_needs_person:
            words = _(
                "All messages for %(server)s are waiting: the account needs attention. %(reason)s"
            )
        return Explanation(words % values, until)
    if destination.circuit == Circuit.HALF_OPEN:
        words = _(
            "One message tests whether %(server)s works again. The others are waiting for its"
            " result."
        )
        return Explanation(words % {"server": destination})
    return None


def _blocked_by_limit(destination: Destination, now: dt.datetime) -> Explanation | None:
    if destination.is_suspended(now):
        return Explanation(
            _("Waiting. %(reason)s") % {"reason": in_words(destination.limit_reason)},
            destination.limit_until,
        )
    if destination.is_paused(now):
        return Explanation(
            _("Waiting. %(reason)s") % {"reason": in_words(destination.paused_reason)},
            destination.paused_until,
        )
    return None
