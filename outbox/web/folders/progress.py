"""How far a bulk operation is, and what it skipped, in words, for the site and for the admin."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from outbox.models import BulkOperation, BulkSkip, Message


class Progress:
    """What the page of an operation shows."""

    def __init__(self, operation: BulkOperation) -> None:
        self.operation = operation

    @property
    def state(self) -> str:
        """Return the state of the operation."""
        operation = self.operation
        if operation.confirmed_at is None:
            return _("Not confirmed.")
        if operation.cancelled_at is not None:
            return _("Cancelled.")
        if operation.finished_at is not None:
            return _("Finished.")
        return _("Running.") if operation.lease_until else _("Waiting for a worker.")

    @property
    def short(self) -> str:
        """Return the state for a list, with the numbers while the operation runs."""
        if self.operation.is_running:
            return f"{self.state} {self.sentence}"
        return self.state

    @property
    def sentence(self) -> str:
        """Return how many messages were processed."""
        operation = self.operation
        if operation.confirmed_at is None:
            return ""
        text = ngettext(
            "%(done)s of %(count)s message processed.",
            "%(done)s of %(count)s messages processed.",
            operation.count,
        )
        return text % {
            "done": _number(operation.processed_count),
            "count": _number(operation.count),
        }

    @property
    def changed(self) -> str:
        """Return how many messages and recipients were changed, and how many were skipped."""
        operation = self.operation
        messages = ngettext("%(count)s message", "%(count)s messages", operation.done_count)
        recipients = ngettext(
            "%(count)s recipient", "%(count)s recipients", operation.changed_count
        )
        skipped = ngettext(
            "%(count)s message skipped", "%(count)s messages skipped", operation.skipped_count
        )
        return _("Changed: %(messages)s (%(recipients)s). %(skipped)s.") % {
            "messages": messages % {"count": _number(operation.done_count)},
            "recipients": recipients % {"count": _number(operation.changed_count)},
            "skipped": skipped % {"count": _number(operation.skipped_count)},
        }

    @property
    def skips(self) -> list[tuple[str, str]]:
        """Return the reasons for which messages were skipped, the most frequent first."""
        found = sorted(self.operation.skips.items(), key=lambda pair: -pair[1])
        return [(_reason(reason), _number(count)) for reason, count in found]

    @cached_property
    def examples(self) -> list[tuple[int, str, str]]:
        """Return the first skipped messages: id, subject, which is empty for none, and reason."""
        examples = self.operation.examples
        messages = Message.objects.filter(pk__in=[pk for pk, _why in examples])
        known = messages.only("subject", "is_sensitive").in_bulk()
        return [
            (pk, str(known[pk]) if pk in known else "", _reason(reason)) for pk, reason in examples
        ]


def _reason(stored: str) -> str:
    known = stored in BulkSkip.values
    return str(BulkSkip(stored).label) if known else stored


def _number(count: int) -> str:
    return str(number_format(count, force_grouping=True))
