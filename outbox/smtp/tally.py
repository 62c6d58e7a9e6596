"""What the answers of one transaction mean, recipient by recipient.

Every answer is noted for exactly the recipients it speaks of. Where the session breaks off, what
is certain is kept apart from what is not. Whether a refusal is worth another attempt is not
decided here.
"""

import re
from collections.abc import Iterable

from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.plan import Plan
from outbox.smtp.protocol import PHASE_OF, Answer, Verb
from outbox.smtp.queue_id import find_queue_id
from outbox.smtp.reply import BAD_SEQUENCE, SHUTDOWN, WANTS_LOGIN, Reply
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction

_ENDS = frozenset({Verb.DOT, Verb.LAST})

_TOO_MANY = re.compile(r"too many (?:\w+ )?(?:recipients|rcpts?)", re.IGNORECASE)


class Tally:
    """The state of a transaction that is under way; writes into `transaction`."""

    def __init__(self, plan: Plan, transaction: Transaction) -> None:
        self.accepted: list[RecipientOutcome] = []
        self.mail_refused = False
        self.go_ahead = False  # 354 came
        self.content_refused = False
        self.delivered = False  # the server took the mail
        self.fault: SmtpFault | None = None  # a refusal that speaks of the session
        self._plan = plan
        self._transaction = transaction
        self._answered = 0  # RCPTs; their replies come in order
        self._final = False

    def note(self, answers: Iterable[Answer]) -> None:
        """Take what was answered, in the order it came."""
        for verb, rcpt, reply in answers:
            if reply.code == SHUTDOWN and verb not in _ENDS:
                continue  # says nothing of mail or recipient; the session ends with it
            if verb is Verb.RCPT:
                self._note_rcpt(rcpt, reply)
            elif verb is Verb.MAIL:
                self._note_mail(reply)
            elif verb is Verb.RSET:
                self._note_rset(reply)
            elif verb in _ENDS:
                self._note_end(verb, reply)
            else:
                self._note_content(verb, reply)

    def break_off(self, fault: SmtpFault) -> None:
        """Settle what the fault leaves open. Only what may have been accepted is uncertain."""
        self._transaction.fault = fault
        if fault.kind is FaultKind.PROTOCOL and fault.phase is Phase.IDLE:
            # One reply too many: which of them answered the dot cannot be told.
            self._final = False
        if self._transaction.dot_sent and not self._final:
            for outcome in self._at_stake(fault):
                outcome.command, outcome.reply = "", None
                outcome.disposition = Disposition.UNCERTAIN

    def _at_stake(self, fault: SmtpFault) -> list[RecipientOutcome]:
        """Give the recipients that the server may have taken the mail for."""
        if fault.kind is FaultKind.SHUTDOWN or self.mail_refused:
            return []  # it stopped, or never began, short of the end
        # Where everything was sent at once, it may have acted on a RCPT and not said so.
        silent = self._plan.rcpts[self._answered :]
        return self.accepted + [outcome for rcpt in silent for outcome in rcpt.outcomes]

    def _note_rset(self, reply: Reply) -> None:
        if not reply.accepted:
            self._blame(Phase.RSET, FaultKind.PROTOCOL, "the server refused RSET", reply)

    def _note_mail(self, reply: Reply) -> None:
        if reply.accepted:
            return
        self.mail_refused = True
        if not self._blames_session(Verb.MAIL, reply):
            for rcpt in self._plan.rcpts:
                _decide(rcpt.outcomes, "MAIL", reply)

    def _note_rcpt(self, rcpt: int, reply: Reply) -> None:
        self._answered = rcpt + 1
        outcomes = self._plan.rcpts[rcpt].outcomes
        if self.mail_refused:
            return  # "no MAIL yet": MAIL's own reply decides
        if reply.accepted:
            self.accepted.extend(outcomes)
            return
        if self._blames_session(Verb.RCPT, reply):
            return
        _decide(outcomes, "RCPT", reply)
        if _is_overflow(reply):
            # RFC 5321 4.5.3.1.10. With nobody accepted, a further transaction would end the same.
            kind = Disposition.OVERFLOW if self.accepted else Disposition.TRANSIENT
            for outcome in outcomes:
                outcome.disposition = kind

    def _note_content(self, verb: Verb, reply: Reply) -> None:
        """Take the reply to DATA or to a chunk, or an early one amid the body."""
        if reply.intermediate:
            self.go_ahead = True
        elif not reply.accepted:
            self.content_refused = True
            if self.accepted and not self._blames_sequence(verb, reply):
                _decide(self.accepted, "DATA", reply)

    def _note_end(self, verb: Verb, reply: Reply) -> None:
        self._final = True
        _decide(self.accepted, "DOT", reply)
        if reply.accepted:
            self.delivered = bool(self.accepted)
            self._transaction.queue_id = find_queue_id(reply.text)
        elif self.accepted and self._blames_sequence(verb, reply):
            for outcome in self.accepted:
                outcome.disposition = Disposition.TRANSIENT

    def _blames_session(self, verb: Verb, reply: Reply) -> bool:
        if reply.code not in WANTS_LOGIN:
            return self._blames_sequence(verb, reply)
        detail = "the server wants a login or TLS before it takes mail"
        self._blame(PHASE_OF[verb], FaultKind.AUTH_UNAVAILABLE, detail, reply)
        return True

    def _blames_sequence(self, verb: Verb, reply: Reply) -> bool:
        if reply.code != BAD_SEQUENCE:
            return False
        detail = f"the server lost track of the session at {PHASE_OF[verb].upper()} (503)"
        self._blame(PHASE_OF[verb], FaultKind.PROTOCOL, detail, reply)
        return True

    def _blame(self, phase: Phase, kind: FaultKind, detail: str, reply: Reply) -> None:
        if self.fault is None:
            self.fault = SmtpFault(phase, kind, detail, reply=reply)


def _decide(outcomes: Iterable[RecipientOutcome], command: str, reply: Reply) -> None:
    if reply.accepted:
        kind = Disposition.ACCEPTED
    else:
        kind = Disposition.TRANSIENT if reply.transient else Disposition.PERMANENT
    for outcome in outcomes:
        outcome.command, outcome.reply, outcome.disposition = command, reply, kind


def _is_overflow(reply: Reply) -> bool:
    if reply.code not in {452, 552}:
        return False
    return reply.enhanced.endswith(".5.3") or bool(_TOO_MANY.search(reply.text))
