"""List, edit, preview and remove templates. The site's own can be read here and edited by staff."""

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox.models import Template
from outbox.web.auth import UserRequest, signed_in
from outbox.web.message_templates.forms import TemplateForm
from outbox.web.message_templates.preview import PARTS
from outbox.web.message_templates.preview import preview as preview_of
from outbox.web.saving import save_unique


@signed_in
@require_safe
def templates(request: UserRequest) -> HttpResponse:
    """List the user's own templates, and those of the site."""
    visible = list(Template.objects.visible_to(request.user))
    context = {
        "own": [one for one in visible if one.owner_id == request.user.pk],
        "site_templates": [one for one in visible if one.owner_id is None],
        "page": "templates",
    }
    return render(request, "outbox/templates.html", context)


@signed_in
@require_http_methods(["GET", "POST"])
def add(request: UserRequest) -> HttpResponse:
    """Add a template."""
    return _edit(request, Template(owner=request.user))


@signed_in
@require_http_methods(["GET", "POST"])
def template(request: UserRequest, pk: int) -> HttpResponse:
    """Edit a template of the user, or read one of the site."""
    found = get_object_or_404(Template.objects.visible_to(request.user), pk=pk)
    if found.owner_id is not None:
        return _edit(request, found)
    return render(request, "outbox/site_template.html", {"template": found, "page": "templates"})


@signed_in
@require_POST
def preview(request: UserRequest) -> HttpResponse:
    """Return the preview of the template as it is in the form.

    The inputs for the values are replaced only when other placeholders are needed, so that what is
    being typed stays.
    """
    shown = preview_of(request.user, request.POST.dict(), request.POST.dict())
    context = {"preview": shown, "oob": shown and not shown.has_same_fields(request.POST)}
    return render(request, "outbox/_template_preview.html", context)


@signed_in
@require_POST
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Delete a template of the user; messages written with it stay."""
    get_object_or_404(Template.objects.owned_by(request.user), pk=pk).delete()
    messages.success(request, _("Template deleted."))
    return redirect("outbox:templates")


def _edit(request: UserRequest, template: Template) -> HttpResponse:
    parts = request.POST.dict() or {part: getattr(template, part) for part in PARTS}
    form = TemplateForm(request.user, request.POST or None, instance=template)
    is_preview = "preview" in request.POST  # without scripts, the preview is a button
    is_valid = request.method == "POST" and form.is_valid()
    if is_valid and not is_preview and save_unique(form, form.save):
        messages.success(request, _("Template saved."))
        return redirect("outbox:template", template.pk)
    context = {
        "form": form,
        "template": template,
        "preview": preview_of(request.user, parts, request.POST.dict()),
        "page": "templates",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "outbox/template.html", context, status=status)
