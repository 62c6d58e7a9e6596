"""The security page of a user: password, second factor, sign-in sessions."""

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox.web.auth import UserRequest, signed_in
from outbox.web.parameters import integer
from outbox.web.reauthentication import recently_authenticated
from signin import second_factor, sessions, throttle
from signin.browsers import browser_name
from signin.forms import CodeForm


@signed_in
@require_safe
def security(request: UserRequest) -> HttpResponse:
    """Show the second factor and the sessions."""
    found = sessions.of_user(request.user)
    key = request.session.session_key
    context = {
        "sessions": [(each, browser_name(each.browser), each.session_key == key) for each in found],
        "has_second_factor": second_factor.is_on(request.user),
        "is_required": second_factor.is_required(request.user),
        "codes_left": second_factor.codes_left(request.user),
        "page": "security",
    }
    return render(request, "signin/security.html", context)


@signed_in
@require_POST
def end_sessions(request: UserRequest) -> HttpResponse:
    """End one session of the user, or every other one."""
    others = sessions.of_user(request.user).exclude(session_key=request.session.session_key)
    chosen = integer(request.POST.get("session"))
    if chosen is not None:
        get_object_or_404(others, pk=chosen)
        others = others.filter(pk=chosen)
    count = sessions.end(request, others)
    text = ngettext("%(count)d session was ended.", "%(count)d sessions were ended.", count)
    messages.success(request, text % {"count": count})
    return redirect("security")


@sensitive_post_parameters("code")
@signed_in
@recently_authenticated
@require_http_methods(["GET", "POST"])
def second_factor_page(request: UserRequest) -> HttpResponse:
    """Show the QR code, and turn the second factor on with the first code."""
    if second_factor.is_on(request.user):
        return redirect("security")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        codes = _confirmed(request, form)
        if codes is not None:
            return _show_codes(request, codes)
    proposed = second_factor.propose(request.user)
    context = {
        "form": form,
        "picture": second_factor.picture(proposed),
        "key": proposed.key,
        "page": "security",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "signin/second_factor_setup.html", context, status=status)


@signed_in
@recently_authenticated
@require_POST
def turn_off(request: UserRequest) -> HttpResponse:
    """Turn the second factor off."""
    second_factor.turn_off(request.user)
    messages.success(request, _("The second factor is off."))
    return redirect("security")


@signed_in
@recently_authenticated
@require_POST
def recovery_codes(request: UserRequest) -> HttpResponse:
    """Replace the recovery codes and show the new ones."""
    if not second_factor.is_on(request.user):
        return redirect("security")
    return _show_codes(request, second_factor.renew_recovery_codes(request.user))


def _confirmed(request: UserRequest, form: CodeForm) -> list[str] | None:
    counted = throttle.of_name("code", str(request.user.pk), request)
    if wait := throttle.reserve(counted):
        form.add_error("code", throttle.in_words(wait))
        return None
    codes = second_factor.confirm(request.user, form.cleaned_data["code"])
    if codes is None:
        form.add_error("code", _("Enter the current code from your app."))
    else:
        throttle.succeed(counted)
    return codes


def _show_codes(request: UserRequest, codes: list[str]) -> HttpResponse:
    return render(request, "signin/recovery_codes.html", {"codes": codes, "page": "security"})
