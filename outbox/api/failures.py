"""Failures of delivery: which of them a user has seen, and when an email reports them.

A failed message is unseen until its owner opens it or *Failed*. What is unseen when a digest is due
is in it. Messages are collected per addressee first, so that a sweep never walks through failures
that wait for tomorrow's digest. The row of the addressee is locked while a digest is queued, in the
same transaction that empties it: two workers never queue two.
"""

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from outbox.api.delivery_reports import addressees_of_reports
from outbox.api.failure_email import SITE, Addressee, addressee_of, queue_digest
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import FailureDigest, FailureDigestChoice, Message, Origin, Preferences
from outbox.models.message import MessageQuerySet
from outbox.models.owner_key import owner_key

logger = logging.getLogger(__name__)
_COLLECTED_AT_ONCE = 500  # messages
_ROUNDS = 10  # of collecting, and digests, in one sweep
_DAILY_AT = 8  # o'clock, in the addressee's time zone
_LATER = dt.timedelta(hours=1)  # when no account can send a digest now


def mark_failures_seen(messages: MessageQuerySet) -> None:
    """Note that the owner saw these failures; none of them has to be reported any more."""
    unseen = messages.filter(failure_unseen=True)
    unseen.update(failure_unseen=False, failure_unreported=False)


def report_failures(using: str) -> int:
    """Collect new failures and queue the digests that are due; return how many were queued."""
    queued = 0
    try:
        for _ in range(_ROUNDS):
            if _collect(using) < _COLLECTED_AT_ONCE:
                break
        for _ in range(_ROUNDS):
            done = _queue_next(using)
            if done is None:
                break
            queued += done
    except DATABASE_UNAVAILABLE as error:
        logger.warning("Failure digests have to wait for the database: %s", error)
    except Exception:
        logger.exception("Failures could not be reported; the next sweep tries again.")
    return queued


def _collect(using: str) -> int:
    """Add unreported failures to the digests of their addressees; return how many there were."""
    with transaction.atomic(using=using):
        now = database_now(using)
        messages = Message.objects.using(using)
        unreported = messages.filter(failure_unreported=True).order_by("pk")
        locked = unreported.select_for_update(skip_locked=True, no_key=True)
        found = list(
            locked.only("pk", "owner_id", "origin", "envelope_sender", "wants_report")[
                :_COLLECTED_AT_ONCE
            ]
        )
        if not found:
            return 0
        by_addressee: dict[int, list[int]] = defaultdict(list)
        owners: dict[int, Any] = {SITE: None}
        # The failure of a digest is on the pages, but no email reports it: that would not end. The
        # same holds for all other messages that no server may report about (RFC 5321 6.1).
        reportable = [one for one in found if one.envelope_sender and one.origin != Origin.REPORT]
        with_own_report = _with_own_report(reportable, using)
        for message in reportable:
            if message.pk not in with_own_report:
                key = owner_key(message.owner_id)
                by_addressee[key].append(message.pk)
                owners[key] = message.owner_id
        preferences = Preferences.objects.using(using).filter(pk__in=owners.values())
        chosen_by = {owner_key(row.pk): row for row in preferences}
        for key in sorted(by_addressee):
            chosen = chosen_by.get(key) or Preferences()
            if chosen.failure_digest != FailureDigestChoice.NEVER:
                _add(key, by_addressee[key], chosen, now, using)
        messages.filter(pk__in=[one.pk for one in found]).update(failure_unreported=False)
        return len(found)


def _with_own_report(messages: Sequence[Message], using: str) -> set[int]:
    """Return the messages whose owners get a delivery report.

    It says the same to the same address. The rows are locked, so a query is about all of them.
    """
    reported = addressees_of_reports([one for one in messages if one.owner_id], using)
    owner_of = {one.pk: one.owner_id for one in messages if one.pk in reported}
    addressees = {owner: addressee_of(owner, using) for owner in {*owner_of.values()}}
    return {
        pk
        for pk, key in reported.items()
        if (addressee := addressees[owner_of[pk]]) is not None and addressee.to[0].key == key
    }


