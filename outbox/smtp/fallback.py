"""How one transaction goes on when a server rejects an extension that it announced.

MAIL or RCPT is repeated without the parameter. A reply often names it; otherwise each parameter is
left out in turn, then all of them. SMTPUTF8 is left out only if the reply is about it, and only for
the recipients that do without it.

A rejected null sender is replaced as well, if the envelope has another one. Some servers reject
it at MAIL, others at RCPT or after the message. Such a reply rarely says so, so another permanent
rejection of MAIL costs one more command.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from outbox.mail.envelope import Envelope
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.extensions import NULL_SENDER, Extensions, Restrictions
from outbox.smtp.plan import Plan, Sign, make_plan
from outbox.smtp.reply import Reply
from outbox.smtp.status import is_unknown
from outbox.smtp.transaction import Transaction

# What a reply calls an extension: its keyword, or a parameter of it.
_NAMES = {
    "SIZE": "SIZE",
    "8BITMIME": "8BITMIME",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "DSN": "DSN",
    "RET": "DSN",
    "ENVID": "DSN",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
}
_NAMED = re.compile(rf"\b({'|'.join(_NAMES)})\b", re.IGNORECASE)
_UTF8_REJECTED = "6.7"  # non-ASCII addresses not permitted (RFC 6531 5)


def is_extension_rejected(reply: Reply, used: Sequence[str]) -> bool:
    """Return whether a command with these extensions was rejected because of one of them."""
    if not used or not reply.permanent:
        return False
    return is_unknown(reply) or (reply.detail == _UTF8_REJECTED and "SMTPUTF8" in used)


def names_extension(reply: Reply, used: Sequence[str]) -> bool:
    """Return whether a rejection names one of these extensions, or a parameter of it."""
    return is_extension_rejected(reply, used) and bool(_named(reply).intersection(used))


def _named(reply: Reply) -> set[str]:
    named = {_NAMES[found.upper()] for found in _NAMED.findall(reply.text)}
    return named | {"SMTPUTF8"} if reply.detail == _UTF8_REJECTED else named


class Rejectable(Protocol):
    """What is needed to know of a dialogue that has ended."""

    @property
    def rejection(self) -> Reply | None: ...

    @property
    def extensions_used(self) -> Sequence[str]: ...

    @property
    def rejects_null_sender(self) -> bool: ...

    @property
    def has_recipients(self) -> bool: ...

    @property
    def delivered(self) -> bool: ...


class Plans:
    """The plans of one transaction: the first, and those without what the server rejects."""

    def __init__(
        self,
        extensions: Extensions,
        envelope: Envelope,
        source: bytes,
        transaction: Transaction,
        sign: Sign | None = None,
    ) -> None:
        self._extensions = extensions
        self._envelope = envelope
        self._source = source
        self._transaction = transaction
        self._sign = sign
        self._fallback = _Fallback()

    def first(self) -> Plan | None:
        """Return the plan with every extension; None if nothing can be sent."""
        plan = self._make()
        if plan and self._envelope.wants_dsn and not self._extensions.dsn:
            self._transaction.transcript.note(Reason(ReasonCode.REPORT_UNAVAILABLE))
        return plan

    def after(self, dialogue: Rejectable) -> Plan | None:
        """Return a plan without an extension that was rejected; None if the outcome stands."""
        transaction, fallback = self._transaction, self._fallback
        if not fallback.choose(dialogue):
            if dialogue.has_recipients:
                # The content may be why the server rejected both senders.
                unproven = frozenset() if dialogue.delivered else {NULL_SENDER}
                transaction.learned |= Restrictions(fallback.without - unproven)
            return None
        rejected = transaction.recipients
        transaction.restart()
        plan = self._make()
        if plan is None:  # the extension is needed, so the server's reply is final
            transaction.recipients = rejected
            return None
        if NULL_SENDER in fallback.without:
            transaction.transcript.note(Reason(ReasonCode.NULL_SENDER_REJECTED))
        if extension := ", ".join(sorted(fallback.without - {NULL_SENDER})):
            transaction.transcript.note(Reason(ReasonCode.EXTENSION_REJECTED, extension=extension))
        if "DSN" in fallback.without:
            transaction.transcript.note(Reason(ReasonCode.REPORT_UNAVAILABLE))
        return plan

    def _make(self) -> Plan | None:
        extensions = self._extensions.without(Restrictions(self._fallback.without))
        return make_plan(extensions, self._envelope, self._source, self._transaction, self._sign)


class _Fallback:
    """The extensions that the next plan does without."""

    def __init__(self) -> None:
        self.without: frozenset[str] = frozenset()
        self._tried = {self.without}

    def choose(self, dialogue: Rejectable) -> bool:
        """Choose what to leave out after this rejection; return False if nothing is left."""
        for candidate in self._candidates(dialogue):
            if candidate not in self._tried:
                self._tried.add(candidate)
                self.without = candidate
                return True
        return False

    def _candidates(self, dialogue: Rejectable) -> Iterator[frozenset[str]]:
        reply, used = dialogue.rejection, dialogue.extensions_used
        if reply is not None and (named := _named(reply).intersection(used)):
            yield self.without | named
            return
        if dialogue.rejects_null_sender:
            yield self.without | {NULL_SENDER}
        if reply is None:
            return
        optional = [name for name in used if name != "SMTPUTF8"]
        for name in optional:
            yield frozenset([name])
        yield self.without | frozenset(optional)
