"""Shared by these tests: accounts, queued messages, a running engine, waiting with a deadline."""

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from django.db import connection, transaction

from dev.processes import wait_until
from outbox import api
from outbox.db.clock import database_now
from outbox.delivery import claim, limits
from outbox.delivery.circuit import Probe
from outbox.delivery.engine import Engine
from outbox.delivery.job import Job
from outbox.models import (
    SMARTHOST_KEY,
    Account,
    Attempt,
    Destination,
    Message,
    Recipient,
    State,
    Worker,
)
from outbox.testing.faultlab import FaultLab
from tests.states import set_state

USING = "default"
BOB = "bob@example.net"
BODY = b"0123456789abcdef\r\n" * 80  # 1,440 octets: more than any “body” fault waits for
_numbers = itertools.count(1)


def account(port: int = 25, **fields: Any) -> Account:
    """Create an account on a server of the test, without TLS and without resending."""
    values = {
        "name": f"account {port}",
        "from_address": "alice@example.org",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "on_uncertain": "hold",
    }
    return Account.objects.create(**values | fields)


def account_at(lab: FaultLab, **fields: Any) -> Account:
    """Create an account on a fault lab."""
    return account(lab.port, **fields)


def queue(sender: Account | None, *addresses: str, **fields: Any) -> Message:
    """Queue one message to these addresses (by default to Bob), as an app would."""
    return api.queue_sources([outgoing(sender, *addresses, **fields)])[0]


def queue_many(sender: Account, number: int, **fields: Any) -> list[Message]:
    """Queue this many messages with one recipient each."""
    return api.queue_sources(
        [outgoing(sender, f"bob{i}@example.net", **fields) for i in range(number)]
    )


def outgoing(sender: Account | None, *addresses: str, **fields: Any) -> api.Outgoing:
    number = next(_numbers)
    source = b"Message-ID: <%d@example.org>\r\nFrom: alice@example.org\r\n\r\n%b" % (number, BODY)
    values: dict[str, Any] = {
        "source": source,
        "envelope_sender": "alice@example.org",
        "recipients": [api.OutgoingRecipient(address) for address in addresses or (BOB,)],
        "account": sender,
    }
    return api.Outgoing(**values | fields)


def a_worker(*, lease_duration: float = 60) -> Worker:
    """Register a worker. With a negative lease it is a dead one."""
    now = database_now(USING)
    return Worker.objects.create(
        host="here",
        pid=1,
        started_at=now,
        heartbeat_at=now,
        lease_until=now + dt.timedelta(seconds=lease_duration),
    )


def claim_due(
    sender: Account | None, worker: Worker | None = None, *, limit: int = 100, after: int = 0
) -> list[Job]:
    """Claim what is due at this account's server, as a worker would."""
    assert sender is not None
    worker = worker or a_worker()
    while True:
        jobs, is_cut_short = claim.claim(
            destination_id=destination(sender).pk,
            worker_id=worker.pk,
            limit=limit,
            after_sender=after,
            using=USING,
        )
        if jobs or not is_cut_short:
            return jobs


class Reservation(NamedTuple):
    """What a claim would have been allowed, and the probe that it would have been."""

    recipients: int
    probe: Probe | None = None


def reserve(where: Destination, wanted: int, worker_id: int | None = None) -> Reservation:
    """Count what a claim of up to `wanted` recipients is allowed, as if it had found so many."""
    with transaction.atomic():
        allowed = limits.allowance(where, wanted, USING)
        number = allowed.recipients
        return Reservation(number, allowed.use(number, worker_id or a_worker().pk, USING))


def claimed(message: Message, worker: Worker | None = None) -> Job:
    """Claim the recipients of this message alone, whatever else is due."""
    others = Recipient.objects.exclude(message=message).filter(state=State.QUEUED)
    ids = list(others.values_list("pk", flat=True))
    set_state(others, State.HELD)
    [job] = claim_due(message.account, worker)
    set_state(Recipient.objects.filter(pk__in=ids), State.QUEUED)
    return job


def claimed_by_dead_worker(message: Message) -> Job:
    """Claim the recipients of this message as a worker that has died since."""
    worker = a_worker()
    job = claimed(message, worker)
    end_lease(worker)
    return job


def end_lease(worker: Worker) -> None:
    """End its lease, as after a long time without a heartbeat."""
    past = database_now(USING) - dt.timedelta(seconds=1)
    Worker.objects.filter(pk=worker.pk).update(lease_until=past)


def deliver() -> None:
    """Run an engine until nothing is due."""
    Engine().drain()


class Working:
    """An engine that runs in a thread, as in a worker process, while the block runs."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="engine-under-test")

    def _run(self) -> None:
        try:
            self.engine.run()
        except BaseException as error:  # noqa: BLE001  # shown by the test's thread
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        assert self.error is None, self.error

    def stop(self, within: float = 60) -> None:
        """Stop the engine and wait until it ends."""
        self.engine.stop()
        self._thread.join(within)
        assert not self._thread.is_alive(), "the engine did not end"

    def join(self, within: float = 60) -> None:
        """Wait until it ends by itself."""
        self._thread.join(within)
        assert not self._thread.is_alive(), "the engine did not end"


def until(condition: Callable[[], object], what: str, within: float = 30) -> None:
    """Wait for a condition; fail with its description."""
    wait_until(lambda: bool(condition()), within=within, what=f"waiting until {what}")


def states(message: Message | None = None) -> list[str]:
    """Return the recipients' states, in order."""
    rows = Recipient.objects.order_by("pk")
    return list((rows.filter(message=message) if message else rows).values_list("state", flat=True))


def row(message: Message, address: str = BOB) -> Recipient:
    """Return one recipient from the database."""
    return Recipient.objects.get(message=message, address=address)


def last_attempt(message: Message) -> Attempt:
    """Return the latest attempt for a message."""
    return Attempt.objects.filter(message=message).latest("pk")


def destination(sender: Account) -> Destination:
    """Return the destination of the account, which the first use creates."""
    found, _ = Destination.objects.select_related("account").get_or_create(
        account=sender, key=SMARTHOST_KEY
    )
    return found


def all_in(state: State, messages: Sequence[Message]) -> Callable[[], bool]:
    """Return a condition: every recipient of these messages is in this state."""
    ids = [message.pk for message in messages]

    def holds() -> bool:
        return not Recipient.objects.filter(message__in=ids).exclude(state=state).exists()

    return holds


def is_sqlite() -> bool:
    """Return whether the database is SQLite, which has one writer at a time."""
    return connection.vendor == "sqlite"


@contextmanager
def refusing(table: str, condition: str) -> Iterator[None]:
    """Make the database reject rows by a trigger."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                f"CREATE TRIGGER refuse BEFORE UPDATE ON {table} WHEN {condition} "
                "BEGIN SELECT RAISE(ABORT, 'this row is refused'); END"
            )
        else:
            cursor.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'this row is refused'; END $$"
            )
            cursor.execute(
                f"CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW "
                f"WHEN ({condition}) EXECUTE FUNCTION refuse()"
            )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("DROP TRIGGER refuse")
            else:
                cursor.execute("DROP FUNCTION refuse CASCADE")
