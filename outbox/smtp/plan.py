"""The plan of a transaction with one server, made before a byte is sent.

It compares envelope and message with the server's extensions: SIZE, 8BITMIME, SMTPUTF8, LIMITS and
DSN. A message that cannot be sent to this server is rejected here, with the reason.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from outbox.mail.addresses import mailbox_key
from outbox.mail.envelope import Envelope, UnsendableError, needs_smtputf8, path
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import dsn
from outbox.smtp.content import Content
from outbox.smtp.extensions import Extensions
from outbox.smtp.server import Server
from outbox.smtp.sevenbit import seven_bit
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction

# Returns the signature fields to send before the message; empty if it is not signed.
Sign = Callable[[bytes], bytes]

LAST_CHUNK = 65_536  # bytes of the last BDAT at most, so that it is sent in one write


@dataclass(frozen=True, slots=True)
class Rcpt:
    """One RCPT TO, and the outcomes (several for duplicates) that its reply decides."""

    line: bytes
    outcomes: tuple[RecipientOutcome, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    mail: bytes
    rcpts: list[Rcpt]
    content: Content
    mail_extensions: tuple[str, ...] = ()  # those that the MAIL command has parameters of
    rcpt_extensions: tuple[str, ...] = ()  # the same of each RCPT command
    has_other_sender: bool = False  # MAIL has the null sender, and the envelope has another one


@dataclass(frozen=True, slots=True)
class TransferMode:
    pipelined: bool = False  # MAIL, RCPT and DATA in one write (RFC 2920)
    chunked: bool = False  # BDAT in place of DATA (RFC 3030)
    single_write: bool = False  # MAIL, RCPT and the only chunk in one write: one round trip in all
    requests_dot_early: bool = False  # `before_dot` already runs during the envelope


def make_plan(
    extensions: Extensions,
    envelope: Envelope,
    source: bytes,
    transaction: Transaction,
    sign: Sign | None = None,
) -> Plan | None:
    """Return the plan; None when there is nothing to send, with the outcomes set."""
    has_other_sender = bool(not envelope.sender and envelope.sender_instead)
    if has_other_sender and not extensions.null_sender:
        envelope, has_other_sender = replace(envelope, sender=envelope.sender_instead), False
    try:
        form = _fitting_form(Content.of(source), extensions, transaction)
        content = _signed(form, transaction, sign) if sign else form
        _check_size(content, extensions)
        utf8 = _wants_smtputf8(envelope, content, extensions)
        mail = _mail_line(envelope, content, extensions, as_is=utf8)
        used = _used(envelope, content, extensions, as_is=utf8)
    except UnsendableError as error:
        transaction.reject_all(error.reason)
        return None
    if form.source != source:
        transaction.sent_sha256 = hashlib.sha256(form.source).hexdigest()
    rcpts = _rcpts(envelope, transaction.recipients, extensions, as_is=utf8)
    if not rcpts:
        return None
    rcpt_extensions = ("DSN",) if "DSN" in used else ()
    return Plan(mail, rcpts, content, used, rcpt_extensions, has_other_sender)


def _fitting_form(content: Content, extensions: Extensions, transaction: Transaction) -> Content:
    """Return the content, in seven bits where the server needs it."""
    if not content.ascii and not extensions.eight_bit and content.head_is_ascii:
        content = Content.of(seven_bit(content.source))
        transaction.sent_form = "7bit"
    return content


def _signed(content: Content, transaction: Transaction, sign: Sign) -> Content:
    """Return the content with signatures of exactly these bytes before it."""
    fields = sign(content.source)
    transaction.signature = fields.decode("ascii")
    return Content(fields + content.source, content.ascii)


def _check_size(content: Content, extensions: Extensions) -> None:
    """Raise UnsendableError above the server's size limit."""
    size, limit = len(content.source), extensions.size_limit
    if limit and size > limit:
        raise UnsendableError(Reason(ReasonCode.MESSAGE_TOO_LARGE, size=size, limit=limit))


