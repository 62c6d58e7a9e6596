"""One page of a folder."""

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Folder, Message
from outbox.web.messages.listing import Page
from outbox.web.messages.paging import find_among, read_stretch
from outbox.web.messages.rows import LISTED, read_rows

APPS = "apps"  # not a folder of a message: it lists those of apps, whatever their folder


def read_page(
    person: User, folder: Folder, query: Mapping[str, str], size: int | None = None
) -> Page:
    """Read the page of the folder that `before` or `after` leads to."""
    listed = Message.objects.visible_to(person).in_folder(folder).only(*LISTED)
    stretch = read_stretch(query, find_among(listed), size)
    return Page(
        rows=read_rows(stretch.messages),
        stretch=stretch,
        refresh=reverse("outbox:rows", args=[folder.value]) + "?",
        here="?",
        folder=folder,
    )
