"""Who is asking: every page of the outbox is for a person who signed in.

They see it in their own language and time zone: as they chose, else as their browser says.
"""

import contextlib
import zoneinfo
from collections.abc import Callable
from functools import cache, wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django_htmx.http import HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails

from outbox.models import Preferences

P = ParamSpec("P")
ZONE_COOKIE = "outbox_time_zone"  # what the browser says; written by times.js
THEME_COOKIE = "outbox_theme"  # for pages without a signed-in user


class PersonRequest(HttpRequest):
    """A request whose user is known."""

    user: User
    htmx: HtmxDetails
    preferences: Preferences


@cache
def known_zones() -> frozenset[str]:
    """Name all time zones; looking them up walks through some hundred files."""
    return frozenset(zoneinfo.available_timezones())


def browser_zone(request: HttpRequest) -> str:
    """Return the time zone the browser names, as far as there is one of that name."""
    named = request.COOKIES.get(ZONE_COOKIE, "")
    return named if named in known_zones() else ""


def _as_preferred(
    view: Callable[Concatenate[PersonRequest, P], HttpResponseBase],
) -> Callable[Concatenate[PersonRequest, P], HttpResponseBase]:
    """Answer in the person's language and time zone."""

    @wraps(view)
    def answer(request: PersonRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        request.preferences = Preferences.of(request.user.pk)
        with contextlib.ExitStack() as ways:
            if zone := request.preferences.time_zone or browser_zone(request):
                ways.enter_context(timezone.override(zone))
            if language := request.preferences.language:
                ways.enter_context(translation.override(language))
            return view(request, *args, **kwargs)

    return answer


def signed_in(
    view: Callable[Concatenate[PersonRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Send everybody else to the sign-in page.

    A fragment asked for by htmx would show that page inside the present one, so there the whole
    page is loaded again instead, and comes back to where it was.
    """
    guarded = login_required(_as_preferred(view))

    @wraps(view)
    def entrance(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        person = cast("PersonRequest", request)
        if not hasattr(request, "htmx"):  # the project around us has no HtmxMiddleware
            person.htmx = HtmxDetails(request)
        if not request.user.is_authenticated and person.htmx:
            return HttpResponseClientRefresh()
        return guarded(person, *args, **kwargs)

    return entrance
