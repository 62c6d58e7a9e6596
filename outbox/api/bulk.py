"""Bulk sending: one content for many recipients, each with its own values.

Memory use does not depend on the number of rows: they are read, rendered and queued in batches.
Outside a transaction, each batch is a transaction of its own, so an interrupted run has queued
whole batches. With an idempotency key it can be repeated, and continues where it stopped.
"""

from array import array
from collections import Counter
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Unpack

from asgiref.sync import sync_to_async
from django.db.models import Count

from outbox.api.handle import Handle
from outbox.api.limits import check_rows
from outbox.api.merge_rows import Common, Merger, MergeRow, Words
from outbox.api.outgoing import Checked
from outbox.api.queueing import queue_checked
from outbox.api.quotas import MessageAllowance
from outbox.api.unsubscribing import BULK_FROM, warn_of_many
from outbox.api.values import read_integer, wrong_type
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.models import Recipient, State, Template

_ASKED_AT_ONCE = 5_000  # messages whose states are counted by one query
_BATCH_MAX = 100_000  # messages
# A batch of large messages is written in several steps, so that it takes little memory.
_STEP_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that could not be queued: its position in the iterable, from 0, and the reason."""

    place: int
    row: MergeRow
    error: InvalidMessageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a run after a batch was committed."""

    queued: int
    known: int  # queued earlier under their idempotency keys
    refused: int
    total: int | None  # None: the iterable has no length

    @property
    def done(self) -> int:
        """The rows that were processed."""
        return self.queued + self.known + self.refused


@dataclass(slots=True)
class BulkResult:
    """The result of a run. It takes nine bytes per message, and keeps the refused rows.

    With an idempotency key, a run also takes some 60 bytes per message until it ends.
    """

    queued: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    _created: bytearray = field(default_factory=bytearray, repr=False)

    def handles(self) -> Iterator[Handle]:
        """Yield a handle for each message in order, known ones included, refused rows not."""
        for pk, created in zip(self.ids, self._created, strict=True):
            yield Handle(pk, created=bool(created))

    def add(self, handle: Handle) -> None:
        """Count a message that is queued now, or was queued earlier."""
        self.ids.append(handle.pk)
        self._created.append(bool(handle.created))
        if handle.created:
            self.queued += 1
        else:
            self.known += 1

    def states(self) -> Counter[State]:
        """Return the number of recipients in each state at present."""
        counts: Counter[State] = Counter()
        recipients = Recipient.objects.using(get_conf().database).order_by()
        for start in range(0, len(self.ids), _ASKED_AT_ONCE):
            some = recipients.filter(message__in=self.ids[start : start + _ASKED_AT_ONCE])
            found = some.values_list("state").annotate(Count("pk"))
            counts.update({State(state): count for state, count in found})
        return counts


def send_many(
    rows: Iterable[MergeRow],
    *,
    subject: str | None = "",
    text: str | None = "",
    html: str | None = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    batch_size: int = 500,
    progress: Callable[[Progress], object] | None = None,
    **common: Unpack[Common],
) -> BulkResult:
    """Queue one message for each `MergeRow` and return the result.

    With a `context`, or with one in a row of the first batch, `subject`, `text` and `html` are
    templates. `progress` is called after each batch. With an idempotency key, each message has a
    key made of that and of the row's own key, or of its To. Rows that cannot be sent are not
    queued; the result names them. Raise InvalidMessageError for an argument that is wrong for all
    rows, and NoAccountError.
    """
    _check_run(rows, batch_size, progress)
    run = _Run(Words(subject, text, html, template, context), common)
    total = len(rows) if isinstance(rows, Sized) else None
    waiting = iter(rows)
    while batch := list(islice(waiting, batch_size)):
        run.queue(batch)
        if progress is not None:
            progress(run.progress(total))
    return run.result


async def asend_many(
    rows: Iterable[MergeRow] | AsyncIterable[MergeRow],
    *,
    subject: str | None = "",
    text: str | None = "",
    html: str | None = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    batch_size: int = 500,
    progress: Callable[[Progress], object] | None = None,
    **common: Unpack[Common],
) -> BulkResult:
    """Do the same as `send_many`. The rows may also be an asynchronous iterable."""
    _check_run(rows, batch_size, progress)
    run = await sync_to_async(_Run)(Words(subject, text, html, template, context), common)
    total = len(rows) if isinstance(rows, Sized) else None
    async for batch in _batches(rows, batch_size):
        await sync_to_async(run.queue)(batch)
        if progress is not None:
            progress(run.progress(total))
    return run.result


async def _batches(
    rows: Iterable[MergeRow] | AsyncIterable[MergeRow], size: int
) -> AsyncIterator[list[MergeRow]]:
    if isinstance(rows, AsyncIterable):
        batch = []
        async for row in rows:
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch
        return
    waiting = iter(rows)  # it may query the database, so it must not run in the event loop's thread
    while batch := await sync_to_async(lambda: list(islice(waiting, size)))():
        yield batch


class _Run:
    """One call of `send_many`: what its messages share, and the result so far."""

    def __init__(self, words: Words, common: Common) -> None:
        self.result = BulkResult()
        self._merger = Merger(words, common)
        self._without_link = 0

    def queue(self, batch: Sequence[MergeRow]) -> None:
        """Queue the rows of a batch that can be sent."""
        place = len(self.result.ids) + len(self.result.refused)
        check_rows(place + len(batch))
        self._merger.prepare(batch)
        allowed = MessageAllowance(self._merger.owner, len(batch))
        messages: list[Checked] = []
        size = 0
        for number, row in enumerate(batch, start=place):
            try:
                allowed.use()
                messages.append(self._merger.finished(row))
            except InvalidMessageError as error:
                self.result.refused.append(Refused(number, row, error))
                continue
            size += messages[-1].facts.size
            if size >= _STEP_BYTES:
                self._store(messages)
                size = 0
        self._store(messages)
        self._warn()

    def _warn(self) -> None:
        """Log once that many messages have no link to unsubscribe."""
        before, self._without_link = self._without_link, self._merger.without_link
        if before < BULK_FROM:
            warn_of_many(self._without_link)

    def _store(self, messages: list[Checked]) -> None:
        for handle in queue_checked(messages).handles:
            self.result.add(handle)
        messages.clear()

    def progress(self, total: int | None) -> Progress:
        """Return the progress so far."""
        result = self.result
        return Progress(
            queued=result.queued, known=result.known, refused=len(result.refused), total=total
        )


def _check_run(rows: object, batch_size: object, progress: object) -> None:
    """Raise InvalidMessageError for arguments with which no message could be queued."""
    is_iterable = isinstance(rows, Iterable | AsyncIterable)
    if not is_iterable or isinstance(rows, str | bytes | Mapping | MergeRow):
        raise wrong_type("rows", "a list of MergeRow", rows)
    if isinstance(rows, Sized):
        check_rows(len(rows))
    read_integer("batch_size", batch_size, 1, _BATCH_MAX)
    if progress is not None and not callable(progress):
        raise wrong_type("progress", "a function", progress)
