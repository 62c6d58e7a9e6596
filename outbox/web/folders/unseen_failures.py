"""Unseen failures: how many there are, and when a user has seen them.

Opening *Failed* marks all failures of the user as seen; opening a message marks that message. They
are marked before the page is read, so a failure that arrives in between is on the page or stays
unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from outbox.api.failures import mark_failures_seen
from outbox.models import FAILURES, Folder, Message, Recipient
from outbox.models.message import MessageQuerySet
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.counts import COUNT_MAX, count_in_words
from outbox.web.parameters import return_address

_MARKED_AS_NEW = 1_000


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """The notice about unseen failures; a single failure is shown with its recipient."""

    count: str
    number: int
    message: Message
    recipient: Recipient | None


def unseen_failures(request: HttpRequest) -> list[Message]:
    """Return the newest unseen failures of the user, up to one more than are counted."""
    found: list[Message] | None = getattr(request, "_outbox_unseen_failures", None)
    if found is None:
        found = []
        if request.user.is_authenticated:
            newest = _unseen_by(request.user).order_by("-pk").only("pk", "subject")
            found = list(newest[: COUNT_MAX + 1])
        request._outbox_unseen_failures = found  # type: ignore[attr-defined]  # read twice a page
    return found


def failure_notice(request: HttpRequest) -> FailureNotice | None:
    """Return the notice about failures that the user has not seen."""
    unseen = unseen_failures(request)
    if not unseen:
        return None
    number = len(unseen)
    recipient = None
    if number == 1:
        failed = Recipient.objects.filter(message=unseen[0], state__in=FAILURES)
        recipient = failed.order_by("pk").first()
    return FailureNotice(
        count=count_in_words(number),
        number=number,
        message=unseen[0],
        recipient=recipient,
    )


def mark_all_seen(user: User) -> frozenset[int]:
    """Mark the failures of the user as seen. Return the newest of those that were unseen."""
    new = list(_unseen_by(user).order_by("-pk").values_list("pk", flat=True)[:_MARKED_AS_NEW])
    if new:
        mark_failures_seen(_unseen_by(user).filter(pk__lte=new[0]))
    return frozenset(new)


def mark_seen(user: User, message: Message) -> None:
    """Mark a failure as seen if the message is the user's own."""
    if message.failure_unseen and message.owner_id == user.pk:
        mark_failures_seen(Message.objects.filter(pk=message.pk))
        message.failure_unseen = False


@signed_in
@require_POST
def dismiss(request: UserRequest) -> HttpResponse:
    """Mark all failures as seen without opening them, and return to the page."""
    mark_all_seen(request.user)
    failed = reverse("outbox:folder", args=[Folder.FAILED])
    return redirect(return_address(request.POST.get("back", ""), failed))


def _unseen_by(user: User | AnonymousUser) -> MessageQuerySet:
    return Message.objects.visible_to(user).filter(owner=user.pk, failure_unseen=True)
