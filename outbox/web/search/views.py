"""Search mail. The line is the address: it can be kept, sent around, and written by hand."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from outbox.models import Folder
from outbox.web.messages.listing import NOTHING_NEW, Page
from outbox.web.messages.paging import read_stretch
from outbox.web.messages.rows import read_rows
from outbox.web.person import PersonRequest, signed_in
from outbox.web.search.finding import Search
from outbox.web.search.forms import SearchForm
from outbox.web.search.query import STATES, Query, read_query, unknown_operators


@signed_in
@require_safe
def search(request: PersonRequest) -> HttpResponse:
    """Show what a line finds. Fields that were filled in become a line first."""
    line = request.GET.get("q", "")
    query, wrong = read_query(line)
    form = SearchForm.showing(query)
    if "fields" in request.GET:
        form = SearchForm(request.GET)
        if form.is_valid():
            asked = form.as_query(query)
            return redirect(f"{reverse('outbox:search')}?{urlencode({'q': str(asked)})}")
    context = {
        "line": line,
        "form": form,
        "wrong": wrong,
        "unknown": unknown_operators(line),
        "is_search": True,
        "states": STATES,
        "folders": Folder.values,
    }
    if not wrong and not form.errors:
        context |= _found(request, query)
    status = 422 if form.errors else 200
    return render(request, "outbox/search.html", context, status=status)


@signed_in
@require_safe
def rows(request: PersonRequest) -> HttpResponse:
    """Answer with the rows of the first page, if they changed since `seen`."""
    query, _wrong = read_query(request.GET.get("q", ""))
    context = _found(request, query)
    if request.GET.get("seen") == context["list"].fingerprint:
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "outbox/_rows.html", {**context, "is_search": True, "oob": True})


def _found(request: PersonRequest, query: Query) -> dict[str, Page]:
    asked = Search(request.user, query)
    stretch = read_stretch(request.GET, asked.find, request.preferences.page_size)
    line = urlencode({"q": str(query)})
    return {
        "list": Page(
            rows=read_rows(stretch.messages),
            stretch=stretch,
            refresh=f"{reverse('outbox:search-rows')}?{line}&",
            here=f"?{line}&",
        )
    }
