"""Ask for the password again before secrets, sharing and actions on many messages.

    @signed_in
    @recently_authenticated_posts
    def remove(request: UserRequest, pk: int) -> HttpResponse:

A session that was left open, or that was stolen, does not suffice for these pages. Signing
in and confirming the password count for OUTBOX["REAUTHENTICATE_AFTER"] seconds. The page that asks
keeps the fields of a form that was posted, and performs the action afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, ParamSpec, TypeVar

from django import forms
from django.contrib.auth import authenticate, logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from outbox.api import audit
from outbox.models import AuditAction
from outbox.web.auth import UserRequest, signed_in
from outbox.web.parameters import return_address
from outbox.web.recent_sign_in import is_recent, mark_as_recent

P = ParamSpec("P")
R = TypeVar("R", bound=HttpRequest)

FIELD = "confirmed_password"
_CSRF = "csrfmiddlewaretoken"


class PasswordForm(forms.Form):
    """The password of the user who is signed in."""

    confirmed_password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


def recently_authenticated(
    view: Callable[Concatenate[R, P], HttpResponseBase],
) -> Callable[Concatenate[R, P], HttpResponseBase]:
    """Ask for the password before the view, if the user has not proved it recently."""

    @wraps(view)
    def wrapper(request: R, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        _hide_password(request)
        if is_recent(request) or _has_confirmed(request):
            return view(request, *args, **kwargs)
        return _ask_in_place(request)

    return wrapper


def recently_authenticated_posts(
    view: Callable[Concatenate[R, P], HttpResponseBase],
) -> Callable[Concatenate[R, P], HttpResponseBase]:
    """Ask for the password before the view performs a post. Showing the page needs none.

    In the admin: `@method_decorator(recently_authenticated_posts, name="changeform_view")`.
    """
    guarded = recently_authenticated(view)

    @wraps(view)
    def wrapper(request: R, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        chosen = guarded if request.method == "POST" else view
        return chosen(request, *args, **kwargs)

    return wrapper


@sensitive_post_parameters(FIELD)
@signed_in
@require_http_methods(["GET", "POST"])
def reauthenticate(request: UserRequest) -> HttpResponse:
    """Ask for the password, then return to the page from which the user came."""
    back = return_address(_parameter(request, "next"), reverse("outbox:list"))
    if request.method == "POST":
        if "sign_in_again" in request.POST:
            logout(request)
            return redirect_to_login(back)
        if _has_confirmed(request):
            return redirect(back)
    return _page(request, back=back)


def _hide_password(request: HttpRequest) -> None:
    """Mark the password as sensitive for error reports, besides the fields of the view.

    Django's decorator would replace those of a decorator outside of this one.
    """
    hidden = getattr(request, "sensitive_post_parameters", ())
    if hidden != "__ALL__":
        request.sensitive_post_parameters = [*hidden, FIELD]  # type: ignore[attr-defined]


def _ask_in_place(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        # The response would replace a part of the page. The user repeats the action afterwards.
        here = HtmxDetails(request).current_url_abs_path or ""
        page = reverse("outbox:reauthenticate")
        return HttpResponseClientRedirect(f"{page}?{urlencode({'next': here})}")
    if request.method != "POST" or request.FILES:
        return _page(request, HTTPStatus.FORBIDDEN, back=request.get_full_path())
    fields = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name not in {FIELD, _CSRF}
    ]
    return _page(request, HTTPStatus.FORBIDDEN, fields=fields)


def _has_confirmed(request: HttpRequest) -> bool:
    """Return whether the request contains the password of its user; the session remembers it."""
    if request.method != "POST" or FIELD not in request.POST:
        return False
    name = request.user.get_username()
    user = authenticate(request, username=name, password=request.POST[FIELD])
    if user is None or user.pk != request.user.pk:
        audit.record(AuditAction.REAUTHENTICATION_FAILED, request=request, path=request.path)
        return False
    mark_as_recent(request)
    audit.record(AuditAction.REAUTHENTICATED, request=request, path=request.path)
    return True


def _page(
    request: HttpRequest, status: HTTPStatus = HTTPStatus.OK, **context: object
) -> HttpResponse:
    """Show the question, which also says why the last password was rejected."""
    if request.method == "POST" and FIELD in request.POST:
        # A backend that limits attempts leaves its message on the request.
        limited = getattr(request, "sign_in_error", "")
        status = HTTPStatus.TOO_MANY_REQUESTS if limited else HTTPStatus.UNPROCESSABLE_ENTITY
        context["error"] = limited or _("Enter your own password.")
    context |= {"form": PasswordForm(), "has_password": _has_password(request)}
    response = render(request, "outbox/reauthenticate.html", context, status=status)
    # The fields of the form that was posted may be secrets.
    patch_cache_control(response, no_store=True, private=True)
    return response


def _has_password(request: HttpRequest) -> bool:
    """Return whether this site knows the password; another service may sign users in."""
    return request.user.is_authenticated and request.user.has_usable_password()


def _parameter(request: HttpRequest, name: str) -> str:
    return request.POST.get(name) or request.GET.get(name, "")
