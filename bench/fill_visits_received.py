"""The pages of received messages that `make fill` requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.http import urlencode

from bench.fill_words import Words, words_of
from outbox.models import InboundFolder, InboundMessage
from outbox.web.folders.pagination import Cursor

SOURCES = 500  # messages drawn, for positions and people


class ReceivedVisits:
    """Draws addresses, the same ones for the same mailbox."""

    def __init__(self, reader: User, words: Words, count: int) -> None:
        self._words = words
        self._count = count
        self._random = random.Random(9)  # noqa: S311  # the same each time is the point
        newest = InboundMessage.objects.latest("pk").pk
        keys = self._random.sample(range(1, newest + 1), min(SOURCES * 2, newest))
        mine = InboundMessage.objects.visible_to(reader).filter(pk__in=keys)
        self._messages = list(mine.order_by("pk")[:SOURCES])
        self._random.shuffle(self._messages)

    def all(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield the name of each page with its addresses."""
        inbox = reverse("outbox:inbox")
        yield "Inbox", [inbox] * self._count
        yield "Inbox, deep", self._drawn(lambda: f"{inbox}?before={self._place()}")
        yield "Inbox, back up", self._drawn(lambda: f"{inbox}?after={self._place()}")
        for folder in InboundFolder:
            page = reverse("outbox:received-folder", args=[folder.value])
            yield f"{folder.label}, unread", [f"{page}?show=unread"] * self._count
        yield "a message with its thread", self._drawn(self._page)
        for line in self._lines():
            drawn = self._drawn(lambda line=line: f"{reverse('outbox:search')}?{line()}")
            yield f"search, {drawn[0].partition('?')[2]}", drawn

    def _lines(self) -> Iterator[Callable[[], str]]:
        subjects, bodies = self._words.subject_shares, self._words.body_shares
        choose = self._random.choice
        lines: list[Callable[[], str]] = [
            lambda: f"from:{self._sender()}",
            lambda: f"from:{self._sender()[:4]}",
            lambda: f"subject:{choose(words_of(subjects, 0.04, 1))} in:inbox",
            lambda: f"subject:{choose(words_of(subjects, 0, 0.0015))} in:inbox",
            lambda: f"body:{choose(words_of(bodies, 0.2, 1))} in:inbox",
            lambda: f"body:{choose(words_of(bodies, 0, 0.0015))} in:inbox",
            lambda: f"{choose(words_of(bodies, 0.004, 0.01))} in:archive",
            lambda: "in:inbox",
            lambda: "in:trash",
            lambda: "is:unread",
            lambda: "has:attachment in:inbox",
        ]
        for line in lines:
            yield lambda line=line: urlencode({"q": line()})

    def _drawn(self, draw: Callable[[], str]) -> list[str]:
        return [draw() for _ in range(self._count)]

    def _place(self) -> str:
        message = self._random.choice(self._messages)
        return str(Cursor(message.received_at, message.pk))

    def _page(self) -> str:
        return reverse("outbox:received", args=[self._random.choice(self._messages).pk])

    def _sender(self) -> str:
        return self._random.choice(self._messages).from_address
