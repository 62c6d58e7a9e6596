"""The judge: holds the evidence against the three promises.

It counts, and changes nothing. A finding is a sentence about something that must not be.
"""

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction

from outbox.models import Attempt, Message, OnUncertain, Outcome, Recipient, Slot, State
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up
from tests.crash.evidence import FOR_EVER, Evidence, Try
from tests.crash.log import Kill
from tests.crash.sink import REFUSED


@dataclass(slots=True)
class Line:
    """What came of all kills of one kind."""

    kind: str
    kills: int = 0
    under_way: int = 0  # attempts, at the kill
    lost: int = 0
    unmarked: int = 0  # further copies that no uncertain mark preceded
    uncertain: int = 0  # attempts that became uncertain by the kill
    most: int = 0  # of them, by one kill
    connections: int = 0  # open at that one


@dataclass(slots=True)
class Verdict:
    """All that the judge found."""

    lines: list[Line] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Judge:
    """Judges one run."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._verdict = Verdict()

    def judge(self) -> Verdict:
        """Judge everything once."""
        self._count_kills()
        for message in self._evidence.messages.values():
            for recipient in self._evidence.recipients[message.pk]:
                self._judge_state(recipient, message)
                self._judge_copies(recipient, message)
        self._judge_queued()
        self._judge_cancelled()
        self._judge_composed()
        self._judge_rows()
        return self._verdict

    def _find(self, text: str) -> None:
        self._verdict.findings.append(text)

    # Nothing is lost

    def _judge_state(self, recipient: Recipient, message: Message) -> None:
        copies = len(self._evidence.taken(recipient))
        self._verdict.counts[f"recipients {recipient.state}"] += 1
        self._verdict.counts["copies"] += copies
        if problem := self._contradiction(recipient, message, copies):
            self._blame(message.pk).lost += 1
            self._find(f"Lost: {recipient.address} is {recipient.state}, {problem}.")

    def _contradiction(self, recipient: Recipient, message: Message, copies: int) -> str:
        """Say what is wrong with this state, given the copies that exist; "" where it fits."""
        evidence = self._evidence
        match recipient.state:
            case State.SENT:
                return "" if copies else "and no receiver has it"
            case State.CANCELLED:
                marks = evidence.marks_before(message.pk, FOR_EVER)
                return "and a receiver has it" if copies > marks else ""
            case State.FAILED:
                is_refused = recipient.address.startswith(REFUSED) and recipient.reply_code
                return "" if is_refused and not copies else "and nobody refused it"
            case State.HELD if message.message_id in evidence.promises.poisoned:
                is_told = any(one.has_traceback for one in evidence.tries[message.pk])
                return "" if is_told and recipient.reason else "without its traceback"
            case _:
                return f"which is no end; there are {copies} copies"

    def _judge_queued(self) -> None:
        """What was promised is known; what is not known was not sent."""
        known = {row.message_id for row in self._evidence.messages.values() if not row.is_draft}
        for message_id in self._evidence.promises.queued - known:
            self._line("none").lost += 1
            self._find(f"Lost: {message_id} was queued, and the database does not know it.")
        for message_id in {message_id for message_id, _ in self._evidence.copies} - known:
            self._find(f"Sent without having been queued: {message_id}.")
        self._verdict.counts["mails"] = len(known)

    # Nothing is sent twice unknowingly

    def _judge_copies(self, recipient: Recipient, message: Message) -> None:
        taken = self._evidence.taken(recipient)
        for number, copy in enumerate(taken[1:], start=1):
            self._verdict.counts["further copies"] += 1
            if self._evidence.marks_before(message.pk, copy.at) < number:
                self._blame(message.pk).unmarked += 1
                self._find(f"Sent again without a mark: {recipient.address}, copy {number + 1}.")
        account = message.account
        if len(taken) > 1 and account and account.on_uncertain == OnUncertain.HOLD:
            self._find(f"Sent again although the policy is to hold: {recipient.address}.")

    # People were told the truth

    def _judge_cancelled(self) -> None:
        promises = self._evidence.promises
        told: Counter[int] = Counter()
        for answer in promises.cancelled:
            told[answer.message_pk] += answer.stopped
        for pk in told.keys() | self._evidence.messages.keys():
            states = [recipient.state for recipient in self._evidence.recipients[pk]]
            stopped = states.count(State.CANCELLED)
            if told[pk] != stopped and pk not in promises.cancelled_unheard:
                self._find(f"Message {pk}: {told[pk]} told as stopped, {stopped} cancelled.")
        self._verdict.counts["cancelled in time"] = sum(told.values())
        self._verdict.counts["cancelled too late"] = sum(
            answer.stopped == 0 for answer in promises.cancelled
        )

    def _judge_composed(self) -> None:
        """A yes of the composer is kept, and Send pressed again after no answer makes no second."""
        promises = self._evidence.promises
        rows = self._evidence.messages.values()
        mails = Counter(message.subject for message in rows if not message.is_draft)
        for subject in promises.answered:
            if not mails[subject]:
                self._line("none").lost += 1
                self._find(f"Lost: “{subject}” was answered with yes and is no mail.")
        for trouble in promises.never:
            self._find(f"Nobody said yes to {trouble}.")
        for subject in {*promises.answered, *promises.unanswered}:
            if mails[subject] > 1:
                self._find(f"“{subject}” became {mails[subject]} mails.")
        self._verdict.counts["composed, answered"] = len(promises.answered)
        self._verdict.counts["composed, unanswered"] = len(promises.unanswered)

    def _judge_rows(self) -> None:
        """Nothing is left over, and no row contradicts another."""
        if left := Attempt.objects.filter(ended_at=None).count():
            self._find(f"{left} attempts are open, with nothing in hand.")
        if left := Slot.objects.filter(worker__ended_at__isnull=False).count():
            self._find(f"{left} connection slots belong to dead workers.")
        taken_over = (Outcome.UNCERTAIN, Outcome.ABANDONED, Outcome.CANCELLED)
        late = Attempt.objects.exclude(late_reply="").exclude(outcome__in=taken_over)
        if left := late.count():
            self._find(f"{left} attempts have a late reply and were never taken over.")
        rows = [row for row in self._evidence.messages.values() if not row.is_draft]
        with transaction.atomic():
            roll_up([row.pk for row in rows], database_now("default"), "default")
            status = dict(Message.objects.values_list("pk", "status"))
            transaction.set_rollback(True)
        if wrong := [row.pk for row in rows if row.status != status[row.pk]]:
            self._find(f"{len(wrong)} messages have a status their recipients do not have.")

    # What each kill left

    def _line(self, kind: str) -> Line:
        for line in self._verdict.lines:
            if line.kind == kind:
                return line
        self._verdict.lines.append(Line(kind))
        return self._verdict.lines[-1]

    def _blame(self, message_pk: int) -> Line:
        """Find the kind of kill that hit a message last."""
        kills = [self._evidence.killer(one) for one in self._evidence.tries[message_pk]]
        hit = [kill for kill in kills if kill is not None]
        return self._line(hit[-1].kind if hit else "none")

    def _count_kills(self) -> None:
        uncertain = self._uncertain_by_kill()
        for kill in self._evidence.kills:
            line, count = self._line(kill.kind), uncertain[kill.at]
            line.kills += 1
            line.under_way += len(self._evidence.under_way(kill))
            line.uncertain += count
            if count > line.most:
                line.most, line.connections = count, kill.connections
            if count > kill.connections:
                self._find(
                    f"A kill ({kill.kind}) left {count} uncertain, "
                    f"with {kill.connections} connections open."
                )

    def _uncertain_by_kill(self) -> Counter[float]:
        """Count, by the time of the kill, the attempts it made uncertain.

        What a receiver left unanswered on purpose would have been uncertain without any kill.
        """
        counted: Counter[float] = Counter()
        for tries in self._evidence.tries.values():
            for attempt in tries:
                if not attempt.is_uncertain:
                    continue
                if self._evidence.was_left_unanswered(attempt):
                    self._verdict.counts["uncertain by receivers"] += 1
                elif kill := self._cause(attempt):
                    counted[kill.at] += 1
                else:
                    self._find(f"Attempt {attempt.pk} became uncertain without a kill.")
        return counted

    def _cause(self, attempt: Try) -> Kill | None:
        """Return the kill of its worker, else what cut its worker off for longer than a lease."""
        kill = self._evidence.killer(attempt)
        if kill is not None and kill.at <= attempt.ended:
            return kill
        return self._evidence.outage(attempt)
