"""The HTML of a message as a document that runs no script and loads nothing.

Three measures protect the user. The HTML is cleaned. The document's Content-Security-Policy allows
no request and no script. The frame that shows it has neither scripts nor an origin. Requests of
such a frame have no session cookie, so its address contains a permit: for one message and one
sign-in session, and valid for a short time. It ends when the user signs out or gets another
password.
"""

import base64
import json
from importlib import import_module

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from outbox.mail.html import clean_for_preview
from outbox.mail.parts import pictures
from outbox.models import InboundMessage, Message
from outbox.models.access import can_read
from outbox.web.messages.content import Content

VALID_FOR = 15 * 60  # seconds
# Links open in a page of their own.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",  # style attributes; the cleaning removes url()
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        f"sandbox {SANDBOX}",
    )
)
# Pictures of remote servers, which the user asked for. They get no referrer (`_restricted`).
POLICY_WITH_PICTURES = POLICY.replace("img-src data:", "img-src data: https: http:")
PAPERS = {
    "light": gettext_lazy("The message as its recipient sees it"),
    "dark": gettext_lazy("The message as its recipient sees it, in dark mode"),
}


def preview_address(message: Message, request: HttpRequest, view: str = "outbox:preview") -> str:
    """Return the address at which this session can see the HTML for a short time."""
    return reverse(view, args=[message.pk, make_permit(message, request)])


def make_permit(message: Message | InboundMessage, request: HttpRequest, extent: str = "") -> str:
    """Return a permit of this session to see the HTML of one message for a short time.

    `extent` names what the permit allows beyond that.
    """
    # The session key is encrypted, because an address is stored in logs and histories.
    subject = [message._meta.model_name, message.pk, extent]
    granted = [*subject, str(request.user.pk), request.session.session_key or ""]
    return _cipher().encrypt(json.dumps(granted).encode()).decode()


@never_cache
@require_safe
def preview(request: HttpRequest, pk: int, permit: str) -> HttpResponse:
    """Show the cleaned HTML if the permit is valid."""
    user = permitted_user(Message, pk, permit)
    if user is None:
        return expired(request)
    messages = Message.objects.viewable_by(user).select_related("source")
    message = get_object_or_404(messages, pk=pk)
    if not can_read(user, message):  # the permission was withdrawn in the meantime
        return expired(request)
    return show_html(request, Content(message, "preview"))


def show_html(
    request: HttpRequest, content: Content, *, loads_pictures: bool = False
) -> HttpResponse:
    """Return the cleaned HTML as a document of its own, with remote pictures if they are wanted."""
    html, _hosts = clean_for_preview(
        content.documents, pictures(content.source or b""), keeps_remote=loads_pictures
    )
    context = {
        "html": mark_safe(html),  # noqa: S308  # cleaned in the lines above
        "paper": "dark" if request.GET.get("paper") == "dark" else "light",
    }
    response = _restricted(render(request, "outbox/preview.html", context))
    if loads_pictures:
        response["Content-Security-Policy"] = POLICY_WITH_PICTURES
    return response


def expired(request: HttpRequest) -> HttpResponse:
    """Return the page of a permit that is not valid any more."""
    return _restricted(render(request, "outbox/preview_expired.html", status=403))


def permitted_user(
    model: type[Message | InboundMessage], pk: int, permit: str, extent: str = ""
) -> User | None:
    """Return the user of the session for which the permit was made, if that session lasts."""
    try:
        *subject, user_pk, session_key = json.loads(
            _cipher().decrypt(permit.encode(), ttl=VALID_FOR)
        )
    except (InvalidToken, ValueError):
        return None
    if subject != [model._meta.model_name, pk, extent]:
        return None
    user = _user_of_session(session_key) if session_key else _active_user(user_pk)
    return user if user is not None and str(user.pk) == user_pk else None


def _user_of_session(session_key: str) -> User | None:
    """Return the user who is signed in there. A changed password ends the session."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return None if isinstance(user, AnonymousUser) else user


def _active_user(user_pk: str) -> User | None:
    """Return the user of a project that authenticates each request without a session."""
    return get_user_model().objects.filter(pk=user_pk, is_active=True).first()


def _cipher() -> Fernet:
    key = salted_hmac("outbox.preview", "permit", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _restricted(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "no-referrer"
    response["X-Content-Type-Options"] = "nosniff"
    response["X-DNS-Prefetch-Control"] = "off"
    return response
