"""What a person has to know on every page: accounts that need attention, and unseen failures."""

from django import template

from outbox.models import Account
from outbox.web.accounts.held import Hold, needing
from outbox.web.messages.failures import Notice, failure_notice

register = template.Library()


@register.simple_tag(takes_context=True)
def holds_needing_person(context: template.Context) -> list[Hold]:
    """Return one hold for each such account, except where the page shows it itself."""
    user = context.get("user")
    if user is None or not user.is_authenticated or context.get("shows_holds"):
        return []
    shown = context.get("account")
    on_its_page = shown.pk if isinstance(shown, Account) else None
    return [hold for hold in needing(user) if hold.route.account_id != on_its_page]


@register.simple_tag(takes_context=True)
def unseen_failure_notice(context: template.Context) -> Notice | None:
    """Return what to say of failures that the person has not seen."""
    request = context.get("request")
    return failure_notice(request) if request is not None and hasattr(request, "user") else None
