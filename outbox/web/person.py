"""Who is asking: every page of the outbox is for a person who signed in."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails

P = ParamSpec("P")


class PersonRequest(HttpRequest):
    """A request whose user is known."""

    user: User
    htmx: HtmxDetails


def signed_in(
    view: Callable[Concatenate[PersonRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Send everybody else to the sign-in page.

    A fragment asked for by htmx would show that page inside the present one, so there the whole
    page is loaded again instead, and comes back to where it was.
    """
    guarded = login_required(view)

    @wraps(view)
    def entrance(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        person = cast("PersonRequest", request)
        if not hasattr(request, "htmx"):  # the project around us has no HtmxMiddleware
            person.htmx = HtmxDetails(request)
        if not request.user.is_authenticated and person.htmx:
            return HttpResponseClientRefresh()
        return guarded(person, *args, **kwargs)

    return entrance
