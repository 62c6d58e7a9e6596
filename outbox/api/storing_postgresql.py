"""Writes the rows of queued messages with one statement, which only PostgreSQL can.

A message queued outside a transaction costs one round trip and one commit. Of a thousand, the
server writes some while Python renders the next.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, islice
from typing import Any

from outbox.api.accounts import DestinationIds, destinations_of
from outbox.api.outgoing import Checked
from outbox.api.rows import (
    account_key,
    destination_id_of,
    is_large,
    lifetime,
    message_values,
    recipient_values,
    remembered_for,
    sender_key,
)
from outbox.db.bulk import as_json, fetch, fetch_each
from outbox.db.columns import complete, defaults_of, typed
from outbox.db.packing import pack
from outbox.models import FOLDER_OF, SMARTHOST_KEY, Message, Recipient, Route, Source, Status

GROUP = 50  # messages of one statement, at most: few enough that the last ones are soon written
_NO_DESTINATIONS: Mapping[int | None, DestinationIds] = {}
_NAMED = frozenset({"account_id", "send_at", "expires_at", "is_sensitive"})  # in the statement
_INSERT, _INSERT_UNLESS_KNOWN, _UPDATE = "insert", "insert unless known", "update"

# Without a destination, or with a known idempotency key, a message gives no row. Only a statement
# with keys has ON CONFLICT, because such an insert is written to the log twice.
_STORE = """
WITH item AS MATERIALIZED (
    SELECT COALESCE(routed.draft_id, nextval('outbox_message_id_seq')) AS pk, routed.* FROM (
        SELECT d.id AS destination_id, d.account_id AS routed_account_id, v.*
        FROM json_to_recordset(%b::json) AS v({typed}, n integer, draft_id bigint,
            sha256 text, place smallint, sender_key bigint, lifetime interval{given})
        LEFT JOIN outbox_destination d ON {destination}
        ORDER BY v.n
    ) AS routed
), stored AS (
    {write_message}
), sources AS (
    INSERT INTO outbox_source ({source_columns}) SELECT {source_values}
    FROM (
        SELECT item.*, (%b::bytea[])[item.n] AS data FROM item JOIN stored ON stored.id = item.pk
    ) AS item WHERE data IS NOT NULL
), recipients AS (
    INSERT INTO outbox_recipient ({recipient_columns}) SELECT {recipient_values}
    FROM ROWS FROM (json_to_recordset(%b::json)
        AS (n integer, role text, name text, address text{given}))
        WITH ORDINALITY AS r(n, role, name, address{given_name}, place)
    JOIN item ON item.n = r.n JOIN stored ON stored.id = item.pk
    ORDER BY r.place
)
SELECT item.n, stored.id, item.destination_id
FROM item LEFT JOIN stored ON stored.id = item.pk"""
_BY_ACCOUNT = f"""d.key = '{SMARTHOST_KEY}' AND d.account_id = COALESCE(v.account_id,
            (SELECT a.id FROM outbox_account a WHERE a.is_app_default AND a.is_active))
        AND EXISTS (SELECT 1 FROM outbox_account a
            WHERE a.id = d.account_id AND a.route = '{Route.SMARTHOST.value}')"""  # noqa: S608  # a constant
# Otherwise the destinations are found before: those of a direct account by the recipients' domains.
_GIVEN = ", destination_given bigint"
# Times are those of the server, whose clock also decides what is due. A time to send at that has
# passed means now; GREATEST ignores one that is NULL.
_NOW = "statement_timestamp()"
_STATUS = f"CASE WHEN item.send_at > {_NOW} THEN '{{}}' ELSE '{{}}' END"
_EXPIRES_AT = f"COALESCE(item.expires_at, GREATEST(item.send_at, {_NOW}) + item.lifetime)"
_MOMENTS = {
    "status": _STATUS.format(Status.SCHEDULED.value, Status.QUEUED.value),
    "folder": _STATUS.format(FOLDER_OF[Status.SCHEDULED].value, FOLDER_OF[Status.QUEUED].value),
    "listed_at": _NOW,
    "queued_at": _NOW,
    "expires_at": _EXPIRES_AT,
}
_ALL_ROUTED = "(SELECT bool_and(destination_id IS NOT NULL) FROM item)"
_UNLESS_KNOWN = "ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"


def store(messages: Iterable[Checked], using: str) -> list[tuple[int | None, Checked]]:
    """Write the rows, but no source that goes to storage. Return what `storing.store` does."""
    groups: list[list[Checked]] = []
    stored: list[tuple[int | None, Checked]] = []
    written = _write(_grouped(messages, groups), using)
    for group, result in zip(groups, written, strict=True):
        rows = result
        if any(destination is None for _, _, destination in rows):
            created = destinations_of(one.item.account for one in group)
            rows = fetch(using, *_statement(group, using, created))
        stored += [(pk, group[n - 1]) for n, pk, _ in sorted(rows)]
    return stored


def _grouped(messages: Iterable[Checked], groups: list[list[Checked]]) -> Iterator[list[Checked]]:
    waiting = iter(messages)
    while group := list(islice(waiting, GROUP)):
        groups.append(group)
        yield group


def _write(groups: Iterator[list[Checked]], using: str) -> Sequence[Sequence[tuple[Any, ...]]]:
    first = next(groups)
    if len(first) < GROUP:
        return [fetch(using, *_statement(first, using))]
    return fetch_each(using, (_statement(group, using) for group in chain([first], groups)))


# --- the statement --------------------------------------------------------------------------------


def _statement(
    messages: Sequence[Checked],
    using: str,
    destinations: Mapping[int | None, DestinationIds] = _NO_DESTINATIONS,
) -> tuple[str, list[Any]]:
    """Return the statement that writes these messages, and its parameters."""
    is_given = bool(destinations)
    remembered = (
        remembered_for(((one, destinations[account_key(one.item)]) for one in messages), using)
        if any(one.is_direct for one in destinations.values())
        else {}
    )
    writing = _writing(messages)
    rows = [message_values(one) for one in messages]
    columns = tuple(rows[0]) if writing == _UPDATE else _columns(rows)
    items: list[dict[str, Any]] = []
    recipients: list[dict[str, Any]] = []
    for number, (one, values) in enumerate(zip(messages, rows, strict=True), start=1):
        if destination := destinations.get(account_key(one.item)):
            values["account_id"] = destination.account_id
        given: dict[str, Any] = {}
        if is_given and destination:
            given = {"destination_given": destination.destination_id}
        items.append(
            {name: values[name] for name in columns}
            | given
            | {
                "n": number,
                "draft_id": one.draft.pk if one.draft else None,
                "sha256": one.facts.sha256,
                "place": one.item.place,
                "sender_key": sender_key(one.item),
                "lifetime": f"{lifetime(one.item).total_seconds()} seconds",
            }
        )
        for own in recipient_values(one):
            if is_given and destination:
                found = destination_id_of(own["address"], destination, remembered)
                given = {"destination_given": found}
            recipients.append(own | {"n": number} | given)
    sources = [None if is_large(one) else pack(one.item.source) for one in messages]
    sql = _sql(columns, writing, using, is_given=is_given)
    return sql, [as_json(items), sources, as_json(recipients)]


def _columns(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the columns that the statement names, and those that differ from their defaults.

    The statement contains the defaults of the others. Most messages have them in half of the
    columns, which the server would otherwise read as JSON.
    """
    defaults = _defaults(tuple(rows[0]))
    given = {name for values in rows for name, one in values.items() if one != defaults[name]}
    return tuple(name for name in rows[0] if name in _NAMED or name in given)


