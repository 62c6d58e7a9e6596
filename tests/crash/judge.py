"""The judge: compares the evidence with the three promises.

It counts and changes nothing. A finding is a sentence about something that must not happen.
"""

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction

from outbox.db.clock import database_now
from outbox.models import Attempt, Message, OnUncertain, Outcome, Recipient, Slot, State
from outbox.models.rollup import roll_up
from tests.crash.evidence import FOR_EVER, AttemptRecord, Evidence
from tests.crash.log import Kill
from tests.crash.sink import REFUSED


@dataclass(slots=True)
class Line:
    """The result of all kills of one kind."""

    kind: str
    kills: int = 0
    under_way: int = 0  # attempts, at the kill
    lost: int = 0
    unmarked: int = 0  # further copies without an uncertain attempt before them
    uncertain: int = 0  # attempts that became uncertain by the kill
    most: int = 0  # of them, by one kill
    connections: int = 0  # open at that one


@dataclass(slots=True)
class Verdict:
    """The counts and findings of one run."""

    lines: list[Line] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Judge:
    """Judge one run."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._verdict = Verdict()

    def judge(self) -> Verdict:
        """Check every promise once."""
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

    def _add_finding(self, text: str) -> None:
        self._verdict.findings.append(text)

    # Nothing is lost

    def _judge_state(self, recipient: Recipient, message: Message) -> None:
        copies = len(self._evidence.accepted(recipient))
        self._verdict.counts[f"recipients {recipient.state}"] += 1
        self._verdict.counts["copies"] += copies
        if problem := self._contradiction(recipient, message, copies):
            self._line_of_last_kill(message.pk).lost += 1
            self._add_finding(f"Lost: {recipient.address} is {recipient.state}, {problem}.")

    def _contradiction(self, recipient: Recipient, message: Message, copies: int) -> str:
        """Return why this state contradicts the accepted copies; "" where it does not."""
        evidence = self._evidence
        match recipient.state:
            case State.SENT:
                return "" if copies else "and no sink accepted it"
            case State.CANCELLED:
                marks = evidence.marks_before(message.pk, FOR_EVER)
                return "and a sink accepted it" if copies > marks else ""
            case State.FAILED:
                is_rejected = recipient.address.startswith(REFUSED) and recipient.reply_code
                return "" if is_rejected and not copies else "and no sink rejected it"
            case State.HELD if message.message_id in evidence.promises.unreadable:
                has_traceback = any(one.has_traceback for one in evidence.attempts[message.pk])
                return "" if has_traceback and recipient.reason else "without its traceback"
            case _:
                return f"which is not final; there are {copies} copies"

    def _judge_queued(self) -> None:
        """Every message that a user was promised is known, and no unknown message was sent."""
        known = {row.message_id for row in self._evidence.messages.values() if not row.is_draft}
        for message_id in self._evidence.promises.queued - known:
            self._line("none").lost += 1
            self._add_finding(f"Lost: {message_id} was queued, and the database does not know it.")
        for message_id in {message_id for message_id, _ in self._evidence.copies} - known:
            self._add_finding(f"Sent without having been queued: {message_id}.")
        self._verdict.counts["messages"] = len(known)

    # Nothing is silently duplicated

    def _judge_copies(self, recipient: Recipient, message: Message) -> None:
        accepted = self._evidence.accepted(recipient)
        for number, copy in enumerate(accepted[1:], start=1):
            self._verdict.counts["further copies"] += 1
            if self._evidence.marks_before(message.pk, copy.at) < number:
                self._line_of_last_kill(message.pk).unmarked += 1
                self._add_finding(f"Duplicated silently: {recipient.address}, copy {number + 1}.")
        account = message.account
        if len(accepted) > 1 and account and account.on_uncertain == OnUncertain.HOLD:
            self._add_finding(f"Sent again although the policy is to hold: {recipient.address}.")

    # Nothing is hidden

    def _judge_cancelled(self) -> None:
        promises = self._evidence.promises
        reported: Counter[int] = Counter()
        for response in promises.cancelled:
            reported[response.message_pk] += response.stopped
        for pk in reported.keys() | self._evidence.messages.keys():
            states = [recipient.state for recipient in self._evidence.recipients[pk]]
            stopped = states.count(State.CANCELLED)
            if reported[pk] != stopped and pk not in promises.cancelled_without_response:
                self._add_finding(
                    f"Message {pk}: {reported[pk]} reported stopped, {stopped} cancelled."
                )
        self._verdict.counts["cancelled in time"] = sum(reported.values())
        self._verdict.counts["cancelled too late"] = sum(
            response.stopped == 0 for response in promises.cancelled
        )

    def _judge_composed(self) -> None:
        """A confirmed message exists once, however often Send was pressed."""
        promises = self._evidence.promises
        rows = self._evidence.messages.values()
        messages = Counter(message.subject for message in rows if not message.is_draft)
        for subject in promises.confirmed:
            if not messages[subject]:
                self._line("none").lost += 1
                self._add_finding(f"Lost: “{subject}” was confirmed and does not exist.")
        for trouble in promises.never_confirmed:
            self._add_finding(f"Never confirmed: {trouble}.")
        for subject in {*promises.confirmed, *promises.unconfirmed}:
            if messages[subject] > 1:
                self._add_finding(f"“{subject}” became {messages[subject]} messages.")
        self._verdict.counts["composed, confirmed"] = len(promises.confirmed)
        self._verdict.counts["composed, unconfirmed"] = len(promises.unconfirmed)

    def _judge_rows(self) -> None:
        """No row is left over, and no row contradicts another."""
        if left := Attempt.objects.filter(ended_at=None).count():
            self._add_finding(f"{left} attempts are still open.")
        if left := Slot.objects.filter(worker__ended_at__isnull=False).count():
            self._add_finding(f"{left} connection slots belong to dead workers.")
        taken_over = (Outcome.UNCERTAIN, Outcome.ABANDONED, Outcome.CANCELLED)
        late = Attempt.objects.exclude(late_reply="").exclude(outcome__in=taken_over)
        if left := late.count():
            self._add_finding(f"{left} attempts have a late reply and were not taken over.")
        rows = [row for row in self._evidence.messages.values() if not row.is_draft]
        with transaction.atomic():
            roll_up([row.pk for row in rows], database_now("default"), "default")
            status = dict(Message.objects.values_list("pk", "status"))
            transaction.set_rollback(True)
        if differing := [row.pk for row in rows if row.status != status[row.pk]]:
            self._add_finding(
                f"{len(differing)} messages have a status that contradicts their recipients."
            )

    # The result of each kill

    def _line(self, kind: str) -> Line:
        for line in self._verdict.lines:
            if line.kind == kind:
                return line
        self._verdict.lines.append(Line(kind))
        return self._verdict.lines[-1]

    def _line_of_last_kill(self, message_pk: int) -> Line:
        """Return the line of the kill that interrupted a message last."""
        kills = [self._evidence.killer(one) for one in self._evidence.attempts[message_pk]]
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
                self._add_finding(
                    f"A kill ({kill.kind}) left {count} attempts uncertain, "
                    f"with {kill.connections} connections open."
                )

    def _uncertain_by_kill(self) -> Counter[float]:
        """Count, by the time of a kill, the attempts that it made uncertain.

        Attempts whose reply a sink withheld on purpose would have been uncertain without a kill.
        """
        counted: Counter[float] = Counter()
        for attempts in self._evidence.attempts.values():
            for attempt in attempts:
                if not attempt.is_uncertain:
                    continue
                if self._evidence.had_reply_withheld(attempt):
                    self._verdict.counts["uncertain by a withheld reply"] += 1
                elif kill := self._cause(attempt):
                    counted[kill.at] += 1
                elif self._evidence.had_lease_lapsed(attempt):
                    self._verdict.counts["uncertain by a lapsed lease"] += 1
                else:
                    self._add_finding(f"Attempt {attempt.pk} became uncertain without a kill.")
        return counted

    def _cause(self, attempt: AttemptRecord) -> Kill | None:
        """Return the kill of its worker, else the outage that made the worker lose its lease."""
        kill = self._evidence.killer(attempt)
        if kill is not None and kill.at <= attempt.ended:
            return kill
        return self._evidence.outage(attempt)
