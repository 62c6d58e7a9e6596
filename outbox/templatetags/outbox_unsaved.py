"""Whose the words are that a browser keeps."""

from django import template

from outbox.web.compose.unsaved import user_mark as mark_of

register = template.Library()


@register.simple_tag(takes_context=True)
def user_mark(context: template.Context) -> str:
    """Return the mark of the signed-in user; empty on a page without one."""
    key = getattr(context.get("user"), "pk", None)
    return "" if key is None else mark_of(key)
