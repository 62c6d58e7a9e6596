"""The keyboard shortcuts, listed on a page that `?` opens as a dialog."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_safe

from outbox.web.person import PersonRequest, signed_in

Keys = tuple[tuple[tuple[str, ...], str | Promise], ...]
SHORTCUTS: tuple[tuple[str | Promise, Keys], ...] = (
    (
        gettext_lazy("Everywhere"),
        (
            (("c",), gettext_lazy("New message")),
            (("/",), gettext_lazy("Search")),
            (("u",), gettext_lazy("Back to the folder")),
            (("?",), gettext_lazy("Show this list")),
        ),
    ),
    (
        gettext_lazy("In a list"),
        (
            (("j", "k"), gettext_lazy("Next, previous message")),
            (("o", "Enter"), gettext_lazy("Open the message")),
            (("x",), gettext_lazy("Select the message")),
        ),
    ),
    (
        gettext_lazy("On a message"),
        (
            (("r",), gettext_lazy("Reply")),
            (("f",), gettext_lazy("Forward")),
            (("e",), gettext_lazy("Edit as new")),
        ),
    ),
    (
        pgettext_lazy("shortcuts", "While writing"),
        (
            (("Ctrl", "Enter"), gettext_lazy("Send")),
            (("Ctrl", "B"), gettext_lazy("Bold")),
            (("Ctrl", "I"), gettext_lazy("Italic")),
            (("Ctrl", "U"), gettext_lazy("Underline")),
        ),
    ),
)


@signed_in
@require_safe
def shortcuts(request: PersonRequest) -> HttpResponse:
    """List the shortcuts, as a page or as the inside of a dialog."""
    template = "outbox/_shortcuts.html" if request.htmx else "outbox/shortcuts.html"
    context = {"shortcuts": SHORTCUTS, "preferences": request.preferences, "page": "shortcuts"}
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response
