"""The HTML of a mail, as a document of its own that can run nothing and fetch nothing.

The HTML is cleaned; the document's policy, which allows no request and no script, would hold what
the cleaning missed; and the page shows it in a frame without scripts and without an origin. Such a
frame's requests carry no session cookie, so its address carries a permit instead: signed for one
person and one mail, and good for a short while.
"""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from outbox.mail.html import clean_for_preview
from outbox.mail.parts import pictures
from outbox.models import Message
from outbox.models.access import can_read
from outbox.web.messages.content import Content

GOOD_FOR = 15 * 60  # seconds
# A click on a link opens it in a page of its own; nothing else leaves the frame.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",  # a mail's style attributes; no url() is left in them
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        f"sandbox {SANDBOX}",
    )
)
PAPERS = {
    "light": gettext_lazy("The mail as its reader sees it"),
    "dark": gettext_lazy("The mail as its reader sees it, on dark paper"),
}
_SALT = "outbox.preview"


def preview_address(message: Message, person: User) -> str:
    """Return where this person sees the mail's HTML for the next while."""
    permit = signing.dumps([message.pk, person.pk], salt=_SALT)
    return reverse("outbox:preview", args=[message.pk, permit])


@never_cache
@require_safe
def preview(request: HttpRequest, pk: int, permit: str) -> HttpResponse:
    """Show the cleaned HTML to whoever holds a fresh permit for it."""
    try:
        mail_pk, person_pk = signing.loads(permit, salt=_SALT, max_age=GOOD_FOR)
    except signing.BadSignature:
        mail_pk = person_pk = None
    if mail_pk != pk:
        return _harmless(render(request, "outbox/preview_over.html", status=403))
    person = get_object_or_404(get_user_model(), pk=person_pk, is_active=True)
    messages = Message.objects.viewable_by(person).select_related("source")
    mail = get_object_or_404(messages, pk=pk)
    if not can_read(person, mail):  # the permission was withdrawn after the permit was signed
        return _harmless(render(request, "outbox/preview_over.html", status=403))
    content = Content(mail, "preview")
    html, _hosts = clean_for_preview(content.documents, pictures(content.source or b""))
    context = {
        "html": mark_safe(html),  # noqa: S308  # cleaned in the line above
        "paper": "dark" if request.GET.get("paper") == "dark" else "light",
    }
    return _harmless(render(request, "outbox/preview.html", context))


def _harmless(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "no-referrer"
    response["X-Content-Type-Options"] = "nosniff"
    response["X-DNS-Prefetch-Control"] = "off"
    return response
