"""Fill mailboxes as the site does: queue through the API, deliver to a server, and index.

Only the times are changed afterwards, so that the messages are as old as those of a real mailbox.
"""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.db import connection, models
from django.utils import timezone

from bench.fill_server import kind_of
from bench.fill_words import PASSAGES, SUBJECTS, Person, Text, Words
from outbox import api
from outbox.backend import outgoing
from outbox.models import (
    Account,
    Attempt,
    Draft,
    Event,
    Message,
    Origin,
    Recipient,
    SearchMark,
    SmtpSession,
)
from outbox.models.search import reindex

SENDER = "Robin Reader <robin@example.org>"
OTHERS_KNOW = 300  # people
YEARS = 3
BATCH = 500  # messages
WORKERS = 2
# Shares of the older messages, and of the latest tenth. The rest is sent. What stays queued is
# queued after the others were delivered.
OLD = {"rejected": 0.03, "partial": 0.01, "draft": 0.005, "cancelled": 0.005}
LATE = OLD | {"deferred": 0.1, "held": 0.03, "scheduled": 0.06, "expired": 0.005}
STILL_QUEUED = 200  # one of so many


@dataclass(frozen=True, slots=True)
class Plan:
    """One message to write."""

    number: int
    owner: User
    fate: str
    text: str
    subject: str
    people: Sequence[Person]
    files: int
    tag: str


