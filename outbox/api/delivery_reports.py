"""Delivery status notifications of the site, for messages that request them (RFC 3461, RFC 3464).

A server with DSN gets the request and reports by itself what happens after it accepted a message.
The site reports the rest to the envelope sender: failures, delays, and messages that a server
without DSN accepted. Each is reported once per recipient: the row of the request is locked while a
report is queued, in the same transaction that records it. A message with the null sender is never
reported, so that no report causes another one.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from django.conf import settings
from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from outbox.api.failure_email import can_send_now, working_account
from outbox.api.outgoing import Outgoing, OutgoingRecipient
from outbox.api.reasons import reason_of
from outbox.api.rendering import identity_of
from outbox.api.system_email import queue_system_source
from outbox.api.times import format_minute, format_offset
from outbox.conf import get_conf
from outbox.db.bulk import Among
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.mail.delivery_report import (
    MAX_FULL,
    DeliveryReport,
    RecipientStatus,
    ReportAction,
    header_of,
    render_delivery_report,
)
from outbox.mail.envelope import UnsendableError
from outbox.mail.mime_writer import Composition, make_message_id
from outbox.models import (
    DUE,
    OPEN,
    Account,
    Attempt,
    Message,
    Notify,
    Origin,
    Preferences,
    Recipient,
    ReportRequest,
    Ret,
    Source,
    State,
)
from outbox.models.return_path import token_of
from outbox.smtp.connect import reporting_name
from outbox.smtp.dsn import were_sent
from outbox.smtp.sevenbit import seven_bit

logger = logging.getLogger(__name__)
_LOOKS = 100  # at messages, in one sweep
_SECONDS = 5.0  # that the looks of one sweep take
_OFTEN, _SELDOM = 5.0, 300.0  # seconds until the next look: a tenth of the message's age, in these
_LATER = dt.timedelta(hours=1)  # when no account can send a report now
_NAMED = 50  # recipients in the text of a report; the report itself has all of them
_SUBJECT_MAX = 100
_REASON_MAX = 300
# What decides whether there is something to report.
_LOOKED_AT = ("message_id", "state", "attempts_at_retry", "reply_code", "attempt_id")
_ONCE = (ReportAction.FAILED, ReportAction.RELAYED)
_WANTED = {
    ReportAction.FAILED: Notify.FAILURE,
    ReportAction.DELAYED: Notify.DELAY,
    ReportAction.RELAYED: Notify.SUCCESS,
}


def send_reports(using: str) -> int:
    """Look at the messages that are due, and queue the reports; return how many were queued."""
    queued = 0
    try:
        now = database_now(using)
        due = ReportRequest.objects.using(using).filter(due_at__lte=now).order_by("due_at")
        ends_at = time.monotonic() + _SECONDS
        for pk, due_at in list(due.values_list("pk", "due_at")[:_LOOKS]):
            if time.monotonic() > ends_at:  # other work of the sweep waits; the rest stays due
                break
            queued += _look_at(pk, due_at, using)
    except DATABASE_UNAVAILABLE as error:
        logger.warning("Delivery reports have to wait for the database: %s", error)
    except Exception:
        logger.exception("Messages could not be reported; the next sweep tries again.")
    return queued


def _look_at(pk: int, due_at: dt.datetime | None, using: str) -> int:
    """Report what has happened to one message. An error postpones this message only."""
    try:
        return _report(pk, using)
    except DATABASE_UNAVAILABLE:
        raise
    except Exception:
        logger.exception("Message %s could not be reported.", pk)
        _postpone(pk, due_at, using)
        return 0


def _postpone(pk: int, due_at: dt.datetime | None, using: str) -> None:
    """Look again later, unless a retry has made the message due again."""
    later = database_now(using) + _LATER
    ReportRequest.objects.using(using).filter(pk=pk, due_at=due_at).update(due_at=later)


def _report(pk: int, using: str) -> int:
    requests = ReportRequest.objects.using(using).select_related("message__account")
    request = requests.filter(pk=pk).first()
    if request is None:
        return 0
    look = _Look(request, database_now(using), using)
    reports = look.reports()
    if reports and look.account is None:  # every account that could send it is one that fails
        _postpone(pk, request.due_at, using)
        return 0
    # A stored file is read before the transaction, which must not wait for a storage.
    outgoing = [look.render(action, rows) for action, rows in reports.items()]
    with transaction.atomic(using=using):
        rows = ReportRequest.objects.using(using).filter(pk=pk)
        locked = rows.select_for_update(skip_locked=True, no_key=True).first()
        if locked is None or (locked.reported, locked.due_at) != (request.reported, request.due_at):
            return 0  # another process has reported it, or a recipient is retried
        for item in outgoing:
            queue_system_source(item)
        locked.reported = look.reported_after(reports)
        locked.due_at = look.next_at()
        locked.save(using=using, update_fields=["reported", "due_at"])
    return len(outgoing)


class _Look:
    """One look at a message and its recipients."""

    def __init__(self, request: ReportRequest, now: dt.datetime, using: str) -> None:
        self._request = request
        self._message: Message = request.message
        self._now = now
        self._using = using
        recipients = Recipient.objects.using(using).filter(message=self._message)
        self._recipients = list(recipients.only(*_LOOKED_AT).order_by("pk"))

    @cached_property
    def _to(self) -> Address | None:
        """The addressee of the reports; None for the null sender, and one without a domain."""
        try:
            return parse_address(self._message.envelope_sender)
        except AddressError:
            return None

    @property
    def _since(self) -> dt.datetime:
        """When the message could be sent first."""
        message = self._message
        return max(message.queued_at or message.created_at, message.send_at or message.created_at)

    @property
    def _delays(self) -> list[dt.timedelta]:
        """The ages of a waiting message at which a delay is reported."""
        conf = get_conf()
        ages = sorted({conf.first_delay_report, conf.second_delay_report})
        return [dt.timedelta(seconds=age) for age in ages if age > 0]

    @property
    def _delay_number(self) -> int:
        """How many reports of a delay are due by now."""
        return sum(self._since + age <= self._now for age in self._delays)

    def reports(self) -> Mapping[ReportAction, list[Recipient]]:
        """Return the recipients to report, by what happened to them."""
        if self._message.is_draft or self._to is None:
            return {}
        wanted = self._request.wanted
        found: dict[ReportAction, list[Recipient]] = {}
        for one in self._recipients:
            action = self._action_of(one)
            is_wanted = action is not None and _WANTED[action] in wanted
            if action is not None and is_wanted and not self._is_reported(one, action):
                found.setdefault(action, []).append(one)
        return {action: full for action, rows in found.items() if (full := self._in_full(rows))}

    def _in_full(self, rows: Sequence[Recipient]) -> list[Recipient]:
        """Return recipients with all columns, unless their state has changed."""
        states = {one.pk: one.state for one in rows}
        found = Recipient.objects.using(self._using).filter(Among("pk", states)).order_by("pk")
        return [one for one in found if one.state == states[one.pk]]

    def _action_of(self, recipient: Recipient) -> ReportAction | None:
        if recipient.state in {State.FAILED, State.EXPIRED}:
            return ReportAction.FAILED
        if recipient.state == State.SENT:
            return ReportAction.RELAYED if self._is_relayed(recipient) else None
        if recipient.state in {*DUE, State.SENDING} and not recipient.attempts_at_retry:
            return ReportAction.DELAYED if self._delay_number else None
        return None

    def _is_relayed(self, recipient: Recipient) -> bool:
        """Return whether a server accepted the message that reports nothing further."""
        if Notify.SUCCESS not in self._request.wanted or (recipient.reply_code or 0) // 100 != 2:  # noqa: PLR2004  # a positive reply
            return False
        return recipient.attempt_id in self._attempts_without_dsn

    @cached_property
    def _attempts_without_dsn(self) -> set[int]:
        """The attempts that did not pass the request on."""
        sent = (one.attempt_id for one in self._recipients if one.state == State.SENT)
        attempts = Attempt.objects.using(self._using).filter(pk__in={*filter(None, sent)})
        return {one.pk for one in attempts.select_related("session") if not _has_passed_on(one)}

    def _is_reported(self, recipient: Recipient, action: ReportAction) -> bool:
        if action is ReportAction.DELAYED:
            known = self._request.reported.get(action.value) or {}
            return int(known.get(str(recipient.pk), 0)) >= self._delay_number
        return recipient.pk in self._reported[action]

    @cached_property
    def _reported(self) -> Mapping[ReportAction, frozenset[int]]:
        """The recipients that were reported, by what happened to them."""
        reported = self._request.reported
        return {action: frozenset(reported.get(action.value) or ()) for action in _ONCE}

    def reported_after(
        self, reports: Mapping[ReportAction, Sequence[Recipient]]
    ) -> dict[str, object]:
        """Return what has been reported when these reports are queued."""
        after = dict(self._request.reported)
        for action, recipients in reports.items():
            if action is ReportAction.DELAYED:
                numbers = {str(one.pk): self._delay_number for one in recipients}
                after[action.value] = (after.get(action.value) or {}) | numbers
            else:
                known = after.get(action.value) or []
                after[action.value] = [*known, *(one.pk for one in recipients)]
        return after

    def next_at(self) -> dt.datetime | None:
        """Return when to look again; None if nothing will happen without a person."""
        is_over = not any(one.state in OPEN for one in self._recipients)
        if self._message.is_draft or self._to is None or is_over:
            return None
        open_ones = [one.state for one in self._recipients if one.state in OPEN]
        is_waiting = any(state in {*DUE, State.SENDING} for state in open_ones)
        needs_person = any(state in {State.HELD, State.UNCERTAIN} for state in open_ones)
        delays = [at for age in self._delays if (at := self._since + age) > self._now]
        if not needs_person and self._request.wanted == {Notify.DELAY.value}:
            return min(delays, default=None)
        age = (self._now - self._since).total_seconds()
        most = _SELDOM if is_waiting else _LATER.total_seconds()  # a person may take weeks
        following = self._now + dt.timedelta(seconds=min(max(age / 10, _OFTEN), most))
        return min([following, *delays])

    # --- the report -----------------------------------------------------------------------------

    @cached_property
    def account(self) -> Account | None:
        """The account that sends the reports: that of the message, if it works, or another one."""
        own = self._message.account
        to = [self._to] if self._to else []
        if own is not None and own.is_active and can_send_now(own, to, self._using):
            return own
        return working_account(self._message.owner, {self._message.account_id}, to, self._using)

    @cached_property
    def _source(self) -> bytes:
        """The message as the report may return it. Of a sensitive message not even the subject."""
        message = self._message
        source = None
        if not message.is_sensitive:
            source = Source.objects.using(self._using).filter(pk=message.pk).first()
        if source is None or source.is_redacted:
            return _known_header(message)
        try:
            return source.read()
        except FileNotFoundError:
            logger.warning("The stored file of message %s is missing.", message.pk)
            return _known_header(message)

    def render(self, action: ReportAction, recipients: Sequence[Recipient]) -> Outgoing:
        """Return the report on these recipients."""
        assert self.account is not None
        assert self._to is not None
        message = self._message
        chosen = Preferences.objects.using(self._using).filter(pk=message.owner_id).first()
        language = (chosen.language if chosen else "") or settings.LANGUAGE_CODE
        zone = (chosen.time_zone if chosen else "") or settings.TIME_ZONE
        with translation.override(language), timezone.override(zone):
            composition = self._composition(action, recipients, self.account, self._to)
            report = self._delivery_report(action, recipients)
            return Outgoing(
                source=render_delivery_report(composition, report),
                envelope_sender="",
                recipients=[OutgoingRecipient(self._to.spec, name=self._to.name)],
                account=self.account,
                owner=message.owner,
                origin=Origin.REPORT,
                subject=composition.subject,
                from_header=str(composition.from_),
                message_id=composition.message_id,
                text=composition.text,
            )

    def _composition(
        self,
        action: ReportAction,
        recipients: Sequence[Recipient],
        account: Account,
        to: Address,
    ) -> Composition:
        identity = identity_of(account)
        domain = get_conf().message_id_domain or identity.wire.rpartition("@")[2]
        subject = " ".join(str(self._message).split())[:_SUBJECT_MAX]
        return Composition(
            from_=replace(identity, name=_("Mail delivery system")),
            to=[to],
            subject=_subject(action) % {"subject": subject},
            date=self._now,
            message_id=make_message_id(domain),
            text="\n".join(self._lines(action, recipients, subject)),
            headers={"Auto-Submitted": "auto-replied"},
        )

    def _lines(
        self, action: ReportAction, recipients: Sequence[Recipient], subject: str
    ) -> Iterator[str]:
        count = len(recipients)
        yield _first_sentence(action, count)
        if action is ReportAction.DELAYED:
            yield _("Delivery is still being attempted. You need not send the message again.")
        elif action is ReportAction.RELAYED:
            yield _("That server sends no delivery reports, so no further report may follow.")
        yield ""
        colon = pgettext("before a value", ": ")
        for one in recipients[:_NAMED]:
            reason = self._reason_in_words(one)[:_REASON_MAX]
            yield f"  {one.address}{colon}{reason}" if reason else f"  {one.address}"
        if count > _NAMED:
            more = ngettext(
                "… and %(count)d more recipient", "… and %(count)d more recipients", count - _NAMED
            )
            yield "  " + more % {"count": count - _NAMED}
        yield ""
        yield _("Subject: %(subject)s") % {"subject": subject}
        at = timezone.localtime(self._since)
        yield _("Queued: %(moment)s") % {"moment": f"{format_minute(at)} {format_offset(at)}"}
        yield ""
        yield _("The sender requested this report with the message.")

    def _reason_in_words(self, recipient: Recipient) -> str:
        if self._message.is_sensitive:  # the server may repeat what the message says
            return f"{recipient.reply_code or ''} {recipient.reply_enhanced}".strip()
        return reason_of(recipient)

    def _delivery_report(
        self, action: ReportAction, recipients: Sequence[Recipient]
    ) -> DeliveryReport:
        is_full = action is ReportAction.FAILED and self._request.ret == Ret.FULL
        # Staff of another account may read what that one sends.
        is_full = is_full and self.account == self._message.account
        source = self._source
        is_full = is_full and not self._message.is_sensitive and len(source) <= MAX_FULL
        if is_full and not source.isascii():
            is_full, source = _in_seven_bits(source)
        first = min(one.attempts_at_retry for one in recipients)
        return DeliveryReport(
            reporting_host=reporting_name(get_conf().ehlo_name),
            envelope_id=self._request.envid or token_of(self._message.pk, first),
            arrived_at=self._message.queued_at,
            recipients=[self._status(action, one) for one in recipients],
            original=source,
            is_full=is_full,
        )

    def _status(self, action: ReportAction, recipient: Recipient) -> RecipientStatus:
        reply = _Reply.of(action, recipient)
        text = "" if self._message.is_sensitive else recipient.reply_text
        if self._message.is_sensitive and reply:
            text = recipient.reply_enhanced
        diagnostic = f"{reply.code} {text}" if reply else str(recipient.reason)
        is_delayed = action is ReportAction.DELAYED
        return RecipientStatus(
            address=recipient.address,
            action=action,
            status=_status_code(action, recipient, reply),
            remote_host=recipient.remote_host,
            diagnostic_type="smtp" if reply else "x-outbox",
            diagnostic=diagnostic.strip(),
            last_attempt_at=recipient.last_attempt_at,
            retry_until=recipient.expires_at if is_delayed else None,
        )


@dataclass(frozen=True, slots=True)
class _Reply:
    """The server's reply that explains an action."""

    code: int
    enhanced: str

    @classmethod
    def of(cls, action: ReportAction, recipient: Recipient) -> _Reply | None:
        """Return the recipient's last reply, unless it is about something else."""
        code = recipient.reply_code or 0
        first_digits = {
            ReportAction.FAILED: (4, 5) if recipient.state == State.EXPIRED else (5,),
            ReportAction.DELAYED: (4,),
            ReportAction.RELAYED: (2,),
        }[action]
        return cls(code, recipient.reply_enhanced) if code // 100 in first_digits else None


