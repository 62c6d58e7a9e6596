"""Pages for signed-in users, in the language and time zone of each user.

Both are taken from the user's preferences, else from the browser.
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
from django.utils.cache import patch_cache_control
from django_htmx.http import HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails

from outbox.models import Preferences

P = ParamSpec("P")
ZONE_COOKIE = "outbox_time_zone"  # the zone of the browser; written by times.js
THEME_COOKIE = "outbox_theme"  # for pages without a signed-in user


class UserRequest(HttpRequest):
    """A request of a signed-in user, as `signed_in` passes it to a view."""

    user: User
    htmx: HtmxDetails
    preferences: Preferences


@cache
def known_zones() -> frozenset[str]:
    """Return the names of all time zones, cached because they are read from some hundred files."""
    return frozenset(zoneinfo.available_timezones())


def browser_zone(request: HttpRequest) -> str:
    """Return the time zone of the browser, or an empty text if none has that name."""
    name = request.COOKIES.get(ZONE_COOKIE, "")
    return name if name in known_zones() else ""


def signed_in(
    view: Callable[Concatenate[UserRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Redirect users who are not signed in to the sign-in page.

    A fragment requested by htmx would show that page inside the present one. htmx reloads the whole
    page instead, which leads to the sign-in page and back.
    """
    guarded = login_required(_with_preferences(view))

    @wraps(view)
    def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        user_request = cast("UserRequest", request)
        if not hasattr(request, "htmx"):  # the project does not use HtmxMiddleware
            user_request.htmx = HtmxDetails(request)
        if not request.user.is_authenticated and user_request.htmx:
            return HttpResponseClientRefresh()
        response = guarded(user_request, *args, **kwargs)
        # After the user has signed out, the browser must not show the page again from its cache.
        patch_cache_control(response, no_store=True, private=True)
        return response

    return wrapper


def _with_preferences(
    view: Callable[Concatenate[UserRequest, P], HttpResponseBase],
) -> Callable[Concatenate[UserRequest, P], HttpResponseBase]:
    """Run the view in the user's language and time zone."""

    @wraps(view)
    def wrapper(request: UserRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        request.preferences = Preferences.of(request.user.pk)
        with contextlib.ExitStack() as overrides:
            if zone := request.preferences.time_zone or browser_zone(request):
                overrides.enter_context(timezone.override(zone))
            if language := request.preferences.language:
                overrides.enter_context(translation.override(language))
            return view(request, *args, **kwargs)

    return wrapper
