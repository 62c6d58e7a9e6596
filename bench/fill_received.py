"""Fill the inbox of the reader, and those of others: rows as the fetcher and the index write them.

Some of them reply to sent ones, which `bench.fill_rows` has written before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from bench.fill_rows import BATCH, YEARS
from bench.fill_words import PASSAGES, SUBJECTS, Person, Text, Words
from outbox.mail.plain_text import snippet
from outbox.models import Account, InboundEntry, InboundMessage, InboundSource, Message
from outbox.models.owner_key import owner_key
from outbox.models.search import FACT, PEOPLE, SENDER, SUBJECT, address_terms, body_term, head_term

IN_THREAD = 4  # messages, on average
SHARES = {"archive": 0.3, "trash": 0.02}  # the rest is in the inbox
KINDS = {"bounce": 0.05, "auto-reply": 0.03, "delay": 0.01}
UNREAD = 0.01
FILES = 0.1


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to write, with the texts that its entry has."""

    row: InboundMessage
    source: bytes
    sender: Person
    subject: Text
    parts: Sequence[Text]


class ReceivedFiller:
    """Writes received messages, oldest first; every sixth belongs to another user."""

    def __init__(
        self, reader: User, others: Sequence[User], account: Account, words: Words
    ) -> None:
        self._reader = reader
        self._others = others
        self._account = account
        self._words = words
        self._random = random.Random(5)  # noqa: S311  # the same each time is the point
        self._sent: dict[int, list[int]] = {
            one.pk: list(Message.objects.visible_to(one).values_list("pk", flat=True))
            for one in (reader, *others)
        }

    def fill(self, count: int) -> None:
        """Write `count` messages of the reader, and a fifth as many of others."""
        total = count + count // 5
        apart = dt.timedelta(days=YEARS * 365) / total
        now = timezone.now()
        for first in range(1, total + 1, BATCH):
            numbers = range(first, min(first + BATCH, total + 1))
            self._write([self._letter(n, now - apart * (total - n)) for n in numbers])
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")

    def _write(self, letters: Sequence[Letter]) -> None:
        with transaction.atomic():
            InboundMessage.objects.bulk_create(letter.row for letter in letters)
            InboundSource.objects.bulk_create(
                InboundSource.of(one.row.pk, one.source, hashlib.sha256(one.source).hexdigest())
                for one in letters
            )
            InboundEntry.objects.bulk_create(map(_entry, letters))

    def _letter(self, number: int, at: dt.datetime) -> Letter:
        draw = self._random.random
        is_chinese = draw() < 0.2
        bodies = self._words.chinese if is_chinese else self._words.english
        subjects = self._words.subjects_zh if is_chinese else self._words.subjects
        subject = subjects[int(SUBJECTS * draw() ** 3)]
        parts = [bodies[int(PASSAGES * draw() ** 3)] for _ in range(4)]
        sender = self._random.choice(self._words.people)
        is_others = number % 6 == 0
        owner = self._others[number // 6 % len(self._others)] if is_others else self._reader
        text = " ".join(part.text for part in parts)
        header = f"{sender.name} <{sender.address}>"
        has_file = draw() < FILES
        replied_to = self._random.choice(self._sent[owner.pk]) if draw() < 0.3 else None
        row = InboundMessage(
            owner=owner,
            account=self._account,
            kind=_choose(KINDS, draw(), "message"),
            folder=_choose(SHARES, draw(), "inbox"),
            is_read=draw() >= UNREAD,
            from_header=header,
            from_address=sender.address,
            to_summary="Robin Reader <robin@example.org>",
            subject=f"{subject.text} {number}",
            snippet=snippet(text),
            message_id=f"r{number}@mail.example.net",
            in_reply_to=f"{replied_to}@mail.example.org" if replied_to else "",
            thread=f"{number // (IN_THREAD * 7)}-{number % 7}",
            received_at=at,
            sent_at=at,
            size=len(text) + 300,
            attachment_count=int(has_file),
            replies_to_id=replied_to,
        )
        return Letter(row, _source(row, header, text), sender, subject, parts)


def _source(row: InboundMessage, header: str, text: str) -> bytes:
    return (
        f"From: {header}\r\nTo: Robin Reader <robin@example.org>\r\nSubject: {row.subject}\r\n"
        f"Message-ID: <{row.message_id}>\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


def _entry(letter: Letter) -> InboundEntry:
    owner = owner_key(letter.row.owner_id)
    return InboundEntry(
        message=letter.row,
        owner_key=owner,
        listed_at=letter.row.received_at,
        head=[head_term(owner, kind, term) for kind, term in _head(letter)],
        body=[body_term(owner, term) for part in letter.parts for term in part.terms],
    )


def _head(letter: Letter) -> Iterator[tuple[str, str]]:
    yield from ((SUBJECT, term) for term in letter.subject.terms)
    yield SUBJECT, letter.row.subject.rpartition(" ")[2]
    yield from ((SENDER, term.lower()) for term in letter.sender.name.split())
    yield from ((SENDER, term) for term in address_terms(letter.sender.address))
    yield from ((PEOPLE, term) for term in ("robin", "reader", "robin@example.org", "@example.org"))
    if letter.row.attachment_count:
        yield FACT, "attachment"


def _choose(shares: dict[str, float], share: float, rest: str) -> str:
    for name, part in shares.items():
        share -= part
        if share < 0:
            return name
    return rest
