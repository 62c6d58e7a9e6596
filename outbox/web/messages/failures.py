"""Unseen failures: how many there are, and when a person has seen them.

Opening *Failed* marks all of the person's failures as seen, opening a message marks that message. A
page is read after its failures were marked, so one that comes in between is on it or stays unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from outbox.api.failures import mark_failures_seen
from outbox.models import FAILURES, Folder, Message, Recipient
from outbox.models.message import MessageQuerySet
from outbox.web.person import PersonRequest, signed_in

COUNT_MAX = 99  # beyond it the page says "99+", so that no list has to be counted to its end
_MARKED_AS_NEW = 1_000


def _unseen_by(person: User | AnonymousUser) -> MessageQuerySet:
    return Message.objects.visible_to(person).filter(owner=person.pk, failure_unseen=True)


def unseen_failures(request: HttpRequest) -> list[Message]:
    """Return the newest unseen failures of the person, one more than are counted."""
    found: list[Message] | None = getattr(request, "_outbox_unseen_failures", None)
    if found is None:
        found = []
        if request.user.is_authenticated:
            newest = _unseen_by(request.user).order_by("-pk").only("pk", "subject")
            found = list(newest[: COUNT_MAX + 1])
        request._outbox_unseen_failures = found  # type: ignore[attr-defined]  # for this page
    return found


def see_all_failures(person: User) -> frozenset[int]:
    """Mark the person's failures as seen; return the newest that were not."""
    new = list(_unseen_by(person).order_by("-pk").values_list("pk", flat=True)[:_MARKED_AS_NEW])
    if new:
        mark_failures_seen(_unseen_by(person).filter(pk__lte=new[0]))
    return frozenset(new)


def see_failure(person: User, message: Message) -> None:
    """Mark a failure as seen if the message is the person's own."""
    if message.failure_unseen and message.owner_id == person.pk:
        mark_failures_seen(Message.objects.filter(pk=message.pk))
        message.failure_unseen = False


@dataclass(frozen=True, slots=True)
class Notice:
    """What the next page says of them; one failure is named with its reason."""

    count: str
    number: int
    message: Message
    recipient: Recipient | None


def failure_notice(request: HttpRequest) -> Notice | None:
    """Return what to say of failures that the person has not seen."""
    unseen = unseen_failures(request)
    if not unseen:
        return None
    number = len(unseen)
    failed = (
        Recipient.objects.filter(message=unseen[0], state__in=FAILURES) if number == 1 else None
    )
    return Notice(
        count=f"{COUNT_MAX}+" if number > COUNT_MAX else str(number),
        number=number,
        message=unseen[0],
        recipient=failed.order_by("pk").first() if failed is not None else None,
    )


@signed_in
@require_POST
def dismiss(request: PersonRequest) -> HttpResponse:
    """Mark all failures as seen without opening them, and return to the page."""
    see_all_failures(request.user)
    address = request.POST.get("back", "")
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(address, None)
    return redirect(address if is_ours else reverse("outbox:folder", args=[Folder.FAILED]))
