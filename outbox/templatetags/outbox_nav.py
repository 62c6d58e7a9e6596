"""The navigation: the folders, and how many of the user's mails wait in those that ask for care."""

from dataclasses import dataclass

from django import template
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from outbox.models import Folder, Message
from outbox.models.access import can_view_others
from outbox.web.messages.failures import COUNT_MAX, unseen_failures
from outbox.web.messages.folders import APPS

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
COUNTED = (Folder.OUTBOX, Folder.SCHEDULED, Folder.DRAFTS, Folder.FAILED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the navigation."""

    folder: str
    url: str
    icon: str
    label: str | Promise
    count: str
    current: bool

    @property
    def is_alert(self) -> bool:
        """Return whether the count is of something that went wrong."""
        return self.folder == Folder.FAILED


def _count(request: HttpRequest, folder: Folder) -> str:
    if folder == Folder.FAILED:
        count = len(unseen_failures(request))
    else:
        waiting = Message.objects.visible_to(request.user).filter(folder=folder)
        count = waiting.order_by()[: COUNT_MAX + 1].count()
    if count > COUNT_MAX:
        return f"{COUNT_MAX}+"
    return str(count) if count else ""


@register.simple_tag(takes_context=True)
def folder_entries(context: template.Context) -> list[Entry]:
    """Return the folders; the one of the present page is marked."""
    request: HttpRequest = context["request"]
    entries = [
        Entry(
            folder=folder.value,
            url=folder_url(folder),
            icon=sign,
            label=folder.label,
            count=_count(request, folder) if folder in COUNTED else "",
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
    """Return the name of the present folder or page, which a narrow screen shows as a button."""
    folder, page = context.get("folder"), context.get("page")
    if folder in Folder.values:
        return Folder(folder).label
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
