"""What a user has to know: alarms, accounts that need attention, failures, the first steps."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from outbox.api.alarms.shown import ShownAlarm, open_alarms
from outbox.api.mailbox_notices import paused_mailboxes
from outbox.models import Account, Mailbox, Message, ReplyReminder
from outbox.models.access import can_view_others, of_visible_accounts, sees_all_accounts
from outbox.web.accounts.blocked import BlockedDestination, needing_attention
from outbox.web.first_steps import FirstSteps
from outbox.web.folders.counts import read_counts
from outbox.web.folders.unseen_failures import FailureNotice, failure_notice
from outbox.web.inbox.reminders import reminder_notices

register = template.Library()
INVITATIONS_SHOWN = 3
ALARMS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class AlarmNotice:
    """An open alarm with the page that shows more."""

    shown: ShownAlarm
    url: str


@dataclass(frozen=True, slots=True)
class AlarmNotices:
    """The first open alarms, how many more there are, and the page with all of them."""

    alarms: list[AlarmNotice]
    more: int
    url: str


@register.simple_tag(takes_context=True)
def alarm_notices(context: template.Context) -> AlarmNotices | None:
    """Return the open alarms for staff who may view them, or None."""
    user: Any = context.get("user")
    if user is None or not sees_all_accounts(user) or not user.has_perm("outbox.view_alarm"):
        return None
    alarms = open_alarms()
    if not alarms:
        return None
    notices = [AlarmNotice(one, _page(one.page, one.query)) for one in alarms[:ALARMS_SHOWN]]
    more = len(alarms) - len(notices)
    return AlarmNotices(notices, more, _page("admin:outbox_alarm_changelist", "state=open"))


def _page(name: str, query: str = "") -> str:
    """Return the address of a page of the admin, which a project may lack."""
    try:
        address = reverse(name) if name else ""
    except NoReverseMatch:
        return ""
    return f"{address}?{query}" if address and query else address


@register.simple_tag(takes_context=True)
def accounts_needing_attention(context: template.Context) -> list[BlockedDestination]:
    """Return the blocked destination of each such account that the page does not show itself."""
    user = context.get("user")
    if user is None or not user.is_authenticated or context.get("shows_blocked"):
        return []
    shown = context.get("account")
    on_its_page = shown.pk if isinstance(shown, Account) else None
    found = needing_attention(user)
    return [one for one in found if one.destination.account_id != on_its_page]


@register.simple_tag(takes_context=True)
def mailboxes_needing_attention(context: template.Context) -> list[Mailbox]:
    """Return the user's mailboxes that are not fetched, unless the page shows it itself."""
    request = context.get("request")
    if request is None or not hasattr(request, "user") or not read_counts(request).mailboxes:
        return []
    shown = context.get("account")
    on_its_page = shown.pk if isinstance(shown, Account) else None
    return [one for one in paused_mailboxes(request.user) if one.pk != on_its_page]


@register.simple_tag(takes_context=True)
def account_invitations(context: template.Context) -> list[Account]:
    """Return the first open invitations, unless the page shows them itself."""
    user = context.get("user")
    if user is None or not user.is_authenticated or "invitations" in context:
        return []
    return list(Account.objects.inviting(user).select_related("owner")[:INVITATIONS_SHOWN])


@register.simple_tag(takes_context=True)
def unseen_failure_notice(context: template.Context) -> FailureNotice | None:
    """Return what to show about failures that the user has not seen."""
    request = context.get("request")
    return failure_notice(request) if request is not None and hasattr(request, "user") else None


@register.simple_tag(takes_context=True)
def due_reply_reminders(context: template.Context) -> tuple[list[ReplyReminder], int]:
    """Return the first due reminders of messages without a reply, and how many more there are."""
    request = context.get("request")
    return (
        reminder_notices(request) if request is not None and hasattr(request, "user") else ([], 0)
    )


@register.simple_tag(takes_context=True)
def first_steps(context: template.Context) -> FirstSteps | None:
    """Return the first steps of a new user, or None once the user has sent a message."""
    return FirstSteps.of(context["request"].user)


@register.simple_tag(takes_context=True)
def app_messages_exist(context: template.Context) -> bool:
    """Return whether there are messages of apps that the user may view."""
    user = context["request"].user
    if not can_view_others(user):
        return False
    return Message.objects.of_apps().filter(of_visible_accounts(user)).exists()
