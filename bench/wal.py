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
from bench.world import Contender, World, sink
from dev.postgres_server import DURABLE

OPTIONS = DURABLE | {"max_wal_size": "32GB", "checkpoint_timeout": "1d", "autovacuum": "off"}
CONNECTIONS = 10
_OURS, _THEIRS = "mailsite.settings", "bench.contenders.post_office_settings"
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


class Peer:
    """One contender, and how it is made to queue and drain."""

    def __init__(self, name: str, servers: World, port: int) -> None:
        self.name = name
        self.is_ours = name == "outbox"
        self.database = "ours" if self.is_ours else "theirs"
        self._servers = servers
        self._port = port
        settings = _OURS if self.is_ours else _THEIRS
        self._environment = servers.environment(self.database, settings)

    def queue(self, way: str, count: int) -> None:
        """Queue so many messages, "one" or "many" a call."""
        self._run(self._contender(way, count))

    def drain(self) -> None:
        """Send what is queued: two processes, as everywhere in the benchmark."""
        if self.is_ours:
            self._run(*(self._start("outbox_drain") for _ in range(2)))
        else:
            self._run(self._contender("drain", 0))

    def _contender(self, way: str, count: int) -> Contender:
        if self.is_ours:
            return self._start("outbox_queue", self._port, CONNECTIONS, count, way)
        return self._start("post_office", self._port, count, way, CONNECTIONS)

    def _start(self, module: str, *words: object) -> Contender:
        return Contender(module, *words, environment=self._environment)

    def _run(self, *contenders: Contender) -> None:
        for contender in contenders:
            contender.wait_ready()
        for contender in contenders:
            contender.go()
        for contender in contenders:
            contender.end()  # closes its input, which is all that a drained one waits for


def show(servers: World, count: int, *, details: bool = False) -> None:
    """Print the tables; `servers` were started with OPTIONS."""
    print("\n| WAL a message, bytes | contender | records | images | after a checkpoint | index |")
    print("|---|---|---|---|---|---|")
    facts: list[str] = []
    with sink(servers.scratch) as receiver:
        for name in ("outbox", "post_office"):
            facts += _show_peer(servers, Peer(name, servers, receiver.port), count, details=details)
    print("\n" + "\n".join(facts), flush=True)


def _show_peer(servers: World, peer: Peer, count: int, *, details: bool) -> list[str]:
    """Print one contender's rows; return what else there is to say of it."""
    few = max(count // 4, 250)
    queueing = (
        Step("queue, 1,000 a call", partial(peer.queue, "many", count), count),
        Step("queue, one a call", partial(peer.queue, "one", few), few),
    )
    drain = Step("drain", peer.drain, count + few)
    with _fresh(servers, peer) as connection:
        plain = [_measure(servers, connection, step) for step in (*queueing, drain)]
        facts = [*_sizes(connection, peer), *_hot_shares(connection, peer, count)]
    again = _after_checkpoints(servers, peer, queueing, replace(drain, count=2 * drain.count))
    for first, second in zip(plain, again, strict=True):
        _show(peer, first, f"{second.records + second.images:,.0f}", details=details)
    with _fresh(servers, peer) as connection, psycopg.connect(servers.url(peer.database)) as old:
        peer.queue("many", drain.count)
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")  # from now on no version of a row may be pruned
        held = _measure(servers, connection, replace(drain, title="drain, a snapshot open"))
        _show(peer, held, details=details)
    return facts


def _after_checkpoints(
    servers: World, peer: Peer, queueing: Sequence[Step], drain: Step
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
def _fresh(servers: World, peer: Peer) -> Iterator[psycopg.Connection]:
    servers.fresh(peer.database, f"{peer.database}_empty")
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


def _show(peer: Peer, written: Written, after: str = "", *, details: bool) -> None:
    """Print a step's row, and the kinds of records where they are asked for."""
    cells = (
        written.title,
        peer.name,
        f"{written.records:,.0f}",
        f"{written.images:,.0f}",
        after,
        f"{written.index_entries:.1f}",
    )
    print(f"| {' | '.join(cells)} |", flush=True)
    if details:
        for kind, size in sorted(written.kinds.items(), key=lambda each: -each[1])[:14]:
            print(f"    {kind}: {size:,.0f}")


def _sizes(connection: psycopg.Connection, peer: Peer) -> Iterator[str]:
    """Say how long a text is, as written and as stored."""
    column = "data FROM outbox_source" if peer.is_ours else "message FROM post_office_email"
    name, table = column.split(" FROM ")
    query = f"SELECT octet_length({name}), pg_column_size({name}) FROM {table} LIMIT 1"  # noqa: S608
    whole, stored = connection.execute(query).fetchone() or (0, 0)
    text = body().encode()
    yield (
        f"{peer.name} keeps a text of {len(text):,} bytes ({len(zlib.compress(text)):,} deflated) "
        f"as {whole:,}, which PostgreSQL stores in {stored:,}."
    )


def _hot_shares(connection: psycopg.Connection, peer: Peer, at_least: int) -> Iterator[str]:
    """Say of each table how many of its updates wrote no index entry."""
    for table, updates, hot in connection.execute(_UPDATES, [at_least]).fetchall():
        yield f"{peer.name}, updates of {table}: {updates:,}, {hot / updates:.0%} of them HOT."


def _position(connection: psycopg.Connection) -> str:
    """Return the end of the log, all of it written out."""
    connection.execute("SELECT pg_switch_wal()")
    row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


def _dump(servers: World, first: str, last: str) -> str:
    postgres = servers.postgres
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
