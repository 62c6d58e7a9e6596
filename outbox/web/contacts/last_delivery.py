"""The last message to each contact and its result; cancelled messages do not count."""

from collections.abc import Sequence

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Lower

from outbox.api.reasons import reason_of
from outbox.models import FAILURES, OPEN, Contact, Recipient, State
from outbox.models.owner_key import owner_key


class LastDelivery:
    """The last recipient with the address of a contact."""

    def __init__(self, recipient: Recipient) -> None:
        self.recipient = recipient
        self.is_failed = recipient.state in FAILURES
        self.is_open = recipient.state in OPEN
        self.at = recipient.final_at or recipient.last_attempt_at

    @property
    def reason(self) -> str:
        """Return why the message failed."""
        return reason_of(self.recipient)


def last_deliveries(contacts: Sequence[Contact]) -> dict[int, LastDelivery]:
    """Return the last delivery to each of these contacts, by the contact's id."""
    if not contacts:
        return {}
    # They are those of one user. SQL knows no hash of a key that is not a number.
    sent = Recipient.objects.filter(sender_key=owner_key(contacts[0].owner_id))
    same = sent.alias(folded=Lower("address")).filter(folded=Lower(OuterRef("address")))
    latest = same.exclude(state=State.CANCELLED).order_by("-pk").values("pk")[:1]
    queried = Contact.objects.filter(pk__in=[one.pk for one in contacts])
    found = dict(queried.annotate(latest=Subquery(latest)).values_list("pk", "latest"))
    recipients = Recipient.objects.in_bulk([pk for pk in found.values() if pk is not None])
    return {
        contact_id: LastDelivery(recipients[pk])
        for contact_id, pk in found.items()
        if pk in recipients
    }
