"""A mailbox of a million mails, made by the database itself in some minutes.

The small tables of what can be said are written from here; `fill.sql` puts them together into rows
of every table. Indexes are taken away meanwhile and made again as they were.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench.fill_words import PASSAGES, SUBJECTS, Person, Text, Words
from outbox.mail.terms import fold, terms_of
from outbox.models.search import FACT, PEOPLE, SENDER, SUBJECT, body_term, head_term

STATEMENTS = Path(__file__).with_name("fill.sql")
SENDER_HEADER = "Robin Reader <robin@example.org>"
OTHERS_KNOW = 300  # people
YEARS = 3
WORTH_TELLING = 1.0  # seconds
# state, share above which the reply is drawn, code, enhanced code, text, command
REPLIES = (
    ("sent", 0.0, 250, "2.0.0", "Ok: queued", "DOT"),
    ("sent", 0.9, 250, "2.1.5", "Ok", "DOT"),
    ("sent", 0.99, 251, "2.1.5", "User not local; will forward", "DOT"),
    ("sent", 0.9999, 252, "2.0.0", "Cannot verify, but will take it", "DOT"),
    ("failed", 0.0, 550, "5.1.1", "No such user here", "RCPT"),
    ("failed", 0.6, 552, "5.2.2", "Mailbox full", "RCPT"),
    ("failed", 0.8, 554, "5.7.1", "Refused by policy", "DOT"),
    ("failed", 0.9998, 521, "5.3.2", "This host takes no mail", "RCPT"),
    ("bounced", 0.0, 250, "2.0.0", "Ok: queued", "DOT"),
    ("expired", 0.0, 421, "4.4.2", "Try later", "MAIL"),
    ("deferred", 0.0, 451, "4.7.1", "Greylisted, try again", "RCPT"),
    ("deferred", 0.8, 452, "4.2.2", "Mailbox over quota", "RCPT"),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The rows that mail hangs on; they are made beforehand, by Django."""

    reader: int
    others: Sequence[int]
    account: int
    destination: int
    worker: int


def fill(url: str, keys: Keys, words: Words, count: int) -> int:
    """Write `count` mails of the reader and a fifth as many of others among them; return all."""
    total = count + count // 5
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in (
            "session_replication_role = replica",  # what hangs on what is right by construction
            "maintenance_work_mem = '1GB'",
            "work_mem = '256MB'",
            "max_parallel_workers_per_gather = 0",  # rows in the order of their ids
            "jit = off",
        ):
            connection.execute(sql.SQL("SET " + setting))
        connection.execute("SELECT setseed(0.4)")
        _write_small_tables(connection, keys, words, total)
        indexes = list(_take_indexes_away(connection))
        for statement in _statements():
            _timed(connection, statement)
        for definition in indexes:
            _timed(connection, definition)
        for table in ("settings", "owner", "text", "subject", "person", "reply", "place", "plan"):
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(f"fill_{table}")))
        _timed(connection, "VACUUM ANALYZE")
    return total


def _timed(connection: psycopg.Connection, statement: str) -> None:
    began = time.monotonic()
    connection.execute(sql.SQL(statement))
    if (took := time.monotonic() - began) > WORTH_TELLING:
        print(f"{took:6.1f} s  {' '.join(statement.split()[:3])}", flush=True)


def _statements() -> Iterator[str]:
    without_comments = re.sub(r"^\s*--.*\n", "", STATEMENTS.read_text(), flags=re.MULTILINE)
    for statement in re.split(r"^;$", without_comments, flags=re.MULTILINE):
        if statement.strip():
            yield statement


def _take_indexes_away(connection: psycopg.Connection) -> Iterator[str]:
    """Drop every index that is no constraint's; yield how each was made."""
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'outbox\\_%'"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)"
    ).fetchall()
    for name, definition in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        yield definition


