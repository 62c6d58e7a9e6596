"""The pages that `make fill` requests: lists, searches, messages, and the others.

Each request of a page has other parameters, which are drawn from the mailbox: words by frequency,
people, reply codes and days. This module only returns addresses.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from bench.fill_visits_received import ReceivedVisits
from bench.fill_words import Words, words_of
from outbox.models import Account, Contact, Folder, Message, Recipient, Template
from outbox.web.folders.pagination import Cursor
from outbox.web.search.query import STATES

LIST, SEARCH, BODY, MESSAGE, OTHER = "Lists", "Search", "Body search", "A message", "Other pages"
RECEIVED = "Received messages"
# Milliseconds, 95th percentile
LIMITS = {LIST: 100.0, SEARCH: 100.0, BODY: 100.0, MESSAGE: 60.0, OTHER: 100.0, RECEIVED: 100.0}
SOURCES = 500  # messages drawn, for positions and people


@dataclass(frozen=True, slots=True)
class Visit:
    """One page and its addresses, which differ if the page has parameters."""

    group: str
    name: str
    addresses: Sequence[str]


class Visits:
    """Draws addresses, the same ones for the same mailbox."""

    def __init__(self, reader: User, words: Words, count: int) -> None:
        self.reader = reader
        self.words = words
        self.count = count
        self._random = random.Random(7)  # noqa: S311  # the same each time is the point
        newest = Message.objects.latest("pk").pk
        keys = self._random.sample(range(1, newest + 1), min(SOURCES * 2, newest))
        self._messages = list(Message.objects.visible_to(reader).filter(pk__in=keys))
        self._random.shuffle(self._messages)
        self._places = [Cursor.of(message) for message in self._messages]
        self._newest = newest

    def all(self) -> Iterator[Visit]:
        """Yield every page."""
        yield from self._lists()
        yield from self._searches()
        yield from self._body_searches()
        yield from self._message_pages()
        for name, addresses in ReceivedVisits(self.reader, self.words, self.count).all():
            yield Visit(RECEIVED, name, addresses)
        yield from self._others()

    def _visit(self, group: str, name: str, draw: Callable[[], str]) -> Visit:
        return Visit(group, name, [draw() for _ in range(self.count)])

    def _one_of(self, things: Sequence[str]) -> str:
        return self._random.choice(things)

    def _place(self) -> str:
        return str(self._random.choice(self._places))

    def _lists(self) -> Iterator[Visit]:
        for folder in Folder:
            here = reverse("outbox:folder", args=[folder.value])
            yield Visit(LIST, str(folder.label), [here] * self.count)
            yield Visit(
                LIST,
                f"{folder.label}, deep",
                [f"{here}?before={self._place()}" for _ in range(self.count)],
            )
        sent = reverse("outbox:folder", args=[Folder.SENT.value])
        yield self._visit(LIST, "Sent, back up", lambda: f"{sent}?after={self._place()}")
        yield Visit(LIST, "Failed, by reply", [reverse("outbox:failed-by-reply")] * self.count)
        rows = reverse("outbox:rows", args=[Folder.OUTBOX.value])
        yield Visit(LIST, "Outbox looking for changes", [rows] * self.count)

    def _search(self, group: str, line: Callable[[], str]) -> Visit:
        lines = [line() for _ in range(self.count)]
        address = reverse("outbox:search")
        return Visit(group, f"`{lines[0]}`", [f"{address}?{urlencode({'q': q})}" for q in lines])

    def _searches(self) -> Iterator[Visit]:
        subjects = self.words.subject_shares
        common = words_of(subjects, 0.04, 1)
        usual = words_of(subjects, 0.003, 0.04)
        rare = words_of(subjects, 0, 0.0015)
        address = reverse("outbox:search")
        yield Visit(SEARCH, "all mail", [address] * self.count)
        yield self._visit(SEARCH, "all mail, deep", lambda: f"{address}?before={self._place()}")
        lines: list[Callable[[], str]] = [
            lambda: self._one_of(common),
            lambda: self._one_of(usual),
            lambda: self._one_of(rare),
            lambda: f"nowhere{self._random.random()}",
            lambda: str(self._number()),
            lambda: self._one_of("abcdefgh"),
            lambda: f"subject:{self._one_of(common)}",
            lambda: f"subject:{self._one_of(usual)}",
            lambda: f"subject:{self._one_of(rare)}",
            lambda: f"subject:{self._number()}",
            lambda: f"subject:{self._one_of(['合同', '通知', '附件', '项目', '会议'])}",
            lambda: "subject:campaign",
            lambda: f"subject:campaign {self._one_of(usual)}",
            lambda: f"subject:{self._one_of(usual)} subject:{self._one_of(usual)}",
            lambda: f"subject:{self._one_of(common)} subject:{self._one_of(common)}",
            lambda: f"to:{self._person().address}",
            lambda: f"to:{self._domain()}",
            lambda: f"to:@{self._domain()}",
            lambda: f'to:"{self._named().name}"',
            lambda: f"to:{self._named().name.split()[0]}",
            lambda: f"to:{self._named().name[:3]}",
            lambda: "from:robin",
            *self._codes(),
            lambda: f"id:{self._number()}@mail.example.org",
            *(f"is:{state}".__str__ for state in STATES),
            lambda: f"in:{self._one_of(Folder.values)}",
            lambda: f"before:{self._day()}",
            lambda: f"after:{self._day()}",
            lambda: "after:{} before:{}".format(*sorted((self._day(), self._day()))),
            lambda: "tag:shop",
            lambda: "tag:urgent",
            lambda: "has:attachment",
            lambda: f"subject:{self._one_of(usual)} before:{self._day()}",
            lambda: f"subject:{self._one_of(usual)} code:{self._one_of(['550', '5', '4'])}",
            lambda: f"subject:{self._one_of(common)} code:521",
            lambda: f"to:{self._named().name.split()[0]} code:5",
            lambda: f"to:@{self._domain()} subject:{self._one_of(usual)}",
            lambda: f"has:attachment is:failed after:{self._day()}",
            lambda: "has:attachment is:expired",
            lambda: f"is:failed code:552 before:{self._day()}",
            lambda: f"in:sent subject:{self._one_of(usual)}",
            lambda: f"is:uncertain subject:{self._one_of(usual)}",
            lambda: f"tag:urgent has:attachment in:failed before:{self._day()}",
        ]  # fmt: skip
        yield from (self._search(SEARCH, line) for line in lines)

    def _codes(self) -> Iterator[Callable[[], str]]:
        for code in ("2", "250", "251", "252", "2.1.5", "2.1.9", "4", "451", "4.2.2", "5", "550",
                     "521", "5.7", "5.2.2", "599"):  # fmt: skip
            yield f"code:{code}".__str__
        yield lambda: f"code:252 before:{self._day()}"
        yield lambda: f"code:550 before:{self._day()}"

    def _body_searches(self) -> Iterator[Visit]:
        shares, shares_zh = self.words.body_shares, self.words.body_shares_zh
        common, usual = words_of(shares, 0.2, 1), words_of(shares, 0.02, 0.2)
        some, rare = words_of(shares, 0.004, 0.01), words_of(shares, 0, 0.0015)
        common_zh, some_zh = words_of(shares_zh, 0.2, 1), words_of(shares_zh, 0.01, 0.03)
        rare_zh = words_of(shares_zh, 0, 0.004)
        lines: list[Callable[[], str]] = [
            lambda: f"body:{self._one_of(common)}",
            lambda: f"body:{self._one_of(usual)}",
            lambda: f"body:{self._one_of(some)}",
            lambda: f"body:{self._one_of(rare)}",
            lambda: f'body:"order {self._number()}"',
            lambda: f'body:"{self._phrase()}"',
            lambda: f"body:{self._one_of(common)} body:{self._one_of(common)}",
            lambda: f"body:{self._one_of(some)} body:{self._one_of(common)}",
            lambda: f"body:{self._one_of(some)} body:{self._one_of(some)}",
            lambda: f"body:{self._one_of(some)} before:{self._day()}",
            lambda: f"body:{self._one_of(usual)} code:5",
            lambda: f"body:{self._one_of(common_zh)}",
            lambda: f"body:{self._one_of(some_zh)}",
            lambda: f"body:{self._one_of(rare_zh)}",
            lambda: f"body:{self._one_of('梅兰菊松鹤')}",
            lambda: f"body:{self._one_of(common_zh)} body:{self._one_of(some_zh)}",
            lambda: f"{self._one_of(some)} {self._one_of(usual)}",
            lambda: f"{self._one_of(some_zh)}",
        ]
        yield from (self._search(BODY, line) for line in lines)

    def _message_pages(self) -> Iterator[Visit]:
        for name, wanted in (
            ("sent to one", {"status": "sent", "recipient_count": 1}),
            ("sent to forty", {"status": "sent", "recipient_count": 40}),
            ("failed", {"folder": "failed"}),
            ("deferred", {"status": "deferred"}),
        ):
            drawn = Message.objects.visible_to(self.reader).filter(
                pk__in=self._random.sample(range(1, self._newest), min(40_000, self._newest - 1)),
                **wanted,
            )
            keys = list(drawn.values_list("pk", flat=True)[: self.count])
            self._random.shuffle(keys)
            pages = [reverse("outbox:message", args=[key]) for key in keys]
            yield Visit(MESSAGE, name, pages)
            if name in {"sent to one", "sent to forty"}:
                yield Visit(
                    MESSAGE, f"{name}, looking for changes", [f"{page}live/" for page in pages]
                )
        drafts = Message.objects.visible_to(self.reader).filter(status="draft")
        keys = list(drafts.values_list("pk", flat=True)[: self.count])
        yield Visit(MESSAGE, "draft", [reverse("outbox:draft", args=[key]) for key in keys])

    def _others(self) -> Iterator[Visit]:
        home = reverse("outbox:list")
        yield Visit(OTHER, "home", [home] * self.count)
        for name in ("compose", "contacts", "accounts", "templates", "preferences"):
            yield Visit(OTHER, name, [reverse(f"outbox:{name}")] * self.count)
        book = reverse("outbox:contacts")
        known = list(Contact.objects.visible_to(self.reader).values_list("pk", flat=True)[:2000])
        yield self._visit(
            OTHER, "contacts, deep", lambda: f"{book}?after={self._random.choice(known)}"
        )
        yield self._visit(OTHER, "contacts, found", lambda: f"{book}?q={self._named().name[:4]}")
        suggest = reverse("outbox:suggest")
        yield self._visit(
            OTHER, "an address being typed", lambda: f"{suggest}?q={self._person().address[:3]}"
        )
        account, template = Account.objects.earliest("pk"), Template.objects.earliest("pk")
        yield Visit(OTHER, "account", [reverse("outbox:account", args=[account.pk])] * self.count)
        yield Visit(
            OTHER, "template", [reverse("outbox:template", args=[template.pk])] * self.count
        )

    def _number(self) -> int:
        return self._random.choice(self._messages).pk

    def _person(self) -> Recipient:
        return next(iter(self._random.choice(self._queued).recipients.all()))

    def _domain(self) -> str:
        return self._person().address.rpartition("@")[2]

    def _named(self) -> Recipient:
        return next(one for one in iter(self._person, None) if " " in one.name)

    @property
    def _queued(self) -> list[Message]:
        return [message for message in self._messages if not message.is_draft]

    def _day(self) -> dt.date:
        return (timezone.now() - dt.timedelta(days=self._random.randint(1, 1_000))).date()

    def _phrase(self) -> str:
        """Return three consecutive words of a random message."""
        text = self._random.choice(self.words.english).text.rstrip(".").split()
        at = self._random.randrange(len(text) - 3)
        return " ".join(text[at : at + 3])
