"""The reports and replies that came back to a message, and the buttons that correct a report."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from outbox.api.reports import (
    CORRECTABLE,
    RULE_OF_USER,
    ReportDecision,
    correct_report,
    reports_on,
)
from outbox.inbound.inspection import Action
from outbox.models import InboundKind, InboundMessage, InboundReport, Message, Status
from outbox.models.access import can_change
from outbox.models.inbound import InboundMessageQuerySet
from outbox.web.auth import UserRequest, signed_in
from outbox.web.messages.access import get_viewable

REPLIES_SHOWN = 20
_SAID = {
    Action.DELIVERED: gettext_lazy("delivered"),
    Action.RELAYED: gettext_lazy("relayed"),  # to a server that sends no reports
    Action.EXPANDED: gettext_lazy("sent to a mailing list"),
    "displayed": gettext_lazy("displayed"),
    "deleted": gettext_lazy("deleted"),
}
_REPLIES = (InboundKind.MESSAGE, InboundKind.AUTO_REPLY)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report, the address of the received message, and what can be corrected."""

    report: InboundReport
    url: str  # "" if the viewer may not open it
    is_bounce: bool  # it can be classified
    is_correctable: bool  # it can be about another delivery
    has_recipient: bool  # it can be applied to one

    @property
    def said(self) -> str:
        """Return what a receipt says, in one word; "" if its kind says it."""
        if self.report.kind != InboundKind.RECEIPT:
            return ""
        return str(_SAID.get(self.report.action, ""))

    @property
    def is_by_user(self) -> bool:
        """Return whether a user chose what it means."""
        return self.report.rule == RULE_OF_USER


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A received reply and its address, "" if there is no page for it."""

    message: InboundMessage
    url: str

    @property
    def subject(self) -> str:
        """Return the subject, or that there is none."""
        return str(self.message)


def received_url(pk: int, *, is_own: bool) -> str:
    """Return the address of a received message, "" if the site has no page for it.

    The inbox has only the viewer's own messages. Staff open others in the admin.
    """
    name = "outbox:received" if is_own else "admin:outbox_inboundmessage_change"
    try:
        return reverse(name, args=[pk])
    except NoReverseMatch:
        return ""


def report_rows(
    message: Message, received: InboundMessageQuerySet, viewer: int | None
) -> list[ReportRow]:
    """Return the reports on a message, oldest first. `received` are those the viewer may open.

    `viewer` is the primary key of the user.
    """
    reports = reports_on(message)
    ids = {one.message_id for one in reports if one.message_id is not None}
    owners = dict(received.filter(pk__in=ids).values_list("pk", "owner")) if ids else {}
    return [
        ReportRow(
            report,
            received_url(report.message_id, is_own=owners[report.message_id] == viewer)
            if report.message_id in owners
            else "",
            report.kind == InboundKind.BOUNCE,
            report.kind in CORRECTABLE,
            report.recipient_id is not None or message.recipient_count == 1,
        )
        for report in reports
    ]


def reply_rows(
    message: Message, received: InboundMessageQuerySet, viewer: int | None
) -> list[ReplyRow]:
    """Return the replies to a message among those the viewer may open, newest first."""
    found = received.filter(replies_to=message.pk, kind__in=_REPLIES).order_by("-pk")
    return [
        ReplyRow(one, received_url(one.pk, is_own=one.owner_id == viewer))
        for one in found[:REPLIES_SHOWN]
    ]


@signed_in
@require_POST
def correct(request: UserRequest, pk: int, report: int) -> HttpResponse:
    """Apply what the user says about a report."""
    message = get_viewable(request, pk, Message.objects.exclude(status=Status.DRAFT))
    if not can_change(request.user, message):
        raise PermissionDenied
    found = get_object_or_404(InboundReport, pk=report)
    try:
        decision = ReportDecision(request.POST.get("decision", ""))
    except ValueError as error:
        raise Http404 from error
    if correct_report(found, message, decision, actor=request.user):
        messages.success(request, _("Report corrected."))
    else:
        messages.warning(request, _("The report has changed. Nothing was done."))
    return redirect("outbox:message", pk)
