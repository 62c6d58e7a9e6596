"""What owners do with received messages: read, archive, delete, restore.

Nothing here changes a server. A message in the trash was only moved on this site, and what happens
to the copy on the server follows from the settings of the mailbox (`on_server`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from outbox.api.message_actions import Text
from outbox.conf import get_conf
from outbox.models import (
    InboundFolder,
    InboundMessage,
    Mailbox,
    OnServer,
    ServerMessage,
)
from outbox.models.inbound import InboundMessageQuerySet
from outbox.models.removal import delete_received


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedAction:
    """One action on received messages: how it is shown, and what it changes."""

    name: str  # also in addresses
    label: Text
    icon: str
    folders: tuple[InboundFolder, ...]  # whose lists and pages offer the action
    changes: dict[str, Any] | None  # None: the messages are deleted
    leaves: bool = False  # the message is not in its folder any more
    for_read: bool | None = None  # on a page, of messages that are read or unread
    key: str = ""  # keyboard shortcut
    done: Text  # reported afterwards, with a count

    def is_offered(self, message: InboundMessage) -> bool:
        """Return whether the page of a message offers the action."""
        return message.folder in self.folders and self.for_read in {None, message.is_read}


_ALL = tuple(InboundFolder)
_INBOX, _ARCHIVE, _TRASH = InboundFolder.INBOX, InboundFolder.ARCHIVE, InboundFolder.TRASH
RECEIVED_ACTIONS = {
    action.name: action
    for action in (
        ReceivedAction(
            name="archive",
            label=gettext_lazy("Archive"),
            done=gettext_lazy("Archived"),
            icon="archive",
            folders=(_INBOX,),
            changes={"folder": _ARCHIVE.value},
            leaves=True,
            key="y",
        ),
        ReceivedAction(
            name="inbox",
            label=gettext_lazy("Move to Inbox"),
            done=gettext_lazy("Moved to Inbox"),
            icon="inbox",
            folders=(_ARCHIVE, _TRASH),
            changes={"folder": _INBOX.value},
            leaves=True,
        ),
        ReceivedAction(
            name="trash",
            label=gettext_lazy("Delete"),
            done=gettext_lazy("Moved to Trash"),
            icon="trash",
            folders=(_INBOX, _ARCHIVE),
            changes={"folder": _TRASH.value},
            leaves=True,
            key="#",
        ),
        ReceivedAction(
            name="delete",
            label=gettext_lazy("Delete permanently"),
            done=gettext_lazy("Deleted permanently"),
            icon="trash",
            folders=(_TRASH,),
            changes=None,
            leaves=True,
        ),
        ReceivedAction(
            name="read",
            label=gettext_lazy("Mark as read"),
            done=gettext_lazy("Marked as read"),
            icon="read",
            folders=_ALL,
            changes={"is_read": True},
            for_read=False,
        ),
        ReceivedAction(
            name="unread",
            label=gettext_lazy("Mark as unread"),
            done=gettext_lazy("Marked as unread"),
            icon="unread",
            folders=_ALL,
            changes={"is_read": False},
            leaves=True,  # the page would mark it as read again
            for_read=True,
        ),
    )
}


def change_received(
    action: ReceivedAction, message_ids: Collection[int], *, actor: AbstractBaseUser
) -> int:
    """Perform an action on the actor's own messages of these ids; return how many have changed."""
    using = get_conf().database
    messages = InboundMessage.objects.using(using).filter(
        owner=actor.pk, pk__in=message_ids, folder__in=action.folders
    )
    if action.changes is None:
        return _delete(messages, using)
    return messages.exclude(**action.changes).update(**action.changes)


def _delete(messages: InboundMessageQuerySet, using: str) -> int:
    """Delete messages with their bytes. The mailbox remembers them: they are not fetched again."""
    with transaction.atomic(using=using):
        ids = list(messages.select_for_update().order_by("pk").values_list("pk", flat=True))
        delete_received(ids, using)
    return len(ids)


def mark_read(message: InboundMessage) -> None:
    """Mark a message as read, with one statement if it is not."""
    if not message.is_read:
        InboundMessage.objects.using(message._state.db).filter(pk=message.pk).update(is_read=True)
        message.is_read = True


def on_server(messages: Iterable[InboundMessage]) -> list[str]:
    """Return what happens on the server to messages that are deleted here, in sentences.

    It costs two queries for any number of messages.
    """
    using = get_conf().database
    there = list(messages)
    rows = ServerMessage.objects.using(using).filter(message__in=[one.pk for one in there])
    gone = {pk for pk, at in rows.values_list("message_id", "deleted_at") if at is not None}
    rest = {one.account_id for one in there if one.pk not in gone}
    mailboxes = Mailbox.objects.using(using).in_bulk([key for key in rest if key is not None])
    sentences = [_("The server has no copy any more.")] if gone else []
    sentences += [_sentence(mailboxes.get(key) if key else None) for key in sorted(rest, key=str)]
    return list(dict.fromkeys(sentences))


def _sentence(mailbox: Mailbox | None) -> str:
    if mailbox is None:
        return _("No mailbox is connected, so that nothing changes on the server.")
    if mailbox.on_server == OnServer.KEEP:
        return _("The copy on the server is kept.")
    if mailbox.on_server == OnServer.DELETE:
        return _("The copy on the server is deleted after each fetch.")
    text = ngettext(
        "The copy on the server is deleted %(count)d day after it was fetched.",
        "The copy on the server is deleted %(count)d days after it was fetched.",
        mailbox.keep_days,
    )
    return text % {"count": mailbox.keep_days}
