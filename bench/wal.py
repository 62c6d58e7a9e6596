"""What a message writes: bytes of WAL, index entries, and which updates were HOT (on one page).

It is read from the log itself, between two positions. Full-page images are counted apart, since
their number depends on when the last checkpoint was: each step is measured with no checkpoint since
the database was made, and once more right after one. Autovacuum is off, and nothing else runs.
"""

import re
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from bench.contenders._stage import body
from bench.rivals import Outbox, PostOffice, Rival
from bench.world import World, sink
from dev.postgres_server import DURABLE

OPTIONS = DURABLE | {"max_wal_size": "32GB", "checkpoint_timeout": "1d", "autovacuum": "off"}
CONNECTIONS = 10
_TARGETS = {"queue, 1,000 per call": "2,700", "queue, one per call": "2,800", "drain": "2,600"}
# A kind of record, then how many, their bytes and those of images, each with its share in brackets.
_LINE = re.compile(r"^(\S+)\s+(\d+) \([^)]*\)\s+(\d+) \([^)]*\)\s+(\d+) \([^)]*\)", re.MULTILINE)
_INDEX_ENTRY = re.compile(r"Btree/(INSERT_LEAF|INSERT_POST|SPLIT_[LR])|Gin/INSERT")
_UPDATES = """
SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
WHERE n_tup_upd >= %s ORDER BY relname"""


@dataclass(slots=True)
class Written:
    """What a step wrote for each of its messages."""

    title: str
    records: float = 0.0  # bytes, without images
    images: float = 0.0  # bytes
    index_entries: float = 0.0
    kinds: dict[str, float] = field(default_factory=dict)  # bytes by kind of record


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a message's way, with so many messages."""

    title: str
    work: Callable[[], None]
    count: int


def show(servers: World, count: int, *, details: bool = False) -> None:
    """Print the tables; `servers` were started with OPTIONS."""
    print("\n| bytes of WAL per message | | measured | target | index entries | with images |")
    print("|---|---|---|---|---|---|")
    facts: list[str] = []
    with sink(servers.scratch) as receiver:
        for kind in (Outbox, PostOffice):
            peer = kind(servers, receiver.port, CONNECTIONS)
            facts += _show_peer(servers, peer, count, details=details)
    print("\n" + "\n".join(facts), flush=True)


def _show_peer(servers: World, peer: Rival, count: int, *, details: bool) -> list[str]:
    """Print one contender's rows; return what else there is to say of it."""
    few = max(count // 4, 250)
    queueing = (
        Step("queue, 1,000 per call", partial(_queue, peer, "many", count), count),
        Step("queue, one per call", partial(_queue, peer, "one", few), few),
    )
    drain = Step("drain", partial(_drain, peer), count + few)
    with _fresh(servers, peer) as connection:
        plain = [_measure(servers, connection, step) for step in (*queueing, drain)]
        facts = [*_sizes(connection, peer), *_hot_shares(connection, peer, count)]
    again = _after_checkpoints(servers, peer, queueing, replace(drain, count=2 * drain.count))
    for first, second in zip(plain, again, strict=True):
        _show(peer, first, f"{second.records + second.images:,.0f}", details=details)
    with _fresh(servers, peer) as connection, psycopg.connect(servers.url(peer.database)) as old:
        _queue(peer, "many", drain.count)
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")  # from now on no version of a row may be pruned
        held = _measure(servers, connection, replace(drain, title="drain, long transaction"))
        _show(peer, held, details=details)
    return facts


def _queue(peer: Rival, way: str, count: int) -> None:
    peer.queueing(way, count).run()


def _drain(peer: Rival) -> None:
    contenders = peer.draining()
    for one in contenders:
        one.wait_ready()
        one.go()
    for one in contenders:
        one.end()


def _after_checkpoints(
    servers: World, peer: Rival, queueing: Sequence[Step], drain: Step
) -> list[Written]:
    """Measure each step while every page that it touches is due for an image."""
    written = []
    with _fresh(servers, peer) as connection:
        for step in queueing:
            step.work()
            connection.execute("CHECKPOINT")
            written.append(_measure(servers, connection, step))
        connection.execute("CHECKPOINT")
        return [*written, _measure(servers, connection, drain)]


@contextmanager
def _fresh(servers: World, peer: Rival) -> Iterator[psycopg.Connection]:
    peer.fresh()
    with psycopg.connect(servers.url(peer.database), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        yield connection


def _measure(servers: World, connection: psycopg.Connection, step: Step) -> Written:
    """Do the step; return what one of its messages wrote on average."""
    connection.execute("ANALYZE")
    first = _position(connection)
    step.work()
    last = _position(connection)
    written = Written(step.title)
    for kind, number, size, images in _LINE.findall(_dump(servers, first, last)):
        written.records += int(size) / step.count
        written.images += int(images) / step.count
        written.kinds[kind] = int(size) / step.count
        if _INDEX_ENTRY.match(kind):
            written.index_entries += int(number) / step.count
    return written


def _show(peer: Rival, written: Written, after: str = "", *, details: bool) -> None:
    """Print a step's row, and the kinds of records where they are asked for."""
    images = f" and {written.images:,.0f} of images" if written.images >= 1 else ""
    cells = (
        written.title,
        peer.name,
        f"{written.records:,.0f}{images}",
        _TARGETS.get(written.title, "") if isinstance(peer, Outbox) else "",
        f"{written.index_entries:.1f}",
        after,
    )
    print(f"| {' | '.join(cells)} |", flush=True)
    if details:
        for kind, size in sorted(written.kinds.items(), key=lambda each: -each[1])[:14]:
            print(f"    {kind}: {size:,.0f}")


def _sizes(connection: psycopg.Connection, peer: Rival) -> Iterator[str]:
    """Yield the length of a text, as written and as stored."""
    is_ours = isinstance(peer, Outbox)
    name, table = ("data", "outbox_source") if is_ours else ("message", "post_office_email")
    query = f"SELECT octet_length({name}), pg_column_size({name}) FROM {table} LIMIT 1"  # noqa: S608
    whole, stored = connection.execute(query).fetchone() or (0, 0)
    text = body().encode()
    yield (
        f"{peer.name} keeps a text of {len(text):,} bytes ({len(zlib.compress(text)):,} deflated) "
        f"as {whole:,}, which PostgreSQL stores in {stored:,}."
    )


def _hot_shares(connection: psycopg.Connection, peer: Rival, at_least: int) -> Iterator[str]:
    """Yield for each table the share of its updates that wrote no index entry."""
    for table, updates, hot in connection.execute(_UPDATES, [at_least]).fetchall():
        yield f"{peer.name}, updates of {table}: {updates:,}, {hot / updates:.0%} of them HOT."


def _position(connection: psycopg.Connection) -> str:
    """Return the end of the log, all of it written out."""
    connection.execute("SELECT pg_switch_wal()")
    row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


def _dump(servers: World, first: str, last: str) -> str:
    postgres = servers.server
    done = subprocess.run(
        [
            postgres.binaries / "pg_waldump",
            *("--stats=record", "--path", postgres.data / "pg_wal", "--start", first),
            *("--end", last),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pg_waldump failed: {done.stderr}")
    return done.stdout
