"""The question page of one action on many messages of a list.

The question names the messages, and the action changes exactly those: messages that arrive in the
list in the meantime are not affected. A few are changed at once. More are a bulk operation, which
a worker performs (`outbox.web.folders.operations`). The list posts its selection to be asked, since
the question of a bulk operation stores the messages. An address that is opened stores nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from outbox.api import audit
from outbox.api.bulk_actions import changeable, perform_now, preview
from outbox.api.message_actions import BULK_ACTIONS, MessageAction
from outbox.conf import get_conf
from outbox.models import AuditAction, BulkSkip, Folder, Message, Status
from outbox.models.access import can_view_others
from outbox.models.message import MessageQuerySet
from outbox.web.auth import UserRequest, signed_in
from outbox.web.dialogs import render_dialog
from outbox.web.folders.operations import ASKS, ask_about_all, ask_to_count, begin
from outbox.web.folders.pagination import NEWEST_FIRST
from outbox.web.folders.views import FOLDERS_OF_APPS, find_of_apps
from outbox.web.messages.forms import ReasonForm
from outbox.web.parameters import integer, return_address
from outbox.web.reauthentication import recently_authenticated
from outbox.web.search.query import read_query
from outbox.web.search.results import Search

AT_ONCE = 200  # messages: each takes a few statements, and the user waits for the page


@signed_in
@require_http_methods(["GET", "POST"])
def bulk(request: UserRequest, name: str) -> HttpResponseBase:
    """Ask about the selected messages, then perform the action on each of them."""
    action = BULK_ACTIONS.get(name)
    if action is None:
        raise Http404
    if request.method != "POST" or ASKS in request.POST:
        return _ask(request, action)
    if "operation" in request.POST:
        return begin(request, action)
    keys = _keys(request.POST.get("messages", "").split(","))[:AT_ONCE]
    perform = _perform_on_others if _has_others(request, keys) else _perform
    return perform(request, action)


def _ask(request: UserRequest, action: MessageAction) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    selected, is_cut = _selected(request, given)
    if is_cut and "all" in given and action.states:
        ask = ask_about_all if request.method == "POST" else ask_to_count
        return ask(request, action, given, _back(given.get("back", "")))
    return _question(request, action, selected, _back(given.get("back", "")), is_cut=is_cut)


def _question(
    request: UserRequest,
    action: MessageAction,
    selected: Sequence[int],
    back: str,
    *,
    is_cut: bool = False,
    form: ReasonForm | None = None,
) -> HttpResponse:
    """Ask about some messages, again if the form has an error."""
    possible = _possible(request, action, selected)
    keys = sorted(set(possible.values_list("pk", flat=True)))
    counts = preview(keys, action, get_conf().database)
    if form is None and action.states:
        form = ReasonForm(is_required=_has_others(request, keys))
    context = {
        "action": action,
        "address": reverse("outbox:bulk", args=[action.name]),
        "back": back,
        "is_possible": bool(keys),
        "counts": counts.sentence if action.states else _count_drafts(len(keys)),
        "preview": counts,
        "skipped": len(selected) - len(keys),
        "is_cut": is_cut,
        "at_once": AT_ONCE,
        "keys": ",".join(map(str, keys)),
        "form": form,
    }
    return render_dialog(request, "question", context, is_valid=not (form and form.errors))


def _selected(request: UserRequest, given: QueryDict) -> tuple[list[int], bool]:
    """Return the ids of the selected messages, and whether there are more than at once."""
    if "all" not in given:
        keys = _keys(given.getlist("m"))
        return keys[:AT_ONCE], len(keys) > AT_ONCE
    folder = given.get("folder", "")
    found: Sequence[Message]
    if given.get("apps") and can_view_others(request.user):
        folders = [folder] if folder else FOLDERS_OF_APPS
        found = find_of_apps(request.user, folders, Q(), NEWEST_FIRST, AT_ONCE + 1)
    elif folder in Folder.values:
        listed = Message.objects.visible_to(request.user).in_folder(folder)
        found = list(listed.order_by(*NEWEST_FIRST).only("pk")[: AT_ONCE + 1])
    else:
        query, wrong = read_query(given.get("q", ""))
        found = [] if wrong else Search(request.user, query).find(Q(), NEWEST_FIRST, AT_ONCE + 1)
    return [message.pk for message in found[:AT_ONCE]], len(found) > AT_ONCE


def _keys(texts: Sequence[str]) -> list[int]:
    return list(dict.fromkeys(key for text in texts if (key := integer(text))))


def _possible(request: UserRequest, action: MessageAction, keys: Sequence[int]) -> MessageQuerySet:
    """Return the messages that the action can change, and that the user may change."""
    messages = action.permission.messages(request.user).filter(pk__in=keys)
    if not action.states:
        return messages.filter(status=Status.DRAFT)
    return changeable(messages, action.states)


def _count_drafts(count: int) -> str:
    return ngettext("%(count)d draft.", "%(count)d drafts.", count) % {"count": count}


def _perform(request: UserRequest, action: MessageAction) -> HttpResponse:
    keys = _keys(request.POST.get("messages", "").split(","))[:AT_ONCE]
    possible = _possible(request, action, keys).order_by("pk")
    others = possible.exclude(owner=request.user.pk)
    form = ReasonForm(request.POST, is_required=others.exists())
    if action.states and not form.is_valid():
        return _question(request, action, keys, _back(request.POST.get("back", "")), form=form)
    if action.states:
        ids = list(possible.values_list("pk", flat=True))
        using = get_conf().database
        why = form.cleaned_data["why"]
        result = perform_now(action, ids, actor=request.user, why=why, using=using)
        changed, skips = len(result.changed), Counter(result.skipped.values())
    else:
        changed = sum(action.call(message).changed for message in possible)
        skips = Counter()
    skips[BulkSkip.STATE] += len(keys) - changed - skips.total()
    audit.record(AuditAction.BULK_ACTION, request=request, name=action.name, messages=changed)
    _report(request, action, changed, skips)
    if not keys:
        messages.warning(request, _("No message was selected, so nothing was done."))
    return redirect(_back(request.POST.get("back", "")))


_perform_on_others = recently_authenticated(_perform)


def _has_others(request: UserRequest, keys: Sequence[int]) -> bool:
    """Return whether the user does not own some messages, which staff may change."""
    owned = Q(owner=request.user.pk)
    return Message.objects.filter(pk__in=keys).exclude(owned).exists()


def _report(
    request: UserRequest, action: MessageAction, changed: int, skips: Counter[BulkSkip]
) -> None:
    if changed:
        count = ngettext("%(count)d message", "%(count)d messages", changed)
        messages.success(request, action.report(count % {"count": changed}))
    if skipped := skips.pop(BulkSkip.STATE, 0):
        text = ngettext(
            "%(count)d message had already changed state and was skipped.",
            "%(count)d messages had already changed state and were skipped.",
            skipped,
        )
        messages.warning(request, text % {"count": skipped})
    for reason, number in skips.items():
        text = ngettext(
            "%(count)d message was skipped. %(reason)s",
            "%(count)d messages were skipped. %(reason)s",
            number,
        )
        messages.warning(request, text % {"count": number, "reason": reason.label})


def _back(address: str) -> str:
    return return_address(address, reverse("outbox:list"))
