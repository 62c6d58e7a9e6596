"""The search over all messages of the site, for operators: one small entry for each queued message.

The sweep writes the entries, those of app messages as well. An entry has the words of the subject,
the domains of the recipients, and facts to filter by. It has no body, and no addresses: the
recipients have an index of them. An entry is written once, so that its cost in WAL is one row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.mail.search_terms import fold, terms_of
from outbox.models.message import Message
from outbox.models.recipient import Recipient
from outbox.models.states import Status
from outbox.models.terms import TermsField, TermsIndex

_SUBJECT = "s:"


class SiteEntry(models.Model):
    """The search terms of one queued message, for a search over all owners."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="site_entry"
    )
    listed_at = models.DateTimeField()  # the message's
    terms = TermsField()

    class Meta:
        verbose_name = _("site-wide search entry")
        verbose_name_plural = _("site-wide search entries")
        indexes = [
            # A term, however rare it is.
            TermsIndex(fields=["terms"], name="outbox_site_terms"),
        ]

    def __str__(self) -> str:
        return f"site-wide search entry of message {self.pk}"


def subject_term(term: str) -> str:
    """Return a word of a subject as it is stored and searched for."""
    return f"{_SUBJECT}{term}"


def domain_term(domain: str) -> str:
    """Return the domain of a recipient as it is stored and searched for."""
    return f"@{fold(domain)}"


def fact_term(name: str, value: object) -> str:
    """Return a fact, such as an account or a tag, as it is stored and searched for."""
    return f"{name}={fold(str(value))}"


def write_site_entries(message_ids: Collection[int], using: str) -> None:
    """Write the entries of those messages that are queued, with two queries and one statement."""
    messages = (
        Message.objects.using(using)
        .filter(pk__in=message_ids)
        .exclude(status=Status.DRAFT)
        .only("subject", "account_id", "origin", "tags", "listed_at")
        .order_by("pk")
    )
    found = list(messages)
    domains = _domains([message.pk for message in found], using)
    SiteEntry.objects.using(using).bulk_create(
        [
            SiteEntry(
                message=message,
                listed_at=message.listed_at,
                terms=list(_terms(message, domains[message.pk])),
            )
            for message in found
        ],
        update_conflicts=True,
        unique_fields=["message"],
        update_fields=["listed_at", "terms"],
    )


def remove_site_entries(message_ids: Collection[int], using: str) -> None:
    """Remove the entries of messages that are drafts again; only their owners see drafts."""
    entries = SiteEntry.objects.using(using).filter(pk__in=message_ids)
    entries.filter(message__status=Status.DRAFT).delete()


def _domains(message_ids: list[int], using: str) -> dict[int, dict[str, None]]:
    """Return the domains of each message's recipients, in order and each once."""
    recipients = Recipient.objects.using(using).filter(message__in=message_ids).order_by("pk")
    found: dict[int, dict[str, None]] = defaultdict(dict)
    for message_id, address in recipients.values_list("message_id", "address").iterator():
        found[message_id][address.rpartition("@")[2]] = None
    return found


def _terms(message: Message, domains: Iterable[str]) -> Iterator[str]:
    yield fact_term("origin", message.origin)
    if message.account_id is not None:
        yield fact_term("account", message.account_id)
    yield from (fact_term("tag", tag) for tag in message.tags)
    yield from map(subject_term, terms_of(message.subject))
    yield from map(domain_term, domains)
