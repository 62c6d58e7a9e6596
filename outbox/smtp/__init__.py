"""The SMTP client: one session at a time, with every reply, without retries or policy."""

from outbox.mail.envelope import Envelope
from outbox.smtp.connection import Connection
from outbox.smtp.dane import Tlsa
from outbox.smtp.exhaustion import exhausted, exhaustion_reason, is_exhausted
from outbox.smtp.extensions import Restrictions
from outbox.smtp.facts import SessionFacts, TlsFacts, TlsLevel
from outbox.smtp.faults import FaultKind, Phase, SmtpFault, is_of_tls
from outbox.smtp.plan import Sign
from outbox.smtp.reply import ProtocolError, Reply, ReplyParser
from outbox.smtp.server import PlainText, Security, Server, Timeouts
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction
from outbox.smtp.transcript import Part, Transcript

__all__ = [
    "Connection",
    "Disposition",
    "Envelope",
    "FaultKind",
    "Part",
    "Phase",
    "PlainText",
    "ProtocolError",
    "RecipientOutcome",
    "Reply",
    "ReplyParser",
    "Restrictions",
    "Security",
    "Server",
    "SessionFacts",
    "Sign",
    "SmtpFault",
    "Timeouts",
    "TlsFacts",
    "TlsLevel",
    "Tlsa",
    "Transaction",
    "Transcript",
    "exhausted",
    "exhaustion_reason",
    "is_exhausted",
    "is_of_tls",
]