@cache
def _defaults(names: tuple[str, ...]) -> dict[str, Any]:
    return defaults_of(Message, names)


def _writing(messages: Sequence[Checked]) -> str:
    if any(one.draft for one in messages):
        return _UPDATE
    return _INSERT_UNLESS_KNOWN if any(one.item.idempotency_key for one in messages) else _INSERT


@lru_cache(maxsize=64)
def _sql(columns: tuple[str, ...], writing: str, using: str, *, is_given: bool = False) -> str:
    sources = {
        "message_id": "pk",
        "data": "data",
        "sha256": "sha256",
        "erase_at": f"CASE WHEN item.is_sensitive THEN {_EXPIRES_AT} END",
    }
    recipients = {
        "message_id": "item.pk",
        "destination_id": "r.destination_given" if is_given else "item.destination_id",
        "role": "r.role",
        "name": "r.name",
        "address": "r.address",
        "sender_key": "item.sender_key",
        "priority": "item.place",
        "next_attempt_at": f"COALESCE(item.send_at, {_NOW})",
        "expires_at": _EXPIRES_AT,
    }
    source_columns, recipient_columns = complete(Source, sources), complete(Recipient, recipients)
    return _STORE.format(
        typed=typed(Message, columns),
        destination="d.id = v.destination_given" if is_given else _BY_ACCOUNT,
        given=_GIVEN if is_given else "",
        given_name=", destination_given" if is_given else "",
        write_message=_write_message(columns, writing),
        source_columns=", ".join(source_columns),
        source_values=", ".join(source_columns.values()),
        recipient_columns=", ".join(recipient_columns),
        recipient_values=", ".join(recipient_columns.values()),
    )


def _write_message(columns: tuple[str, ...], writing: str) -> str:
    given = {name: f"item.{name}" for name in columns}
    given |= _MOMENTS | {"account_id": "item.routed_account_id"}
    if writing == _UPDATE:
        changes = ", ".join(f"{name} = {value}" for name, value in given.items())
        return (
            f"UPDATE outbox_message SET {changes} FROM item "  # noqa: S608  # names are ours
            f"WHERE outbox_message.id = item.pk AND {_ALL_ROUTED} RETURNING outbox_message.id"
        )
    every = complete(Message, given | {"created_at": _NOW})
    unless_known = _UNLESS_KNOWN if writing == _INSERT_UNLESS_KNOWN else ""
    return (
        f"INSERT INTO outbox_message (id, {', '.join(every)}) "  # noqa: S608  # names are ours
        f"SELECT pk, {', '.join(every.values())} FROM item WHERE {_ALL_ROUTED} "
        f"{unless_known} RETURNING id"
    )
