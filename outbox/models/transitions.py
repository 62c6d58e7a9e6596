"""Transitions: the only code that changes a recipient's state, with all that the change entails.

A transition names the states that it starts from and may end in, and the event that records it.
`apply` does the rest in the caller's transaction: it locks and changes the rows, writes events and
webhook calls, rolls up the messages, and sends the signals on commit.

A claim and a group commit change many recipients in one statement (`outbox.delivery`). Those
statements take their guards and the columns that follow from the state from here.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Case, F, Q, QuerySet, Value, When

from outbox.db.bulk import Among, insert_rows, update_rows
from outbox.db.columns import columns_of
from outbox.db.partial import read_partly
from outbox.models.account import OnUncertain
from outbox.models.destination import Destination
from outbox.models.erasure import erase_ended, keeps_content
from outbox.models.event import Event, EventKind
from outbox.models.recipient import Recipient
from outbox.models.report_request import ReportRequest
from outbox.models.rollup import roll_up
from outbox.models.states import CANCELLABLE, CHANGES, DUE, ENDS, FINAL, RETRYABLE, State
from outbox.reasons import NO_REASON, Reason, quoted
from outbox.signals import Change, announce_on_commit, is_observed


class TransitionError(Exception):
    """A change of state that no transition allows: a defect in the calling code."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A way in which recipients change their state."""

    name: str
    sources: tuple[State, ...]
    targets: tuple[State, ...]
    event: EventKind | None = None  # None: the attempt is the record of the change

    def __post_init__(self) -> None:
        """Raise TransitionError if CHANGES forbids a part of it."""
        for before in self.sources:
            for after in self.targets:
                if after != before and after not in CHANGES[before]:
                    raise TransitionError(f"{self.name}: {before} to {after} is not in CHANGES.")

    def check(self, to: State) -> None:
        """Raise TransitionError unless the transition may end in this state."""
        if to not in self.targets:
            ends = " or ".join(self.targets)
            raise TransitionError(f"The transition “{self.name}” ends in {ends}, not in {to}.")

    @property
    def guard(self) -> str:
        """The condition, in SQL over the recipient `t`, under which the transition may start."""
        return f"t.state IN ({sql_list(self.sources)})"

    @property
    def fenced_guard(self) -> str:
        """The guard while a worker has the recipient: its attempt, the fencing token, still holds.

        `v.attempt_id` is the attempt that the statement writes the outcome of.
        """
        return f"{self.guard} AND t.attempt_id = v.attempt_id"


def sql_list(states: Iterable[State]) -> str:
    """Return the states as a list of SQL literals."""
    return ", ".join(f"'{state.value}'" for state in states)


CLAIM = Transition("claim", DUE, (State.SENDING,))
RECORD = Transition("record the outcome", (State.SENDING,), CHANGES[State.SENDING])
RETURN = Transition("return untried", (State.SENDING,), DUE)
LOSE_WORKER = Transition(
    "lose the worker",
    (State.SENDING,),
    (State.DEFERRED, State.UNCERTAIN),
    EventKind.LOST_WORKER,
)
RECORD_LATE = Transition(
    "record a late reply",
    (State.UNCERTAIN,),
    (State.SENT, State.DEFERRED, State.FAILED),
    EventKind.LATE_REPLY,
)
RESOLVE = Transition(
    "resolve",
    (State.UNCERTAIN,),
    (State.SENT, State.DEFERRED, State.FAILED),
    EventKind.RESOLVED,
)
RESEND = Transition("resend", (State.UNCERTAIN,), (State.DEFERRED,), EventKind.RESENT)
EXPIRE = Transition("expire", DUE, (State.EXPIRED,), EventKind.EXPIRED)
EXPIRE_HELD = Transition("expire held", (State.HELD,), (State.EXPIRED,), EventKind.EXPIRED)
HOLD = Transition("hold", DUE, (State.HELD,), EventKind.HELD)
RELEASE = Transition("release", (State.HELD,), (State.QUEUED,), EventKind.RELEASED)
CANCEL = Transition(
    "cancel", (*CANCELLABLE, State.SENDING), (State.CANCELLED,), EventKind.CANCELLED
)
BOUNCE = Transition("bounce", (State.SENT, State.UNCERTAIN), (State.BOUNCED,), EventKind.BOUNCED)
CONFIRM = Transition("confirm by a report", (State.UNCERTAIN,), (State.SENT,), EventKind.REPORTED)
CORRECT_BOUNCE = Transition(
    "correct a bounce",
    (State.BOUNCED,),
    (State.SENT, State.UNCERTAIN),
    EventKind.BOUNCE_CORRECTED,
)
RETRY = Transition("retry", (*RETRYABLE, State.CANCELLED), (State.QUEUED,), EventKind.RETRIED)
RETRY_NOW = Transition("retry now", (State.DEFERRED,), (State.DEFERRED,), EventKind.RETRIED)


