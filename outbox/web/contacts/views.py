"""The address book: whom one keeps, whom one wrote to, and what is offered while one types.

Remembered addresses come from mail that was composed here; they can be kept or forgotten.
"""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.db import transaction
from django.db.models import F, Q
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox.models import Contact
from outbox.web.contacts.delivery import LastDelivery, last_deliveries
from outbox.web.contacts.forms import ContactForm
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in
from outbox.web.wording import inert

PAGE_SIZE = 100
SUGGESTED = 8
QUERY_MAX = 100
REASON_MAX = 200  # characters


@signed_in
@require_safe
def contacts(request: PersonRequest) -> HttpResponse:
    """List the book by name, a page at a time."""
    words = _words(request)
    book = Contact.objects.visible_to(request.user)
    listed = book.matching(words) if words else book
    last = book.filter(pk=number(request.GET.get("after")) or 0).first()
    if last is not None:
        behind = Q(sort_key__gt=last.sort_key) | Q(sort_key=last.sort_key, pk__gt=last.pk)
        listed = listed.filter(behind)
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
def suggest(request: PersonRequest) -> HttpResponse:
    """Offer contacts for what is being typed: whom one wrote to last comes first."""
    words = _words(request)
    book = Contact.objects.visible_to(request.user)
    latest = book.matching(words).order_by(F("used_at").desc(nulls_last=True), "sort_key")
    found = list(latest[:SUGGESTED]) if words else []
    deliveries = last_deliveries(found)
    offered = [
        {
            "name": one.name,
            "address": one.address,
            "entry": str(one),
            "warning": _warning(deliveries.get(one.pk)),
        }
        for one in found
    ]
    return JsonResponse({"contacts": offered})


def _warning(last: LastDelivery | None) -> str:
    """Return what to say of an address that did not get the last message."""
    if last is None or not last.is_failed:
        return ""
    text = _("Last message not delivered: %(reason)s")
    return inert(text % {"reason": last.reason})[:REASON_MAX]


def _words(request: PersonRequest) -> str:
    """Read what is looked for; no database takes a NUL."""
    return request.GET.get("q", "").replace("\0", "").strip()[:QUERY_MAX]


@signed_in
@require_http_methods(["GET", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Keep a new contact."""
    return _edit(request, Contact(owner=request.user))


@signed_in
@require_http_methods(["GET", "POST"])
def contact(request: PersonRequest, pk: int) -> HttpResponse:
    """Change a contact; a remembered one is kept from then on."""
    return _edit(request, get_object_or_404(Contact.objects.visible_to(request.user), pk=pk))


@signed_in
@require_POST
def forget(request: PersonRequest, pk: int) -> HttpResponse:
    """Take a contact out of the book. Writing to it again brings it back as remembered."""
    get_object_or_404(Contact.objects.visible_to(request.user), pk=pk).delete()
    messages.success(request, _("Contact removed."))
    return redirect("outbox:contacts")


def _edit(request: PersonRequest, contact: Contact) -> HttpResponse:
    form = ContactForm(request.POST or None, instance=contact)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            form.keep()
        messages.success(request, _("Contact saved."))
        return redirect("outbox:contacts")
    context = {"form": form, "contact": contact, "page": "contacts"}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "outbox/contact.html", context, status=status)
