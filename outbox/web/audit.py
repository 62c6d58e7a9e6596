"""Middleware that attributes entries of the audit log to the request that is being served."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from outbox.api import audit

ADDRESS = "outbox.address"
USER = "outbox.user"


def audit_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the middleware. It follows AuthenticationMiddleware.

    The address and the user are written to `request.META`, from which the web server's access log
    reads them.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.META[ADDRESS] = audit.address_of(request) or "-"
        with audit.acting_as(request):
            response = get_response(request)
        request.META[USER] = _user_name(request)
        return response

    return middleware


def _user_name(request: HttpRequest) -> str:
    # The user is loaded lazily; a view that did not ask for it costs no query here.
    user = getattr(request, "_cached_user", None)
    return str(user.get_username()) if user is not None and user.is_authenticated else "-"