class StateColumns(NamedTuple):
    """The columns of a recipient that follow from its state."""

    next_attempt_at: dt.datetime | None
    resend_at: dt.datetime | None
    final_at: dt.datetime | None
    ended_as: str | None


def state_columns(
    state: State, now: dt.datetime | None, moment: dt.datetime | None = None
) -> StateColumns:
    """Return the columns that follow from a state which is reached now.

    `moment` is when the recipient is due, or when the uncertain policy sends to it again. A claim
    and a return leave these columns as they are.
    """
    if state in FINAL:
        return StateColumns(None, None, now, state.value if state in ENDS else None)
    if state == State.UNCERTAIN:
        return StateColumns(None, moment, None, None)
    return StateColumns(moment if state in DUE else None, None, None, None)


def final_at_in_sql(state: str, now: str) -> str:
    """Return `final_at` as an SQL expression, for a statement that has the database's clock."""
    return f"CASE WHEN {state} IN ({sql_list(FINAL)}) THEN {now} END"


# What a change needs to know of a recipient, among it what the signals report.
_READ = (
    "message_id", "address", "state", "reply_code", "reply_enhanced", "reply_text", "reply_command",
)  # fmt: skip


def apply(
    transition: Transition,
    recipients: QuerySet[Recipient],
    to: State,
    *,
    now: dt.datetime,
    moment: dt.datetime | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
    reason: Reason = NO_REASON,
    skip_locked: bool = False,
    limit: int | None = None,
    **columns: Any,
) -> list[Recipient]:
    """Change those of the recipients that the guard admits; return them as they were before.

    `moment` is what `state_columns` takes. `why` is what the actor wrote about the action. `reason`
    replaces the recipient's reason. `columns` are written besides the state and what follows from
    it.
    """
    transition.check(to)
    using = recipients.db
    found = recipients.filter(state__in=transition.sources).order_by("pk")
    locked = found.select_for_update(no_key=True, skip_locked=skip_locked)
    rows = read_partly(locked[:limit], _READ)
    if not rows:
        return rows
    changed = Recipient.objects.using(using).filter(Among("pk", (row.pk for row in rows)))
    derived = state_columns(to, now, moment)._asdict()
    if reason:
        columns["reason"] = reason
    changed.update(**{"state": to, **derived, **columns})
    steps = [Step(row.message_id, row.pk, State(row.state), to) for row in rows]
    record_events(transition, steps, now, using, actor=actor, why=why, reason=reason)
    if is_observed(to, using):
        because = reason or quoted(why)
        announce_on_commit([Change.of(row, to, because) for row in rows if row.state != to], using)
    message_ids = {row.message_id for row in rows}
    roll_up(message_ids, now, using)
    if not keeps_content(to, derived["resend_at"]):
        erase_ended(message_ids, using)
    if transition is RETRY:  # what was over begins again
        by_message: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            by_message[row.message_id].append(row.pk)
        ReportRequest.objects.using(using).reopen(by_message, now)
    return rows


# In the order of `Step`, and what all steps share.
_MOVE_COLUMNS = columns_of(Recipient, ("destination_id", "attempt_id"))
_EVENT_COLUMNS = (
    "message_id", "recipient_id", "from_state", "to_state", "kind", "actor_id", "why", "reason",
    "at",
)  # fmt: skip


class Step(NamedTuple):
    """One recipient's change of state."""

    message_id: int
    recipient_id: int
    before: State
    after: State


