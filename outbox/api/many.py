"""Many: one wording for many readers, each with values of their own.

Memory stays flat however many there are: mails are taken from the iterable, rendered and queued
batch by batch. Outside a transaction every batch is one of its own, so a run that breaks off has
queued whole batches; with an idempotency key it can be repeated, and goes on where it stopped.
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
from outbox.api.merges import Common, Merge, Merger, Words
from outbox.api.outgoing import Checked
from outbox.api.queueing import queue_checked
from outbox.api.values import read_integer, wrong_type
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.models import Recipient, State, Template

_ASKED_AT_ONCE = 5_000  # messages whose states are counted by one query
_BATCH_MAX = 100_000  # messages
# A batch of large messages is written in several steps, so that it takes little memory.
_STEP_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A mail that could not be queued, by its place in the iterable (from 0), and why."""

    place: int
    merge: Merge
    error: InvalidMailError


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is, after a batch was committed."""

    queued: int
    known: int  # queued earlier under their idempotency keys
    refused: int
    total: int | None  # None: the iterable does not tell how many it has

    @property
    def done(self) -> int:
        """Mails that were looked at."""
        return self.queued + self.known + self.refused


@dataclass(slots=True)
class Many:
    """What became of the mails; holds nine bytes a mail and those that were refused.

    With an idempotency key, a run remembers some sixty bytes a mail until it ends.
    """

    queued: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    _created: bytearray = field(default_factory=bytearray, repr=False)

    def handles(self) -> Iterator[Handle]:
        """Yield a handle for each mail, in order; known ones too, refused ones not."""
        for pk, created in zip(self.ids, self._created, strict=True):
            yield Handle(pk, created=bool(created))

    def add(self, handle: Handle) -> None:
        """Count a message that is queued, now or earlier."""
        self.ids.append(handle.pk)
        self._created.append(bool(handle.created))
        if handle.created:
            self.queued += 1
        else:
            self.known += 1

    def states(self) -> Counter[State]:
        """Count the recipients by their present states."""
        counts: Counter[State] = Counter()
        recipients = Recipient.objects.using(get_conf().database).order_by()
        for start in range(0, len(self.ids), _ASKED_AT_ONCE):
            some = recipients.filter(message__in=self.ids[start : start + _ASKED_AT_ONCE])
            found = some.values_list("state").annotate(Count("pk"))
            counts.update({State(state): count for state, count in found})
        return counts


def send_many(
    merges: Iterable[Merge],
    *,
    subject: str | None = "",
    text: str | None = "",
    html: str | None = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    batch_size: int = 500,
    progress: Callable[[Progress], object] | None = None,
    **common: Unpack[Common],
) -> Many:
    """Queue one mail for each `Merge`; return what became of them.

    Where there is a `context`, or one in the first batch's rows, the words are templates, too.
    `progress` is called after each batch. With an idempotency key each mail has one of its own,
    made of that and of the row's key or its To. A mail that cannot be sent is not queued and is
    named in the result; the others are. Raises InvalidMailError for what is wrong with all of
    them, and NoAccountError.
    """
    _check_run(merges, batch_size, progress)
    run = _Run(Words(subject, text, html, template, context), common)
    total = len(merges) if isinstance(merges, Sized) else None
    waiting = iter(merges)
    while batch := list(islice(waiting, batch_size)):
        run.queue(batch)
        if progress is not None:
            progress(run.progress(total))
    return run.many


async def asend_many(
    merges: Iterable[Merge] | AsyncIterable[Merge],
    *,
    subject: str | None = "",
    text: str | None = "",
    html: str | None = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    batch_size: int = 500,
    progress: Callable[[Progress], object] | None = None,
    **common: Unpack[Common],
) -> Many:
    """Do what `send_many` does; the mails may come from an asynchronous iterable, too."""
    _check_run(merges, batch_size, progress)
    run = await sync_to_async(_Run)(Words(subject, text, html, template, context), common)
    total = len(merges) if isinstance(merges, Sized) else None
    async for batch in _batches(merges, batch_size):
        await sync_to_async(run.queue)(batch)
        if progress is not None:
            progress(run.progress(total))
    return run.many


async def _batches(
    merges: Iterable[Merge] | AsyncIterable[Merge], size: int
) -> AsyncIterator[list[Merge]]:
    if isinstance(merges, AsyncIterable):
        batch = []
        async for merge in merges:
            batch.append(merge)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch
        return
    waiting = iter(merges)  # which may ask the database, so it is not for the event loop's thread
    while batch := await sync_to_async(lambda: list(islice(waiting, size)))():
        yield batch


class _Run:
    """One call of `send_many`: what all its mails share, and what became of them so far."""

    def __init__(self, words: Words, common: Common) -> None:
        self.many = Many()
        self._merger = Merger(words, common)

    def queue(self, batch: Sequence[Merge]) -> None:
        """Queue a batch, all that can be sent."""
        self._merger.prepare(batch)
        mails: list[Checked] = []
        size = 0
        place = len(self.many.ids) + len(self.many.refused)
        for number, merge in enumerate(batch, start=place):
            try:
                mails.append(self._merger.finished(merge))
            except InvalidMailError as error:
                self.many.refused.append(Refused(number, merge, error))
                continue
            size += mails[-1].facts.size
            if size >= _STEP_BYTES:
                self._store(mails)
                size = 0
        self._store(mails)

    def _store(self, mails: list[Checked]) -> None:
        for handle in queue_checked(mails).handles:
            self.many.add(handle)
        mails.clear()

    def progress(self, total: int | None) -> Progress:
        """Tell how far it is."""
        many = self.many
        return Progress(
            queued=many.queued, known=many.known, refused=len(many.refused), total=total
        )


def _check_run(merges: object, batch_size: object, progress: object) -> None:
    """Raise InvalidMailError for arguments with which no mail would be queued."""
    rows = isinstance(merges, Iterable | AsyncIterable)
    if not rows or isinstance(merges, str | bytes | Mapping | Merge):
        raise wrong_type("merges", "a list of Merge", merges)
    read_integer("batch_size", batch_size, 1, _BATCH_MAX)
    if progress is not None and not callable(progress):
        raise wrong_type("progress", "a function", progress)
