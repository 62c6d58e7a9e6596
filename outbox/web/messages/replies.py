"""Failed mail by what the servers said: one row for all that failed alike.

Two replies are alike when they differ in addresses, numbers and ids only. Of a large folder the
latest mails are looked at, so that the page costs the same however many failed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from outbox.models import FAILURES, Folder, Message, Recipient
from outbox.web.messages.bulk import AT_ONCE
from outbox.web.messages.failures import see_all_failures
from outbox.web.messages.listing import Page
from outbox.web.messages.paging import ORDER, Stretch
from outbox.web.messages.rows import LISTED, read_rows
from outbox.web.person import PersonRequest, signed_in

LATEST = 1_000  # failed mails looked at
RECIPIENTS = 3_000  # of theirs
GROUPS_SHOWN = 100
_READ = 1_000  # characters of a reply
# What one reply says of its own mail and not of the fault.
_PARTICULAR = re.compile(
    r"<[^<>\s]*>|https?://\S+|[^\s@]+@[^\s@]+|\b(?=[a-z_-]*\d)[\w.:/-]+", re.IGNORECASE
)


@dataclass(slots=True)
class Group:
    """The mails that failed alike; the reply is that of the latest."""

    mark: str  # names it in an address
    code: int | None
    text: str
    messages: dict[int, dt.datetime] = field(default_factory=dict)  # id → listed at
    recipients: int = 0

    @property
    def latest_at(self) -> dt.datetime:
        """When the latest of them was queued."""
        return max(self.messages.values())


def alike(text: str) -> str:
    """Leave of a reply what it has in common with others for the same fault."""
    return " ".join(_PARTICULAR.sub("…", text[:_READ]).lower().split())


def read_groups(person: User) -> tuple[list[Group], bool]:
    """Group what failed, the most frequent first; tell whether there is more than was looked at."""
    newest = [f"-{name}" for name in ORDER]
    failed = Message.objects.visible_to(person).in_folder(Folder.FAILED).order_by(*newest)
    latest = {mail.pk: mail.listed_at for mail in failed.only("pk", "listed_at")[: LATEST + 1]}
    rows = (
        Recipient.objects.filter(message__in=list(latest)[:LATEST], state__in=FAILURES)
        .order_by("-message", "pk")
        .values_list("message_id", "reply_code", "reply_enhanced", "reply_text", "reason")
    )
    groups: dict[tuple[object, ...], Group] = {}
    for key, code, enhanced, said, reason in rows[:RECIPIENTS]:
        text = said if code else reason
        kind = (code, enhanced, alike(text))
        group = groups.setdefault(kind, Group(_mark(kind), code, text))
        group.messages[key] = latest[key]
        group.recipients += 1
    return sorted(groups.values(), key=_weight)[:GROUPS_SHOWN], len(latest) > LATEST


def _mark(kind: Iterable[object]) -> str:
    return hashlib.sha256(repr(kind).encode()).hexdigest()[:12]


def _weight(group: Group) -> tuple[int, float]:
    return -len(group.messages), -group.latest_at.timestamp()


@signed_in
@require_safe
def replies(request: PersonRequest) -> HttpResponse:
    """List the groups, or the mails of the one that `alike` names."""
    see_all_failures(request.user)
    groups, is_bounded = read_groups(request.user)
    context = {"folder": Folder.FAILED, "is_bounded": is_bounded, "latest": LATEST}
    mark = request.GET.get("alike")
    if mark is None:
        return render(request, "outbox/replies.html", context | {"groups": groups})
    group = next((one for one in groups if one.mark == mark), None)
    if group is None:
        raise Http404
    mails = Message.objects.visible_to(request.user).filter(pk__in=group.messages)
    found = list(mails.order_by(*(f"-{name}" for name in ORDER)).only(*LISTED)[:AT_ONCE])
    shown = Page(
        rows=read_rows(found),
        stretch=Stretch(found, None, None, is_newest=False),  # read, not watched
        refresh="",
        here=request.path,
        folder=Folder.FAILED,
    )
    hidden = len(group.messages) - len(found)
    return render(
        request, "outbox/alike.html", context | {"list": shown, "group": group, "hidden": hidden}
    )
