"""Insert a template into a message: choose one, fill in its placeholders, see the result."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.api.reasons import in_words
from outbox.exceptions import InvalidMessageError
from outbox.models import Template
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose.pictures import attach_missing
from outbox.web.message_templates.preview import FilledTemplate, fill
from outbox.web.parameters import integer


@signed_in
@require_http_methods(["GET", "POST"])
def insert_template(request: UserRequest) -> HttpResponse:
    """Show the templates and the chosen one; without scripts, using it creates a draft."""
    templates = list(Template.objects.visible_to(request.user))
    data = request.POST if request.method == "POST" else request.GET
    chosen = integer(data.get("template"))
    template = next((one for one in templates if one.pk == chosen), None)
    filled = fill(template, data) if template else None
    is_usable = filled is not None and not (filled.template_error or filled.value_error)
    if filled is not None and is_usable and "use" in request.POST:
        return _create_draft(request, filled)
    name = "outbox/_insert.html" if request.htmx else "outbox/insert.html"
    if request.htmx and "part" in request.POST:  # the user is typing a value
        name = "outbox/_insert_preview.html"
    context = {"templates": templates, "filled": filled, "page": "compose"}
    response = render(request, name, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _create_draft(request: UserRequest, filled: FilledTemplate) -> HttpResponse:
    accounts = list(request.preferences.usable_accounts(request.user))
    fields = api.DraftFields(
        account=request.preferences.account_among(accounts),
        subject=filled.wording.subject,
        text=filled.text,
        html=filled.cleaned.html,
    )
    try:
        draft = api.save_draft(request.user, fields)
    except InvalidMessageError as error:
        messages.error(request, in_words(error))
        return redirect("outbox:compose-template")
    try:
        attach_missing(draft, filled.cleaned.pictures)
    except InvalidMessageError as error:
        messages.error(request, in_words(error))
    return redirect("outbox:draft", draft.pk)
