"""One act on many mails of a list: cancel, try again, hold, release, discard drafts.

Asked first, with how many mails and recipients it concerns; the answer names exactly those mails,
so that what came into the list meanwhile is left alone. Each mail is decided about by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.api.bulk_actions import STATES_OF, preview
from outbox.conf import get_conf
from outbox.exceptions import NotADraftError
from outbox.models import DUE, BulkAction, Folder, Message, Recipient, State, Status
from outbox.models.access import can_view_others
from outbox.models.message import MessageQuerySet
from outbox.web.messages.apps import FOLDERS, find_of_apps
from outbox.web.messages.forms import WhyForm
from outbox.web.messages.paging import ORDER
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in
from outbox.web.search.finding import Search
from outbox.web.search.query import read_query

AT_ONCE = 200  # mails: each is a few statements, and somebody waits for the page


@dataclass(frozen=True, slots=True)
class Act:
    """What is done to each mail, and to which of its recipients."""

    title: str | Promise
    button: str | Promise
    style: str
    states: tuple[State, ...]  # of the recipients it concerns; none: it concerns drafts
    do: Callable[[Message, PersonRequest, str], int]
    done: Callable[[int], str]  # what is said of so many messages afterwards


def _cancel(message: Message, request: PersonRequest, why: str) -> int:
    return api.cancel(message, actor=request.user, why=why).stopped


def _by(act: Callable[..., int]) -> Callable[[Message, PersonRequest, str], int]:
    """Let a verb that counts recipients be done in a person's name."""
    return lambda message, request, why: act(message, actor=request.user, why=why)


def _discard(message: Message, _request: PersonRequest, _why: str) -> int:
    try:
        api.discard_draft(message)
    except NotADraftError:
        return 0
    return 1


def _cancelled(count: int) -> str:
    return ngettext("%(count)d message was cancelled.", "%(count)d messages were cancelled.", count)


def _retried(count: int) -> str:
    return ngettext(
        "%(count)d message will be retried now.", "%(count)d messages will be retried now.", count
    )


def _held(count: int) -> str:
    return ngettext("%(count)d message is held.", "%(count)d messages are held.", count)


def _released(count: int) -> str:
    return ngettext("%(count)d message was released.", "%(count)d messages were released.", count)


def _discarded(count: int) -> str:
    return ngettext("%(count)d draft discarded.", "%(count)d drafts discarded.", count)


ACTS = {
    "cancel": Act(
        gettext_lazy("Cancel these messages?"),
        gettext_lazy("Cancel messages"),
        "danger",
        STATES_OF[BulkAction.CANCEL],
        _cancel,
        _cancelled,
    ),
    "retry": Act(
        gettext_lazy("Retry these messages now?"),
        gettext_lazy("Retry delivery"),
        "primary",
        STATES_OF[BulkAction.RETRY],
        _by(api.retry),
        _retried,
    ),
    "hold": Act(
        gettext_lazy("Hold these messages?"),
        gettext_lazy("Hold messages"),
        "primary",
        DUE,
        _by(api.hold),
        _held,
    ),
    "release": Act(
        gettext_lazy("Release these messages?"),
        gettext_lazy("Release messages"),
        "primary",
        (State.HELD,),
        _by(api.release),
        _released,
    ),
    "discard": Act(
        gettext_lazy("Discard these drafts?"),
        gettext_lazy("Discard"),
        "danger",
        (),
        _discard,
        _discarded,
    ),
}


@signed_in
@require_http_methods(["GET", "POST"])
def bulk(request: PersonRequest, act: str) -> HttpResponse:
    """Ask about the chosen mails, then act on each of those that were asked about."""
    if act not in ACTS:
        raise Http404
    if request.method == "POST":
        return _do(request, ACTS[act])
    return _ask(request, act)


def _ask(request: PersonRequest, act: str) -> HttpResponse:
    chosen, is_cut = _chosen(request)
    concerned = _concerned(request, ACTS[act], chosen)
    keys = sorted(set(concerned.values_list("pk", flat=True)))
    context = {
        "act": act,
        "question": ACTS[act],
        "text": "" if ACTS[act].states else _count_drafts(keys),
        "preview": preview(keys, ACTS[act].states, get_conf().database),
        "names_refused": act == "retry",
        "left_alone": len(chosen) - len(keys),
        "is_cut": is_cut,
        "at_once": AT_ONCE,
        "keys": ",".join(map(str, keys)),
        "back": _back(request.GET.get("back", "")),
        "form": WhyForm(),
    }
    template = "outbox/_bulk.html" if request.htmx else "outbox/bulk.html"
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _chosen(request: PersonRequest) -> tuple[list[int], bool]:
    """Return the mails meant, and whether there are more than are done at once."""
    if "all" not in request.GET:
        keys = _keys(request.GET.getlist("m"))
        return keys[:AT_ONCE], len(keys) > AT_ONCE
    newest = tuple(f"-{name}" for name in ORDER)
    folder = request.GET.get("folder", "")
    found: Sequence[Message]
    if request.GET.get("apps") and can_view_others(request.user):
        found = find_of_apps([folder] if folder else FOLDERS, Q(), newest, AT_ONCE + 1)
    elif folder in Folder.values:
        listed = Message.objects.visible_to(request.user).in_folder(folder).order_by(*newest)
        found = list(listed.only("pk")[: AT_ONCE + 1])
    else:
        query, wrong = read_query(request.GET.get("q", ""))
        found = [] if wrong else Search(request.user, query).find(Q(), newest, AT_ONCE + 1)
    return [message.pk for message in found[:AT_ONCE]], len(found) > AT_ONCE


def _keys(texts: Sequence[str]) -> list[int]:
    return list(dict.fromkeys(key for text in texts if (key := number(text))))


def _concerned(request: PersonRequest, act: Act, keys: Sequence[int]) -> MessageQuerySet:
    chosen = Message.objects.filter(pk__in=keys)
    if not act.states:
        return chosen.visible_to(request.user).filter(status=Status.DRAFT)
    those = Recipient.objects.filter(message__in=keys, state__in=act.states)
    return chosen.changeable_by(request.user).filter(pk__in=those.values("message"))


def _count_drafts(keys: Sequence[int]) -> str:
    return ngettext(
        "%(count)d draft is deleted for good, with its attachments.",
        "%(count)d drafts are deleted for good, with their attachments.",
        len(keys),
    ) % {"count": len(keys)}


def _do(request: PersonRequest, act: Act) -> HttpResponse:
    keys = _keys(request.POST.get("messages", "").split(","))
    form = WhyForm(request.POST)
    why = form.cleaned_data["why"] if form.is_valid() else ""
    counts = [
        act.do(message, request, why)
        for message in _concerned(request, act, keys[:AT_ONCE]).order_by("pk")
    ]
    _tell(request, act, mails=sum(map(bool, counts)), asked=len(keys[:AT_ONCE]))
    return redirect(_back(request.POST.get("back", "")))


def _tell(request: PersonRequest, act: Act, *, mails: int, asked: int) -> None:
    if mails:
        messages.success(request, act.done(mails) % {"count": mails})
    if late := asked - mails:
        text = ngettext(
            "%(count)d message had already changed state and was skipped.",
            "%(count)d messages had already changed state and were skipped.",
            late,
        )
        messages.warning(request, text % {"count": late})
    if not asked:
        messages.warning(request, _("No message was selected, so nothing was done."))


def _back(address: str) -> str:
    """Return to the list it began at, if that is one of ours."""
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(address, None)
    return address if is_ours else reverse("outbox:list")
