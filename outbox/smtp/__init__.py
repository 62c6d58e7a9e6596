"""The conversation out: one SMTP session at a time, every reply kept, no retry and no judgement."""

from outbox.smtp.connection import Session
from outbox.smtp.envelope import Envelope
from outbox.smtp.facts import SessionFacts, TlsFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.reply import ProtocolError, Reply, ReplyParser
from outbox.smtp.server import Security, Server, Timeouts
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction
from outbox.smtp.transcript import Part, Transcript

__all__ = [
    "Disposition",
    "Envelope",
    "FaultKind",
    "Part",
    "Phase",
    "ProtocolError",
    "RecipientOutcome",
    "Reply",
    "ReplyParser",
    "Security",
    "Server",
    "Session",
    "SessionFacts",
    "SmtpFault",
    "Timeouts",
    "TlsFacts",
    "Transaction",
    "Transcript",
]
