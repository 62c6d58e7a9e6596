"""Conditions on messages of all owners, each of which an index serves.

A condition is on messages, on the terms of their site-wide search entries, or on their recipients.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import (
    BooleanField,
    Exists,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Lower

from outbox.models import Account, Message, Recipient, SiteEntry, Status
from outbox.models.access import of_visible_accounts, sees_all_accounts
from outbox.models.site_search import fact_term
from outbox.models.terms import Phrase, Wanted, Whole

EVERY, NOTHING = Q(), Q(pk__in=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Conditions that a message has to meet all of."""

    messages: Q = EVERY
    dates: Q = EVERY  # on `listed_at`, which messages and search entries have
    terms: tuple[tuple[Phrase, ...], ...] = ()  # of each group, one phrase occurs in the entry
    recipients: tuple[Q, ...] = ()  # for each, the message has such a recipient
    is_key: bool = False  # few rows have this key, so the index is read at once

    def __and__(self, other: Conditions) -> Conditions:
        return Conditions(
            messages=self.messages & other.messages,
            dates=self.dates & other.dates,
            terms=self.terms + other.terms,
            recipients=self.recipients + other.recipients,
            is_key=self.is_key or other.is_key,
        )

    @property
    def wanted(self) -> Wanted:
        """Return the condition on the terms."""
        return Wanted(self.terms)

    def limit(self, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Limit a query set, for what is done with all pages of a list."""
        found = queryset.filter(self.messages, self.dates)
        if self.terms:
            found = found.filter(pk__in=SiteEntry.objects.filter(terms__has=self.wanted))
        for condition in self.recipients:
            found = found.filter(pk__in=recipients_with(condition).values("message"))
        return found

    def check_rows(self, messages: QuerySet[Message]) -> QuerySet[Message]:
        """Limit a few messages by their terms and their recipients, without reading an index."""
        if self.terms:
            # PostgreSQL turns EXISTS into a join, and at some sizes reads all entries for it.
            holds = ExpressionWrapper(Q(terms__holds=self.wanted), BooleanField())
            entry = SiteEntry.objects.filter(pk=OuterRef("pk")).annotate(holds=holds)
            messages = messages.filter(Subquery(entry.values("holds"), BooleanField()))
        for condition in self.recipients:
            found = recipients_with(condition).filter(message=OuterRef("pk"))
            messages = messages.filter(Exists(found))
        return messages


def recipients_with(condition: Q) -> QuerySet[Recipient]:
    """Return the recipients that meet a condition, which may name their `folded` address."""
    return Recipient.objects.alias(folded=Lower("address")).filter(condition).order_by()


def queued_messages() -> QuerySet[Message]:
    """Return all messages except drafts, which only their owners see."""
    return Message.objects.exclude(status=Status.DRAFT)


def visible_to(user: AbstractBaseUser | AnonymousUser) -> Conditions:
    """Return the condition that a message was sent with an account that the user sees.

    The terms repeat it, since their index finds the messages of a small account.
    """
    if sees_all_accounts(user):
        return Conditions()
    keys = list(Account.objects.of_staff_groups(user).order_by("pk").values_list("pk", flat=True))
    if not keys:
        return Conditions(messages=NOTHING)
    terms = tuple(Whole([fact_term("account", key)]) for key in keys)
    return Conditions(messages=of_visible_accounts(user), terms=(terms,))