def record_events(
    transition: Transition,
    steps: Sequence[Step],
    now: dt.datetime,
    using: str,
    *,
    actor: AbstractBaseUser | None = None,
    why: str = "",
    reason: Reason = NO_REASON,
) -> None:
    """Write the event of each recipient that changed, with the actor's words and the reason."""
    assert transition.event is not None
    kind, actor_id = transition.event.value, actor.pk if actor else None
    stored = (NO_REASON if reason == quoted(why) else reason).dump()
    rows = [(*step, kind, actor_id, why, stored, now) for step in steps]
    insert_rows(using, "outbox_event", columns_of(Event, _EVENT_COLUMNS), rows)


class Move(NamedTuple):
    """A claimed recipient that belongs to another destination from now on."""

    id: int
    destination_id: int
    attempt_id: int  # the fencing token


def return_untried(attempt_ids: Sequence[int], using: str, moves: Sequence[Move] = ()) -> None:
    """Return claimed recipients to the queue as they were before the claim.

    Nothing happened to them, so there is no event and no signal. `moves` has those of them that
    belong to another destination.
    """
    if not attempt_ids:
        return
    _move(sorted(moves), using)
    untried = Q(attempts=F("attempts_at_retry"))  # since the last retry by a person
    state = Case(When(untried, then=Value(State.QUEUED)), default=Value(State.DEFERRED))
    Recipient.objects.using(using).filter(
        attempt_id__in=attempt_ids, state__in=RETURN.sources
    ).update(state=state, attempt=None)


def _move(moves: Sequence[Move], using: str) -> None:
    """Move claimed recipients, but to no destination that was deleted with its account."""
    moved = update_rows(using, "outbox_recipient", _MOVE_COLUMNS, moves, guard=RETURN.fenced_guard)
    if not moved:
        return
    # Read after the update, which has waited for a deletion that had changed the same recipients.
    wanted = {move.destination_id for move in moves}
    existing = Destination.objects.using(using).filter(Among("pk", wanted))
    if gone := wanted - set(existing.values_list("pk", flat=True)):
        Recipient.objects.using(using).filter(Among("pk", moved), destination_id__in=gone).update(
            destination=None
        )


def withdraw(rows: Sequence[Recipient], why: str, using: str) -> None:
    """Delete the recipients of a message that becomes a draft again. The caller has locked them.

    Those that were waiting are announced as cancelled.
    """
    for row in rows:
        if row.state not in {State.QUEUED, State.CANCELLED}:
            raise TransitionError(f"A recipient that is {row.state} cannot be withdrawn.")
    waiting = [row for row in rows if row.state == State.QUEUED]
    announce_on_commit([Change.of(row, State.CANCELLED, quoted(why)) for row in waiting], using)
    ids = [row.pk for row in rows]
    Recipient.objects.using(using).filter(pk__in=ids).delete()  # and the events that name them
    message_ids = {row.message_id for row in rows}
    ReportRequest.objects.using(using).filter(pk__in=message_ids).delete()  # queueing adds it again


def import_final(
    message_id: int, state: State, final_at: dt.datetime, reason: Reason, using: str
) -> None:
    """Replace the recipients of an imported message by ones in the state they ended in elsewhere.

    They were never sent from here, so that no transition leads there; rows are created instead.
    """
    if state not in FINAL:
        raise TransitionError(f"A recipient is imported in a final state, not as {state}.")
    recipients = Recipient.objects.using(using).filter(message=message_id)
    rows = list(recipients.order_by("pk"))
    recipients.delete()
    for row in rows:
        row.pk = None
        row.state = state
        row.reason = reason
        row.expires_at = None
        for name, value in state_columns(state, final_at)._asdict().items():
            setattr(row, name, value)
    Recipient.objects.using(using).bulk_create(rows)


def resend_after(
    message_policy: str, account_policy: str | None, account_wait: dt.timedelta | None
) -> dt.timedelta | None:
    """Return how long an uncertain recipient waits until it is sent to again.

    None: it waits until a person resolves it. The message's own policy precedes the account's.
    """
    policy = message_policy or account_policy or OnUncertain.HOLD
    return None if policy == OnUncertain.HOLD else account_wait


def state_after_late_reply(state: State) -> State | None:
    """Return what a reply that came after the lease was lost makes of an uncertain recipient.

    `state` is what the reply would have meant in time. None: the recipient stays uncertain. A state
    that an uncertain recipient cannot come to means that it was not sent, so it is sent to again.
    """
    if state == State.UNCERTAIN:
        return None
    return state if state in RECORD_LATE.targets else State.DEFERRED
