"""Begin a mail with a template: choose one, fill its placeholders, see what it will say, take it.

A placeholder without a value stands for itself, so that nobody has to know all of them at once;
advice tells of those that are left when the mail goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.api import Wording
from outbox.api.phrases import translate
from outbox.exceptions import InvalidMailError
from outbox.mail.data_pictures import Cleaned, clean_with_pictures
from outbox.mail.html import html_to_text
from outbox.models import Account, Template
from outbox.web.compose.pictures import attach_missing
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in

VALUE = "value-"  # in front of a placeholder's name: the field of its value


@dataclass(frozen=True)
class Filled:
    """A template with the values typed so far."""

    template: Template
    values: Mapping[str, str]  # by placeholder, in the order of the template
    wording: Wording
    optional: frozenset[str] = frozenset()  # placeholders that may stay without a value
    problem: str = ""  # the template cannot be used
    objection: str = ""  # one of the values cannot be used

    @property
    def text(self) -> str:
        """The text as it will be sent."""
        return self.wording.text or html_to_text(self.wording.html)

    @property
    def html(self) -> str:
        """The formatted text as it may be edited; pictures that it holds stay inside of it."""
        cleaned = self.cleaned
        html = cleaned.html
        for picture in cleaned.pictures:
            html = html.replace(f"cid:{picture.content_id}", picture.data_url)
        return html

    @cached_property
    def cleaned(self) -> Cleaned:
        """The formatted text and its pictures."""
        return clean_with_pictures(self.wording.html)


@signed_in
@require_http_methods(["GET", "POST"])
def insert_template(request: PersonRequest) -> HttpResponse:
    """Show the templates and the one chosen; without scripts, taking it begins a draft."""
    offered = list(Template.objects.visible_to(request.user))
    given = request.POST if request.method == "POST" else request.GET
    chosen = number(given.get("template"))
    template = next((one for one in offered if one.pk == chosen), None)
    filled = fill(template, given) if template else None
    if filled is not None and "use" in request.POST and not (filled.problem or filled.objection):
        return _begin(request, filled)
    part = "outbox/_insert.html" if request.htmx else "outbox/insert.html"
    if request.htmx and "part" in request.POST:  # typing goes on; only what it says is new
        part = "outbox/_insert_preview.html"
    context = {"templates": offered, "filled": filled, "page": "compose"}
    response = render(request, part, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def fill(template: Template, given: Mapping[str, str]) -> Filled:
    """Put the values in that were given as `value-…`."""
    nothing = Wording("", "", "")
    try:
        mould = api.mould(template)
    except InvalidMailError as error:
        return Filled(template, {}, nothing, problem=translate(str(error)))
    names = (*mould.placeholders, *mould.optional)
    values = {name: given.get(VALUE + name, "") for name in names}
    shown = {name: values[name] or f"{{{{ {name} }}}}" for name in mould.placeholders}
    shown |= {name: values[name] for name in mould.optional if values[name]}
    optional = frozenset(mould.optional)
    try:
        return Filled(template, values, mould.fill(shown), optional)
    except InvalidMailError as error:
        return Filled(template, values, nothing, optional, objection=translate(str(error)))


def _begin(request: PersonRequest, filled: Filled) -> HttpResponse:
    usable = list(Account.objects.usable_by(request.user))
    fields = api.DraftFields(
        account=request.preferences.account_among(usable),
        subject=filled.wording.subject,
        text=filled.text,
        html=filled.cleaned.html,
    )
    draft = api.save_draft(request.user, fields)
    try:
        attach_missing(draft, filled.cleaned.pictures)
    except InvalidMailError as error:
        messages.error(request, translate(str(error)))
    return redirect("outbox:draft", draft.pk)
