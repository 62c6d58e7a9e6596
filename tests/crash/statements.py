"""Points around the statements that a process sends to PostgreSQL.

Every statement passes `psycopg.Cursor.execute`, Django's and ours, and every commit of a
transaction `psycopg.Connection.commit`. A rule says by which statement a point is recognized.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus

from outbox.models import EventKind
from tests.crash.points import KillSwitch, Point, WebPoint

Matches = Callable[[str, Sequence[Any]], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """Three points around the statements of one kind; None where there is nothing to test."""

    matches: Matches
    before: StrEnum | None = None
    written: StrEnum | None = None  # and not committed
    committed: StrEnum | None = None


def text(pattern: str) -> Matches:
    """Match the beginning of a statement, quotes left out."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda sql, parameters: compiled.match(sql) is not None


def event(kind: EventKind) -> Matches:
    """Match the insertion of events of a kind."""

    def matches(sql: str, parameters: Sequence[Any]) -> bool:
        if "INSERT INTO outbox_event" not in sql:
            return False
        values = [  # Django inserts many rows as one list for each column
            value
            for given in parameters
            for value in (given if isinstance(given, list | tuple) else (given,))
        ]
        if kind in values or f"'{kind}'" in sql:
            return True
        return any(f'"{kind}"' in value for value in values if isinstance(value, str))  # JSON rows

    return matches


def marks(sql: str, parameters: Sequence[Any]) -> bool:
    """Match a statement that marks attempts before their final dot."""
    if _is_group_commit(sql):
        return bool(parameters[1])
    return sql.startswith("UPDATE outbox_attempt AS t SET dot_marked_at")


def results(sql: str, parameters: Sequence[Any]) -> bool:
    """Match a statement that records outcomes."""
    if _is_group_commit(sql):
        return bool(parameters[0] != "[]")
    return bool(re.match(r"UPDATE outbox_attempt AS t SET .*\boutcome = ", sql, re.DOTALL))


def _is_group_commit(sql: str) -> bool:
    """Return whether it is the statement that writes marks and results together."""
    return sql.lstrip().startswith("WITH v AS MATERIALIZED") and "dot_marked_at" in sql


WORKER_RULES = (
    Rule(text("INSERT INTO outbox_worker"), committed=Point.REGISTERED),
    Rule(text("INSERT INTO outbox_slot"), committed=Point.SLOTS_TAKEN),
    Rule(
        text(r"(WITH .*)?INSERT INTO outbox_attempt"),
        written=Point.CLAIM_WRITTEN,
        committed=Point.CLAIM_COMMITTED,
    ),
    Rule(marks, written=Point.MARK_WRITTEN, committed=Point.MARK_COMMITTED),
    Rule(
        results,
        before=Point.OUTCOME_PENDING,
        written=Point.OUTCOME_WRITTEN,
        committed=Point.OUTCOME_COMMITTED,
    ),
    Rule(text("DELETE FROM outbox_attempt"), written=Point.JOBS_RETURNED),
    Rule(text(r"DELETE FROM outbox_slot\s.*worker_id\) IN"), written=Point.SLOTS_RELEASED),
    Rule(
        text("UPDATE outbox_worker SET heartbeat_at"),
        before=Point.BEFORE_HEARTBEAT,
        committed=Point.HEARTBEAT,
    ),
    Rule(
        event(EventKind.LOST_WORKER),
        written=Point.SWEEP_WRITTEN,
        committed=Point.SWEEP_COMMITTED,
    ),
    Rule(event(EventKind.RESENT), committed=Point.RESEND_COMMITTED),
)
WEB_RULES = (
    Rule(text("INSERT INTO outbox_message "), committed=WebPoint.DRAFT_COMMITTED),
    Rule(
        event(EventKind.QUEUED),
        written=WebPoint.QUEUE_WRITTEN,
        committed=WebPoint.QUEUE_COMMITTED,
    ),
)


class StatementWatcher:
    """Reaches the points of the statements that pass."""

    def __init__(self, switch: KillSwitch, rules: Sequence[Rule]) -> None:
        self._switch = switch
        self._rules = rules
        self._uncommitted: WeakKeyDictionary[Any, list[Rule]] = WeakKeyDictionary()

    def execute(self, execute: Callable[[], Any], cursor: Any, sql: str, parameters: Any) -> Any:
        """Execute a statement with the points before and after it."""
        rules = [rule for rule in self._rules if rule.matches(sql, parameters or ())]
        if not rules:
            return execute()
        connection = cursor.connection
        for rule in rules:
            self._reach(rule.before)
        if _commits_itself(connection) and any(self._kills_at(rule.written) for rule in rules):
            connection.execute("BEGIN")  # and the process is killed before its end
        result = execute()
        if cursor.rowcount == 0:
            return result
        for rule in rules:
            self._reach(rule.written)
        self._uncommitted.setdefault(connection, []).extend(rules)
        if _commits_itself(connection):
            self.committed(connection)
        return result

    def committed(self, connection: Any) -> None:
        """Reach the points after the commit of what this connection has written."""
        for rule in self._uncommitted.pop(connection, ()):
            self._reach(rule.committed)

    def rolled_back(self, connection: Any) -> None:
        """Forget what this connection has written."""
        self._uncommitted.pop(connection, None)

    def _kills_at(self, point: StrEnum | None) -> bool:
        return point is not None and self._switch.kills_at(point)

    def _reach(self, point: StrEnum | None) -> None:
        if point is not None:
            self._switch.reach(point)


def watch_statements(switch: KillSwitch, rules: Sequence[Rule]) -> None:
    """Watch every statement and commit of this process from now on."""
    watcher = StatementWatcher(switch, rules)
    execute, commit = psycopg.Cursor.execute, psycopg.Connection.commit
    rollback = psycopg.Connection.rollback

    def watched_execute(
        cursor: Any, query: Any, parameters: Any = None, *rest: Any, **options: Any
    ) -> Any:
        def execute_it() -> Any:
            return execute(cursor, query, parameters, *rest, **options)

        return watcher.execute(execute_it, cursor, _plain(query), parameters)

    def watched_commit(connection: Any) -> None:
        commit(connection)
        watcher.committed(connection)

    def watched_rollback(connection: Any) -> None:
        rollback(connection)
        watcher.rolled_back(connection)

    seams: Any = psycopg
    seams.Cursor.execute = watched_execute
    seams.Connection.commit = watched_commit
    seams.Connection.rollback = watched_rollback


def _plain(query: Any) -> str:
    """Return a statement without quotes around names."""
    sql = query.decode() if isinstance(query, bytes) else str(query)
    return sql.replace('"', "")


def _commits_itself(connection: Any) -> bool:
    status: TransactionStatus = connection.info.transaction_status
    return bool(connection.autocommit) and status == TransactionStatus.IDLE
