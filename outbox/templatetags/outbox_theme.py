"""The color theme that a person chose, for the first byte of a page, so that no page flashes."""

from django import template

from outbox.models import Theme
from outbox.web.person import THEME_COOKIE

register = template.Library()


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> str:
    """Return the chosen theme; empty follows the operating system.

    Pages without a signed-in user, such as signing in, read the browser's cookie.
    """
    request = context.get("request")
    if request is None:
        return ""
    preferences = getattr(request, "preferences", None)
    chosen = preferences.theme if preferences else request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in Theme.values else ""
