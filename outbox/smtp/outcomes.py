"""The outcome of one transaction for each recipient, from the server's replies.

Every reply is recorded for exactly the recipients that it concerns. When the session fails, certain
outcomes are kept apart from uncertain ones. Whether a rejection is retried is not decided here.
"""

from collections.abc import Iterable

from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp.extensions import Restrictions
from outbox.smtp.fallback import is_extension_rejected, names_extension
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.plan import Plan
from outbox.smtp.protocol import PHASE_OF, CommandReply, Verb
from outbox.smtp.queue_id import find_queue_id
from outbox.smtp.reply import SHUTDOWN, Reply
from outbox.smtp.status import (
    BAD_SEQUENCE,
    has_too_many_recipients,
    is_about_pipelining,
    is_about_sender,
    is_about_session,
    is_busy,
    is_command_unknown,
    is_too_many_recipients,
    wants_login,
)
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction

_ENDS = frozenset({Verb.DOT, Verb.LAST})
_CHUNKS = frozenset({Verb.BDAT, Verb.LAST})
_ENVELOPE = frozenset({Verb.MAIL, Verb.RCPT, Verb.DATA})


class Outcomes:
    """The outcomes of a transaction in progress; they are written into `transaction`."""

    def __init__(
        self, plan: Plan, transaction: Transaction, *, pipelined: bool, reused: bool
    ) -> None:
        self.accepted: list[RecipientOutcome] = []
        self.mail_refused = False
        self.go_ahead = False  # 354 received
        self.content_refused = False
        self.delivered = False  # the server accepted the message
        self.fault: SmtpFault | None = None  # a rejection that concerns the session
        self.extension_rejected: CommandReply | None = None  # MAIL or RCPT may be repeated
        self.null_sender_rejected = False  # perhaps: another sender may be accepted
        self._plan = plan
        self._transaction = transaction
        self._pipelined = pipelined
        self._reused = reused
        self._rcpts_replied = 0  # RCPT replies come in order
        self._rcpts_accepted = 0
        self._final = False
        self._has_reply = False
        self._chunking_rejected = False
        self._repeats = False  # a further transaction has to do what this one could not

    def record(self, replies: Iterable[CommandReply]) -> None:
        """Record replies in order."""
        for verb, rcpt, reply in replies:
            self._has_reply = True
            if self._pipelined and verb in _ENVELOPE and is_about_pipelining(reply):
                self._reject("PIPELINING", verb, reply)
            if reply.code == SHUTDOWN and verb not in _ENDS:
                self._record_shutdown(verb, reply)
                continue  # about the session, not about the message or a recipient
            if verb is Verb.RCPT:
                self._record_rcpt(rcpt, reply)
            elif verb is Verb.MAIL:
                self._record_mail(reply)
            elif verb is Verb.RSET:
                self._record_rset(reply)
            elif verb in _ENDS:
                self._record_end(verb, reply)
            else:
                self._record_content(verb, reply)

    def record_fault(self, fault: SmtpFault) -> None:
        """Set the remaining outcomes. Only a message that may have been accepted is uncertain."""
        self._transaction.fault = self.fault or fault
        if fault.kind is FaultKind.PROTOCOL and fault.phase is Phase.IDLE:
            # An extra reply: which one belongs to the final dot is unknown. A server without BDAT
            # reads the message as commands, and rejects each line.
            is_rejected = fault.reply is None or not (
                fault.reply.accepted or fault.reply.intermediate
            )
            self._final = self._final and self._chunking_rejected and is_rejected
        is_in_group = fault.phase in {Phase.RCPT, Phase.DATA} and self._has_reply
        if self._pipelined and fault.kind is FaultKind.TIMEOUT and is_in_group:
            self._learn(Restrictions(frozenset({"PIPELINING"})))  # it lost the rest of a group
        if self._transaction.dot_sent and not self._final:
            for outcome in self._possibly_accepted(fault):
                outcome.command, outcome.reply = "", None
                outcome.disposition = Disposition.UNCERTAIN

    def _possibly_accepted(self, fault: SmtpFault) -> list[RecipientOutcome]:
        """Return the recipients for which the server may have accepted the message."""
        if fault.kind is FaultKind.SHUTDOWN or self.mail_refused:
            return []  # it ended before the message data
        # After a single write, the server may have accepted a RCPT without having replied.
        silent = self._plan.rcpts[self._rcpts_replied :]
        return self.accepted + [outcome for rcpt in silent for outcome in rcpt.outcomes]

    def conclude(self) -> None:
        """Decide what only the whole transaction shows, once no reply is due any more."""
        if self._repeats:
            silent = [
                outcome
                for outcome in self._transaction.recipients
                if outcome.disposition is Disposition.NOT_TRIED
            ]
            _set(silent, Disposition.OVERFLOW, self.fault.reason if self.fault else NO_REASON)
        rejected = self.extension_rejected
        if rejected is None or not self.accepted or not self._plan.rcpt_extensions:
            return
        for rcpt in self._plan.rcpts:
            for outcome in rcpt.outcomes:
                reply = outcome.reply if outcome.command == "RCPT" else None
                # Unnamed, the parameter was accepted of another recipient: it is the address.
                if reply and names_extension(reply, self._plan.rcpt_extensions):
                    _set([outcome], Disposition.OVERFLOW, _rejected_reason("DSN"))
                    self._learn(Restrictions(frozenset({"DSN"})))

    def _record_shutdown(self, verb: Verb, reply: Reply) -> None:
        """Record a 421 that limits the recipients: the next transaction has fewer."""
        if verb is Verb.RCPT and self.accepted and is_too_many_recipients(reply):
            self._learn(Restrictions(rcpt_max=self._rcpts_accepted))
            self._repeats = True

    def _record_rset(self, reply: Reply) -> None:
        if not reply.accepted:
            self._set_fault(Phase.RSET, FaultKind.PROTOCOL, Reason(ReasonCode.RSET_REJECTED), reply)

    def _record_mail(self, reply: Reply) -> None:
        if reply.accepted:
            return
        self.mail_refused = True
        if is_extension_rejected(reply, self._plan.mail_extensions):
            self.extension_rejected = CommandReply(Verb.MAIL, -1, reply)
        if self._reused and is_about_session(reply):
            reason = Reason(ReasonCode.SESSION_REJECTED)
            self._set_fault(Phase.MAIL, FaultKind.REJECTED, reason, reply)
        elif self.fault is None and not self._is_session_fault(Verb.MAIL, reply):
            for rcpt in self._plan.rcpts:
                _decide(rcpt.outcomes, "MAIL", reply)
                if is_busy(reply):  # it says nothing about the message
                    _set(rcpt.outcomes, Disposition.TRANSIENT)
            self._note_sender(is_rejected=reply.permanent)

    def _record_rcpt(self, rcpt: int, reply: Reply) -> None:
        self._rcpts_replied = rcpt + 1
        outcomes = self._plan.rcpts[rcpt].outcomes
        if self.mail_refused:
            return  # it repeats the rejection of MAIL, whose own reply decides
        if reply.accepted:
            self.accepted.extend(outcomes)
            self._rcpts_accepted += 1
            return
        if is_extension_rejected(reply, self._plan.rcpt_extensions):
            self.extension_rejected = CommandReply(Verb.RCPT, rcpt, reply)
        if is_too_many_recipients(reply):
            # RFC 5321 4.5.3.1.10. Without accepted recipients, another transaction ends the same.
            _decide(outcomes, "RCPT", reply)
            _set(outcomes, Disposition.OVERFLOW if self.accepted else Disposition.TRANSIENT)
        elif self.fault is None and not self._is_session_fault(Verb.RCPT, reply):
            _decide(outcomes, "RCPT", reply)
            self._note_sender(is_rejected=is_about_sender(reply))

    def _record_content(self, verb: Verb, reply: Reply) -> None:
        """Record the reply to DATA or a chunk, or one in the middle of the body."""
        if reply.intermediate:
            self.go_ahead = True
        elif not reply.accepted:
            self.content_refused = True
            if not self.accepted or self.fault is not None:
                return
            if self._is_chunking_rejected(verb, reply):
                _decide(self.accepted, "DATA", reply)
                _set(self.accepted, Disposition.OVERFLOW, _rejected_reason("CHUNKING"))
            elif not self._is_sequence_fault(verb, reply):
                _decide(self.accepted, "DATA", reply)
                self._split_recipients(reply)

    def _record_end(self, verb: Verb, reply: Reply) -> None:
        self._final = True
        _decide(self.accepted, "DOT", reply)
        if reply.accepted:
            self.delivered = bool(self.accepted)
            self._transaction.queue_id = find_queue_id(reply.text)
        elif self.accepted and self._is_chunking_rejected(verb, reply):
            _set(self.accepted, Disposition.OVERFLOW, _rejected_reason("CHUNKING"))
        elif self.accepted and self._is_sequence_fault(verb, reply):
            _set(self.accepted, Disposition.TRANSIENT)
        else:
            self._split_recipients(reply)
            self._note_sender(is_rejected=bool(self.accepted) and is_about_sender(reply))

    def _split_recipients(self, reply: Reply) -> None:
        """Split the recipients over further transactions where they were too many."""
        if has_too_many_recipients(reply) and self._rcpts_accepted > 1:
            self._learn(Restrictions(rcpt_max=self._rcpts_accepted // 2))
            _set(self.accepted, Disposition.OVERFLOW)

    def _is_chunking_rejected(self, verb: Verb, reply: Reply) -> bool:
        """Return whether the server does not know BDAT; what follows it is then out of step."""
        if verb not in _CHUNKS or not is_command_unknown(reply):
            return False
        self._chunking_rejected = True
        self._reject("CHUNKING", verb, reply)
        return True

    def _reject(self, extension: str, verb: Verb, reply: Reply) -> None:
        """Record that the server rejects an extension so that the session cannot go on."""
        self._learn(Restrictions(frozenset({extension})))
        self._repeats = True
        reason = _rejected_reason(extension)
        self._set_fault(PHASE_OF[verb], FaultKind.REJECTED, reason, reply)

    def _note_sender(self, *, is_rejected: bool) -> None:
        if self._plan.has_other_sender and is_rejected:
            self.null_sender_rejected = True

    def _learn(self, restrictions: Restrictions) -> None:
        self._transaction.learned |= restrictions

    def _is_session_fault(self, verb: Verb, reply: Reply) -> bool:
        if not wants_login(reply):
            return self._is_sequence_fault(verb, reply)
        reason = Reason(ReasonCode.LOGIN_REQUIRED)
        self._set_fault(PHASE_OF[verb], FaultKind.AUTH_UNAVAILABLE, reason, reply)
        return True

    def _is_sequence_fault(self, verb: Verb, reply: Reply) -> bool:
        if reply.code != BAD_SEQUENCE:
            return False
        if verb in _CHUNKS:
            self._learn(Restrictions(frozenset({"CHUNKING"})))
        elif self._pipelined and verb is not Verb.MAIL:
            self._learn(Restrictions(frozenset({"PIPELINING"})))
        reason = Reason(ReasonCode.SEQUENCE_LOST, command=PHASE_OF[verb].upper())
        self._set_fault(PHASE_OF[verb], FaultKind.PROTOCOL, reason, reply)
        return True

    def _set_fault(self, phase: Phase, kind: FaultKind, reason: Reason, reply: Reply) -> None:
        if self.fault is None:
            self.fault = SmtpFault(phase, kind, reason, reply=reply)


def _rejected_reason(extension: str) -> Reason:
    return Reason(ReasonCode.EXTENSION_REJECTED, extension=extension)


def _set(
    outcomes: Iterable[RecipientOutcome], disposition: Disposition, reason: Reason = NO_REASON
) -> None:
    for outcome in outcomes:
        outcome.disposition, outcome.reason = disposition, reason


def _decide(outcomes: Iterable[RecipientOutcome], command: str, reply: Reply) -> None:
    if reply.accepted:
        kind = Disposition.ACCEPTED
    else:
        kind = Disposition.TRANSIENT if reply.transient else Disposition.PERMANENT
    for outcome in outcomes:
        outcome.command, outcome.reply, outcome.disposition = command, reply, kind
