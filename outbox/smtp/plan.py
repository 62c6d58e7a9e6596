"""What a transaction with one particular server will say, decided before a byte is sent.

Compares envelope and message with the server's offers: SIZE, 8BITMIME, SMTPUTF8, LIMITS, DSN.
What cannot be sent to this server is settled here, with the reason in words, and costs no network.
"""

import hashlib
from dataclasses import dataclass

from outbox.smtp import dsn
from outbox.smtp.content import Content
from outbox.smtp.envelope import Envelope, UnsendableError, folded, needs_smtputf8, path
from outbox.smtp.extensions import Extensions
from outbox.smtp.sevenbit import seven_bit
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction

_NO_SMTPUTF8 = "5.6.7 the server does not offer SMTPUTF8, which {} needs"


@dataclass(frozen=True, slots=True)
class Rcpt:
    """One RCPT TO, and the outcomes (more than one for doubles) its reply decides."""

    line: bytes
    outcomes: tuple[RecipientOutcome, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    mail: bytes
    rcpts: list[Rcpt]
    content: Content


def make_plan(
    extensions: Extensions, envelope: Envelope, source: bytes, transaction: Transaction
) -> Plan | None:
    """Plan one transaction; None when there is nothing to send, with the outcomes settled."""
    try:
        content = _fit(Content.of(source), extensions, transaction)
        utf8 = _wants_smtputf8(envelope, content, extensions)
        mail = _mail_line(envelope, content, extensions, as_is=utf8)
    except UnsendableError as error:
        for outcome in transaction.recipients:
            _refuse(outcome, str(error))
        return None
    if content.source != source:
        transaction.sent_sha256 = hashlib.sha256(content.source).hexdigest()
    rcpts = _rcpts(envelope, transaction.recipients, extensions, as_is=utf8)
    return Plan(mail, rcpts, content) if rcpts else None


def _fit(content: Content, extensions: Extensions, transaction: Transaction) -> Content:
    """Narrow the content to seven bits where the server asks for it, and weigh it."""
    if not content.ascii and not extensions.eight_bit and content.head_is_ascii:
        content = Content.of(seven_bit(content.source))
        transaction.sent_form = "7bit"
    size, limit = len(content.source), extensions.size_limit
    if limit and size > limit:
        raise UnsendableError(
            f"5.3.4 the message has {size:,} bytes; the server takes no more than {limit:,}"
        )
    return content


def _wants_smtputf8(envelope: Envelope, content: Content, extensions: Extensions) -> bool:
    """Whether MAIL says SMTPUTF8. Raises where sender or headers need it and it is not offered."""
    if extensions.smtputf8:
        return (
            not content.head_is_ascii
            or needs_smtputf8(envelope.sender)
            or any(map(needs_smtputf8, envelope.recipients))
        )
    if needs_smtputf8(envelope.sender):
        raise UnsendableError(_NO_SMTPUTF8.format(f"the sender “{envelope.sender}”"))
    if not content.head_is_ascii:
        raise UnsendableError(_NO_SMTPUTF8.format("this message's header"))
    return False


def _mail_line(
    envelope: Envelope, content: Content, extensions: Extensions, *, as_is: bool
) -> bytes:
    sender = envelope.sender
    line = b"MAIL FROM:" + (path(sender, as_is=as_is, status="5.1.7") if sender else b"<>")
    if extensions.size:
        line += b" SIZE=%d" % len(content.source)
    if not content.ascii and extensions.eight_bit:
        line += b" BODY=8BITMIME"
    if as_is:
        line += b" SMTPUTF8"
    if extensions.dsn and envelope.wants_dsn:
        line += dsn.mail_parameters(envelope)
    return line


def _rcpts(
    envelope: Envelope, outcomes: list[RecipientOutcome], extensions: Extensions, *, as_is: bool
) -> list[Rcpt]:
    wants_dsn = extensions.dsn and envelope.wants_dsn
    lines: dict[str, tuple[bytes, list[RecipientOutcome]]] = {}
    domains: set[str] = set()
    for outcome in outcomes:
        key = folded(outcome.address)
        if key in lines:
            lines[key][1].append(outcome)
            continue
        try:
            line = b"RCPT TO:" + _recipient_path(outcome.address, extensions, as_is=as_is)
        except UnsendableError as error:
            _refuse(outcome, str(error))
            continue
        domain = key.rpartition("@")[2]
        if _is_one_too_many(extensions, len(lines), domains, domain):
            outcome.disposition = Disposition.OVERFLOW
            outcome.reason = "the server takes no more recipients in one transaction (LIMITS)"
            continue
        if wants_dsn:
            line += dsn.rcpt_parameters(envelope, outcome.address)
        domains.add(domain)
        lines[key] = (line, [outcome])
    return [Rcpt(line, tuple(doubles)) for line, doubles in lines.values()]


def _recipient_path(address: str, extensions: Extensions, *, as_is: bool) -> bytes:
    if not extensions.smtputf8 and needs_smtputf8(address):
        raise UnsendableError(_NO_SMTPUTF8.format(f"the recipient “{address}”"))
    return path(address, as_is=as_is)


def _is_one_too_many(
    extensions: Extensions, recipients: int, domains: set[str], domain: str
) -> bool:
    if 0 < extensions.recipients_limit <= recipients:
        return True
    return 0 < extensions.domains_limit <= len(domains) and domain not in domains


def _refuse(outcome: RecipientOutcome, reason: str) -> None:
    outcome.disposition = Disposition.PERMANENT
    outcome.reason = reason
