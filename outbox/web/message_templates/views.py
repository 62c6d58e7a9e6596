"""List, write, try out and remove templates. Those of the site can be read, and are its staff's."""

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox.models import Template
from outbox.web.message_templates.forms import TemplateForm
from outbox.web.message_templates.trial import attempt
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_safe
def templates(request: PersonRequest) -> HttpResponse:
    """List the person's own, and those of the site."""
    visible = list(Template.objects.visible_to(request.user))
    context = {
        "own": [one for one in visible if one.owner_id == request.user.pk],
        "of_site": [one for one in visible if one.owner_id is None],
        "page": "templates",
    }
    return render(request, "outbox/templates.html", context)


@signed_in
@require_http_methods(["GET", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Write a new template."""
    return _edit(request, Template(owner=request.user))


@signed_in
@require_http_methods(["GET", "POST"])
def template(request: PersonRequest, pk: int) -> HttpResponse:
    """Change a template of one's own, or read one of the site's."""
    found = get_object_or_404(Template.objects.visible_to(request.user), pk=pk)
    if found.owner_id is not None:
        return _edit(request, found)
    return render(request, "outbox/template_of_site.html", {"template": found, "page": "templates"})


@signed_in
@require_POST
def trial(request: PersonRequest) -> HttpResponse:
    """Answer with what a mail would say, made of what the form holds now.

    The fields of the values come along only when others are wanted: nobody's typing is replaced.
    """
    found = attempt(request.user, request.POST.dict(), request.POST.dict())
    context = {"trial": found, "oob": found and not found.asks_for(request.POST)}
    return render(request, "outbox/_template_trial.html", context)


@signed_in
@require_POST
def remove(request: PersonRequest, pk: int) -> HttpResponse:
    """Delete a template of one's own; what was written with it stays."""
    get_object_or_404(Template.objects.owned_by(request.user), pk=pk).delete()
    messages.success(request, _("Template removed."))
    return redirect("outbox:templates")


def _edit(request: PersonRequest, template: Template) -> HttpResponse:
    words = request.POST.dict() or {
        part: getattr(template, part) for part in ("subject", "text", "html")
    }
    form = TemplateForm(request.user, request.POST or None, instance=template)
    is_trial = "try" in request.POST  # without scripts, trying out is a button
    if request.method == "POST" and form.is_valid() and not is_trial:
        form.save()
        messages.success(request, _("Template saved."))
        return redirect("outbox:template", template.pk)
    context = {
        "form": form,
        "template": template,
        "trial": attempt(request.user, words, request.POST.dict()),
        "page": "templates",
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "outbox/template.html", context, status=status)
