"""The page of a user's preferences."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from outbox.api.failures import reschedule_digest
from outbox.db import clock
from outbox.models import Preferences
from outbox.web.auth import THEME_COOKIE, UserRequest, browser_zone, signed_in
from outbox.web.preferences.forms import PreferencesForm

_A_YEAR = 365 * 86_400


@signed_in
@require_http_methods(["GET", "POST"])
def preferences(request: UserRequest) -> HttpResponse:
    """Show and change the preferences, which apply from the next page on."""
    stored = Preferences.of(request.user.pk)
    form = PreferencesForm(
        request.POST or None, instance=stored, browser_zone=browser_zone(request)
    )
    if request.method == "POST" and form.is_valid():
        chosen = form.save_choices()
        reschedule_digest(chosen)
        with translation.override(chosen.language or translation.get_language()):
            messages.success(request, _("Preferences saved."))
        response = redirect("outbox:preferences")
        _set_cookie(response, settings.LANGUAGE_COOKIE_NAME, chosen.language)
        _set_cookie(response, THEME_COOKIE, chosen.theme)
        return response
    context = {"form": form, "now": timezone.localtime(clock.now()), "page": "preferences"}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "outbox/preferences.html", context, status=status)


def _set_cookie(response: HttpResponse, cookie: str, value: str) -> None:
    """Store a choice in the browser, for pages without a signed-in user such as sign-in."""
    if value:
        age = settings.LANGUAGE_COOKIE_AGE or _A_YEAR
        response.set_cookie(cookie, value, max_age=age, samesite="Lax")
    else:
        response.delete_cookie(cookie)
