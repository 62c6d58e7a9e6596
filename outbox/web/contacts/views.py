"""The address book, and the suggestions while an address is typed.

Recipients of messages written here are added automatically. A contact that the user saves is kept.
"""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.db.models import F, Q
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox.models import Contact
from outbox.web.auth import UserRequest, signed_in
from outbox.web.contacts.forms import ContactForm
from outbox.web.contacts.last_delivery import LastDelivery, last_deliveries
from outbox.web.display import inert
from outbox.web.parameters import integer
from outbox.web.saving import save_unique

PAGE_SIZE = 100
SUGGESTED = 8
QUERY_MAX = 100
REASON_MAX = 200  # characters


@signed_in
@require_safe
def contacts(request: UserRequest) -> HttpResponse:
    """List the contacts by name, one page at a time."""
    words = _query(request)
    visible = Contact.objects.visible_to(request.user)
    listed = visible.matching(words) if words else visible
    last = visible.filter(pk=integer(request.GET.get("after")) or 0).first()
    if last is not None:
        following = Q(sort_key__gt=last.sort_key) | Q(sort_key=last.sort_key, pk__gt=last.pk)
        listed = listed.filter(following)
    found = list(listed.order_by("sort_key", "pk")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    deliveries = last_deliveries(shown)
    context = {
        "contacts": [(contact, deliveries.get(contact.pk)) for contact in shown],
        "after": found[PAGE_SIZE - 1].pk if len(found) > PAGE_SIZE else None,
        "is_further": last is not None,
        "words": words,
        "page": "contacts",
    }
    return render(request, "outbox/contacts.html", context)


@signed_in
@require_safe
def suggest(request: UserRequest) -> HttpResponse:
    """Return contacts that match what is typed; those written to last come first."""
    words = _query(request)
    visible = Contact.objects.visible_to(request.user)
    latest = visible.matching(words).order_by(F("used_at").desc(nulls_last=True), "sort_key")
    found = list(latest[:SUGGESTED]) if words else []
    deliveries = last_deliveries(found)
    suggested = [
        {
            "name": one.name,
            "address": one.address,
            "entry": str(one),
            "warning": _warning(deliveries.get(one.pk)),
        }
        for one in found
    ]
    return JsonResponse({"contacts": suggested})


def _warning(last: LastDelivery | None) -> str:
    """Return the warning about an address whose latest message failed."""
    if last is None or not last.is_failed:
        return ""
    text = _("The latest message failed: %(reason)s")
    return inert(text % {"reason": last.reason})[:REASON_MAX]


def _query(request: UserRequest) -> str:
    """Return the searched text, without NUL, which PostgreSQL cannot store."""
    return request.GET.get("q", "").replace("\0", "").strip()[:QUERY_MAX]


@signed_in
@require_http_methods(["GET", "POST"])
def add(request: UserRequest) -> HttpResponse:
    """Add a contact."""
    return _edit(request, Contact(owner=request.user))


@signed_in
@require_http_methods(["GET", "POST"])
def contact(request: UserRequest, pk: int) -> HttpResponse:
    """Edit a contact; one that was added automatically is kept from then on."""
    return _edit(request, get_object_or_404(Contact.objects.visible_to(request.user), pk=pk))


@signed_in
@require_POST
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Delete a contact. Writing to the address again adds it automatically."""
    get_object_or_404(Contact.objects.visible_to(request.user), pk=pk).delete()
    messages.success(request, _("Contact deleted."))
    return redirect("outbox:contacts")


def _edit(request: UserRequest, contact: Contact) -> HttpResponse:
    form = ContactForm(request.POST or None, instance=contact)
    if request.method == "POST" and form.is_valid() and save_unique(form, form.save_kept):
        messages.success(request, _("Contact saved."))
        return redirect("outbox:contacts")
    context = {"form": form, "contact": contact, "page": "contacts"}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "outbox/contact.html", context, status=status)
