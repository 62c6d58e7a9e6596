"""Where the site requires a second factor, users set it up before anything else."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from signin import second_factor

_OPEN = ("second-factor-setup", "login", "logout", "outbox:reauthenticate")


def second_factor_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the middleware. It follows AuthenticationMiddleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not _lacks_factor(request):
            return get_response(request)
        page = reverse("second-factor-setup")
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(page)
        return redirect(page)

    return middleware


def _lacks_factor(request: HttpRequest) -> bool:
    if not settings.SECOND_FACTOR or not request.COOKIES.get(settings.SESSION_COOKIE_NAME):
        return False
    user = request.user
    if not user.is_authenticated or not second_factor.is_required(user):
        return False
    return request.path not in set(map(reverse, _OPEN)) and not second_factor.is_on(user)
