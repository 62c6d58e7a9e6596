"""The navigation: the folders with the number of messages in some of them."""

from dataclasses import dataclass

from django import template
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from outbox.models import Folder, InboundFolder
from outbox.models.access import can_view_others
from outbox.web.folders.counts import COUNTED, count_in_words, read_counts
from outbox.web.folders.message_list import APPS
from outbox.web.folders.unseen_failures import unseen_failures

register = template.Library()

ICONS = {
    Folder.OUTBOX: "outbox",
    Folder.SCHEDULED: "clock",
    Folder.SENT: "sent",
    Folder.DRAFTS: "draft",
    Folder.FAILED: "alert",
    Folder.CANCELLED: "ban",
}
APPS_LABEL = pgettext_lazy("folder", "Apps")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the navigation."""

    folder: str
    url: str
    icon: str
    label: str | Promise
    count: str
    current: bool

    @property
    def is_alert(self) -> bool:
        """Return whether the count is of failures."""
        return self.folder == Folder.FAILED

    @property
    def is_inbox(self) -> bool:
        """Return whether the count is of unread messages."""
        return self.folder == InboundFolder.INBOX


def _count(request: HttpRequest, folder: Folder) -> str:
    if folder == Folder.FAILED:
        return count_in_words(len(unseen_failures(request)))
    return count_in_words(read_counts(request).folders[folder]) if folder in COUNTED else ""


def _inbox(request: HttpRequest, *, current: bool) -> Entry:
    return Entry(
        folder=InboundFolder.INBOX.value,
        url=reverse("outbox:inbox"),
        icon="inbox",
        label=InboundFolder.INBOX.label,
        count=count_in_words(read_counts(request).unread),
        current=current,
    )


@register.simple_tag(takes_context=True)
def folder_entries(context: template.Context) -> list[Entry]:
    """Return the folders; `current` marks that of the present page."""
    request: HttpRequest = context["request"]
    entries = [_inbox(request, current=context.get("folder") == InboundFolder.INBOX)]
    entries += [
        Entry(
            folder=folder.value,
            url=folder_url(folder),
            icon=sign,
            label=folder.label,
            count=_count(request, folder),
            current=folder == context.get("folder"),
        )
        for folder, sign in ICONS.items()
    ]
    if can_view_others(request.user):
        is_current = context.get("folder") == APPS
        entries.append(Entry(APPS, reverse("outbox:apps"), "code", APPS_LABEL, "", is_current))
    return entries


PAGES: dict[str, str | Promise] = {
    "contacts": gettext_lazy("Contacts"),
    "templates": gettext_lazy("Templates"),
    "accounts": gettext_lazy("Accounts"),
    "preferences": gettext_lazy("Preferences"),
}


@register.simple_tag(takes_context=True)
def place_label(context: template.Context) -> str | Promise:
    """Return the name of the present folder or page, the label of the menu on narrow screens."""
    folder, page = context.get("folder"), context.get("page")
    if folder in Folder.values:
        return Folder(folder).label
    if folder == InboundFolder.INBOX:
        return InboundFolder.INBOX.label
    if folder == APPS:
        return APPS_LABEL
    if context.get("is_search"):
        return gettext("Search")
    return PAGES.get(page, "") if isinstance(page, str) else ""


def folder_url(folder: Folder) -> str:
    """Return the address of the folder's list."""
    if folder == Folder.OUTBOX:
        return reverse("outbox:list")
    return reverse("outbox:folder", args=[folder.value])
