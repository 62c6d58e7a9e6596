"""The first steps of somebody new, for the page that would be empty otherwise."""

from django import template

from outbox.models import Message
from outbox.models.access import can_view_others
from outbox.web.home import Start, start_of

register = template.Library()


@register.simple_tag(takes_context=True)
def first_steps(context: template.Context) -> Start | None:
    """Return how far the person got; None once they have sent something."""
    return start_of(context["request"].user)


@register.simple_tag(takes_context=True)
def app_messages_exist(context: template.Context) -> bool:
    """Return whether there are messages of apps that the user may view."""
    return can_view_others(context["request"].user) and Message.objects.of_apps().exists()
