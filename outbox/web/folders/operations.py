"""An action on a whole list: the question, and the progress of the bulk operation."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from outbox.api import bulk_actions
from outbox.api.audit import acting_as
from outbox.api.history.criteria import FOLDER, OWNER, scope_of
from outbox.api.message_actions import RECIPIENT_ACTIONS, MessageAction
from outbox.conf import get_conf
from outbox.models import BulkOperation, Folder
from outbox.models.access import can_change_others
from outbox.web.auth import UserRequest, signed_in
from outbox.web.dialogs import render_dialog
from outbox.web.folders.pagination import NEWEST_FIRST
from outbox.web.folders.progress import Progress
from outbox.web.messages.forms import ReasonForm
from outbox.web.parameters import integer, return_address
from outbox.web.reauthentication import recently_authenticated
from outbox.web.search.query import read_query
from outbox.web.search.results import Search

SEARCHED_MAX = 10_000  # messages that a search finds for an operation
ASKS = "ask"  # the field of a post whose response is the question
_SELECTION = ("all", "apps", "folder", "q")  # the fields that choose a whole list


def ask_to_count(
    request: UserRequest, action: MessageAction, given: QueryDict, back: str
) -> HttpResponse:
    """Ask to count a whole list, in response to an address that was opened: nothing is stored."""
    context = {
        "action": action,
        "address": reverse("outbox:bulk", args=[action.name]),
        "back": back,
        "asks": ASKS,
        "fields": [(name, given[name]) for name in (*_SELECTION, "back") if name in given],
    }
    return render_dialog(request, "count", context)


def ask_about_all(
    request: UserRequest, action: MessageAction, given: QueryDict, back: str
) -> HttpResponse:
    """Count what the action would change in a whole list, and ask.

    The question replaces an earlier one of the user that was not confirmed.
    """
    using = get_conf().database
    _own(request).filter(confirmed_at=None).delete()
    chosen, is_cut = _chosen(request, given)
    selection = urlencode([(name, str(given[name])) for name in _SELECTION if name in given])
    operation = bulk_actions.propose(
        action, actor=request.user, selection=selection, using=using, **chosen
    )
    form = ReasonForm(is_required=not _is_own(request, operation))
    return _question(request, action, operation, form, back=back, is_cut=is_cut)


def _question(
    request: UserRequest,
    action: MessageAction,
    operation: BulkOperation,
    form: ReasonForm,
    *,
    back: str,
    is_cut: bool = False,
) -> HttpResponse:
    using = get_conf().database
    counts = bulk_actions.preview_of(operation, using)
    context = {
        "action": action,
        "address": reverse("outbox:bulk", args=[action.name]),
        "back": back,
        "is_possible": bool(counts),
        "counts": counts.sentence,
        "preview": counts,
        "examples": bulk_actions.examples(operation, using),
        "is_cut": is_cut,
        "at_once": SEARCHED_MAX,
        "operation": operation,
        "form": form,
    }
    return render_dialog(request, "question", context, is_valid=not form.errors)


def _is_own(request: UserRequest, operation: BulkOperation) -> bool:
    """Return whether the operation is about messages of the user."""
    return bool(operation.criteria.get(OWNER) == str(request.user.pk))


def _chosen(request: UserRequest, given: QueryDict) -> tuple[dict[str, Any], bool]:
    """Return what is selected, as a filter or as ids, and whether there is more."""
    folder = given.get("folder", "")
    own = {OWNER: str(request.user.pk)}
    if given.get("apps"):
        if not can_change_others(request.user):
            raise PermissionDenied
        in_folder = {FOLDER: folder} if folder in Folder.values else {}
        return {"criteria": {OWNER: None, **in_folder, **scope_of(request.user)}}, False
    if folder in Folder.values:
        return {"criteria": {**own, FOLDER: folder}}, False
    query, _wrong = read_query(given.get("q", ""))
    found = Search(request.user, query).find(Q(), NEWEST_FIRST, SEARCHED_MAX + 1)
    ids = [message.pk for message in found[:SEARCHED_MAX]]
    return {"message_ids": ids, "criteria": own}, len(found) > SEARCHED_MAX


def begin(request: UserRequest, action: MessageAction) -> HttpResponseBase:
    """Confirm the operation of a question, and show its progress."""
    key = integer(request.POST.get("operation"))
    operation = get_object_or_404(_own(request), pk=key, action=action.name)
    confirm = _confirm if _is_own(request, operation) else _confirm_for_others
    return confirm(request, operation)


def _confirm(request: UserRequest, operation: BulkOperation) -> HttpResponse:
    form = ReasonForm(request.POST, is_required=not _is_own(request, operation))
    if not form.is_valid():
        action = RECIPIENT_ACTIONS[operation.action]
        back = return_address(request.POST.get("back", ""), reverse("outbox:list"))
        return _question(request, action, operation, form, back=back)
    why = form.cleaned_data["why"]
    with acting_as(request):
        bulk_actions.confirm(operation, why=why, using=get_conf().database)
    return redirect("outbox:operation", operation.pk)


@recently_authenticated
def _confirm_for_others(request: UserRequest, operation: BulkOperation) -> HttpResponse:
    if not can_change_others(request.user):
        raise PermissionDenied
    return _confirm(request, operation)


def _own(request: UserRequest) -> Any:
    operations = BulkOperation.objects.using(get_conf().database)
    return operations.filter(actor=request.user.pk).defer("message_ids")


@signed_in
@require_safe
def operation(request: UserRequest, pk: int) -> HttpResponse:
    """Show the progress of an operation that the user has confirmed."""
    return render(request, "outbox/operation.html", _context(request, pk))


@signed_in
@require_safe
def operation_live(request: UserRequest, pk: int) -> HttpResponse:
    """Return the part of the page that refreshes itself."""
    return render(request, "outbox/_operation.html", _context(request, pk))


def _context(request: UserRequest, pk: int) -> dict[str, Any]:
    found = get_object_or_404(_own(request), pk=pk)
    if found.confirmed_at is None:
        raise Http404
    return {"operation": found, "progress": Progress(found)}


@signed_in
@require_POST
def cancel_operation(request: UserRequest, pk: int) -> HttpResponse:
    """End an operation. What it has changed remains changed."""
    found = get_object_or_404(_own(request), pk=pk)
    with acting_as(request):
        if bulk_actions.cancel(found, actor=request.user, using=get_conf().database):
            messages.success(request, _("The operation is cancelled."))
        else:
            messages.info(request, _("The operation had already ended."))
    return redirect("outbox:operation", pk)
