"""The messages that a received one may be about, the most certain rule first.

Everything in a received message may come from an attacker, so a candidate counts only if the
mailbox serves it (docs/decisions/0032). Each lookup uses an index and returns a bounded number of
rows. Messages that the mailbox does not serve are excluded before this bound is applied: otherwise
another user could hide a message by newer ones with its ids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Exists, OrderBy, OuterRef, Q

from outbox.conf import get_conf
from outbox.inbound.inspection import Inspection
from outbox.inbound.served import Reportable, Served, spellings_of
from outbox.mail.wire_ids import queue_id_of
from outbox.models import MatchRule, Message, Recipient, Status
from outbox.models.message import MessageQuerySet
from outbox.models.recipient import RecipientQuerySet
from outbox.models.return_path import SignedDelivery, read_token
from outbox.texts import storable

_MESSAGES_MAX = 20  # with one id: a message may be sent several times with the same Message-ID
_ROWS_MAX = 1_000  # recipients with one queue id: several may be of one message
_SAME_ADDRESS_MAX = 1_000  # recipients with one address; of more, none is chosen
_ADDRESSES_MAX = 50  # of a report without any id
_IDS_AT_ONCE = 500  # SQLite limits the parameters of a statement
_CLOCK_SKEW = dt.timedelta(minutes=5)  # of the server of the mailbox


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that a received one may be about, and the rule that found it."""

    message: Message
    rule: MatchRule
    attempts_at_retry: int | None = None  # what a signed token names
    queue_ids: frozenset[str] = frozenset()


def candidates_of_report(
    inspection: Inspection, addresses: Collection[str], served: Reportable, using: str
) -> Iterator[Candidate]:
    """Yield the messages that a report may be about, without duplicates.

    Of the messages with one id, those with one of the reported addresses come first. Those that
    only an address and the time point to are not among them: see `with_address`.
    """
    known: set[int] = set()
    for found in _of_report(inspection, addresses, served, using):
        if found.message.pk not in known and found.message in served:
            known.add(found.message.pk)
            yield found


def _of_report(
    inspection: Inspection, addresses: Collection[str], served: Reportable, using: str
) -> Iterator[Candidate]:
    original = storable(inspection.original_message_id)
    yield from _with_tokens(inspection.return_tokens, MatchRule.RETURN_PATH, using)
    by_recipient = _Limit(served.reported("message__"), addresses)
    yield from _with_queue_ids(inspection.queue_ids, MatchRule.QUEUE_ID, by_recipient, using)
    yield from _with_wire_ids([original], by_recipient, using)
    yield from _with_message_ids([original], _Limit(served.reported(), addresses), using)
    yield from _with_tokens([inspection.envelope_id], MatchRule.ENVELOPE_ID, using)


def known_ids(inspections: Iterable[Inspection], using: str) -> set[str]:
    """Return those of the ids in replies that a message has.

    Most messages refer to none of this site. So the ids of a batch are looked up together, and
    `candidates_of_reply` takes no query for the others.
    """
    ids = list(dict.fromkeys(one for each in inspections for one in _ids_of_reply(each) if one))
    known: set[str] = set()
    for start in range(0, len(ids), _IDS_AT_ONCE):
        chunk = ids[start : start + _IDS_AT_ONCE]
        same = Message.objects.using(using).filter(message_id__in=chunk).order_by()
        known.update(same.values_list("message_id", flat=True).distinct())
        by_queue_id: dict[str, list[str]] = {}  # several ids may differ in the host only
        for one in chunk:
            if queue_id := queue_id_of(one):
                by_queue_id.setdefault(queue_id, []).append(one)
        if by_queue_id:
            rows = _recipients_with(by_queue_id, using).values_list("remote_queue_id", flat=True)
            for queue_id in rows.distinct():
                known.update(by_queue_id[queue_id])
    return known


def refers_to_none(inspection: Inspection, known: Container[str] | None) -> bool:
    """Return whether a message refers to none of the ids that a message has, if they are known."""
    return known is not None and not any(one in known for one in _ids_of_reply(inspection))


def candidates_of_reply(
    inspection: Inspection, served: Served, using: str, known: Container[str] | None = None
) -> Iterator[Candidate]:
    """Yield the messages that a message may reply to, the nearest one first.

    `known` are those of its ids that a message has, if they were looked up. A message that refers
    to none takes no query, and any other one or two.
    """
    ids = [one for one in _ids_of_reply(inspection) if known is None or one in known]
    found = [
        *_with_wire_ids(ids, _Limit(served.own("message__")), using),
        *_with_message_ids(ids, _Limit(served.own()), using),
    ]
    place = {one: number for number, one in enumerate(ids)}
    for one in ids:
        if queue_id := queue_id_of(one):
            place.setdefault(queue_id, place[one])

    def nearness(candidate: Candidate) -> int:
        named = (candidate.message.message_id, *candidate.queue_ids)
        return min(place[one] for one in named if one in place)

    for candidate in sorted(found, key=nearness):
        if served.is_own(candidate.message):
            yield candidate


