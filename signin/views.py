"""Sign in, enter the second factor, change and reset the password."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.contrib.sites.shortcuts import get_current_site
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from outbox import wakeup
from outbox.api import audit
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import AuditAction
from signin import resets, second_factor, throttle
from signin.forms import CodeForm, PasswordForm, SignInForm

if TYPE_CHECKING:
    CodeView = FormView[CodeForm]
else:
    CodeView = FormView

PENDING = "signin_pending"  # in the session: the password was right, the code is missing
PENDING_FOR = 300  # seconds


class LimitedMixin:
    """Responds with 429 to an attempt that has to wait."""

    request: HttpRequest

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]  # of FormView
        if hasattr(self.request, "sign_in_error"):
            response.status_code = HTTPStatus.TOO_MANY_REQUESTS
            response["Retry-After"] = str(getattr(self.request, "retry_after", 60))
        return response


class SignIn(LimitedMixin, auth_views.LoginView):
    """The sign-in page, at the address of the site's and at that of the admin's."""

    authentication_form = SignInForm

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        if not second_factor.is_on(user):
            return super().form_valid(form)
        self.request.session.cycle_key()
        self.request.session[PENDING] = [str(user.pk), user.backend, _seconds()]
        return redirect(_with_next("second-factor", self.get_success_url()))


@method_decorator([never_cache, sensitive_post_parameters("code")], name="dispatch")
class SecondFactor(LimitedMixin, auth_views.RedirectURLMixin, CodeView):
    """Asks a user whose password was right for the code."""

    form_class = CodeForm
    template_name = "signin/second_factor.html"
    next_page = "outbox:list"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.user, self.backend = _pending(request)
        if self.user is None:
            return redirect(_with_next("login", self.get_redirect_url()))
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, next=self.get_redirect_url())

    def form_valid(self, form: CodeForm) -> HttpResponse:
        assert self.user is not None
        if not second_factor.verify(self.request, self.user, form.cleaned_data["code"]):
            limited = getattr(self.request, "sign_in_error", "")
            form.add_error("code", limited or _("Enter the current code from your app."))
            return self.form_invalid(form)
        del self.request.session[PENDING]
        login(self.request, self.user, self.backend)
        return HttpResponseRedirect(self.get_success_url())


@method_decorator(never_cache, name="dispatch")
class PasswordChange(auth_views.PasswordChangeView):
    """Changes the password, with the old one."""

    form_class = PasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}


class PasswordReset(LimitedMixin, auth_views.PasswordResetView):
    """Stores the request for a reset. The response is the same for every address."""

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        request = self.request
        counted = throttle.of_network("reset", request, throttle.RESETS_BY_NETWORK)
        if wait := throttle.reserve(counted):
            throttle.block(request, wait)
            form.add_error("email", request.sign_in_error)  # type: ignore[attr-defined]
            return self.form_invalid(form)
        resets.request_reset(form.cleaned_data["email"], origin=_origin(request))
        audit.record(AuditAction.PASSWORD_RESET_REQUESTED, request=request)
        wakeup.request_task("signin.send_password_resets")  # or the periodic run sends it
        return HttpResponseRedirect(self.get_success_url())


def _origin(request: HttpRequest) -> str:
    """Return the scheme, host and port of links to the site.

    ALLOWED_HOSTS ignores the port of a request, which another service of the host may use.
    """
    site = urlsplit(get_conf().site_url)
    if site.scheme and site.netloc:
        return f"{site.scheme}://{site.netloc}"
    requested = f"{request.scheme}://{get_current_site(request).domain}"
    # A proxy may remove the port from the Host header; then only the Origin header has it.
    origin = request.headers.get("Origin", "")
    is_trusted = origin in settings.CSRF_TRUSTED_ORIGINS
    return origin if is_trusted and _host_of(origin) == _host_of(requested) else requested


def _host_of(origin: str) -> str | None:
    return urlsplit(origin).hostname


def _with_next(page: str, next_url: str) -> str:
    """Return the address of a page that continues to another one, if there is one."""
    query = f"?{urlencode({'next': next_url})}" if next_url else ""
    return f"{reverse(page)}{query}"


def _pending(request: HttpRequest) -> tuple[User | None, str]:
    """Return the user whose password was right a short time ago, and the backend."""
    key, backend, at = request.session.get(PENDING, ("", "", 0))
    if not key or not 0 <= _seconds() - at < PENDING_FOR:
        return None, ""
    return get_user_model().objects.filter(pk=key, is_active=True).first(), backend


def _seconds() -> float:
    return database_now().timestamp()