def _write_small_tables(
    connection: psycopg.Connection, keys: Keys, words: Words, total: int
) -> None:
    connection.execute(_SMALL_TABLES)
    apart = f"{YEARS * 365 * 86_400 / total:.6f} seconds"
    _copy(
        connection,
        "fill_settings",
        [
            (
                total,
                keys.reader,
                list(keys.others),
                keys.account,
                keys.destination,
                keys.worker,
                SENDER_HEADER,
                PASSAGES,
                SUBJECTS,
                apart,
            )
        ],
    )
    for owner in (keys.reader, *keys.others):
        known = words.people if owner == keys.reader else words.people[:OTHERS_KNOW]
        _copy(connection, "fill_owner", [_owner(owner, len(known), keys.account)])
        _copy(connection, "fill_person", (_person(owner, *pair) for pair in enumerate(known)))
        for language, bodies, subjects in (
            ("en", words.english, words.subjects),
            ("zh", words.chinese, words.subjects_zh),
        ):
            _copy(connection, "fill_text", _bodies(owner, language, bodies))
            _copy(connection, "fill_subject", _subjects(owner, language, subjects))
    _copy(connection, "fill_reply", _replies())
    connection.execute("ANALYZE")


def _owner(owner: int, people: int, account: int) -> tuple[object, ...]:
    facts = (f"{FACT}:attachment", f"{FACT}:account={account}")
    attachment, of_account = (_vector([f"{owner}{fact}"]) for fact in facts)
    sender = _vector(head_term(owner, SENDER, term) for term in terms_of(SENDER_HEADER))
    campaign = _vector([head_term(owner, SUBJECT, "campaign")])
    return owner, people, sender, attachment, of_account, campaign


def _person(owner: int, key: int, person: Person) -> tuple[object, ...]:
    folded = fold(person.address)
    address = [folded, folded[folded.rindex("@") :], *terms_of(person.address)]
    terms = [head_term(owner, PEOPLE, term) for term in address]
    named = [*terms, *(head_term(owner, PEOPLE, term) for term in terms_of(person.name))]
    return owner, key, person.name, person.address, _vector(named), _vector(terms)


def _bodies(owner: int, language: str, texts: Sequence[Text]) -> Iterator[tuple[object, ...]]:
    for key, text in enumerate(texts):
        terms = _vector(body_term(owner, term) for term in text.terms)
        yield owner, language, key, text.text, terms


def _subjects(owner: int, language: str, texts: Sequence[Text]) -> Iterator[tuple[object, ...]]:
    for key, text in enumerate(texts):
        terms = _vector(head_term(owner, SUBJECT, term) for term in text.terms)
        yield owner, language, key, text.text, terms


def _replies() -> Iterator[tuple[object, ...]]:
    for at, (state, above, *reply) in enumerate(REPLIES):
        behind = REPLIES[at + 1] if at + 1 < len(REPLIES) else None
        below = behind[1] if behind and behind[0] == state else 2.0
        yield state, above, below, *reply


def _vector(terms: Iterable[str]) -> str:
    return " ".join(f"'{term}':{place}" for place, term in enumerate(terms, start=1))


def _copy(connection: psycopg.Connection, table: str, rows: Iterable[Sequence[object]]) -> None:
    target = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with connection.cursor().copy(target) as copy:
        for row in rows:
            copy.write_row(row)


_SMALL_TABLES = """
    CREATE UNLOGGED TABLE fill_settings (count bigint, reader int, others int[], account bigint,
        destination bigint, worker bigint, sender text, passages int, subjects int, apart interval);
    CREATE UNLOGGED TABLE fill_owner (owner_id int PRIMARY KEY, knows int, sender tsvector,
        attachment tsvector, account tsvector, campaign tsvector);
    CREATE UNLOGGED TABLE fill_person (owner_id int, id int, name text, address text,
        terms tsvector, typed tsvector, PRIMARY KEY (owner_id, id));
    CREATE UNLOGGED TABLE fill_text (owner_id int, language text, id int, text text,
        terms tsvector, PRIMARY KEY (owner_id, language, id));
    CREATE UNLOGGED TABLE fill_subject (LIKE fill_text INCLUDING ALL);
    CREATE UNLOGGED TABLE fill_reply (to_state text, above float8, below float8, code smallint,
        enhanced text, said text, command text);
    CREATE UNLOGGED TABLE fill_place AS SELECT generate_series(0, 39) AS place"""
