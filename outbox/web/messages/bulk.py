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
from outbox.exceptions import NotADraftError
from outbox.models import CANCELLABLE, DUE, RETRYABLE, Folder, Message, Recipient, State, Status
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


ACTS = {
    "cancel": Act(
        gettext_lazy("Cancel these mails?"),
        gettext_lazy("Cancel the mails"),
        "danger",
        (*CANCELLABLE, State.SENDING),
        _cancel,
    ),
    "retry": Act(
        gettext_lazy("Try these mails again now?"),
        gettext_lazy("Try again"),
        "primary",
        (*RETRYABLE, State.DEFERRED),
        _by(api.retry),
    ),
    "hold": Act(
        gettext_lazy("Hold these mails back?"),
        gettext_lazy("Hold them back"),
        "primary",
        DUE,
        _by(api.hold),
    ),
    "release": Act(
        gettext_lazy("Release these mails?"),
        gettext_lazy("Release"),
        "primary",
        (State.HELD,),
        _by(api.release),
    ),
    "discard": Act(
        gettext_lazy("Discard these drafts?"), gettext_lazy("Discard"), "danger", (), _discard
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
        "text": _count(ACTS[act], keys),
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


def _count(act: Act, keys: Sequence[int]) -> str:
    if not act.states:
        return ngettext(
            "%(count)d draft is deleted for good, with its attachments.",
            "%(count)d drafts are deleted for good, with their attachments.",
            len(keys),
        ) % {"count": len(keys)}
    people = Recipient.objects.filter(message__in=keys, state__in=act.states).count()
    mails = ngettext("%(count)d mail", "%(count)d mails", len(keys)) % {"count": len(keys)}
    return ngettext(
        "It concerns %(mails)s and %(count)d recipient.",
        "It concerns %(mails)s and %(count)d recipients.",
        people,
    ) % {"mails": mails, "count": people}


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
        done = ngettext("Done for %(count)d mail.", "Done for %(count)d mails.", mails)
        if not act.states:
            done = ngettext("%(count)d draft discarded.", "%(count)d drafts discarded.", mails)
        messages.success(request, done % {"count": mails})
    if late := asked - mails:
        text = ngettext(
            "%(count)d mail had gone on meanwhile; nothing was done about it.",
            "%(count)d mails had gone on meanwhile; nothing was done about them.",
            late,
        )
        messages.warning(request, text % {"count": late})
    if not asked:
        messages.warning(request, _("No mail was chosen, so nothing was done."))


def _back(address: str) -> str:
    """Return to the list it began at, if that is one of ours."""
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(address, None)
    return address if is_ours else reverse("outbox:list")
