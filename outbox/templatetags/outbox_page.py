"""Tags of the frame around every page: scripts, theme, keyboard shortcuts, the user's mark."""

from functools import lru_cache
from importlib.metadata import version

from django import template
from django.apps import apps
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_htmx.jinja import htmx_script

from outbox.models import Theme
from outbox.web.auth import THEME_COOKIE
from outbox.web.compose import unsaved

register = template.Library()


@register.simple_tag
def htmx() -> SafeString:
    """Load htmx: a static file if django_htmx is installed as an app, else a page of the outbox."""
    if apps.is_installed("django_htmx"):
        return htmx_script()
    script = '<script src="{}?{}" defer></script>'
    return format_html(script, reverse("outbox:htmx"), _htmx_version())


@lru_cache(maxsize=1)
def _htmx_version() -> str:
    """Return the version, which replaces the copies that browsers have cached."""
    return version("django-htmx")


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> str:
    """Return the chosen color theme, so that no page flashes; empty follows the operating system.

    Pages without a signed-in user, such as the sign-in page, read the browser's cookie.
    """
    request = context.get("request")
    if request is None:
        return ""
    preferences = getattr(request, "preferences", None)
    chosen = preferences.theme if preferences else request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in Theme.values else ""


@register.simple_tag(takes_context=True)
def shortcut(context: template.Context, key: str) -> SafeString | str:
    """Return the attribute by which `shortcuts.js` finds the element of a key."""
    return format_html(' aria-keyshortcuts="{}"', key) if uses_shortcuts(context) else ""


@register.simple_tag(takes_context=True)
def uses_shortcuts(context: template.Context) -> bool:
    """Return whether the user has keyboard shortcuts."""
    preferences = getattr(context.get("request"), "preferences", None)
    return bool(preferences and preferences.uses_shortcuts)


@register.simple_tag(takes_context=True)
def user_mark(context: template.Context) -> str:
    """Return the mark under which the browser stores the user's unsaved text, or an empty text."""
    key = getattr(context.get("user"), "pk", None)
    return "" if key is None else unsaved.user_mark(key)