def _status_code(action: ReportAction, recipient: Recipient, reply: _Reply | None) -> str:
    """Return the status code (RFC 3463). Its first digit agrees with the action."""
    if recipient.state == State.EXPIRED:
        return "4.4.7"  # the time for delivery expired
    digit = {ReportAction.FAILED: "5", ReportAction.DELAYED: "4", ReportAction.RELAYED: "2"}[action]
    if reply and reply.enhanced.startswith(f"{digit}."):
        return reply.enhanced
    return f"{digit}.0.0"


def _has_passed_on(attempt: Attempt) -> bool:
    """Return whether the server got the request: it has DSN, and did not reject the parameters."""
    lines = attempt.transfer_lines
    if lines:
        return were_sent(lines)
    return attempt.session is None or "DSN" in attempt.session.extensions


def _known_header(message: Message) -> bytes:
    """Return a header of what is stored beside the content."""
    lines = [f"From: {message.from_header}", f"Message-ID: <{message.message_id}>"]
    return "".join(f"{' '.join(line.split())}\r\n" for line in lines).encode()


def _in_seven_bits(source: bytes) -> tuple[bool, bytes]:
    """Return whether the whole message can be returned, and in which form."""
    try:
        if header_of(source).isascii():
            return True, seven_bit(source)
    except UnsendableError:  # it is signed
        pass
    return False, source


