"""Limits on the body of a request, checked before it is read.

Django's own limits apply while it parses a body, and none of them applies to files: an anonymous
client could fill the disk with uploads to the sign-in page. Decoding a form of megabytes costs
about a second of processor time, so only the pages with long texts or files accept one.
"""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, ResolverMatch, resolve

from outbox.api.provider_notifications import MAX_BODY
from outbox.conf import get_conf
from outbox.web.parameters import integer

MULTIPART = "multipart/form-data"
_FILES, _TEXTS, _FORM = "max_request_bytes", "max_text_request_bytes", "max_form_bytes"

# The setting that limits a multipart form, by the name of the URL. Any other form of the site is
# small. So is a URL-encoded one: it has up to twelve bytes for a character, and costs far more.
SETTINGS = {
    "outbox:compose": _FILES,
    "outbox:draft": _FILES,
    "outbox:draft-attachments": _FILES,
    "admin:outbox_suppression_import": _FILES,
    "outbox:compose-save": _TEXTS,
    "outbox:compose-template": _TEXTS,
    "outbox:draft-save": _TEXTS,
    "outbox:template": _TEXTS,
    "outbox:template-add": _TEXTS,
    "outbox:template-preview": _TEXTS,
    "outbox:reauthenticate": _TEXTS,  # it gets the fields of the form that was posted
    "admin:outbox_template_add": _TEXTS,
    "admin:outbox_template_change": _TEXTS,
}
_ANONYMOUS = {"outbox:sns": MAX_BODY}  # bytes that Amazon SNS may send
_OWN_NAMES = ("outbox:", "admin:outbox_", "admin:auth_")
_OWN_VIEWS = (
    "outbox.",
    "signin.",
    "django.contrib.auth.",
    "django.contrib.contenttypes.",
    "django.contrib.admin.sites",
)


def body_limit_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the middleware. It follows AuthenticationMiddleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        return _rejection(request) or get_response(request)

    return middleware


def _rejection(request: HttpRequest) -> HttpResponse | None:
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        # Chunks have no length in advance, and no browser sends a form in chunks.
        return _page(request, "400.html", HTTPStatus.LENGTH_REQUIRED)
    length = integer(request.META.get("CONTENT_LENGTH") or "0")
    if length is None:
        return _page(request, "400.html", HTTPStatus.BAD_REQUEST)
    if length == 0 or length <= _limit(request):
        return None
    return _page(request, "413.html", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _limit(request: HttpRequest) -> int:
    conf = get_conf()
    if not request.user.is_authenticated:
        return max(conf.max_anonymous_request_bytes, _ANONYMOUS.get(_name_of(request.path_info), 0))
    limit: int = getattr(conf, setting_for(request.path_info, request.content_type or ""))
    return limit


def _name_of(path: str) -> str:
    try:
        return resolve(path).view_name
    except Resolver404:
        return ""


def setting_for(path: str, content_type: str) -> str:
    """Return the name of the setting that limits the body of a signed-in user's request.

    The CSRF middleware reads the body before Django has resolved the URL for the view.
    """
    try:
        match = resolve(path)
    except Resolver404:
        return _FORM
    if not _is_own(match):
        return _FILES  # the project knows what its own views accept
    return SETTINGS.get(match.view_name, _FORM) if content_type == MULTIPART else _FORM


def _is_own(match: ResolverMatch) -> bool:
    module = getattr(match.func, "__module__", "")
    return match.view_name.startswith(_OWN_NAMES) or module.startswith(_OWN_VIEWS)


def _page(request: HttpRequest, template: str, status: HTTPStatus) -> HttpResponse:
    response = render(request, template, status=status)
    response["Connection"] = "close"  # the rest of the body is not read
    return response
