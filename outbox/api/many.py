"""Many: one wording for many readers, each with values of their own.

Memory stays flat however many there are: mails are taken from the iterable, rendered and queued
batch by batch. Outside a transaction every batch is one of its own, so a run that breaks off has
queued whole batches; with an idempotency key it can be repeated, and goes on where it stopped.
"""

import hashlib
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
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from typing import Any, Unpack

from asgiref.sync import sync_to_async
from django.db.models import Count, Model

from outbox.api.composing import finish
from outbox.api.handle import Handle
from outbox.api.merging import Fill, Wording, filling
from outbox.api.outgoing import KEY_MAX, Outgoing, Wishes, check
from outbox.api.queueing import queue_checked
from outbox.api.routes import account_named
from outbox.api.sending import Addresses, read_all
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.mail.addresses import Address
from outbox.mail.mime import AttachmentPart
from outbox.models import Account, Recipient, State, Template

_ASKED_AT_ONCE = 5_000  # messages whose states are counted by one query


@dataclass(frozen=True, slots=True)
class Merge:
    """One of many mails: who gets it, the values for the template, and what else differs."""

    to: Addresses
    context: Mapping[str, Any] = field(default_factory=dict)  # over that of all
    _: KW_ONLY
    cc: Addresses = ()
    bcc: Addresses = ()
    attachments: Sequence[AttachmentPart] = ()  # after those of all
    headers: Mapping[str, str] = field(default_factory=dict)  # over those of all
    metadata: Mapping[str, Any] = field(default_factory=dict)  # over that of all
    related: Model | None = None  # instead of that of all


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
    """What became of the mails; holds eight bytes a mail and those that were refused."""

    queued: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    ids: "array[int]" = field(default_factory=lambda: array("q"))

    def handles(self) -> Iterator[Handle]:
        """Give a handle for each mail, in order; known ones too, refused ones not."""
        return map(Handle, self.ids)

    def states(self) -> Counter[State]:
        """Count the recipients by their present states."""
        counts: Counter[State] = Counter()
        recipients = Recipient.objects.using(get_conf().database).order_by()
        for start in range(0, len(self.ids), _ASKED_AT_ONCE):
            some = recipients.filter(message__in=self.ids[start : start + _ASKED_AT_ONCE])
            found = some.values_list("state").annotate(Count("pk"))
            counts.update({State(state): count for state, count in found})
        return counts


class Common(Wishes, total=False):
    """What all the mails share, as `send` knows it, beside their words."""

    reply_to: Addresses
    attachments: Sequence[AttachmentPart]
    headers: Mapping[str, str]
    account: Account | str | int | None


def send_many(
    merges: Iterable[Merge],
    *,
    subject: str = "",
    text: str = "",
    html: str = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    batch_size: int = 500,
    progress: Callable[[Progress], object] | None = None,
    **common: Unpack[Common],
) -> Many:
    """Queue one mail for each `Merge`; return what became of them.

    `progress` is called after each batch. With an idempotency key each mail has one of its own,
    made of that and its To. A mail that cannot be sent is not queued and is named in the result;
    the others are. Raises InvalidMailError for what is wrong with all of them, and NoAccountError.
    """
    run = _Run(filling(template, Wording(subject, text, html)), context or {}, common)
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
    subject: str = "",
    text: str = "",
    html: str = "",
    template: Template | str | None = None,
    context: Mapping[str, Any] | None = None,
    batch_size: int = 500,
    progress: Callable[[Progress], object] | None = None,
    **common: Unpack[Common],
) -> Many:
    """Do what `send_many` does; the mails may come from an asynchronous iterable, too."""
    fill = await sync_to_async(filling)(template, Wording(subject, text, html))
    run = await sync_to_async(_Run)(fill, context or {}, common)
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

    def __init__(self, fill: Fill, context: Mapping[str, Any], common: Common) -> None:
        self.many = Many()
        self._fill = fill
        self._context = context
        self._account = account_named(common.pop("account", None))
        self._reply_to = read_all("reply_to", common.pop("reply_to", ()))
        self._attachments = common.pop("attachments", ())
        self._headers = common.pop("headers", {})
        self._wishes: Wishes = common

    def queue(self, batch: Sequence[Merge]) -> None:
        """Queue a batch, all that can be sent."""
        many = self.many
        place = len(many.ids) + len(many.refused)
        mails = []
        for number, merge in enumerate(batch, start=place):
            try:
                mails.append(check(self._finished(merge)))
            except InvalidMailError as error:
                many.refused.append(Refused(number, merge, error))
        queued = queue_checked(mails)
        many.ids.extend(queued.ids)
        many.known += queued.known
        many.queued += len(queued.ids) - queued.known

    def progress(self, total: int | None) -> Progress:
        """Tell how far it is."""
        many = self.many
        return Progress(
            queued=many.queued, known=many.known, refused=len(many.refused), total=total
        )

    def _finished(self, merge: Merge) -> Outgoing:
        to = read_all("to", merge.to)
        words = self._fill({**self._context, **merge.context})
        return finish(
            account=self._account,
            to=to,
            cc=read_all("cc", merge.cc),
            bcc=read_all("bcc", merge.bcc),
            reply_to=self._reply_to,
            subject=words.subject,
            text=words.text,
            html=words.html,
            files=[*self._attachments, *merge.attachments],
            headers={**self._headers, **merge.headers},
            **self._wishes_of(merge, to),
        )

    def _wishes_of(self, merge: Merge, to: Sequence[Address]) -> Wishes:
        wishes = self._wishes.copy()
        if merge.metadata:
            wishes["metadata"] = {**wishes.get("metadata", {}), **merge.metadata}
        if merge.related is not None:
            wishes["related"] = merge.related
        if key := wishes.get("idempotency_key"):
            wishes["idempotency_key"] = _key_of(key, to)
        return wishes


def _key_of(key: str, to: Sequence[Address]) -> str:
    """Make the key of one mail of many; a long one is told apart by its digest."""
    whole = " ".join([key, *(address.key for address in to)])
    if len(whole) <= KEY_MAX:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return f"{key[: KEY_MAX - len(digest) - 1]} {digest}"
