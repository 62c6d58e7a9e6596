"""What became of the last message to each contact: what was undone or cancelled does not count."""

from collections.abc import Sequence

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Lower

from outbox.api.reasons import reason_of
from outbox.models import FAILURES, OPEN, Contact, Recipient, State


class LastDelivery:
    """The last recipient with a contact's address."""

    def __init__(self, recipient: Recipient) -> None:
        self.recipient = recipient
        self.is_failed = recipient.state in FAILURES
        self.is_open = recipient.state in OPEN
        self.at = recipient.settled_at or recipient.last_attempt_at

    @property
    def reason(self) -> str:
        """Return why it failed."""
        return reason_of(self.recipient)


def last_deliveries(contacts: Sequence[Contact]) -> dict[int, LastDelivery]:
    """Return the last delivery to each of these contacts that had one, by the contact's id."""
    sent = Recipient.objects.filter(sender_key=OuterRef("owner_id"))
    same = sent.alias(folded=Lower("address")).filter(folded=Lower(OuterRef("address")))
    latest = same.exclude(state=State.CANCELLED).order_by("-pk").values("pk")[:1]
    asked = Contact.objects.filter(pk__in=[one.pk for one in contacts])
    found = dict(asked.annotate(latest=Subquery(latest)).values_list("pk", "latest"))
    recipients = Recipient.objects.in_bulk([pk for pk in found.values() if pk is not None])
    return {
        contact_id: LastDelivery(recipients[pk])
        for contact_id, pk in found.items()
        if pk in recipients
    }
