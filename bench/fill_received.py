"""Fill the inbox of the reader, and those of others: rows as the fetcher and the index write them.

The first ones are written by the models. SQL copies them until there are enough, since Python
would take hours for a million. A copy has its own time, number, Message-ID and thread, and the
texts of its original. Some messages reply to sent ones, which `bench.fill_rows` has written
before.
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

from bench.fill_rows import BATCH, YEARS, drop_indexes
from bench.fill_words import PASSAGES, SUBJECTS, Person, Text, Words
from outbox.mail.plain_text import snippet
from outbox.models import (
    Account,
    InboundEntry,
    InboundMessage,
    InboundSource,
    Message,
    SearchMark,
)
from outbox.models.owner_key import owner_key
from outbox.models.search import (
    FACT,
    PEOPLE,
    RECEIVED_MARK,
    SENDER,
    SUBJECT,
    address_terms,
    body_term,
    head_term,
)

IN_THREAD = 4  # messages, on average
SHARES = {"archive": 0.3, "trash": 0.02}  # the rest is in the inbox
KINDS = {"bounce": 0.05, "auto-reply": 0.03, "delay": 0.01}
UNREAD = 0.01
FILES = 0.1
REPLIES = 0.3  # to sent messages, of which each has one at most, on average
ORIGINALS = 24_000  # messages whose texts differ; a multiple of six, as the owners alternate

# A campaign: many old messages that share a word, which no later message contains.
_COPY = """
    SELECT g, o.id AS original, o.owner_id, %(start)s::timestamptz + g * %(apart)s::interval AS at,
        o.owner_id || 's:' AS prefix, (g::float8 / %(total)s) BETWEEN 0.2 AND 0.3 AS is_campaign,
        hashint8extended(g, 1) & 1048575 AS chance, hashint8extended(g, 2) & 1048575 AS place
    FROM generate_series(%(originals)s + 1::bigint, %(total)s) AS g
    JOIN outbox_inboundmessage AS o
        ON o.id = 1 + (g - 1) %% 6 + 6 * ((g * 7919) %% (%(originals)s / 6))
"""
COPIES = (
    f"CREATE TEMP TABLE copy AS {_COPY} ORDER BY g",
    """
    INSERT INTO outbox_inboundmessage (id, owner_id, account_id, kind, kind_sign, folder, is_read,
        from_header, from_address, to_summary, subject, snippet, message_id, in_reply_to, thread,
        sent_at, received_at, size, attachment_count, replies_to_id, matched_by, created_at)
    SELECT g, o.owner_id, account_id, kind, kind_sign, folder,
        is_read, from_header, from_address, to_summary,
        CASE WHEN is_campaign THEN 'Campaign ' ELSE '' END
            || regexp_replace(subject, ' [0-9]+$', ' ' || g),
        snippet, 'r' || g || '@mail.example.net', coalesce(replied || '@mail.example.org', ''),
        g / %(in_thread)s || '-' || g %% 7, at, at, size, attachment_count, replied, matched_by, at
    FROM (SELECT copy.*, CASE WHEN chance < %(replies)s * 1048576
                THEN ids[1 + place %% array_length(ids, 1)] END AS replied
            FROM copy LEFT JOIN sent USING (owner_id)) AS c
        JOIN outbox_inboundmessage AS o ON o.id = c.original
    ORDER BY g
    """.replace("%(in_thread)s", str(IN_THREAD * 7)),
    """
    INSERT INTO outbox_inboundsource (message_id, data, file, sha256, is_redacted)
    SELECT g, data, file, sha256, is_redacted
    FROM copy JOIN outbox_inboundsource AS o ON o.message_id = original ORDER BY g
    """,
    """
    INSERT INTO outbox_inboundentry (message_id, owner_key, listed_at, head, body)
    SELECT g, owner_key, at, ts_delete(head, prefix || original)
            || (quote_literal(prefix || g) || ':1'
                || CASE WHEN is_campaign THEN ' ' || quote_literal(prefix || 'campaign') || ':2'
                    ELSE '' END)::tsvector,
        body
    FROM copy JOIN outbox_inboundentry AS o ON o.message_id = original ORDER BY g
    """,
)


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
        originals = min(total, ORIGINALS)
        apart = dt.timedelta(days=YEARS * 365) / total
        start = timezone.now() - apart * total
        self._replies = REPLIES * min(1.0, sum(map(len, self._sent.values())) / total)
        for first in range(1, originals + 1, BATCH):
            numbers = range(first, min(first + BATCH, originals + 1))
            self._write([self._letter(n, start + apart * n) for n in numbers])
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE sent AS SELECT owner_id, "
                           "array_agg(id ORDER BY id) AS ids FROM outbox_message "
                           "WHERE owner_id IS NOT NULL GROUP BY owner_id")  # fmt: skip
            # Checks of foreign keys and the upkeep of indexes take longer than the rows.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("SET maintenance_work_mem = '512MB'")
            definitions = list(drop_indexes("outbox\\_inbound%"))
            values = {
                "originals": originals,
                "total": total,
                "start": start,
                "apart": apart,
                "replies": self._replies,
            }
            for statement in COPIES:
                cursor.execute(statement, values)
            for definition in definitions:
                cursor.execute(definition)
            cursor.execute("SET session_replication_role = DEFAULT")
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence('outbox_inboundmessage', 'id'), %s)", [total]
            )
            SearchMark.objects.update_or_create(pk=RECEIVED_MARK, defaults={"upto": total})
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
        replied_to = self._random.choice(self._sent[owner.pk]) if draw() < self._replies else None
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
