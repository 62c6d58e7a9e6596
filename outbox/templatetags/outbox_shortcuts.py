"""Keyboard shortcuts in templates; a person who switched them off has none on the page."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def shortcut(context: template.Context, key: str) -> SafeString | str:
    """Return the attribute that makes a key press the element, as `shortcuts.js` reads it."""
    return format_html(' aria-keyshortcuts="{}"', key) if uses_shortcuts(context) else ""


@register.simple_tag(takes_context=True)
def uses_shortcuts(context: template.Context) -> bool:
    """Return whether the user has keyboard shortcuts."""
    preferences = getattr(context.get("request"), "preferences", None)
    return bool(preferences and preferences.uses_shortcuts)
