"""Import and export of a suppression list as CSV.

The columns are those of the export: `address`, `account`, `tag`, `reason`, `evidence`, `until`.
Only the first is necessary. A file without a head has the addresses in its first column.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import transaction
from django.utils.dateparse import parse_date, parse_datetime

from outbox.api import audit
from outbox.api.csv_files import uncell
from outbox.api.values import read_tag
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import Account, AuditAction, Suppression
from outbox.models.suppression import (
    REASON_MAX,
    SuppressionQuerySet,
    SuppressionReason,
    folded_address,
    forget,
    highest_recipient,
    name_of,
    reason_named,
)
from outbox.texts import UNSTORABLE

COLUMNS = ("address", "account", "tag", "reason", "evidence", "since", "until")
ROWS_MAX = 200_000
_AT_ONCE = 500
_REJECTED_KEPT = 20
_UPDATED = ("reason", "evidence", "until", "highest_id")


@dataclass(slots=True)
class ImportResult:
    """How many rows were added, replaced and rejected, and the first ones that were rejected."""

    added: int = 0
    replaced: int = 0
    rejected: int = 0
    examples: list[str] = field(default_factory=list)  # "line: text"
    is_cut: bool = False  # the file has more rows than are imported

    def reject(self, line: int, text: str) -> None:
        """Count a row that has no address."""
        self.rejected += 1
        if len(self.examples) < _REJECTED_KEPT:
            self.examples.append(f"{line}: {text[:80]}")


class _Row(NamedTuple):
    address: str
    tag: str
    reason: str
    evidence: str
    until: dt.datetime | None


def import_csv(
    lines: Iterable[str],
    *,
    account: Account | None = None,
    actor: AbstractBaseUser | AnonymousUser | None = None,
) -> ImportResult:
    """Add the addresses of a CSV file to a list; return what became of its rows.

    An address that is on the list already gets the reason, evidence and expiry of the file. The
    next sweep holds waiting recipients. One entry of the audit log has the counts.
    """
    using = get_conf().database
    result = ImportResult()
    read = _read(lines, account.name if account else "", result)
    while rows := list(islice(read, _AT_ONCE)):
        with transaction.atomic(using=using):
            keyed = {(folded_address(row.address), row.tag): row for row in rows}
            _store(keyed, account, actor, result)
    audit.record(
        AuditAction.SUPPRESSIONS_IMPORTED,
        actor=actor,
        target=account or "",
        using=using,
        added=result.added,
        replaced=result.replaced,
        rejected=result.rejected,
    )
    forget(using)
    return result


def _store(
    rows: Mapping[tuple[str, str], _Row], account: Account | None, actor: Any, result: ImportResult
) -> None:
    using = get_conf().database
    entries = Suppression.objects.using(using).of_account(account.pk if account else None)
    found = entries.filter(folded__in={folded for folded, _ in rows}).select_for_update()
    known = [entry for entry in found if (entry.folded, entry.tag) in rows]
    highest, now = highest_recipient(using), database_now(using)
    for entry in known:
        row = rows[entry.folded, entry.tag]
        entry.reason, entry.evidence = reason_named(row.reason), row.evidence
        entry.until, entry.highest_id = row.until, highest
    Suppression.objects.using(using).bulk_update(known, _UPDATED)
    known_keys = {(entry.folded, entry.tag) for entry in known}
    new = [
        Suppression(
            address=row.address,
            folded=folded,
            account=account,
            tag=tag,
            reason=reason_named(row.reason),
            since=now,
            evidence=row.evidence,
            until=row.until,
            created_by_id=actor.pk if actor is not None else None,
            highest_id=highest,
        )
        for (folded, tag), row in rows.items()
        if (folded, tag) not in known_keys
    ]
    # Another process may have added some of them after they were read.
    Suppression.objects.using(using).bulk_create(new, ignore_conflicts=True)
    result.replaced += len(known)
    result.added += len(new)


def _read(lines: Iterable[str], account: str, result: ImportResult) -> Iterator[_Row]:
    reader = csv.reader(lines)
    names: list[str] | None = None
    for number, cells in enumerate(reader, start=1):
        if number > ROWS_MAX + 1:
            result.is_cut = True
            return
        values = [UNSTORABLE.sub("", uncell(text.strip("\ufeff \t"))) for text in cells]
        if names is None:
            head = [value.casefold() for value in values]
            names = head if "address" in head else ["address"]
            if names is head:
                continue
        if any(values):
            named = dict(zip(names, values, strict=False))
            row = _parsed(named)
            # An entry of one account must not become one of another, or of the site.
            is_other = named.get("account", account) != account
            if row is None or is_other or (row.tag and not account):  # the site has no tags
                result.reject(number, ", ".join(cells))
            else:
                yield row


def _parsed(values: Mapping[str, str]) -> _Row | None:
    """Return a row; None if its address, its tag or its expiry cannot be read."""
    try:
        address = parse_address(values.get("address", "")).spec
        tag = read_tag("tag", values.get("tag", ""))
    except (AddressError, InvalidMessageError):
        return None
    text = values.get("until", "")
    until = _moment(text)
    if text and until is None:
        return None
    reason = " ".join(values.get("reason", "").split())[:REASON_MAX]
    evidence = values.get("evidence", "")
    return _Row(address, tag, reason or SuppressionReason.MANUAL, evidence, until)


def _moment(text: str) -> dt.datetime | None:
    """Return a time, or the beginning of a day, in UTC unless it has an offset."""
    try:
        moment = parse_datetime(text)
        if moment is None and (day := parse_date(text)) is not None:
            moment = dt.datetime.combine(day, dt.time())
    except ValueError:
        return None
    if moment is None:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def export_rows(entries: SuppressionQuerySet) -> Iterator[dict[str, Any]]:
    """Yield the entries as rows of a CSV file, by id, read in batches."""
    last = 0
    ordered = entries.select_related("account").order_by("pk")
    while found := list(ordered.filter(pk__gt=last)[:_AT_ONCE]):
        for entry in found:
            yield {
                "address": entry.address,
                "account": entry.account.name if entry.account else "",
                "tag": entry.tag,
                "reason": name_of(entry.reason),
                "evidence": entry.evidence,
                "since": entry.since,
                "until": entry.until,
            }
        last = found[-1].pk
