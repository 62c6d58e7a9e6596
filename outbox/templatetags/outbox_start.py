"""The first steps of somebody new, for the page that would be empty otherwise."""

from django import template

from outbox.web.home import Start, start_of

register = template.Library()


@register.simple_tag(takes_context=True)
def first_steps(context: template.Context) -> Start | None:
    """Return how far the person got; None once they have sent something."""
    return start_of(context["request"].user)
