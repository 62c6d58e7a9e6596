"""The columns of the sent history, and what they need, read for a page at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.admin import formatting
from outbox.admin.change_list import KeysetChangeList
from outbox.admin.history.filters import HistoryFilter
from outbox.admin.history.finding import History
from outbox.api.history.conditions import Conditions, visible_to
from outbox.api.history.criteria import SEARCH, Criteria, scope_of
from outbox.api.history.search import alternatives_of
from outbox.models import Message, Recipient, Status
from outbox.models.states import shown_status
from outbox.templatetags.outbox_display import chip, moment
from outbox.web.display import inert
from outbox.web.folders.message_list import NAMES_SHOWN, recipient_states
from outbox.web.folders.pagination import NEWEST_FIRST, OLDEST_FIRST, Cursor

SUBJECT_SHOWN = 80  # characters
NAMES_WIDTH = 60
REPLY_SHOWN = 300  # characters, in the tooltip


@dataclass(slots=True)
class Facts:
    """What a row shows of the message's recipients."""

    states: dict[str, int] = field(default_factory=dict)
    next_attempt_at: dt.datetime | None = None
    latest: Recipient | None = None  # to which the last reply was given


def read_facts(messages: Sequence[Message]) -> dict[int, Facts]:
    """Return the facts of each message, with two queries for any number of them."""
    keys = [message.pk for message in messages]
    states, next_attempts = recipient_states(keys)
    latest = _latest_recipients(keys)
    return {
        key: Facts(states.get(key, {}), next_attempts.get(key), latest.get(key)) for key in keys
    }


def _latest_recipients(keys: list[int]) -> dict[int, Recipient]:
    """Return of each message the recipient that was attempted last and has a reply."""
    replied = Recipient.objects.filter(message=OuterRef("pk"), reply_code__isnull=False)
    latest = replied.order_by(F("last_attempt_at").desc(nulls_last=True), "pk").values("pk")
    chosen = Message.objects.filter(pk__in=keys).annotate(latest=Subquery(latest[:1]))
    fields = ("message_id", "reply_code", "reply_enhanced", "reply_text")
    found = Recipient.objects.filter(pk__in=chosen.values("latest")).only(*fields)
    return {recipient.message_id: recipient for recipient in found}


class HistoryChangeList(KeysetChangeList):
    """The list of all messages, by the time at which they were queued."""

    cursor = Cursor
    newest_first: ClassVar = NEWEST_FIRST
    oldest_first: ClassVar = OLDEST_FIRST
    is_history = True  # shows the links to the exports
    scope: Conditions
    scope_criteria: Criteria

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Return the rows of all pages, and read which accounts the user sees."""
        self.scope, self.scope_criteria = visible_to(request.user), scope_of(request.user)
        return super().get_queryset(request, *args, **kwargs)

    @property
    def history(self) -> History:
        """Return the messages of the chosen filters and the search."""
        conditions = self.scope
        for spec in cast("list[HistoryFilter]", self.filter_specs):
            conditions &= spec.conditions
        return History(conditions, alternatives_of(self.query))

    @property
    def criteria(self) -> Criteria:
        """Return the chosen filters and the search as a bulk operation stores them."""
        criteria = {**self.scope_criteria, **({SEARCH: self.query} if self.query else {})}
        for spec in cast("list[HistoryFilter]", self.filter_specs):
            criteria |= spec.criteria
        return criteria

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        """Return the first messages of a condition, in an order, up to a count."""
        return self.history.find(place, order, count)

    def prepare(self, rows: list[Any]) -> None:
        """Read the facts of a page."""
        facts = read_facts(rows)
        for message in rows:
            message.facts = facts[message.pk]


class HistoryColumns:
    """The columns of the list."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Limit the messages of all pages to those that the search finds."""
        alternatives = alternatives_of(search_term)
        if alternatives == [Conditions()]:
            return queryset, False
        found = Q()
        for one in alternatives:
            found |= Q(pk__in=one.limit(Message.objects.all()).values("pk"))
        return queryset.filter(found), False

    @admin.display(description=_("subject"))
    def subject_or_none(self, message: Message) -> SafeString:
        """Return the subject."""
        return format_html(
            '<bdi class="outbox-subject">{}</bdi>',
            Truncator(inert(str(message))).chars(SUBJECT_SHOWN),
        )

    @admin.display(description=_("state"))
    def state_chip(self, message: Any) -> SafeString:
        """Return the status to show; "sending" is stored for recipients only."""
        return chip(shown_status(message.status, message.facts.states))

    @admin.display(description=_("recipients"))
    def recipients_shown(self, message: Message) -> SafeString:
        """Return the first recipients, and the number of the others."""
        shown = formatting.breaking_at_domain(
            Truncator(inert(message.to_summary)).chars(NAMES_WIDTH)
        )
        if (more := message.recipient_count - NAMES_SHOWN) > 0:
            return format_html("<bdi>{}</bdi> <b>+{}</b>", shown, more)
        return format_html("<bdi>{}</bdi>", shown)

    @admin.display(description=_("account"))
    def sent_by(self, message: Message) -> str:
        """Return the name of the account."""
        return message.account.name if message.account else formatting.EMPTY

    @admin.display(description=pgettext_lazy("a time", "queued"))
    def age(self, message: Message) -> SafeString | str:
        """Return when the message was queued."""
        return moment(message.listed_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, message: Any) -> SafeString | str:
        """Return the time of the next attempt, or a dash."""
        at = message.facts.next_attempt_at
        if at is None and message.status == Status.SCHEDULED:
            at = message.send_at
        return moment(at, is_planned=True) if at else formatting.EMPTY

    @admin.display(description=_("last reply"))
    def last_reply(self, message: Any) -> SafeString | str:
        """Return the codes of the last reply, with its text as a tooltip."""
        latest = message.facts.latest
        if latest is None:
            return formatting.EMPTY
        codes = f"{latest.reply_code} {latest.reply_enhanced}".strip()
        return format_html(
            '<span title="{}">{}</span>', inert(latest.reply_text)[:REPLY_SHOWN], codes
        )