def _ids_of_reply(inspection: Inspection) -> list[str]:
    original = storable(inspection.original_message_id)
    return list(dict.fromkeys([original, *inspection.references]))


def _with_tokens(tokens: Collection[str], rule: MatchRule, using: str) -> Iterator[Candidate]:
    for signed in filter(None, map(read_token, tokens)):
        yield from _signed(signed, rule, using)


def _signed(signed: SignedDelivery, rule: MatchRule, using: str) -> Iterator[Candidate]:
    for message in _messages(using).filter(pk=signed.message_id):
        yield Candidate(message, rule, signed.attempts_at_retry)


@dataclass(frozen=True, slots=True)
class _Limit:
    """Which of the rows with one id are read, and in which order."""

    condition: Q
    addresses: Collection[str] = ()  # messages to one of them come first

    def order(self, key: str) -> list[str | OrderBy]:
        """Return the order of rows that have the key of a message in a column."""
        if not self.addresses:
            return [f"-{key}"]
        named = Recipient.objects.with_address_in(spellings_of(self.addresses)).order_by()
        return [Exists(named.filter(message=OuterRef(key))).desc(), f"-{key}"]


def _with_wire_ids(ids: Sequence[str], limit: _Limit, using: str) -> Iterator[Candidate]:
    queue_ids = [found for one in ids if one and (found := queue_id_of(one))]
    return _with_queue_ids(queue_ids, MatchRule.WIRE_ID, limit, using)


def _with_queue_ids(
    ids: Collection[str], rule: MatchRule, limit: _Limit, using: str
) -> Iterator[Candidate]:
    if not ids:
        return
    found = _recipients_with(ids, using).filter(limit.condition)
    found = found.order_by(*limit.order("message"))
    by_message: dict[int, set[str]] = {}
    for message_id, queue_id in found.values_list("message_id", "remote_queue_id")[:_ROWS_MAX]:
        by_message.setdefault(message_id, set()).add(queue_id)
    chosen = list(by_message)[:_MESSAGES_MAX]
    messages = _messages(using).in_bulk(chosen)
    for pk in chosen:
        if pk in messages:
            yield Candidate(messages[pk], rule, None, frozenset(by_message[pk]))


def _recipients_with(queue_ids: Collection[str], using: str) -> RecipientQuerySet:
    rows = Recipient.objects.using(using).filter(remote_queue_id__in=list(queue_ids)).order_by()
    # The condition of the index: a prepared statement cannot see that no id is empty.
    return rows.exclude(remote_queue_id="")


def _with_message_ids(ids: Sequence[str], limit: _Limit, using: str) -> Iterator[Candidate]:
    if wanted := [one for one in ids if one]:
        same = _messages(using).filter(limit.condition, message_id__in=wanted)
        for message in same.order_by(*limit.order("pk"))[:_MESSAGES_MAX]:
            yield Candidate(message, MatchRule.MESSAGE_ID)


def with_address(address: str, served: Served, at: dt.datetime, using: str) -> Recipient | None:
    """Return the last recipient that was sent to shortly before a time, with its message."""
    spellings = spellings_of([address])
    rows = Recipient.objects.using(using).with_address_in(spellings).order_by()
    rows = rows.filter(served.reported("message__"))
    found = list(rows.only("pk", "message_id", "last_attempt_at")[: _SAME_ADDRESS_MAX + 1])
    if len(found) > _SAME_ADDRESS_MAX:
        return None
    earliest = at - dt.timedelta(seconds=get_conf().report_address_window)
    latest_at = at + _CLOCK_SKEW
    tried = [
        (started <= at, started, one.pk, one)
        for one in found
        if one.last_attempt_at
        # `at` comes from a field with whole seconds.
        and earliest <= (started := one.last_attempt_at.replace(microsecond=0)) <= latest_at
    ]
    tried.sort(reverse=True)  # no two have the same id
    latest = [one for _, _, _, one in tried[:_MESSAGES_MAX]]
    messages = _messages(using).in_bulk([one.message_id for one in latest])
    for one in latest:
        sent = messages.get(one.message_id)
        if sent is not None and sent in served:
            one.message = sent
            return one
    return None


def addresses_max(addresses: Sequence[str]) -> Sequence[str]:
    """Return those of the addresses that are looked up without any id."""
    return addresses[:_ADDRESSES_MAX]


def _messages(using: str) -> MessageQuerySet:
    queued = Message.objects.using(using).exclude(status=Status.DRAFT)
    return queued.select_related("account")
