"""One page to say how one wants to read and write."""

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
from outbox.models import Preferences
from outbox.web.person import THEME_COOKIE, PersonRequest, browser_zone, signed_in
from outbox.web.preferences.forms import PreferencesForm

_A_YEAR = 365 * 86_400


@signed_in
@require_http_methods(["GET", "POST"])
def preferences(request: PersonRequest) -> HttpResponse:
    """Show and change them; they hold from the next page on."""
    kept = Preferences.of(request.user.pk)
    form = PreferencesForm(request.POST or None, instance=kept, browser_zone=browser_zone(request))
    if request.method == "POST" and form.is_valid():
        chosen = form.save()
        reschedule_digest(chosen)
        with translation.override(chosen.language or translation.get_language()):
            messages.success(request, _("Preferences saved."))
        answer = redirect("outbox:preferences")
        _remember(answer, settings.LANGUAGE_COOKIE_NAME, chosen.language)
        _remember(answer, THEME_COOKIE, chosen.theme)
        return answer
    context = {"form": form, "now": timezone.localtime(), "page": "preferences"}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "outbox/preferences.html", context, status=status)


def _remember(answer: HttpResponse, cookie: str, value: str) -> None:
    """Store a choice in the browser for pages without a signed-in user, such as signing in."""
    if value:
        age = settings.LANGUAGE_COOKIE_AGE or _A_YEAR
        answer.set_cookie(cookie, value, max_age=age, samesite="Lax")
    else:
        answer.delete_cookie(cookie)