class Filler:
    """Writes the messages of one mailbox, and fewer of others."""

    def __init__(
        self, reader: User, others: Sequence[User], account: Account, words: Words
    ) -> None:
        self._reader = reader
        self._others = others
        self._account = account
        self._words = words
        self._random = random.Random(4)  # noqa: S311  # the same each time is the point
        self._kinds: dict[str, list[Person]] = {}
        for number, person in enumerate(words.people):
            self._kinds.setdefault(kind_of(number), []).append(person)

    def fill(self, count: int, environment: Mapping[str, str]) -> int:
        """Write `count` messages of the reader and a fifth as many of others; return the total."""
        total = count + count // 5
        remaining = max(total // STILL_QUEUED, 1)
        with timed("queue"):
            self._write(total, range(1, total - remaining + 1))
        with timed("deliver"):
            _deliver(environment)
        with timed("queue what is not delivered"):
            self._write(total, range(total - remaining + 1, total + 1))
        with timed("make it old"):
            _make_old(dt.timedelta(days=YEARS * 365) / total, total)
        with timed("index"):
            for _ in reindex("default", BATCH):
                pass
            SearchMark.objects.update_or_create(pk=1, defaults={"upto": total})
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        connection.close()
        return total

    def _write(self, total: int, numbers: range) -> None:
        plans = map(self._plan, numbers, [total] * len(numbers))
        while some := list(islice(plans, BATCH)):
            self._queue(some)

    def _queue(self, plans: Sequence[Plan]) -> None:
        """Write messages in the order of their numbers, which are their ids."""
        waiting: list[Plan] = []
        for plan in plans:
            if plan.fate != "draft":
                waiting.append(plan)
                continue
            self._queue_all(waiting)
            waiting = []
            fields = api.DraftFields(
                account=self._account,
                to=plan.people[0].address,
                subject=plan.subject,
                text=plan.text,
            )
            api.save_draft(plan.owner, fields)
        self._queue_all(waiting)

    def _queue_all(self, plans: Sequence[Plan]) -> None:
        ids = api.queue_ids(map(self._outgoing, plans))
        for plan, pk in zip(plans, ids, strict=True):
            if plan.fate == "cancelled":
                api.cancel(api.Handle(pk), actor=plan.owner)
            elif plan.fate == "held":
                api.hold(api.Handle(pk), actor=plan.owner)

    def _outgoing(self, plan: Plan) -> api.Outgoing:
        to = [f"{person.name} <{person.address}>" for person in plan.people]
        message = EmailMessage(
            plan.subject,
            plan.text,
            SENDER,
            to[:1],
            cc=to[1:],
            headers={"Message-ID": f"<{plan.number}@mail.example.org>"},
        )
        for number in range(plan.files):
            message.attach(f"{number}.txt", "A file", "text/plain")
        later = timezone.now() + dt.timedelta(days=3)
        return replace(
            outgoing(message, self._account),
            owner=plan.owner,
            origin=Origin.API if plan.number % 3 == 0 else Origin.COMPOSE,
            tags=(plan.tag,) if plan.tag else (),
            send_at=later if plan.fate == "scheduled" else None,
            expires_after=dt.timedelta(seconds=1) if plan.fate == "expired" else None,
        )

    def _plan(self, number: int, total: int) -> Plan:
        draw = self._random.random
        is_chinese = draw() < 0.2
        bodies = self._words.chinese if is_chinese else self._words.english
        subjects = self._words.subjects_zh if is_chinese else self._words.subjects
        parts = [_frequent(bodies, PASSAGES, draw()) for _ in range(4)]
        # A campaign: many old messages that share a word, which no later message contains.
        is_campaign = not is_chinese and 0.2 * total <= number <= 0.3 * total
        subject = f"{_frequent(subjects, SUBJECTS, draw()).text} {number}"
        fate = _choose(LATE if number > 0.9 * total else OLD, draw())
        size = draw()
        many = 1 if size < 0.8 else 40 if size > 0.995 else self._random.randint(2, 5)
        tag = draw()
        # Every sixth message belongs to another user.
        is_others = number % 6 == 0
        owner = self._others[number // 6 % len(self._others)] if is_others else self._reader
        return Plan(
            number,
            owner,
            fate,
            " ".join([*(part.text for part in parts), f"Order {number}"]),
            f"Campaign {subject}" if is_campaign else subject,
            self._people(fate, many, knows=OTHERS_KNOW if is_others else len(self._words.people)),
            self._random.randint(1, 3) if draw() < 0.1 else 0,
            "shop" if tag < 0.2 else "urgent" if tag < 0.201 else "",
        )

    def _people(self, fate: str, many: int, knows: int) -> list[Person]:
        """Return people whose server replies as the fate of the message wants it."""
        if fate == "partial":
            return [
                *self._some("accepted", max(many - 1, 1), knows),
                *self._some("rejected", 1, knows),
            ]
        return self._some(fate if fate in self._kinds else "accepted", many, knows)

    def _some(self, kind: str, many: int, knows: int) -> list[Person]:
        known = self._kinds[kind][
            : max(knows * len(self._kinds[kind]) // len(self._words.people), 1)
        ]
        first = int(len(known) * self._random.random() ** 2)
        return list(dict.fromkeys(known[(first + 7 * at) % len(known)] for at in range(many)))


def _frequent(texts: Sequence[Text], count: int, share: float) -> Text:
    """Draw a text; the first ones are the most frequent."""
    return texts[int(count * share**3)]


def _choose(shares: Mapping[str, float], share: float) -> str:
    for fate, part in shares.items():
        share -= part
        if share < 0:
            return fate
    return "sent"


def _deliver(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "django", "outbox_deliver", "--until-empty"]
    workers = [subprocess.Popen(command, env=dict(environment)) for _ in range(WORKERS)]
    if any(worker.wait() for worker in workers):
        raise SystemExit("A worker failed.")


def _make_old(apart: dt.timedelta, total: int) -> None:
    """Move every time back, except those at which something is due."""
    due = {"next_attempt_at", "resend_at", "send_at"}
    with connection.cursor() as cursor:
        definitions = list(drop_indexes("outbox\\_%"))
        for model in (Message, Recipient, Attempt, Draft, Event, SmtpSession):
            names = [
                field.column
                for field in model._meta.concrete_fields
                if isinstance(field, models.DateTimeField) and field.name not in due
            ]
            message = _message_in_sql(model)
            moved = ", ".join(
                f"{name} = {name} - %s::interval * (%s - {message})" for name in names
            )
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(
                f"UPDATE {table} SET {moved}",  # noqa: S608
                [f"{apart.total_seconds()} seconds", total] * len(names),
            )
            cursor.execute(f"VACUUM FULL {table}")
        for definition in definitions:
            cursor.execute(definition)


def _message_in_sql(model: type[models.Model]) -> str:
    """Return the id of the message that a row belongs to; for a session, of its first one."""
    if model is Message:
        return "id"
    if model is SmtpSession:
        return (
            "(SELECT coalesce(min(message_id), 1) FROM outbox_attempt "
            "WHERE session_id = outbox_smtpsession.id)"
        )
    return "message_id"


def drop_indexes(tables: str) -> Iterator[str]:
    """Drop every index without a constraint of tables like this; yield their definitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE %s"
            " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)",
            [tables],
        )
        for name, definition in cursor.fetchall():
            cursor.execute(f"DROP INDEX {connection.ops.quote_name(name)}")
            yield definition


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print the seconds that a step takes."""
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:6.0f} s  {step}", flush=True)
