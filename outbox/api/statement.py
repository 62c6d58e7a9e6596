"""The rows of queued mails, written by one statement: PostgreSQL's way.

A mail queued outside a transaction costs one round trip and one commit; of a thousand, the server
writes some while the next are put into words.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from django.db import connections
from django.utils import timezone

from outbox.api.outgoing import Checked
from outbox.api.routes import RouteIds
from outbox.api.rows import (
    MESSAGE,
    UNLESS_KNOWN,
    account_key,
    is_large,
    message_record,
    routes_of,
    store_large_sources,
)
from outbox.models import SMARTHOST_KEY, State
from outbox.models.bulk import as_json, fetch, fetch_each
from outbox.models.packing import pack

AT_ONCE = 50  # mails in one statement, at most: few enough that the last ones are soon written
_NO_ROUTES: Mapping[int | None, RouteIds] = {}

# The mails of one statement. Without a route, or with a key that is known, a mail gives no row.
# Only those with a key may conflict: an insert that may is written to the log twice.
_STORE = """
WITH item AS MATERIALIZED (
    SELECT nextval('outbox_message_id_seq') AS pk, routed.* FROM (
        SELECT d.id AS destination, d.account_id AS account, v.*
        FROM json_to_recordset(%b::json) AS v(n integer, sha256 text, urgency smallint, {typed})
        LEFT JOIN outbox_destination d ON d.key = '{route}' AND d.account_id = COALESCE(
            v.account_id, (SELECT a.id FROM outbox_account a WHERE a.is_app_default))
        ORDER BY v.n
    ) AS routed
), keyless AS (
    INSERT INTO outbox_message (id, account_id, {names})
    SELECT pk, account, {names} FROM item
    WHERE idempotency_key IS NULL AND (SELECT bool_and(destination IS NOT NULL) FROM item)
    RETURNING id
), keyed AS (
    INSERT INTO outbox_message (id, account_id, {names})
    SELECT pk, account, {names} FROM item
    WHERE idempotency_key IS NOT NULL AND (SELECT bool_and(destination IS NOT NULL) FROM item)
    {unless_known}
    RETURNING id
), stored AS (
    SELECT id FROM keyless UNION ALL SELECT id FROM keyed
), sources AS (
    INSERT INTO outbox_source (message_id, data, sha256, file)
    SELECT pk, data, sha256, '' FROM (
        SELECT item.pk, (%b::bytea[])[item.n] AS data, item.sha256
        FROM item JOIN stored ON stored.id = item.pk
    ) AS blob WHERE data IS NOT NULL
), recipients AS (
    INSERT INTO outbox_recipient (
        message_id, destination_id, sender_key, priority, state, next_attempt_at, expires_at,
        role, name, address, attempts, reply_enhanced, reply_text, reply_command, remote_host,
        remote_queue_id, reason)
    SELECT item.pk, item.destination, COALESCE(item.owner_id, 0), item.urgency, '{queued}',
        COALESCE(item.send_at, statement_timestamp()), item.expires_at,
        r.role, r.name, r.address, 0, '', '', '', '', '', ''
    FROM json_to_recordset(%b::json)
        AS r(place integer, n integer, role text, name text, address text)
    JOIN item ON item.n = r.n JOIN stored ON stored.id = item.pk
    ORDER BY r.place
)
SELECT item.n, stored.id, item.destination FROM item LEFT JOIN stored ON stored.id = item.pk
""".format(  # noqa: S608  # names and constants are ours
    typed=", ".join(f"{column.name} {column.type}" for column in MESSAGE),
    names=", ".join(column.name for column in MESSAGE if column.name != "account_id"),
    route=SMARTHOST_KEY,
    queued=State.QUEUED.value,
    unless_known=UNLESS_KNOWN,
)


def can_store(using: str) -> bool:
    """Tell whether this database knows the statement."""
    return connections[using].vendor == "postgresql"


def is_alone(mails: Sequence[Checked]) -> bool:
    """Tell whether these mails are written whole or not at all even without a transaction."""
    return len(mails) <= AT_ONCE and not any(map(is_large, mails))


def store(mails: Iterable[Checked], using: str) -> list[int | None]:
    """Write the rows; return the ids in the mails' order, None where the key is known already.

    Outside a transaction it takes only what `is_alone`. Raises NoAccountError.
    """
    now = timezone.now()
    groups: list[list[Checked]] = []
    ids: list[int | None] = []
    for group, answer in zip(groups, _write(_grouped(mails, groups), now, using), strict=True):
        rows = answer
        if any(destination is None for _, _, destination in rows):
            routes = routes_of(group)  # which makes them, and knows what no mark says
            rows = fetch(using, _STORE, _parameters(group, now, routes))
        ids += [pk for _, pk, _ in sorted(rows)]
    stored = zip(ids, chain.from_iterable(groups), strict=True)
    store_large_sources([(pk, one) for pk, one in stored if pk is not None], using)
    return ids


def _grouped(mails: Iterable[Checked], groups: list[list[Checked]]) -> Iterator[list[Checked]]:
    waiting = iter(mails)
    while group := list(islice(waiting, AT_ONCE)):
        groups.append(group)
        yield group


def _write(
    groups: Iterator[list[Checked]], now: dt.datetime, using: str
) -> Sequence[Sequence[tuple[Any, ...]]]:
    first = next(groups)
    if len(first) < AT_ONCE:
        return [fetch(using, _STORE, _parameters(first, now))]
    given = (_parameters(group, now) for group in chain([first], groups))
    return fetch_each(using, _STORE, given)


def _parameters(
    mails: Sequence[Checked], now: dt.datetime, routes: Mapping[int | None, RouteIds] = _NO_ROUTES
) -> list[Any]:
    items: list[dict[str, Any]] = []
    recipients: list[dict[str, Any]] = []
    written = now.isoformat()  # once, not once a mail and column
    for number, one in enumerate(mails, start=1):
        record = message_record(one, now)
        if route := routes.get(account_key(one.item)):
            record["account_id"] = route.account_id
        record |= dict.fromkeys(("created_at", "listed_at", "queued_at"), written)
        record["n"] = number
        record["sha256"] = one.facts.sha256
        record["urgency"] = one.item.urgency
        items.append(record)
        recipients += [
            {
                "place": len(recipients) + place,
                "n": number,
                "role": each.role,
                "name": each.name[:255],
                "address": each.address,
            }
            for place, each in enumerate(one.item.recipients)
        ]
    sources = [None if is_large(one) else pack(one.item.source) for one in mails]
    return [as_json(items), sources, as_json(recipients)]