def _add(key: int, ids: list[int], chosen: Preferences, now: dt.datetime, using: str) -> None:
    digests = FailureDigest.objects.using(using)
    digests.get_or_create(addressee_key=key)
    digest = digests.select_for_update(no_key=True).get(pk=key)
    digest.messages.add(*ids)
    if digest.due_at is None:
        digest.due_at = _due_at(chosen, digest.sent_at, now)
        digest.save(update_fields=["due_at"])


def _due_at(chosen: Preferences, sent_at: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    conf = get_conf()
    if chosen.failure_digest == FailureDigestChoice.DAILY:
        local = now.astimezone(ZoneInfo(chosen.time_zone or settings.TIME_ZONE))
        morning = local.replace(hour=_DAILY_AT, minute=0, second=0, microsecond=0)
        return morning if morning > local else morning + dt.timedelta(days=1)
    collected = now + dt.timedelta(seconds=conf.failure_digest_delay)
    if sent_at is None:
        return collected
    return max(collected, sent_at + dt.timedelta(seconds=conf.failure_digest_interval))


def reschedule_digest(chosen: Preferences) -> None:
    """Apply a changed preference to failures that were collected already."""
    using = get_conf().database
    with transaction.atomic(using=using):
        waiting = FailureDigest.objects.using(using).filter(due_at__isnull=False)
        digest = waiting.select_for_update(no_key=True).filter(pk=owner_key(chosen.user_id)).first()
        if digest is not None:
            digest.due_at = _due_at(chosen, digest.sent_at, database_now(using))
            digest.save(update_fields=["due_at"])


def _queue_next(using: str) -> int | None:
    """Queue one due digest; return 0 where it has to wait or is not needed, None if none is due."""
    due_key = None
    try:
        with transaction.atomic(using=using):
            now = database_now(using)
            due = FailureDigest.objects.using(using).filter(due_at__lte=now).order_by("due_at")
            digest = due.select_for_update(skip_locked=True, no_key=True).first()
            if digest is None:
                return None
            due_key = digest.pk
            return _queue(digest, now, using)
    except DATABASE_UNAVAILABLE:
        raise
    except Exception:
        if due_key is None:
            raise
        logger.exception("The failure digest of %s could not be queued.", due_key or "the site")
        later = database_now(using) + _LATER
        FailureDigest.objects.using(using).filter(pk=due_key).update(due_at=later)
        return 0


def _queue(digest: FailureDigest, now: dt.datetime, using: str) -> int:
    owner_id = None
    if digest.pk != SITE:
        owner_id = digest.messages.exclude(owner=None).values_list("owner", flat=True).first()
        if owner_id is None:  # the user was deleted
            _empty(digest, sent_at=digest.sent_at)
            return 0
    addressee = addressee_of(owner_id, using)
    failed = digest.messages.filter(has_failure=True)
    if digest.pk != SITE:
        failed = failed.filter(failure_unseen=True)
    if addressee is None or not failed.exists():
        _empty(digest, sent_at=digest.sent_at)
        return 0
    return _queue_for(addressee, digest, failed, now, using)


def _queue_for(
    addressee: Addressee,
    digest: FailureDigest,
    failed: MessageQuerySet,
    now: dt.datetime,
    using: str,
) -> int:
    if not queue_digest(
        addressee, failed, using
    ):  # every account that could send it is one that fails
        digest.due_at = now + _LATER
        digest.save(update_fields=["due_at"])
        return 0
    _empty(digest, sent_at=now)
    return 1


def _empty(digest: FailureDigest, *, sent_at: dt.datetime | None) -> None:
    digest.messages.clear()
    digest.due_at, digest.sent_at = None, sent_at
    digest.save(update_fields=["due_at", "sent_at"])