def _wants_smtputf8(envelope: Envelope, content: Content, extensions: Extensions) -> bool:
    """Return whether MAIL has SMTPUTF8. Raises if sender or header need it and it is missing."""
    if extensions.smtputf8:
        return (
            not content.head_is_ascii
            or needs_smtputf8(envelope.sender)
            or any(map(needs_smtputf8, envelope.recipients))
        )
    if needs_smtputf8(envelope.sender):
        raise UnsendableError(Reason(ReasonCode.SMTPUTF8_SENDER, address=envelope.sender))
    if not content.head_is_ascii:
        raise UnsendableError(Reason(ReasonCode.SMTPUTF8_HEADER))
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
    if envelope.requires_tls:  # never left out: the session was checked for it
        line += b" REQUIRETLS"
    if extensions.dsn and envelope.wants_dsn:
        line += dsn.mail_parameters(envelope)
    return line


def _used(
    envelope: Envelope, content: Content, extensions: Extensions, *, as_is: bool
) -> tuple[str, ...]:
    """Return the extensions whose parameters MAIL has, the most dispensable first."""
    used = {
        "SIZE": extensions.size,
        "8BITMIME": extensions.eight_bit and not content.ascii,
        "DSN": extensions.dsn and envelope.wants_dsn,
        "SMTPUTF8": as_is,
    }
    return tuple(name for name, is_used in used.items() if is_used)


def _rcpts(
    envelope: Envelope, outcomes: list[RecipientOutcome], extensions: Extensions, *, as_is: bool
) -> list[Rcpt]:
    wants_dsn = extensions.dsn and envelope.wants_dsn
    lines: dict[str, tuple[bytes, list[RecipientOutcome]]] = {}
    domains: set[str] = set()
    for outcome in outcomes:
        key = mailbox_key(outcome.address)
        if key in lines:
            lines[key][1].append(outcome)
            continue
        try:
            line = b"RCPT TO:" + _recipient_path(outcome.address, extensions, as_is=as_is)
        except UnsendableError as error:
            _reject(outcome, error.reason)
            continue
        domain = key.rpartition("@")[2]
        if _is_one_too_many(extensions, len(lines), domains, domain):
            outcome.disposition = Disposition.OVERFLOW
            outcome.reason = Reason(ReasonCode.RECIPIENTS_LIMITED)
            continue
        if wants_dsn:
            line += dsn.rcpt_parameters(envelope, outcome.address, as_is=as_is)
        domains.add(domain)
        lines[key] = (line, [outcome])
    return [Rcpt(line, tuple(duplicates)) for line, duplicates in lines.values()]


def _recipient_path(address: str, extensions: Extensions, *, as_is: bool) -> bytes:
    if not extensions.smtputf8 and needs_smtputf8(address):
        raise UnsendableError(Reason(ReasonCode.SMTPUTF8_RECIPIENT, address=address))
    return path(address, as_is=as_is)


def _is_one_too_many(
    extensions: Extensions, recipients: int, domains: set[str], domain: str
) -> bool:
    if 0 < extensions.rcpt_max <= recipients:
        return True
    return 0 < extensions.rcpt_domain_max <= len(domains) and domain not in domains


def _reject(outcome: RecipientOutcome, reason: Reason) -> None:
    outcome.disposition = Disposition.PERMANENT
    outcome.reason = reason


def choose_transfer_mode(
    server: Server, extensions: Extensions, size: int, *, proven: bool
) -> TransferMode:
    """Return the fastest mode that the server supports and this message allows.

    A single write has no 354 that would reveal an extra reply before the message is sent. So it
    needs a `proven` session: one that has delivered a message with every reply in its place. Only
    such a session requests the dot early, too. Where the 354 may not come, a worker that is killed
    while it waits would leave a certainly unsent message uncertain.
    """
    pipelined = server.pipelining and extensions.pipelining
    chunked = server.chunking and extensions.chunking
    single_write = pipelined and chunked and proven and size <= LAST_CHUNK
    return TransferMode(pipelined, chunked, single_write, requests_dot_early=pipelined and proven)
