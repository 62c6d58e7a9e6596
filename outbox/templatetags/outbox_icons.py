"""Icons as inline SVG, which have the color of the text and need no request."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# One path each on a 16 by 16 grid, drawn with a stroke of 1.5.
PATHS = {
    "accounts": "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
    "alert": "M8 2 1.5 13.5h13zM8 6.5v3M8 11.6h.01",
    "archive": "M2 3h12v3H2zM3 6v7.5h10V6M6.5 8.8h3",
    "arrow": "M2.5 8h11M9 3.5 13.5 8 9 12.5",
    "ban": "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM3.8 3.8l8.4 8.4",
    "bounce": "M13.5 12.5V9a3 3 0 0 0-3-3h-8M6 2.5 2.5 6 6 9.5",
    "bullets": "M6 4h7.5M6 8h7.5M6 12h7.5M2.8 4h.01M2.8 8h.01M2.8 12h.01",
    "check": "m2.5 8.5 3.5 3.5 7.5-8",
    "clear": "M3 3.5h7M6.5 3.5 5.5 9M9.5 9.5l4 4M13.5 9.5l-4 4M2.5 13h4",
    "clip": (
        "m13 7.5-5 5a3 3 0 0 1-4.3-4.3l5.3-5.2a2 2 0 0 1 2.8 2.8l-5.1 5.1"
        "a.9.9 0 0 1-1.3-1.3l4.6-4.6"
    ),
    "clock": "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.3 1.5",
    "close": "m4 4 8 8M12 4l-8 8",
    "compose": (
        "M8 3H3.5A1.5 1.5 0 0 0 2 4.5v8A1.5 1.5 0 0 0 3.5 14h8a1.5 1.5 0 0 0 1.5-1.5V8"
        "M12.2 2.2a1.1 1.1 0 0 1 1.6 1.6L8 9.6l-2.2.6.6-2.2z"
    ),
    "download": "M8 2.5v7.5M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
    "draft": "M9 2H4v12h8V5zM9 2v3h3M6 8h4M6 10.5h4",
    "copy": "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    "forward": "M10 3.5 13.5 7 10 10.5M13.5 7H7a4.5 4.5 0 0 0-4.5 4.5v1",
    "inbox": "M2 9.5 4 9.5 5 11.5 11 11.5 12 9.5 14 9.5M2 9.5v4h12v-4M8 2v6.5M5 5.5l3 3 3-3",
    "info": "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.3v3.7M8 5h.01",
    "link": (
        "M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.2-2.2a2.6 2.6 0 0 0-3.7-3.7l-1 1"
        "M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l1-1"
    ),
    "lock": "M3.5 7.5h9v6h-9zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
    "menu": "M2.5 4h11M2.5 8h11M2.5 12h11",
    "numbers": "M6.5 4h7M6.5 8h7M6.5 12h7M2.2 3l1-.6v3.2M2 9h1.9M2 7.6c.6-.7 1.9-.5 1.7.4L2 10h1.9",
    "outbox": "M2 9.5 4 9.5 5 11.5 11 11.5 12 9.5 14 9.5M2 9.5v4h12v-4M8 8.5v-6M5 5l3-3 3 3",
    "pause": "M5.5 3.5v9M10.5 3.5v9",
    "people": (
        "M6 7.5A2.3 2.3 0 1 0 6 3a2.3 2.3 0 0 0 0 4.5zM1.5 13.5c0-2.5 2-4 4.5-4"
        "s4.5 1.5 4.5 4M10.5 3.2a2.2 2.2 0 0 1 0 4.1M12 9.8c1.6.6 2.5 1.9 2.5 3.7"
    ),
    "person": (
        "M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8zM2.5 14c0-3 2.4-4.5 5.5-4.5s5.5 1.5 5.5 4.5"
    ),
    "picture": "M2.5 3h11v10h-11zM5.5 6.5h.01M2.5 11.5l3.5-3 2.5 2 2-1.8 3 2.6",
    "plus": "M8 3v10M3 8h10",
    "question": (
        "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM6.2 6.3"
        "c.2-2 3.6-2 3.6 0 0 1.3-1.8 1.4-1.8 2.7M8 11.3h.01"
    ),
    "read": "M2 6.5 8 2.5l6 4v7H2zM2 6.5l6 4 6-4",
    "reply": "M6 3.5 2.5 7 6 10.5M2.5 7H9a4.5 4.5 0 0 1 4.5 4.5v1",
    "reply-all": "M5 4 2 7l3 3M8.5 4 5.5 7l3 3M5.5 7H10a4 4 0 0 1 4 4v1",
    "code": "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
    "quote": "M2.5 11V8.5a3 3 0 0 1 3-3M2.5 8.5h3V11h-3zM9 11V8.5a3 3 0 0 1 3-3M9 8.5h3V11H9z",
    "redo": "M13 6.5H6.5a3.5 3.5 0 0 0 0 7H10M10 3.5l3 3-3 3",
    "retry": "M13 8a5 5 0 1 1-1.5-3.6M13.5 2v3h-3",
    "search": "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.2 3.2",
    "sent": "M14 2 1.5 6.5 6.5 9.5 9.5 14.5zM14 2 6.5 9.5",
    "trash": "M2.5 4.5h11M6 4.5V2.5h4v2M4 4.5l.6 9h6.8l.6-9M6.8 7v4M9.2 7v4",
    "undo": "M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6M6 3.5l-3 3 3 3",
    "unread": "M2 3.5h12v9H2zM2 4.5l6 4.5 6-4.5",
    "template": "M2.5 2.5h11v11h-11zM2.5 6h11M6 9h5M6 11h3",
    "wait": "M4.5 2h7M4.5 14h7M5 2c0 4 6 4 6 8v4M11 2c0 4-6 4-6 8v4",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Render an icon, hidden from screen readers because the text beside it has its meaning."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none"'
        ' stroke="currentColor" stroke-width="1.5" stroke-linecap="round"'
        ' stroke-linejoin="round" aria-hidden="true" focusable="false"><path d="{}"/></svg>',
        mark_safe(PATHS[name]),  # noqa: S308  # a literal of this file
    )
