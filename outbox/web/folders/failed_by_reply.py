"""Failed messages by server reply: one group for all messages that failed with the same reply.

Replies are the same if they differ only in addresses, numbers and ids. Only the latest failed
messages are grouped, so that the page costs the same however many there are.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from outbox.api.reasons import in_words
from outbox.mail.server_replies import normalized_reply
from outbox.models import FAILURES, Folder, Message, Recipient
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.bulk import AT_ONCE
from outbox.web.folders.message_list import LISTED, MessageList, read_rows
from outbox.web.folders.pagination import NEWEST_FIRST, MessageSlice
from outbox.web.folders.unseen_failures import mark_all_seen

MESSAGES_READ = 1_000  # the latest failed messages
RECIPIENTS_READ = 3_000  # recipients of these
GROUPS_SHOWN = 100


@dataclass(slots=True)
class ReplyGroup:
    """Messages that failed with the same reply; its text is that of the latest message."""

    key: str  # names the group in an address
    code: int | None
    enhanced: str
    text: str
    messages: dict[int, dt.datetime] = field(default_factory=dict)  # id → listed at
    recipients: int = 0

    @property
    def latest_at(self) -> dt.datetime:
        """Return when the latest of the messages was queued."""
        return max(self.messages.values())


def read_groups(user: User) -> tuple[list[ReplyGroup], bool]:
    """Return the groups, largest first, and whether there are more failed messages than read."""
    failed = Message.objects.visible_to(user).in_folder(Folder.FAILED).order_by(*NEWEST_FIRST)
    newest = failed.only("pk", "listed_at")[: MESSAGES_READ + 1]
    listed_at = {message.pk: message.listed_at for message in newest}
    rows = (
        Recipient.objects.filter(message__in=list(listed_at)[:MESSAGES_READ], state__in=FAILURES)
        .order_by("-message", "pk")
        .values_list("message_id", "reply_code", "reply_enhanced", "reply_text", "reason")
    )
    groups: dict[int, ReplyGroup] = {}
    for message_id, code, enhanced, reply, reason in rows[:RECIPIENTS_READ]:
        text = reply if code else in_words(reason)
        key = normalized_reply(code or 0, enhanced, text).key
        group = groups.setdefault(key, ReplyGroup(f"{key:x}", code, enhanced, text))
        group.messages[message_id] = listed_at[message_id]
        group.recipients += 1
    return sorted(groups.values(), key=_rank)[:GROUPS_SHOWN], len(listed_at) > MESSAGES_READ


def _rank(group: ReplyGroup) -> tuple[int, float]:
    return -len(group.messages), -group.latest_at.timestamp()


@signed_in
@require_safe
def failed_by_reply(request: UserRequest) -> HttpResponse:
    """Show the groups, or the messages of the group that `reply` names."""
    mark_all_seen(request.user)
    groups, is_bounded = read_groups(request.user)
    key = request.GET.get("reply")
    if key is None:
        context = {"groups": groups, "is_bounded": is_bounded, "messages_read": MESSAGES_READ}
        return render(request, "outbox/failed_by_reply.html", {"folder": Folder.FAILED, **context})
    group = next((one for one in groups if one.key == key), None)
    if group is None:
        raise Http404
    messages = Message.objects.visible_to(request.user).filter(pk__in=group.messages)
    found = list(messages.order_by(*NEWEST_FIRST).only(*LISTED)[:AT_ONCE])
    shown = MessageList(
        rows=read_rows(found),
        slice=MessageSlice(found, None, None, is_newest=False),  # this page is not refreshed
        refresh_url="",
        url=request.path,
        folder=Folder.FAILED,
    )
    hidden = len(group.messages) - len(found)
    context = {"list": shown, "group": group, "hidden": hidden}
    return render(request, "outbox/same_reply.html", {"folder": Folder.FAILED, **context})
