"""What these tests share: accounts, queued mail, an engine at work, waiting with a deadline."""

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from django.db import connection

from dev.processes import wait_until
from outbox import api
from outbox.delivery import claim
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
from outbox.models.clock import database_now
from outbox.testing.faultlab import FaultLab

USING = "default"
BOB = "bob@example.net"
BODY = b"0123456789abcdef\r\n" * 80  # 1,440 octets: more than any “body” fault waits for
_numbers = itertools.count(1)


def account(port: int = 25, **fields: Any) -> Account:
    """Make an account on a server of the test, without TLS and with `resend` turned off."""
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
    """Make an account on a fault lab."""
    return account(lab.port, **fields)


def queue(sender: Account, *addresses: str, **fields: Any) -> Message:
    """Queue one mail to these addresses (by default to Bob), as an app would."""
    return api.queue_sources([outgoing(sender, *addresses, **fields)])[0]


def queue_many(sender: Account, number: int, **fields: Any) -> list[Message]:
    """Queue this many mails of one recipient each."""
    return api.queue_sources(
        [outgoing(sender, f"bob{i}@example.net", **fields) for i in range(number)]
    )


def outgoing(sender: Account, *addresses: str, **fields: Any) -> api.Outgoing:
    number = next(_numbers)
    source = b"Message-ID: <%d@example.org>\r\nFrom: alice@example.org\r\n\r\n%b" % (number, BODY)
    values: dict[str, Any] = {
        "source": source,
        "envelope_sender": "alice@example.org",
        "recipients": [api.OutgoingRecipient(address) for address in addresses or (BOB,)],
        "account": sender,
    }
    return api.Outgoing(**values | fields)


def a_worker(*, lease_for: float = 60) -> Worker:
    """Register a worker; a lease below zero makes it a dead one."""
    now = database_now(USING)
    return Worker.objects.create(
        host="here",
        pid=1,
        started_at=now,
        heartbeat_at=now,
        lease_until=now + dt.timedelta(seconds=lease_for),
    )


def claim_due(
    sender: Account | None, worker: Worker | None = None, *, limit: int = 100, after: int = 0
) -> list[Job]:
    """Claim what is due at this account's server, as a worker would."""
    assert sender is not None
    return claim.claim(
        destination_id=destination(sender).pk,
        worker_id=(worker or a_worker()).pk,
        limit=limit,
        after_sender=after,
        using=USING,
    )


def claimed(message: Message, worker: Worker | None = None) -> Job:
    """Claim the recipients of this message alone, whatever else is due."""
    others = Recipient.objects.exclude(message=message).filter(state=State.QUEUED)
    ids = list(others.values_list("pk", flat=True))
    others.update(state=State.HELD)
    [job] = claim_due(message.account, worker)
    Recipient.objects.filter(pk__in=ids).update(state=State.QUEUED)
    return job


def left_behind(message: Message) -> Job:
    """Claim the recipients of this message as a worker that has died since."""
    worker = a_worker()
    job = claimed(message, worker)
    let_die(worker)
    return job


def let_die(worker: Worker) -> None:
    """Let its lease be over, as if it had been silent for so long."""
    past = database_now(USING) - dt.timedelta(seconds=1)
    Worker.objects.filter(pk=worker.pk).update(lease_until=past)


def deliver() -> None:
    """Run an engine until nothing is due."""
    Engine(until_empty=True).run()


class Working:
    """An engine at work in a thread, as in a worker process, while the block runs."""

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
        """Ask it to end and see that it does."""
        self.engine.stop()
        self._thread.join(within)
        assert not self._thread.is_alive(), "the engine did not end"

    def join(self, within: float = 60) -> None:
        """See that it ends by itself."""
        self._thread.join(within)
        assert not self._thread.is_alive(), "the engine did not end"


def until(condition: Callable[[], object], what: str, within: float = 30) -> None:
    """Wait for a condition; fail with what was waited for."""
    wait_until(lambda: bool(condition()), within=within, what=f"waiting until {what}")


def states(message: Message | None = None) -> list[str]:
    """Return the recipients' states, in order."""
    rows = Recipient.objects.order_by("pk")
    return list((rows.filter(message=message) if message else rows).values_list("state", flat=True))


def row(message: Message, address: str = BOB) -> Recipient:
    """Return one recipient as it stands in the database now."""
    return Recipient.objects.get(message=message, address=address)


def last_attempt(message: Message) -> Attempt:
    """Return the latest attempt for a message."""
    return Attempt.objects.filter(message=message).latest("pk")


def destination(sender: Account) -> Destination:
    """Return where the account's mail goes, made on first use."""
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
    """Tell whether this run stands on SQLite, which has one writer at a time."""
    return connection.vendor == "sqlite"


@contextmanager
def refusing(table: str, condition: str) -> Iterator[None]:
    """Have the database itself refuse rows, as a check or a full disk page might."""
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