def _subject(action: ReportAction) -> str:
    if action is ReportAction.FAILED:
        return _("Delivery failed: %(subject)s")
    if action is ReportAction.DELAYED:
        return _("Delivery delayed: %(subject)s")
    return _("Message relayed: %(subject)s")


def _first_sentence(action: ReportAction, count: int) -> str:
    if action is ReportAction.FAILED:
        return ngettext(
            "The message could not be delivered to this recipient:",
            "The message could not be delivered to these recipients:",
            count,
        )
    if action is ReportAction.DELAYED:
        return ngettext(
            "The message has not been delivered to this recipient yet.",
            "The message has not been delivered to these recipients yet.",
            count,
        )
    return ngettext(
        "The server accepted the message for this recipient.",
        "The server accepted the message for these recipients.",
        count,
    )


def addressees_of_reports(messages: Sequence[Message], using: str) -> dict[int, str]:
    """Return the key of the address to which a report on every failure goes, by message."""
    wanting = {one.pk: one for one in messages if one.wants_report}
    if not wanting:
        return {}
    requests = ReportRequest.objects.using(using).filter(Among("message", wanting)).only("notify")
    # The site reports no bounce: the server that sent it did.
    bounced = Recipient.objects.using(using).filter(Among("message", wanting), state=State.BOUNCED)
    excluded = set(bounced.order_by().values_list("message_id", flat=True))
    found: dict[int, str] = {}
    for request in requests:
        if request.pk in excluded or Notify.FAILURE not in request.wanted:
            continue
        try:
            found[request.pk] = parse_address(wanting[request.pk].envelope_sender).key
        except AddressError:
            continue
    return found
