"""The search pages. The query is part of the address, so that it can be stored and shared."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from outbox.models import InboundMessage
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.message_list import MessageList, read_rows
from outbox.web.folders.pagination import read_slice
from outbox.web.folders.views import render_rows
from outbox.web.inbox.listing import ReceivedRow
from outbox.web.search.everything import SearchOfAll
from outbox.web.search.forms import SearchForm
from outbox.web.search.query import FOLDERS, STATES, UNREAD, Query, read_query, unknown_operators


@signed_in
@require_safe
def search(request: UserRequest) -> HttpResponse:
    """Show the results of a line. The form is turned into a line first."""
    line = request.GET.get("q", "")
    query, wrong = read_query(line)
    form = SearchForm.showing(query)
    if "fields" in request.GET:
        form = SearchForm(request.GET)
        if form.is_valid():
            chosen = form.as_query(query)
            return redirect(f"{reverse('outbox:search')}?{urlencode({'q': str(chosen)})}")
    context = {
        "line": line,
        "form": form,
        "wrong": wrong,
        "unknown": unknown_operators(line),
        "is_search": True,
        "states": (*STATES, UNREAD),
        "folders": FOLDERS,
    }
    if not wrong and not form.errors:
        context |= _results(request, query)
    status = 422 if form.errors else 200
    return render(request, "outbox/search.html", context, status=status)


@signed_in
@require_safe
def rows(request: UserRequest) -> HttpResponse:
    """Return the rows of the newest page, unless they are those that were `seen`."""
    query, _wrong = read_query(request.GET.get("q", ""))
    return render_rows(request, {**_results(request, query), "is_search": True})


def _results(request: UserRequest, query: Query) -> dict[str, MessageList]:
    search = SearchOfAll(request.user, query)
    found = read_slice(request.GET, search.find, request.preferences.page_size)
    parameters = urlencode({"q": str(query)})
    sent = [one for one in found.messages if not isinstance(one, InboundMessage)]
    sent_rows = iter(read_rows(sent))
    return {
        "list": MessageList(
            rows=[
                ReceivedRow(one, shows_folder=True)
                if isinstance(one, InboundMessage)
                else next(sent_rows)
                for one in found.messages
            ],
            slice=found,
            refresh_url=f"{reverse('outbox:search-rows')}?{parameters}&",
            url=f"?{parameters}&",
        )
    }
