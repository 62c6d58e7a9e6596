"""The list of keyboard shortcuts, which `?` opens as a dialog."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_safe

from outbox.web.auth import UserRequest, signed_in
from outbox.web.dialogs import render_dialog

Keys = tuple[tuple[tuple[str, ...], str | Promise], ...]
SHORTCUTS: tuple[tuple[str | Promise, Keys], ...] = (
    (
        gettext_lazy("Everywhere"),
        (
            (("c",), gettext_lazy("Compose")),
            (("/",), gettext_lazy("Search")),
            (("u",), gettext_lazy("Back to the folder")),
            (("?",), gettext_lazy("Show this list")),
        ),
    ),
    (
        gettext_lazy("In a list"),
        (
            (("j", "k"), gettext_lazy("Next or previous message")),
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
        gettext_lazy("On a received message"),
        (
            (("r",), gettext_lazy("Reply")),
            (("a",), gettext_lazy("Reply all")),
            (("f",), gettext_lazy("Forward")),
            (("y",), gettext_lazy("Archive")),
            (("#",), gettext_lazy("Delete")),
            (("j", "k"), gettext_lazy("Older or newer message")),
        ),
    ),
    (
        pgettext_lazy("shortcuts", "While you compose"),
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
def shortcuts(request: UserRequest) -> HttpResponse:
    """List the shortcuts, as a page or as the content of a dialog."""
    context = {"shortcuts": SHORTCUTS, "preferences": request.preferences, "page": "shortcuts"}
    return render_dialog(request, "shortcuts", context)
